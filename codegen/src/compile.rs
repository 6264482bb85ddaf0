//! From a fused program to an object or to code in memory.
//!
//! In: a [`Program`] and [`Options`].  Out: a [`Compiled`] whose parts make an artifact, or a [`JitCode`].
//! Invariant: the bytes depend on the program and the options alone.

use crate::artifact::{Description, Placement, Weights, architecture, descriptor};
use crate::clif;
use crate::driver::gpu::Gpu;
use crate::driver::memory::{self, Arena};
use crate::driver::pack::Packed;
use crate::driver::{Entries, Functions, Place, define_entries, describe, input_symbols};
use crate::kernels::{Code, Scheduled, Schedules, machine, own_isa, schedule_program};
use crate::linear::linearize;
use crate::lower::Lowered;
use crate::ptx::Capability;
use crate::tuning::{Ignored, Tuning};
use crate::work::Work;
use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_frontend::FunctionBuilderContext;
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{DataDescription, Linkage, Module, default_libcall_names};
use cranelift_object::{ObjectBuilder, ObjectModule};
use mlc_ir::program::{Program, Step};
use mlc_ir::{Error, Index, Result};
use target_lexicon::Triple;

/// What to compile for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Prefix of all symbols: a C identifier.
    pub name: String,
    /// Operating system and processor family.
    pub triple: Triple,
    /// Features of the processor, by the names of [`mlc_abi::feature`].
    pub features: Vec<String>,
    /// A GPU beside the processor, which then runs what kernels it can.
    pub gpu: Option<Capability>,
    /// Where the weights go; by their size if not said.
    pub placement: Option<Placement>,
    /// Measured schedules; a build without any is the same on every machine.
    pub tuning: Tuning,
}

/// A compiled program.
pub struct Compiled {
    /// For the artifact writer.
    pub object: Vec<u8>,
    /// For the artifact writer.
    pub description: Description,
    /// For the artifact writer.
    pub weights: Packed,
    /// The kernels' tiles, and who made their code.
    pub kernels: Vec<Scheduled>,
    /// What Cranelift was told of the processor.
    pub settings: Vec<&'static str>,
    /// What they compile for.
    pub triple: Triple,
    /// Where buffers between kernels lie, and when.
    pub arena: Arena,
    /// What became of the measured schedules.
    pub tuned: Tuned,
}

/// What became of the records of a build.
#[derive(Clone, Debug, Default)]
pub struct Tuned {
    /// The number of those that made a kernel.
    pub used: usize,
    /// Those that were left out.
    pub ignored: Vec<Ignored>,
}

/// Code in memory: addresses of functions, valid as long as the module lives.
pub struct JitCode {
    /// `NAME_plan`
    pub plan: *const u8,
    /// `NAME_run`
    pub run: *const u8,
    /// `NAME_message`
    pub message: *const u8,
    /// The descriptor blob.
    pub descriptor: Vec<u8>,
    /// The packed weights.
    pub weights: Packed,
    /// What each kernel does.
    pub work: Vec<Work>,
    /// What became of the measured schedules.
    pub tuned: Tuned,
    /// Holds the code.
    pub module: JITModule,
}

/// A program ready to be emitted.
struct Prepared {
    program: Program,
    arena: Arena,
    packed: Packed,
    kernels: Vec<Scheduled>,
    description: Description,
    tuned: Tuned,
    gpu: Option<Gpu>,
}

fn prepare(mut program: Program, options: &Options, placement: Option<Placement>) -> Result<Prepared> {
    let machine = machine(&options.triple, &options.features);
    let Schedules { kernels, layouts, used: records, ignored } =
        schedule_program(&mut program, &machine, options.gpu, &options.tuning)?;
    let workers = kernels.iter().filter(|kernel| !kernel.code.on_gpu());
    let arena = memory::plan(&program, &layouts, workers.map(|kernel| &kernel.lowered.tile));
    check_bounds(&program, &arena)?;
    let gpu = options.gpu.map(|capability| Gpu::new(&program, &layouts, &arena, &kernels, capability));
    let mut looked: Vec<u32> = kernels.iter().flat_map(|kernel| kernel.lowered.buffers.clone()).collect();
    Step::visit_kernels(&program.body, &mut |kernel| looked.extend(kernel.reads()));
    looked.extend(memory::driver_reads(&program));
    looked.sort_unstable();
    looked.dedup();
    let packed = Packed::new(&program, &layouts, looked);
    let names = kernels.iter().map(|kernel| kernel.lowered.tile.name.to_string()).collect();
    let mut target = format!("{} {}", options.triple, used(options).join(","));
    if let Some(capability) = options.gpu {
        target = format!("{} {}", target.trim_end(), capability);
    }
    let mut description = describe(&program, &arena, &options.name, &target, names);
    let place = |kernel: &Scheduled| gpu.as_ref().map(|_| kernel.code.place());
    description.work = kernels.iter().map(|kernel| Work { place: place(kernel), ..kernel.work.clone() }).collect();
    description.weights_bytes = packed.len();
    description.placement = placement.unwrap_or(Placement::usual(packed.len()));
    let arch = architecture(&options.triple).map_err(|e| Error::unsupported(e.to_string()))?;
    for feature in used(options) {
        let mask = mlc_abi::feature::mask(arch, feature);
        description.features |= mask.ok_or_else(|| Error::invalid(format!("`{feature}` is no feature of {arch:?}")))?;
    }
    let tuned = Tuned { used: records, ignored };
    Ok(Prepared { program, arena, packed, kernels, description, tuned, gpu })
}

/// Fails if a size depends on data and has no bound: memory is planned before a run.
fn check_bounds(program: &Program, arena: &Arena) -> Result<()> {
    let known = input_symbols(program);
    let outputs = program.outputs.iter().map(|&b| (&program.buffer(b).name, &program.buffer(b).shape));
    let outputs = outputs.flat_map(|(name, shape)| shape.iter().map(move |dim| (name.to_string(), dim)));
    let total = arena.total(&Index::from(1));
    for (name, size) in outputs.chain([("the arena".to_string(), &total)]) {
        let bound = memory::bounded(size, &program.facts, program);
        if let Some(symbol) = bound.syms().iter().find(|symbol| !known.contains(symbol)) {
            let what = format!("the size of {name} depends on data (`{symbol}`) and has no bound");
            return Err(Error::unsupported(format!("{what}: fix the input that decides it with `--value`")));
        }
    }
    Ok(())
}

/// Compiles to an object.
///
/// # Errors
/// If the program or target is not supported.
pub fn compile(program: Program, options: &Options) -> Result<Compiled> {
    let prepared = prepare(program, options, options.placement)?;
    let bug = |e: &dyn std::fmt::Display| Error::internal(format!("object: {e}"));
    let isa = isa(options, "speed")?;
    let builder = ObjectBuilder::new(isa, options.name.as_str(), default_libcall_names()).map_err(|e| bug(&e))?;
    let mut module = ObjectModule::new(builder);
    let embedded = prepared.description.placement == Placement::Embedded && !prepared.packed.is_empty();
    emit(&mut module, &prepared, options, embedded)?;
    let arch = architecture(&options.triple).map_err(|e| Error::unsupported(e.to_string()))?;
    let symbol = format!("{}_descriptor", options.name);
    let id = module.declare_data(&symbol, Linkage::Export, false, false).map_err(|e| bug(&e))?;
    let mut data = DataDescription::new();
    data.define(descriptor::build(&prepared.description, arch).into_boxed_slice());
    data.set_align(8);
    module.define_data(id, &data).map_err(|e| bug(&e))?;
    let object = module.finish().emit().map_err(|e| bug(&e))?;
    Ok(Compiled {
        object,
        description: prepared.description,
        weights: prepared.packed,
        kernels: prepared.kernels,
        settings: settings(options),
        triple: options.triple.clone(),
        arena: prepared.arena,
        tuned: prepared.tuned,
    })
}

/// Compiles into memory, for this machine.
///
/// # Errors
/// If the program is not supported.
pub fn compile_jit(program: Program, options: &Options) -> Result<JitCode> {
    let prepared = prepare(program, options, Some(Placement::Sidecar))?;
    let isa = clif::isa_in_memory(&options.triple, &settings(options), "speed")?;
    let builder = JITBuilder::with_isa(isa, default_libcall_names());
    let mut module = JITModule::new(builder);
    let functions = emit(&mut module, &prepared, options, false)?;
    module.finalize_definitions().map_err(|e| Error::internal(format!("code in memory: {e}")))?;
    let arch = architecture(&options.triple).map_err(|e| Error::unsupported(e.to_string()))?;
    Ok(JitCode {
        plan: module.get_finalized_function(functions.plan),
        run: module.get_finalized_function(functions.run),
        message: module.get_finalized_function(functions.message),
        descriptor: descriptor::build(&prepared.description, arch),
        weights: prepared.packed,
        work: prepared.description.work,
        tuned: prepared.tuned,
        module,
    })
}

/// The processor features that Cranelift is told of, and what it calls them.
const SETTINGS: &[(&str, &str)] = &[
    ("sse3", "has_sse3"),
    ("ssse3", "has_ssse3"),
    ("sse4.1", "has_sse41"),
    ("sse4.2", "has_sse42"),
    ("popcnt", "has_popcnt"),
    ("avx", "has_avx"),
    ("avx2", "has_avx2"),
    ("fma", "has_fma"),
    ("bmi1", "has_bmi1"),
    ("bmi2", "has_bmi2"),
    ("lzcnt", "has_lzcnt"),
    ("dotprod", "has_dotprod"),
];

/// The features of the options that make a difference: an artifact asks its processor for these alone.
fn used(options: &Options) -> Vec<&'static str> {
    let mut used: Vec<&str> = told(options).map(|row| row.0).collect();
    if let Some(isa) = own_isa(&options.triple, &options.features) {
        used.extend(isa.features().iter().filter(|feature| !SETTINGS.iter().any(|row| row.0 == **feature)));
    }
    used
}

fn told(options: &Options) -> impl Iterator<Item = &'static (&'static str, &'static str)> + '_ {
    SETTINGS.iter().filter(|row| options.features.iter().any(|feature| feature == row.0))
}

fn settings(options: &Options) -> Vec<&'static str> {
    told(options).map(|row| row.1).collect()
}

fn isa(options: &Options, opt: &str) -> Result<OwnedTargetIsa> {
    clif::isa(&options.triple, &settings(options), opt)
}

fn emit(module: &mut dyn Module, prepared: &Prepared, options: &Options, embedded: bool) -> Result<Functions> {
    let kernels = emit_kernels(module, prepared, options)?;
    let embedded = match embedded {
        true => {
            let symbol = format!("{}_weights", options.name);
            let id = module.declare_data(&symbol, Linkage::Import, false, false);
            Some(id.map_err(|e| Error::internal(format!("object: {e}")))?)
        }
        false => None,
    };
    let entries = Entries {
        program: &prepared.program,
        arena: &prepared.arena,
        weights: &prepared.packed.offsets,
        kernels: &kernels,
        description: &prepared.description,
        embedded,
        gpu: prepared.gpu.as_ref(),
    };
    define_entries(module, &entries)
}

/// Emits each kernel; equal ones (the layers of a model) are emitted once.
fn emit_kernels(module: &mut dyn Module, prepared: &Prepared, options: &Options) -> Result<Vec<(Lowered, Place)>> {
    // Kernels are compiled without Cranelift's optimizer: it hoists loads out of blocks and then spills.
    let isa = isa(options, "none")?;
    let signature = clif::signature(&*isa);
    let mut builder = FunctionBuilderContext::new();
    let mut kernels: Vec<(Lowered, Place)> = Vec::new();
    for (number, Scheduled { lowered, code, like, .. }) in prepared.kernels.iter().enumerate() {
        if *like < number {
            kernels.push((lowered.clone(), kernels[*like].1));
            continue;
        }
        if code.on_gpu() {
            kernels.push((lowered.clone(), Place::Gpu(number as u32)));
            continue;
        }
        let internal = |e: &dyn std::fmt::Display| Error::internal(e.to_string()).at(&lowered.tile.name);
        let name = format!("{}.k{number}", options.name);
        let id = module.declare_function(&name, Linkage::Local, &signature).map_err(|e| internal(&e))?;
        match code {
            Code::Own(bytes) => module.define_function_bytes(id, 64, bytes, &[]).map_err(|e| internal(&e))?,
            Code::Cranelift(_) | Code::Entry(_) => {
                let tile = linearize(&lowered.tile, &prepared.program.facts).map_err(|e| internal(&e))?;
                let mut context = Context::new();
                context.func.signature = signature.clone();
                clif::emit(&tile, &*isa, &mut context.func, &mut builder).map_err(|e| internal(&e))?;
                let code = context.compile(&*isa, &mut ControlPlane::default()).map_err(|e| internal(&e.inner))?;
                if let Some(reloc) = code.buffer.relocs().first() {
                    return Err(internal(&format!("the code refers to something outside: {reloc:?}")));
                }
                let (align, bytes) = (u64::from(code.buffer.alignment), code.code_buffer());
                module.define_function_bytes(id, align.max(16), bytes, &[]).map_err(|e| internal(&e))?;
            }
        }
        kernels.push((lowered.clone(), Place::Processor(id)));
    }
    Ok(kernels)
}
