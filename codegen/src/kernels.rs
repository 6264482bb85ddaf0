//! The kernels of a program as tiles, and as machine code where the processor has an emitter of its own.
//!
//! In: a fused program and what schedules ask of the processor.  Out: a [`Scheduled`] for each kernel, in the order of the
//! program's steps, and the layouts of the buffers.
//! Invariant: equal kernels on buffers that are alike, the layers of a model, become the same tile and the same code; they
//! are made once.

use crate::layout::{Layout, assign, assign_by};
use crate::linear::linearize;
use crate::lower::{Lowered, lower};
use crate::ptx::{self, Capability};
use crate::schedule::{self, Plan, choose, is_serial};
use crate::signature::{key, signature};
use crate::tuning::{Desk, Ignored, Tuning};
use crate::work::{self, Place, Work};
use crate::x86::{self, Isa};
use mlc_ir::program::{Kernel, Program, Step};
use mlc_ir::target::Target;
use mlc_ir::tile::{self, Tile};
use mlc_ir::{Error, Result};
use std::collections::HashMap;
use target_lexicon::{Architecture, CallingConvention, Triple};

/// A kernel's tile, and its machine code if an emitter of the target's own took it.
#[derive(Clone, Debug)]
pub struct Scheduled {
    /// The tile, indexed as lowering writes it.
    pub lowered: Lowered,
    /// Who emits it.
    pub code: Code,
    /// Number of the first kernel that is like this one: itself, or an earlier one with the same code.
    pub like: usize,
    /// For profiles.
    pub work: Work,
}

/// Who emits a kernel.
#[derive(Clone, Debug)]
pub enum Code {
    /// The processor's own emitter did: machine code.
    Own(Vec<u8>),
    /// Cranelift will; why it is left to it.
    Cranelift(String),
    /// It runs on the GPU: an entry of PTX, `k` and the kernel's number.
    Entry(ptx::Entry),
}

impl Code {
    /// What runs on the GPU, if it does.
    pub fn entry(&self) -> Option<&ptx::Entry> {
        if let Code::Entry(entry) = self { Some(entry) } else { None }
    }

    /// Whether it runs on the GPU.
    pub fn on_gpu(&self) -> bool {
        self.entry().is_some()
    }

    /// Where it runs beside a GPU.
    pub fn place(&self) -> Place {
        match self {
            Code::Entry(_) => Place::Gpu,
            Code::Cranelift(why) => Place::Processor(why.clone()),
            Code::Own(_) => Place::Processor("it is the processor's own".into()),
        }
    }
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

/// What a program became.
pub struct Schedules {
    /// In the order of the program's steps.
    pub kernels: Vec<Scheduled>,
    /// By buffer.
    pub layouts: Vec<Layout>,
    /// The number of records that made a kernel.
    pub used: usize,
    /// Records that were left out.
    pub ignored: Vec<Ignored>,
}

/// The tiles of a program, with machine code where the target has an emitter that takes them; by measured schedules, where
/// there are any. Or entries for a GPU, where there is one, and what it leaves for the processor beside it; records are of
/// processors, and count for none of them.
///
/// # Errors
/// If a kernel cannot be lowered; names it.
pub fn schedule_program(
    program: &mut Program,
    target: &Target,
    gpu: Option<Capability>,
    tuning: &Tuning,
) -> Result<Schedules> {
    let tuning = if gpu.is_some() { &Tuning::NONE } else { tuning };
    let (mut left, mut ignored) = (tuning.clone(), Vec::new());
    // A record that fails late has decided layouts: all is done again without it, and at last without any.
    for attempt in 0..3 {
        let mut copy = program.clone();
        let (mut schedules, again) = schedule_by(&mut copy, target, gpu, &left)?;
        schedules.ignored.iter().for_each(|it| left.remove(it.key));
        ignored.append(&mut schedules.ignored);
        if !again {
            *program = copy;
            return Ok(Schedules { ignored, ..schedules });
        }
        if attempt == 1 {
            left = Tuning::NONE;
        }
    }
    Err(Error::internal("a schedule that no record made was ignored"))
}

/// The same once; and whether a record failed after it had decided a layout.
fn schedule_by(
    program: &mut Program,
    target: &Target,
    gpu: Option<Capability>,
    tuning: &Tuning,
) -> Result<(Schedules, bool)> {
    let gpu = gpu.map(|capability| (capability, capability.target()));
    let lies_for = gpu.as_ref().map_or(target, |gpu| &gpu.1);
    let mut desk = Desk::new(tuning, target);
    let layouts =
        assign_by(program, lies_for, &mut |kernel, program, layouts| match desk.steps(kernel, program, layouts) {
            Some((_, steps)) => steps.to_vec(),
            None => choose(kernel, program, layouts, lies_for),
        });
    let early = desk.ignored.len();
    let mut known: HashMap<String, (usize, Vec<u32>)> = HashMap::new();
    let mut scheduled: Vec<Scheduled> = Vec::new();
    for (number, kernel) in kernels(program).into_iter().enumerate() {
        let (text, buffers) = signature(kernel, program, &layouts);
        if let Some((like, places)) = known.get(&text) {
            scheduled.push(renamed(&scheduled[*like], places, kernel, &buffers, program));
            continue;
        }
        let made = match &gpu {
            Some(gpu) => Some(schedule_entry(kernel, number, program, &layouts, gpu)?),
            None => measured_kernel(kernel, program, &layouts, target, &mut desk),
        };
        let (steps, lowered, code) = match made {
            Some(made) => made,
            None => schedule_kernel(kernel, program, &layouts, target)?,
        };
        scheduled.push(Scheduled { lowered, code, like: number, work: work::of(kernel, program, &steps) });
        known.insert(text, (number, buffers));
    }
    let again = desk.ignored.len() > early;
    Ok((Schedules { kernels: scheduled, layouts, used: desk.used.len(), ignored: desk.ignored }, again))
}

/// Schedules of each kernel that are worth measuring, at most so many, by the key that a record of it has. The first is
/// the one it has without a record. Serial kernels have no other.
pub fn candidates(program: &Program, target: &Target, most: usize) -> Vec<Candidates> {
    let mut all: Vec<Candidates> = Vec::new();
    let mut copy = program.clone();
    assign_by(&mut copy, target, &mut |kernel, program, layouts| {
        let key = key(kernel, program, layouts);
        let known = all.iter_mut().find(|it| it.key == key);
        let list = match known {
            Some(known) => {
                known.kernels.push(kernel.name.to_string());
                return known.list[0].clone();
            }
            None => schedule::candidates(kernel, program, layouts, target, most),
        };
        let chosen = list[0].clone();
        all.push(Candidates { key, kernels: vec![kernel.name.to_string()], list });
        chosen
    });
    all
}

/// Schedules of the kernels that share a key.
#[derive(Clone, Debug)]
pub struct Candidates {
    /// What their record is found by.
    pub key: u64,
    /// Their names.
    pub kernels: Vec<String>,
    /// The likely best first, after the chosen one.
    pub list: Vec<Steps>,
}

fn kernels(program: &Program) -> Vec<&Kernel> {
    let mut kernels: Vec<&Kernel> = Vec::new();
    Step::visit_kernels(&program.body, &mut |kernel| kernels.push(kernel));
    kernels
}

/// A schedule.
pub type Steps = Vec<schedule::Step>;

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

/// A kernel as an entry for a GPU; or, where it cannot be one, for Cranelift.
fn schedule_entry(
    kernel: &Kernel,
    number: usize,
    program: &Program,
    layouts: &[Layout],
    (capability, target): &(Capability, Target),
) -> Result<(Steps, Lowered, Code)> {
    let left = |why: String| {
        let (steps, lowered) = lower_kernel(kernel, program, layouts, &CRANELIFT)?;
        Ok((steps, lowered, Code::Cranelift(why)))
    };
    if is_serial(kernel) {
        return left("its stores are ordered".into());
    }
    // What does not shrink with the registers, as a transform does not, does with the lanes of a thread.
    let narrow = Target { vector_bytes: target.vector_bytes / 2, ..target.clone() };
    let targets = fewer(target, &[4, 3, 2, 1]).chain([narrow]);
    match fitting(kernel, program, layouts, targets, |tile| ptx::emit(tile, &format!("k{number}"), *capability))? {
        Ok((steps, lowered, entry)) => Ok((steps, lowered, Code::Entry(entry))),
        Err(why) => left(why),
    }
}

/// A target with fewer registers, in quarters of those it has.
fn fewer(target: &Target, quarters: &'static [u32]) -> impl Iterator<Item = Target> {
    quarters.iter().map(|part| Target { vector_regs: target.vector_regs * part / 4, ..target.clone() })
}

/// The first schedule of a kernel whose code an emitter takes, or why it takes none. A schedule whose values do not fit the
/// registers is not legal: the next one is for a target that has fewer.
fn fitting<T, E: std::fmt::Display>(
    kernel: &Kernel,
    program: &Program,
    layouts: &[Layout],
    targets: impl Iterator<Item = Target>,
    emit: impl Fn(&Tile) -> std::result::Result<T, E>,
) -> Result<std::result::Result<(Steps, Lowered, T), String>> {
    let mut refused = String::new();
    for target in targets {
        let (steps, lowered) = lower_kernel(kernel, program, layouts, &target)?;
        let tile = linearize(&lowered.tile, &program.facts).map_err(|e| e.at(&kernel.name))?;
        match emit(&tile) {
            Ok(code) => return Ok(Ok((steps, lowered, code))),
            Err(why) => refused = why.to_string(),
        }
    }
    Ok(Err(refused))
}

/// A kernel by the steps of its record, if it has one that stands every check.
fn measured_kernel(
    kernel: &Kernel,
    program: &Program,
    layouts: &[Layout],
    target: &Target,
    desk: &mut Desk,
) -> Option<(Steps, Lowered, Code)> {
    let (key, steps) = desk.steps(kernel, program, layouts)?;
    match proved(kernel, program, layouts, target, steps, desk.is_careful()) {
        Ok((lowered, code)) => {
            desk.used.insert(key);
            Some((steps.to_vec(), lowered, code))
        }
        Err(why) => {
            desk.ignore(key, kernel, why);
            None
        }
    }
}

/// The tile of a schedule and its code; verified, where anybody may have written the schedule.
fn proved(
    kernel: &Kernel,
    program: &Program,
    layouts: &[Layout],
    target: &Target,
    steps: &[schedule::Step],
    careful: bool,
) -> std::result::Result<(Lowered, Code), String> {
    let plan = schedule::check(steps, kernel, program, layouts, target)?;
    let lowered = lower(kernel, program, layouts, &plan).map_err(|e| e.message)?;
    let linear = linearize(&lowered.tile, &program.facts).map_err(|e| e.message)?;
    if careful {
        for tile in [&lowered.tile, &linear] {
            tile::verify(tile, &program.facts).map_err(|e| e.to_string())?;
        }
    }
    let code = match own_emitter(target) {
        Some(isa) => Code::Own(x86::emit(&linear, isa).map_err(|refused| refused.to_string())?),
        None => Code::Cranelift(NO_EMITTER.into()),
    };
    Ok((lowered, code))
}

const NO_EMITTER: &str = "this processor has no emitter of its own";

fn own_emitter(target: &Target) -> Option<Isa> {
    Isa::ALL.into_iter().find(|isa| isa.target() == *target)
}

fn schedule_kernel(
    kernel: &Kernel,
    program: &Program,
    layouts: &[Layout],
    target: &Target,
) -> Result<(Steps, Lowered, Code)> {
    let lowered_for = |target: &Target| lower_kernel(kernel, program, layouts, target);
    let Some(isa) = own_emitter(target) else {
        let (steps, lowered) = lowered_for(target)?;
        return Ok((steps, lowered, Code::Cranelift(NO_EMITTER.into())));
    };
    match fitting(kernel, program, layouts, fewer(target, &[4, 3, 2]), |tile| x86::emit(tile, isa))? {
        Ok((steps, lowered, code)) => Ok((steps, lowered, Code::Own(code))),
        Err(refused) => {
            let (steps, lowered) = lowered_for(&CRANELIFT)?;
            Ok((steps, lowered, Code::Cranelift(refused)))
        }
    }
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
