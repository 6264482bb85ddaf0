//! A small pool of threads: ranges of tasks that depend on nothing but their number and that of the workers.
//!
//! Worker `w` of `n` runs tasks `tasks*w/n .. tasks*(w+1)/n`; worker 0 is the caller. Threads wait for the next job by
//! spinning for a short while, because kernels follow each other closely, then sleep.
#![allow(unsafe_code)] // hands kernels and their pointers to other threads.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use mlc_abi::KernelFn;

/// How often a waiting thread looks before it sleeps: some tens of microseconds.
const SPINS: usize = 4000;

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
    /// Runs the tasks of one worker.
    fn run(&self, worker: usize, workers: usize) {
        let bound = |worker: usize| (u128::from(self.tasks) * worker as u128 / workers as u128) as u64;
        let (begin, end) = (bound(worker), bound(worker + 1));
        if begin < end {
            let scratch = self.scratch.wrapping_add(worker.wrapping_mul(self.scratch_bytes as usize));
            // SAFETY: the model made kernel and arguments for each other; ranges are disjoint, and each worker has
            // scratch of its own, which the model took from an arena planned for this number of workers.
            unsafe { (self.kernel)(self.args, begin, end, scratch) }
        }
    }
}

/// What the caller and its threads share.
struct Shared {
    /// Grows by one with each job.
    epoch: AtomicUsize,
    /// Written before `epoch` grows, read after.
    job: UnsafeCell<Option<Job>>,
    /// Threads that have not finished the job.
    remaining: AtomicUsize,
    stop: AtomicBool,
    sleepers: AtomicUsize,
    waiting: AtomicBool,
    lock: Mutex<()>,
    begin: Condvar,
    done: Condvar,
}

// SAFETY: `job` is written only while `remaining` is 0 and no thread looks at it; they look after `epoch` grew and
// before they lower `remaining`. Its pointers are valid for all threads until `remaining` is 0 again.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    fn guard(&self) -> MutexGuard<'_, ()> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the job after the one numbered `seen`.
    fn next(&self, seen: usize) -> usize {
        for _ in 0..SPINS {
            let epoch = self.epoch.load(SeqCst);
            if epoch != seen {
                return epoch;
            }
            std::hint::spin_loop();
        }
        let mut guard = self.guard();
        self.sleepers.fetch_add(1, SeqCst);
        while self.epoch.load(SeqCst) == seen {
            guard = self.begin.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.sleepers.fetch_sub(1, SeqCst);
        self.epoch.load(SeqCst)
    }

    /// Wakes everyone for the job that has been written.
    fn announce(&self) {
        self.epoch.fetch_add(1, SeqCst);
        if self.sleepers.load(SeqCst) > 0 {
            drop(self.guard());
            self.begin.notify_all();
        }
    }

    fn finish(&self) {
        if self.remaining.fetch_sub(1, SeqCst) == 1 && self.waiting.load(SeqCst) {
            drop(self.guard());
            self.done.notify_all();
        }
    }

    fn wait_all(&self) {
        for _ in 0..SPINS {
            if self.remaining.load(SeqCst) == 0 {
                return;
            }
            std::hint::spin_loop();
        }
        self.waiting.store(true, SeqCst);
        let mut guard = self.guard();
        while self.remaining.load(SeqCst) != 0 {
            guard = self.done.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.waiting.store(false, SeqCst);
    }
}

fn work(shared: &Shared, worker: usize, workers: usize) {
    let mut seen = 0;
    loop {
        seen = shared.next(seen);
        if shared.stop.load(SeqCst) {
            return;
        }
        // SAFETY: `epoch` grew, so the job is written, and it stays until this thread calls `finish`.
        let job = unsafe { *shared.job.get() };
        if let Some(job) = job {
            job.run(worker, workers);
        }
        shared.finish();
    }
}

/// Threads that wait for jobs.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    /// So many workers, the caller among them.
    pub fn new(workers: usize) -> std::io::Result<Pool> {
        let shared = Arc::new(Shared {
            epoch: AtomicUsize::new(0),
            job: UnsafeCell::new(None),
            remaining: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            sleepers: AtomicUsize::new(0),
            waiting: AtomicBool::new(false),
            lock: Mutex::new(()),
            begin: Condvar::new(),
            done: Condvar::new(),
        });
        let mut pool = Pool { shared, threads: Vec::new() };
        for worker in 1..workers.max(1) {
            let shared = pool.shared.clone();
            let thread = thread::Builder::new().name(format!("mlc-{worker}"));
            pool.threads.push(thread.spawn(move || work(&shared, worker, workers))?);
        }
        Ok(pool)
    }

    /// The number of workers.
    pub fn workers(&self) -> usize {
        self.threads.len() + 1
    }

    /// Runs a job to its end.
    ///
    /// # Safety
    ///
    /// The kernel may be called with these arguments for any range of tasks, by several threads at once. No other call
    /// of this function is under way.
    pub unsafe fn run(&self, job: Job) {
        if self.threads.is_empty() || job.tasks <= 1 {
            return job.run(0, 1);
        }
        // SAFETY: no job is under way, so no thread looks at it.
        unsafe { *self.shared.job.get() = Some(job) };
        self.shared.remaining.store(self.threads.len(), SeqCst);
        self.shared.announce();
        job.run(0, self.workers());
        self.shared.wait_all();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
        self.shared.announce();
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds 1 to each task's word, and the task's number to the word of the worker.
    unsafe extern "C" fn count(args: *const u64, begin: u64, end: u64, scratch: *mut u8) {
        for task in begin..end {
            // SAFETY: the test passes a pointer to as many words as tasks, and scratch of 64 bytes a worker.
            unsafe {
                *(*args as *mut u64).add(task as usize) += 1;
                *scratch.cast::<u64>() += 1;
            }
        }
    }

    #[test]
    fn every_task_runs_once_whatever_the_number_of_workers() {
        for workers in [1, 2, 3, 7] {
            let pool = Pool::new(workers).expect("threads");
            for tasks in [0u64, 1, 2, 5, 64, 1000] {
                for _ in 0..20 {
                    let mut words = vec![0u64; tasks as usize];
                    let mut scratch = vec![0u64; 8 * workers];
                    let args = [words.as_mut_ptr() as u64];
                    let job = Job {
                        kernel: count,
                        args: args.as_ptr(),
                        tasks,
                        scratch: scratch.as_mut_ptr().cast(),
                        scratch_bytes: 64,
                    };
                    // SAFETY: `count` touches words of its own tasks only.
                    unsafe { pool.run(job) };
                    assert!(words.iter().all(|&it| it == 1));
                    assert_eq!(scratch.iter().sum::<u64>(), tasks);
                }
            }
        }
    }

    #[test]
    fn sleeping_threads_wake() {
        let pool = Pool::new(3).expect("threads");
        for _ in 0..3 {
            thread::sleep(std::time::Duration::from_millis(20));
            let mut words = [0u64; 30];
            let mut scratch = [0u64; 24];
            let (args, scratch) = ([words.as_mut_ptr() as u64], scratch.as_mut_ptr().cast());
            // SAFETY: as above.
            unsafe { pool.run(Job { kernel: count, args: args.as_ptr(), tasks: 30, scratch, scratch_bytes: 64 }) };
            assert_eq!(words, [1; 30]);
        }
    }
}
