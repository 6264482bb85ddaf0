//! What this runtime offers a model: threads and a stopwatch.
#![allow(unsafe_code)] // callbacks get their state through a pointer.

use std::cell::RefCell;
use std::ffi::c_void;
use std::time::{Duration, Instant};

use mlc_abi::{ABI, Device, Host, KernelFn};

use crate::cpu;
use crate::cuda::Gpu;
use crate::pool::{Job, Pool};

/// How long one kernel took, over all runs since the profile was switched on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Timing {
    /// The kernel's name in the descriptor.
    pub kernel: String,
    /// How often it ran.
    pub calls: u64,
    /// All its time.
    pub nanoseconds: u64,
}

/// One call of a kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Call {
    /// Number of the kernel in the descriptor.
    pub kernel: usize,
    /// When it began, since tracing was switched on.
    pub begun: Duration,
    /// How long it took.
    pub time: Duration,
}

/// Sums by kernel index, and the calls themselves if they are asked for.
#[derive(Default)]
struct Profile {
    begun: Option<Instant>,
    sums: Vec<(u64, u64)>,
    calls: Option<(Instant, Vec<Call>)>,
}

/// The state behind the callbacks.
pub(crate) struct Context {
    pool: Pool,
    profile: RefCell<Profile>,
    profiling: bool,
    gpu: Gpu,
}

impl Context {
    /// With threads, for a model of so many kernels.
    pub fn new(pool: Pool, kernels: usize, gpu: Gpu) -> Context {
        let profile = Profile { begun: None, sums: vec![(0, 0); kernels], calls: None };
        Context { pool, profile: RefCell::new(profile), profiling: false, gpu }
    }

    /// The number of threads.
    pub fn workers(&self) -> u32 {
        self.pool.workers() as u32
    }

    /// Forgets how long kernels took.
    pub fn forget(&self) {
        self.pool.forget();
    }

    /// Switches the profile on or off; on, it begins at 0.
    pub fn set_profile(&mut self, on: bool) {
        self.profiling = on;
        if on {
            self.profile.get_mut().sums.fill((0, 0));
        }
    }

    /// Switches the profile on or off, and with it keeping every call.
    pub fn set_trace(&mut self, on: bool) {
        self.set_profile(on);
        self.profile.get_mut().calls = on.then(|| (Instant::now(), vec![]));
    }

    /// Every call since tracing was switched on.
    pub fn calls(&self) -> Vec<Call> {
        self.profile.borrow().calls.as_ref().map(|it| it.1.clone()).unwrap_or_default()
    }

    /// Calls and nanoseconds by kernel index.
    pub fn sums(&self) -> Vec<(u64, u64)> {
        self.profile.borrow().sums.clone()
    }

    /// What models with kernels for a GPU run on.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// The table for one run. It points to `self` and to a device, which must outlive the run and not move.
    pub fn table(&self, device: &Device) -> Host {
        let parallel = self.pool.workers() > 1;
        Host {
            abi: ABI,
            workers: self.workers(),
            ctx: (&raw const *self).cast_mut().cast(),
            parallel_for: if parallel { Some(parallel_for) } else { None },
            profile: if self.profiling { Some(profile) } else { None },
            features: cpu::features(),
            device,
        }
    }
}

unsafe extern "C" fn parallel_for(
    ctx: *mut c_void,
    kernel: KernelFn,
    args: *const u64,
    tasks: u64,
    scratch: *mut u8,
    scratch_bytes: u64,
) {
    // SAFETY: `ctx` is the `Context` of `table`, which outlives the run. The model asks for one job at a time, with a
    // kernel made for several threads.
    unsafe {
        let context = &*ctx.cast_const().cast::<Context>();
        context.pool.run(Job { kernel, args, tasks, scratch, scratch_bytes });
    }
}

unsafe extern "C" fn profile(ctx: *mut c_void, kernel: u32, phase: u32) {
    // SAFETY: `ctx` is the `Context` of `table`, which outlives the run.
    let context = unsafe { &*ctx.cast_const().cast::<Context>() };
    // What a GPU was told to do may not be done.
    context.gpu.synchronize();
    let now = Instant::now();
    let Ok(mut profile) = context.profile.try_borrow_mut() else { return };
    if phase == 0 {
        profile.begun = Some(Instant::now());
        return;
    }
    let Some(begun) = profile.begun.take() else { return };
    let time = now.duration_since(begun);
    if let Some(sum) = profile.sums.get_mut(kernel as usize) {
        sum.0 += 1;
        sum.1 += time.as_nanos() as u64;
    }
    if let Some((start, calls)) = &mut profile.calls {
        calls.push(Call { kernel: kernel as usize, begun: begun.duration_since(*start), time });
    }
}
