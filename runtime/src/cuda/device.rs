//! What one session has on a GPU, and the callbacks a model gets.
#![allow(unsafe_code)] // callbacks get their state through a pointer.

use std::cell::RefCell;
use std::ffi::c_void;
use std::sync::Arc;

use mlc_abi::{Device, DeviceNeeds, code};

use super::driver::Result;
use super::memory::Memory;
use super::program::{Program, Shared};

/// What a session has on a GPU: nothing, until a run asks.
pub(crate) struct Gpu {
    shared: Shared,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    program: Option<Arc<Program>>,
    arena: Memory,
    /// Of the kernel that runs.
    scratch: Memory,
    error: Option<String>,
}

const NOT_BEGUN: &str = "a run that has not begun";

impl Gpu {
    /// For a session of a model.
    pub fn new(shared: Shared) -> Gpu {
        Gpu { shared, state: RefCell::default() }
    }

    /// The table for one run. It points to `self`, which must outlive the run and not move.
    pub fn table(&self) -> Device {
        Device { ctx: (&raw const *self).cast_mut().cast(), begin, launch, copy }
    }

    /// What went wrong last.
    pub fn take_error(&self) -> Option<String> {
        self.state.borrow_mut().error.take()
    }

    /// Waits until all that was started is done.
    pub fn synchronize(&self) {
        if let Some(program) = &self.state.borrow().program {
            // An error shows again in the next call, which can tell of it.
            // SAFETY: takes nothing.
            unsafe { (program.driver.synchronize)() };
        }
    }
}

impl State {
    fn begin(&mut self, shared: &Shared, needs: &mut DeviceNeeds) -> Result<()> {
        // SAFETY: the model fills the table as its type says.
        let program = self.program.insert(unsafe { Program::get(shared, needs) }?);
        let address = self.arena.of(program, needs.arena_bytes)?;
        (needs.device_weights, needs.device_arena) = (program.weights, address);
        Ok(())
    }

    fn program(&self) -> Result<&Program> {
        Ok(self.program.as_deref().ok_or(NOT_BEGUN)?)
    }

    fn copy(&self, device: u64, host: *mut c_void, bytes: usize, up: bool) -> Result<()> {
        let driver = self.program()?.driver;
        if bytes == 0 {
            return Ok(());
        }
        // SAFETY: the model gives memory of its own or of its caller, and an address within its arena.
        let copied = unsafe { if up { (driver.up)(device, host, bytes) } else { (driver.down)(host, device, bytes) } };
        driver.check(copied, if up { "copying to the GPU" } else { "running on the GPU" })
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if let Some(program) = &self.program {
            self.arena.free(program);
            self.scratch.free(program);
        }
    }
}

/// Runs a callback on the state behind a pointer, and keeps its error.
///
/// # Safety
///
/// `ctx` is the `Gpu` of `table`, which outlives the run.
unsafe fn with(ctx: *mut c_void, run: impl FnOnce(&mut State, &Shared) -> Result<()>) -> i32 {
    // SAFETY: the caller's.
    let gpu = unsafe { &*ctx.cast_const().cast::<Gpu>() };
    let mut state = gpu.state.borrow_mut();
    match run(&mut state, &gpu.shared) {
        Ok(()) => code::OK,
        Err(error) => {
            state.error = Some(error);
            code::DEVICE_FAILED
        }
    }
}

unsafe extern "C" fn begin(ctx: *mut c_void, needs: *mut DeviceNeeds) -> i32 {
    // SAFETY: as `table` says; the model's table is valid for the call.
    unsafe { with(ctx, |state, shared| state.begin(shared, &mut *needs)) }
}

unsafe extern "C" fn launch(
    ctx: *mut c_void,
    kernel: u32,
    args: *const u64,
    _count: u32,
    tasks: u64,
    crew: u32,
    scratch: u64,
) -> i32 {
    let launch = |state: &mut State, _: &Shared| {
        let program = state.program.as_deref().ok_or(NOT_BEGUN)?;
        // SAFETY: the model's driver and entries agree on the arguments.
        unsafe { program.launch(kernel, args, tasks, (crew, scratch), &mut state.scratch) }
    };
    // SAFETY: as `table` says.
    unsafe { with(ctx, launch) }
}

unsafe extern "C" fn copy(ctx: *mut c_void, device: u64, host: *mut c_void, bytes: u64, up: u32) -> i32 {
    // SAFETY: as `table` says.
    unsafe { with(ctx, |state, _| state.copy(device, host, bytes as usize, up != 0)) }
}
