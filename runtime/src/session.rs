//! Runs of a model: memory, threads, and the calls themselves.
#![allow(unsafe_code)] // calls compiled code.

use mlc_abi::Tensor;
use mlc_abi::code;

use crate::arena::Arena;
use crate::cuda::Gpu;
use crate::error::{Error, Reason};
use crate::host::{Call, Context, Timing};
use crate::model::Model;
use crate::pool::Pool;
use crate::tensor::{TensorBuf, TensorView};

/// The threads of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Threads {
    /// How many, the caller's among them; as many as the machine has if 0.
    pub count: usize,
    /// Whether each but the caller's is tied to a processor of its own, of those that the process may use: from the
    /// second on, so that the first is free for the caller. Good on a machine that does nothing else; where other programs
    /// run, a tied thread cannot give way to them. Linux only.
    pub pin: bool,
}

impl From<usize> for Threads {
    fn from(count: usize) -> Threads {
        Threads { count, pin: false }
    }
}

/// Memory and threads for runs of one model, one at a time. Several sessions may run at once.
pub struct Session {
    model: Model,
    context: Box<Context>,
    arena: Option<Arena>,
    planned: u64,
    inputs: usize,
    /// Element type and rank of each output.
    outputs: Vec<(u32, u32)>,
    /// Inputs and the outputs that continue them in the same memory.
    states: Vec<(usize, usize)>,
}

// SAFETY: nothing in a session belongs to a thread; the pointers inside are made and used within one call.
unsafe impl Send for Session {}

impl Session {
    /// With these threads.
    pub(crate) fn new(model: &Model, threads: Threads) -> Result<Session, Error> {
        let count = match threads.count {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            some => some,
        };
        let pool = Pool::new(count, threads.pin).map_err(|error| Reason::Resources(error.to_string()))?;
        let descriptor = model.descriptor();
        Ok(Session {
            context: Box::new(Context::new(pool, descriptor.kernels().len(), Gpu::new(model.gpu()))),
            arena: None,
            planned: 0,
            inputs: descriptor.inputs().len(),
            outputs: descriptor.outputs().map(|it| (it.dtype, it.rank)).collect(),
            states: states(descriptor.outputs().map(|it| it.state)),
            model: model.clone(),
        })
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The number of threads.
    pub fn threads(&self) -> usize {
        self.context.workers() as usize
    }

    /// The places of inputs, and of the outputs that continue them in the same memory.
    pub fn states(&self) -> &[(usize, usize)] {
        &self.states
    }

    /// Size of the arena that the last run needed.
    pub fn arena_bytes(&self) -> u64 {
        self.planned
    }

    /// Runs the model and gives new tensors.
    pub fn run(&mut self, inputs: &[TensorView]) -> Result<Vec<TensorBuf>, Error> {
        let mut outputs = Vec::new();
        self.run_into(inputs, &mut outputs)?;
        Ok(outputs)
    }

    /// Runs the model into tensors of an earlier run, whose memory is used again where it suffices. An output that
    /// continues an input begins as a copy of it; [`advance`](Session::advance) goes on without copies.
    pub fn run_into(&mut self, inputs: &[TensorView], outputs: &mut Vec<TensorBuf>) -> Result<(), Error> {
        self.run_from(inputs.iter().map(raw).collect(), outputs)
    }

    /// Runs the model once more: inputs that an output continues are left out of `inputs`, and are the outputs of the run
    /// before, which are updated in place.
    pub fn advance(&mut self, inputs: &[TensorView], outputs: &mut Vec<TensorBuf>) -> Result<(), Error> {
        if outputs.len() != self.outputs.len() {
            return Err(Reason::Input("advance goes on from the outputs of a run, and there are none".into()).into());
        }
        // Of their own: outputs get theirs anew.
        let shapes: Vec<Vec<i64>> = self.states.iter().map(|state| outputs[state.1].shape().to_vec()).collect();
        let mut fresh = inputs.iter().map(raw);
        let mut list = Vec::new();
        for place in 0..self.inputs {
            let state = self.states.iter().zip(&shapes).find(|(state, _)| state.0 == place);
            list.extend(match state {
                Some(((_, output), shape)) => {
                    let buf = &outputs[*output];
                    Some(Tensor { shape: shape.as_ptr().cast_mut(), ..raw(&buf.view()) })
                }
                None => fresh.next(),
            });
        }
        list.extend(fresh);
        self.run_from(list, outputs)
    }

    /// Runs on inputs that are views or the memory of outputs.
    fn run_from(&mut self, mut inputs: Vec<Tensor>, outputs: &mut Vec<TensorBuf>) -> Result<(), Error> {
        let rows = self.outputs.clone();
        outputs.resize(rows.len(), TensorBuf::default());
        let mut shapes: Vec<Vec<i64>> = rows.iter().map(|(_, rank)| vec![0; *rank as usize]).collect();
        let mut raw: Vec<Tensor> = rows
            .iter()
            .zip(&mut shapes)
            .map(|((dtype, rank), shape)| Tensor {
                data: std::ptr::null_mut(),
                shape: shape.as_mut_ptr(),
                rank: *rank,
                dtype: *dtype,
                bytes: 0,
            })
            .collect();
        // SAFETY: inputs are views, which match their data; every output has room for a shape of its rank.
        let arena = unsafe { self.plan_raw(&inputs, &mut raw) }?;
        for (((buf, tensor), shape), (dtype, _)) in outputs.iter_mut().zip(&mut raw).zip(&shapes).zip(&rows) {
            buf.reserve(*dtype, shape)?;
            tensor.data = buf.pointer().cast();
            tensor.bytes = buf.bytes().len() as u64;
        }
        for (input, output) in &self.states {
            let (from, to) = (&mut inputs[*input], &raw[*output]);
            if from.data != to.data {
                let bytes = from.bytes.min(to.bytes);
                // SAFETY: both have so many bytes, and an output's memory is its own.
                unsafe { std::ptr::copy_nonoverlapping(from.data.cast::<u8>(), to.data.cast(), bytes as usize) };
                from.data = to.data;
            }
        }
        // SAFETY: as above, and outputs now have the memory that was planned.
        unsafe { self.run_planned(&inputs, &mut raw, arena) }?;
        outputs.iter_mut().zip(&shapes).try_for_each(|(buf, shape)| buf.settle(shape))
    }

    /// Checks inputs, writes the shapes of the outputs; gives the size of the arena.
    ///
    /// # Safety
    ///
    /// Every tensor has a valid `shape` of `rank` numbers (an output: room for as many as the model's output has).
    pub unsafe fn plan_raw(&self, inputs: &[Tensor], outputs: &mut [Tensor]) -> Result<u64, Error> {
        let expect = |what: &str, expected: usize, found: usize| {
            if expected == found {
                return Ok(());
            }
            Err(Error::from(Reason::Input(format!("the model has {expected} {what}, {found} were given"))))
        };
        expect("inputs", self.inputs, inputs.len())?;
        expect("outputs", self.outputs.len(), outputs.len())?;
        let mut arena = 0;
        let plan = self.model.plan_fn();
        // SAFETY: the arrays have as many tensors as the model reads; the rest is the caller's promise.
        let code = unsafe { plan(inputs.as_ptr(), outputs.as_mut_ptr(), &mut arena, self.context.workers()) };
        if code == code::OK { Ok(arena) } else { Err(self.model.error(code)) }
    }

    /// Runs the model on tensors that the caller describes.
    ///
    /// # Safety
    ///
    /// As for [`plan_raw`](Session::plan_raw); `data` of every tensor is valid for `bytes`, that of outputs for writes
    /// and disjoint from everything else but the input that it continues, whose data it is.
    pub unsafe fn run_raw(&mut self, inputs: &[Tensor], outputs: &mut [Tensor]) -> Result<(), Error> {
        // Planning writes shapes that running writes again.
        // SAFETY: the caller's.
        unsafe {
            let arena = self.plan_raw(inputs, outputs)?;
            self.run_planned(inputs, outputs, arena)
        }
    }

    /// Runs with an arena of the planned size.
    ///
    /// # Safety
    ///
    /// As for [`run_raw`](Session::run_raw), with tensors that [`plan_raw`](Session::plan_raw) has seen.
    unsafe fn run_planned(&mut self, inputs: &[Tensor], outputs: &mut [Tensor], bytes: u64) -> Result<(), Error> {
        if self.planned != bytes {
            // Dims are others, and so are the times of kernels.
            self.context.forget();
            self.planned = bytes;
        }
        let arena = match self.arena.take().filter(|it| it.bytes() >= bytes) {
            Some(arena) => arena,
            None => Arena::new(bytes)?,
        };
        let arena = self.arena.insert(arena);
        let (arena, have) = (arena.pointer(), arena.bytes());
        let device = self.context.gpu().table();
        let host = self.context.table(&device);
        let run = self.model.run_fn();
        // SAFETY: the arena is page aligned and as large as it says; `host` points to `self.context`, which is boxed and
        // outlives the call, as does `device`; the weights are those of the model; the rest is the caller's promise.
        let code =
            unsafe { run(self.model.weights(), inputs.as_ptr(), outputs.as_mut_ptr(), arena.cast(), have, &host) };
        match (code, self.context.gpu().take_error()) {
            (code::OK, _) => Ok(()),
            (code::DEVICE_FAILED, Some(why)) => Err(Reason::Device(why).into()),
            _ => Err(self.model.error(code)),
        }
    }

    /// Switches measuring by kernel on, from 0, or off.
    pub fn profile(&mut self, on: bool) {
        self.context.set_profile(on);
    }

    /// Switches measuring every call of a kernel on, or off; it keeps 40 bytes a call.
    pub fn trace(&mut self, on: bool) {
        self.context.set_trace(on);
    }

    /// Every call since [`trace`](Session::trace) was switched on.
    pub fn calls(&self) -> Vec<Call> {
        self.context.calls()
    }

    /// What was measured, in the order of the descriptor.
    pub fn timings(&self) -> Vec<Timing> {
        let names = self.model.descriptor().kernels();
        let sums = self.context.sums();
        names.zip(sums).map(|(name, (calls, nanoseconds))| Timing { kernel: name.into(), calls, nanoseconds }).collect()
    }
}

/// Pairs of an input and the output that says it continues it.
fn states(outputs: impl Iterator<Item = Option<u32>>) -> Vec<(usize, usize)> {
    outputs.enumerate().filter_map(|(place, input)| Some((input? as usize, place))).collect()
}

fn raw(view: &TensorView) -> Tensor {
    Tensor {
        // The model only reads its inputs, whatever the type of the pointers.
        data: view.bytes().as_ptr().cast_mut().cast(),
        shape: view.shape().as_ptr().cast_mut(),
        rank: view.shape().len() as u32,
        dtype: view.dtype(),
        bytes: view.bytes().len() as u64,
    }
}
