//! The kernels of a program as tiles, and as machine code where the processor has an emitter of its own.
//!
//! In: a fused program and what schedules ask of the processor.  Out: a [`Scheduled`] for each kernel, in the order of the
//! program's steps, and the layouts of the buffers.
//! Invariant: equal kernels on buffers that are alike, the layers of a model, become the same tile and the same code; they
//! are made once.

use crate::layout::{Layout, assign};
use crate::linear::linearize;
use crate::lower::{Lowered, lower};
use crate::schedule::{self, Plan, choose};
use crate::work::{self, Work};
use crate::x86::{self, Isa};
use mlc_ir::Result;
use mlc_ir::program::{Kernel, Program, Step};
use mlc_ir::target::Target;
use std::collections::HashMap;
use std::fmt::Write;
use target_lexicon::{Architecture, CallingConvention, Triple};

/// A kernel's tile, and its machine code if an emitter of the target's own took it.
#[derive(Clone, Debug)]
pub struct Scheduled {
    /// The tile, indexed as lowering writes it.
    pub lowered: Lowered,
    /// Machine code, or why it is left to Cranelift.
    pub code: std::result::Result<Vec<u8>, String>,
    /// Number of the first kernel that is like this one: itself, or an earlier one with the same code.
    pub like: usize,
    /// For profiles.
    pub work: Work,
}

/// What Cranelift's x86-64 offers whatever the processor has.
const CRANELIFT: Target = Target::x86_64();

/// What schedules ask of a processor with some features.
pub fn machine(triple: &Triple, features: &[String]) -> Target {
    match triple.architecture {
        Architecture::Aarch64(_) => Target::aarch64(),
        _ => own_isa(triple, features).map_or(Target::x86_64(), Isa::target),
    }
}

/// The instructions of the emitter for a processor with some features, if there is one.
pub(crate) fn own_isa(triple: &Triple, features: &[String]) -> Option<Isa> {
    let has = |feature: &&str| features.iter().any(|f| f == feature);
    let calls = triple.default_calling_convention() == Ok(CallingConvention::SystemV);
    let x86 = triple.architecture == Architecture::X86_64;
    Isa::ALL.into_iter().find(|isa| calls && x86 && isa.features().iter().all(has))
}

/// The tiles of a program for a target, and how its buffers lie.
///
/// # Errors
/// If a kernel cannot be lowered; names it.
pub fn lower_program(program: &mut Program, target: &Target) -> Result<(Vec<Lowered>, Vec<Layout>)> {
    let layouts = assign(program, target);
    let kernels = kernels(program).into_iter().map(|kernel| Ok(lower_kernel(kernel, program, &layouts, target)?.1));
    Ok((kernels.collect::<Result<Vec<_>>>()?, layouts))
}

/// The tiles of a program, with machine code where the target has an emitter that takes them.
///
/// # Errors
/// If a kernel cannot be lowered; names it.
pub fn schedule_program(program: &mut Program, target: &Target) -> Result<(Vec<Scheduled>, Vec<Layout>)> {
    let layouts = assign(program, target);
    let mut known: HashMap<String, (usize, Vec<u32>)> = HashMap::new();
    let mut scheduled: Vec<Scheduled> = Vec::new();
    for (number, kernel) in kernels(program).into_iter().enumerate() {
        let (key, buffers) = signature(kernel, program, &layouts);
        if let Some((like, places)) = known.get(&key) {
            scheduled.push(renamed(&scheduled[*like], places, kernel, &buffers, program));
            continue;
        }
        let (steps, lowered, code) = schedule_kernel(kernel, program, &layouts, target)?;
        scheduled.push(Scheduled { lowered, code, like: number, work: work::of(kernel, program, &steps) });
        known.insert(key, (number, buffers));
    }
    Ok((scheduled, layouts))
}

fn kernels(program: &Program) -> Vec<&Kernel> {
    let mut kernels: Vec<&Kernel> = Vec::new();
    Step::visit_kernels(&program.body, &mut |kernel| kernels.push(kernel));
    kernels
}

type Steps = Vec<schedule::Step>;

fn lower_kernel(kernel: &Kernel, program: &Program, layouts: &[Layout], target: &Target) -> Result<(Steps, Lowered)> {
    let steps = choose(kernel, program, layouts, target);
    let lowered = |steps: &Steps| lower(kernel, program, layouts, &Plan::new(kernel, steps)?);
    match lowered(&steps) {
        Ok(lowered) => Ok((steps, lowered)),
        Err(e) => {
            // Lanes that lie apart need their number known: what is left is then narrower vectors and points.
            let whole: Steps = steps.iter().filter(|step| !step.masks()).cloned().collect();
            let why = e.at(&kernel.name);
            if whole == steps { Err(why) } else { Ok((whole.clone(), lowered(&whole).map_err(|_| why)?)) }
        }
    }
}

type Code = std::result::Result<Vec<u8>, String>;

fn schedule_kernel(
    kernel: &Kernel,
    program: &Program,
    layouts: &[Layout],
    target: &Target,
) -> Result<(Steps, Lowered, Code)> {
    let lowered_for = |target: &Target| lower_kernel(kernel, program, layouts, target);
    let Some(isa) = Isa::ALL.into_iter().find(|isa| isa.target() == *target) else {
        let (steps, lowered) = lowered_for(target)?;
        return Ok((steps, lowered, Err("this processor has no emitter of its own".into())));
    };
    let mut refused = String::new();
    // A schedule whose values do not fit the registers is not legal: the next one is for fewer.
    for vector_regs in [target.vector_regs, target.vector_regs * 3 / 4, target.vector_regs / 2] {
        let (steps, lowered) = lowered_for(&Target { vector_regs, ..target.clone() })?;
        let tile = linearize(&lowered.tile, &program.facts).map_err(|e| e.at(&kernel.name))?;
        match x86::emit(&tile, isa) {
            Ok(code) => return Ok((steps, lowered, Ok(code))),
            Err(why) => refused = why.to_string(),
        }
    }
    let (steps, lowered) = lowered_for(&CRANELIFT)?;
    Ok((steps, lowered, Err(refused)))
}

/// What decides a kernel's tile: its text with its buffers numbered as they come, and how these lie; and the buffers.
fn signature(kernel: &Kernel, program: &Program, layouts: &[Layout]) -> (String, Vec<u32>) {
    let text = Kernel { name: "".into(), ..kernel.clone() }.to_string();
    let (mut key, mut buffers): (String, Vec<u32>) = (String::new(), Vec::new());
    let mut parts = text.split('@');
    key.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = part.split_at(digits);
        let Ok(buffer) = number.parse::<u32>() else {
            let _ = write!(key, "@{part}");
            continue;
        };
        let place = buffers.iter().position(|&b| b == buffer).unwrap_or_else(|| {
            buffers.push(buffer);
            buffers.len() - 1
        });
        let _ = write!(key, "@{place}{rest}");
    }
    for &buffer in &buffers {
        let definition = program.buffer(buffer);
        let (dtype, shape, constant) = (definition.dtype, &definition.shape, definition.constant.is_some());
        let _ = write!(key, "\n{dtype} {shape:?} {constant} {:?}", layouts[buffer as usize]);
    }
    (key, buffers)
}

/// What was made of a kernel with other buffers at the same places.
fn renamed(like: &Scheduled, places: &[u32], kernel: &Kernel, buffers: &[u32], program: &Program) -> Scheduled {
    let mut scheduled = like.clone();
    scheduled.work.kernel = kernel.name.to_string();
    scheduled.work.nodes = vec![kernel.name.to_string()];
    let lowered = &mut scheduled.lowered;
    lowered.tile.name = kernel.name.clone();
    for (buffer, param) in lowered.buffers.iter_mut().zip(&mut lowered.tile.params) {
        if let Some(place) = places.iter().position(|b| b == buffer) {
            *buffer = buffers[place];
            param.name = program.buffer(*buffer).name.clone();
        }
    }
    scheduled
}
