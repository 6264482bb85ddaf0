//! Runs models: by the reference interpreter, compiled into memory, or as an artifact.
#![allow(unsafe_code, reason = "hands compiled code in memory to the runtime")]

use crate::failure::Result;
use crate::interface::Interface;
use crate::targets::Target;
use mlc_codegen::artifact::Weights;
use mlc_codegen::compile::{JitCode, Options, Tuned, compile_jit};
use mlc_codegen::tuning::Tuning;
use mlc_codegen::work::Work;
use mlc_ir::program::{Program, interp};
use mlc_ir::{DType, Error, Tensor};
use mlc_runtime::{Model, RawParts, Session, TensorBuf, TensorView, Threads};
use std::path::Path;

/// How to run a model.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Choice {
    /// Machine code.
    #[default]
    Compiled,
    /// The reference interpreter: slow, and right by definition.
    Interpreter,
}

/// Something that runs a model.
pub enum Engine {
    /// The reference interpreter.
    Interpreter(Box<Program>),
    /// Compiled code.
    Compiled(Box<Session>),
}

/// Size and alignment of the pieces that weights are held in.
const PAGE: usize = mlc_abi::WEIGHTS_ALIGN as usize;

#[derive(Clone, Copy)]
#[repr(align(4096))]
struct Page([u8; PAGE]);

/// Fills pages one after another, so that weights are held once.
struct Filling {
    pages: Vec<Page>,
    at: usize,
}

impl std::io::Write for Filling {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let Some(page) = self.pages.get_mut(self.at / PAGE) else { return Ok(0) };
        let rest = &mut page.0[self.at % PAGE..];
        let count = rest.len().min(bytes.len());
        rest[..count].copy_from_slice(&bytes[..count]);
        self.at += count;
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Engine {
    /// The reference interpreter.
    pub fn interpreter(program: Program) -> Engine {
        Engine::Interpreter(Box::new(program))
    }

    /// Compiles a program into memory, for this machine. As many threads as it has if 0.
    ///
    /// # Errors
    /// If the program is not supported.
    pub fn compiled(program: Program, threads: usize) -> Result<Engine> {
        Ok(Engine::Compiled(Box::new(compile(program, threads, Tuning::NONE)?.session)))
    }

    /// Compiles a program into memory, for this machine as if it were another that has less.
    ///
    /// # Errors
    /// If the program is not supported, or the target has a feature that this machine lacks.
    pub fn compiled_for(program: Program, target: Target, threads: usize) -> Result<Engine> {
        Ok(Engine::Compiled(Box::new(compile_for(program, target, threads, Tuning::NONE)?.session)))
    }

    /// Opens a compiled artifact.
    ///
    /// # Errors
    /// If the file or the weights beside it cannot be used on this machine.
    pub fn artifact(path: &Path, threads: impl Into<Threads>) -> Result<Engine> {
        Ok(Engine::Compiled(Box::new(Model::open(path)?.session(threads)?)))
    }

    /// Inputs, outputs and symbols.
    pub fn interface(&self) -> Interface {
        match self {
            Engine::Interpreter(program) => Interface::of_program(program),
            Engine::Compiled(session) => Interface::of_descriptor(&session.model().descriptor()),
        }
    }

    /// Runs it.
    ///
    /// # Errors
    /// If the inputs do not fit the model.
    pub fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        match self {
            Engine::Interpreter(program) => Ok(interp::run(program, inputs)?),
            Engine::Compiled(session) => run_session(session, inputs),
        }
    }
}

/// Inputs as the runtime takes them: aligned, with signed extents.
pub struct Inputs {
    list: Vec<Input>,
}

struct Input {
    dtype: u32,
    shape: Vec<i64>,
    bytes: Vec<u8>,
    /// Where in `bytes` the elements are.
    place: std::ops::Range<usize>,
}

impl Inputs {
    /// Copies tensors.
    pub fn new(tensors: &[Tensor]) -> Inputs {
        let copy = |tensor: &Tensor| {
            let (elements, shape) = (tensor.bytes(), tensor.shape().iter().map(|&n| n as i64).collect());
            // No element is larger than 8 bytes.
            let mut bytes = vec![0; elements.len() + 8];
            let start = bytes.as_ptr().align_offset(8).min(8);
            let place = start..start + elements.len();
            bytes[place.clone()].copy_from_slice(elements);
            Input { dtype: tensor.dtype().onnx() as u32, shape, bytes, place }
        };
        Inputs { list: tensors.iter().map(copy).collect() }
    }

    /// What a session takes.
    ///
    /// # Errors
    /// If a tensor is impossible.
    pub fn views(&self) -> Result<Vec<TensorView<'_>>> {
        self.list.iter().map(Input::view).collect()
    }
}

impl Input {
    fn view(&self) -> Result<TensorView<'_>> {
        Ok(TensorView::from_bytes(self.dtype, &self.shape, &self.bytes[self.place.clone()])?)
    }
}

/// Runs a session on tensors.
///
/// # Errors
/// If the inputs do not fit the model.
pub fn run_session(session: &mut Session, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
    let inputs = Inputs::new(inputs);
    let outputs = session.run(&inputs.views()?)?;
    outputs.iter().map(tensor).collect()
}

fn tensor(buffer: &TensorBuf) -> Result<Tensor> {
    let dtype = DType::from_onnx(buffer.dtype() as i32).ok_or_else(|| Error::internal("an output has no type"))?;
    let shape = buffer.shape().iter().map(|&n| n as usize).collect();
    Ok(Tensor::new(dtype, shape, buffer.bytes().to_vec())?)
}

/// Code in memory that is ready to run.
pub struct Made {
    /// Runs it.
    pub session: Session,
    /// What each kernel does.
    pub work: Vec<Work>,
    /// What became of the measured schedules.
    pub tuned: Tuned,
}

/// Compiles a program into memory, for this machine. As many threads as it has if 0.
///
/// # Errors
/// If the program is not supported.
pub fn compile(program: Program, threads: impl Into<Threads>, tuning: Tuning) -> Result<Made> {
    compile_for(program, crate::targets::find("host", None)?, threads, tuning)
}

/// The same as if this machine were another that has less, or had a GPU.
///
/// # Errors
/// Also if the target has a feature that this machine lacks.
pub fn compile_for(program: Program, target: Target, threads: impl Into<Threads>, tuning: Tuning) -> Result<Made> {
    let Target { triple, features, gpu } = target;
    let options = Options { name: "model".into(), triple, features, gpu, placement: None, tuning };
    let mut code = compile_jit(program, &options)?;
    let (work, tuned) = (std::mem::take(&mut code.work), std::mem::take(&mut code.tuned));
    Ok(Made { session: load(code)?.session(threads)?, work, tuned })
}

/// The weights with their slack, aligned.
fn pack(weights: &dyn Weights) -> Result<Vec<Page>> {
    let count = (weights.len() + mlc_abi::WEIGHTS_SLACK).div_ceil(PAGE as u64) as usize;
    let mut filling = Filling { pages: vec![Page([0; PAGE]); count], at: 0 };
    weights.write_to(&mut filling).map_err(|e| Error::internal(format!("weights: {e}")))?;
    Ok(filling.pages)
}

fn load(code: JitCode) -> Result<Model> {
    let weights = pack(&code.weights)?;
    let pointer = weights.as_ptr().cast();
    // SAFETY: the compiler made these functions with these signatures, together with the descriptor, for this machine;
    // module and weights live in `keep`, and neither is bound to a thread.
    let model = unsafe {
        Model::from_raw(RawParts {
            plan: std::mem::transmute::<*const u8, mlc_abi::PlanFn>(code.plan),
            run: std::mem::transmute::<*const u8, mlc_abi::RunFn>(code.run),
            message: std::mem::transmute::<*const u8, mlc_abi::MessageFn>(code.message),
            descriptor: code.descriptor,
            weights: pointer,
            keep: Box::new((code.module, weights)),
        })
    };
    Ok(model.map_err(|e| Error::internal(e.to_string()))?)
}
