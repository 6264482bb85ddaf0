//! A small pool of threads that take ranges of tasks.
//!
//! Each worker, of which the caller is the first, takes a share of the tasks that are left until there are none: large
//! ranges first, because neighbours use the same weights, single tasks at the end, so that all finish together. Nobody
//! waits for a thread that has not come to take any: where processors are busy the others do its work.
//!
//! `crew` is how jobs are handed over; `worth` knows from earlier runs which jobs are worth handing to others, and to
//! those who sleep; `pin` ties threads to processors.
#![allow(unsafe_code)] // hands kernels and their pointers to other threads.

mod crew;
mod pin;
#[cfg(test)]
mod tests;
mod worth;

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crew::Crew;
use mlc_abi::KernelFn;
use worth::{Call, Worth};

/// A kernel with everything it is called with.
#[derive(Clone, Copy)]
pub(crate) struct Job {
    pub kernel: KernelFn,
    pub args: *const u64,
    pub tasks: u64,
    pub scratch: *mut u8,
    pub scratch_bytes: u64,
}

impl Job {
    /// Runs all tasks.
    ///
    /// # Safety
    ///
    /// The kernel may be called with these arguments for all its tasks.
    unsafe fn run_alone(&self) {
        // SAFETY: the caller's.
        unsafe { (self.kernel)(self.args, 0, self.tasks, self.scratch) }
    }
}

/// Threads that wait for jobs.
pub(crate) struct Pool {
    crew: Arc<Crew>,
    threads: Vec<JoinHandle<()>>,
    worth: RefCell<Worth>,
}

impl Pool {
    /// So many workers, the caller among them; if asked for, each of the others tied to a processor of its own.
    pub fn new(workers: usize, pin: bool) -> io::Result<Pool> {
        let crew = Arc::new(Crew::new(workers.max(1)));
        let mut pool = Pool { crew, threads: Vec::new(), worth: RefCell::default() };
        for worker in 1..workers.max(1) {
            let crew = pool.crew.clone();
            let thread = thread::Builder::new().name(format!("mlc-{worker}"));
            pool.threads.push(thread.spawn(move || crew.work(worker))?);
        }
        if pin {
            pin::pin(&pool.threads)?;
        }
        Ok(pool)
    }

    /// The number of workers.
    pub fn workers(&self) -> usize {
        self.threads.len() + 1
    }

    /// Forgets how long jobs took: they will take another time now.
    pub fn forget(&self) {
        self.worth.borrow_mut().forget();
    }

    /// Runs a job to its end.
    ///
    /// # Safety
    ///
    /// The kernel may be called with these arguments for any range of tasks, by several threads at once. No other call
    /// of this function is under way.
    pub unsafe fn run(&self, job: Job) {
        if self.threads.is_empty() || job.tasks <= 1 {
            // SAFETY: as the caller promises.
            return unsafe { job.run_alone() };
        }
        let mut worth = self.worth.borrow_mut();
        let (call, measure) = worth.judge(job.kernel as usize, job.tasks, self.threads.len(), self.crew.sleepers());
        let begun = measure.then(Instant::now);
        let (own, end) = match call {
            Call::Nobody => {
                // SAFETY: as the caller promises.
                unsafe { job.run_alone() };
                (job.tasks, begun.map(|_| Instant::now()))
            }
            // SAFETY: as the caller promises.
            call => unsafe { self.crew.lead(job, call == Call::All, measure) },
        };
        if let (Some(begun), Some(end)) = (begun, end) {
            worth.learn(job.kernel as usize, own, end.duration_since(begun));
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.crew.stop();
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
    }
}
