//! Runs programs: by the reference interpreter, or compiled into memory.
#![allow(unsafe_code, reason = "hands compiled code in memory to the runtime")]

use mlc_codegen::artifact::Weights;
use mlc_codegen::compile::{JitCode, Options, compile_jit};
use mlc_ir::program::{Program, interp};
use mlc_ir::{DType, Error, Result, Tensor};
use mlc_runtime::{Model, RawParts, Session, TensorBuf, TensorView};

/// Something that runs a model.
pub enum Engine {
    /// The reference interpreter.
    Interpreter(Box<Program>),
    /// Compiled code.
    Compiled(Box<Session>),
}

/// Aligned bytes, writable while they are filled.
struct Aligned {
    words: Vec<Page>,
}

#[derive(Clone, Copy)]
#[repr(align(4096))]
struct Page([u8; 4096]);

impl Aligned {
    fn of(weights: &dyn Weights) -> Result<Aligned> {
        let mut bytes = Vec::with_capacity(weights.len() as usize);
        weights.write_to(&mut bytes).map_err(|e| Error::internal(format!("weights: {e}")))?;
        bytes.resize(bytes.len() + mlc_abi::WEIGHTS_SLACK as usize, 0);
        let pages = bytes.chunks(4096).map(|chunk| {
            let mut page = Page([0; 4096]);
            page.0[..chunk.len()].copy_from_slice(chunk);
            page
        });
        Ok(Aligned { words: pages.collect() })
    }
}

impl Engine {
    /// The reference interpreter.
    pub fn interpreter(program: Program) -> Engine {
        Engine::Interpreter(Box::new(program))
    }

    /// Compiles a program into memory, for this machine.
    ///
    /// # Errors
    /// If the program is not supported.
    pub fn compiled(program: Program, threads: usize) -> Result<Engine> {
        let target = crate::targets::find("host", None)?;
        let options =
            Options { name: "model".into(), triple: target.triple, features: target.features, placement: None };
        let code = compile_jit(program, &options)?;
        let model = load(code)?;
        let session = model.session(threads).map_err(|e| Error::internal(e.to_string()))?;
        Ok(Engine::Compiled(Box::new(session)))
    }

    /// Runs it.
    ///
    /// # Errors
    /// If the inputs do not fit the model.
    pub fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        match self {
            Engine::Interpreter(program) => interp::run(program, inputs),
            Engine::Compiled(session) => run_session(session, inputs),
        }
    }
}

/// Runs a session on tensors.
///
/// # Errors
/// If the inputs do not fit the model.
pub fn run_session(session: &mut Session, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
    let shapes: Vec<Vec<i64>> = inputs.iter().map(|t| t.shape().iter().map(|&n| n as i64).collect()).collect();
    let views = inputs.iter().zip(&shapes).map(|(tensor, shape)| {
        let view = TensorView::from_bytes(tensor.dtype().onnx() as u32, shape, tensor.bytes());
        view.map_err(|e| Error::invalid(e.to_string()))
    });
    let views: Vec<TensorView> = views.collect::<Result<_>>()?;
    let outputs = session.run(&views).map_err(|e| Error::invalid(e.to_string()))?;
    outputs.iter().map(tensor).collect()
}

fn tensor(buffer: &TensorBuf) -> Result<Tensor> {
    let dtype = DType::from_onnx(buffer.dtype() as i32).ok_or_else(|| Error::internal("an output has no type"))?;
    let shape = buffer.shape().iter().map(|&n| n as usize).collect();
    Tensor::new(dtype, shape, buffer.bytes().to_vec())
}

fn load(code: JitCode) -> Result<Model> {
    let weights = Aligned::of(&code.weights)?;
    let pointer = weights.words.as_ptr().cast();
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
    model.map_err(|e| Error::internal(e.to_string()))
}
