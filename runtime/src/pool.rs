//! A small pool of threads that take ranges of tasks.
//!
//! Each worker, of which the caller is the first, takes a share of the tasks that are left until there are none: large
//! ranges first, because neighbours use the same weights, single tasks at the end, so that all finish together. Nobody
//! waits for a thread that has not come to take any: where processors are busy the others do its work. Threads
//! wait for the next job by spinning for a short while, because kernels follow each other closely, then sleep.
#![allow(unsafe_code)] // hands kernels and their pointers to other threads.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
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
    /// Runs tasks from `next` on as a worker, until all are taken.
    fn run(&self, next: &AtomicU64, worker: usize, workers: usize) {
        let scratch = self.scratch.wrapping_add(worker.wrapping_mul(self.scratch_bytes as usize));
        let share = |begin: u64| {
            let left = self.tasks - begin;
            (left > 0).then(|| begin + left.div_ceil(2 * workers as u64))
        };
        while let Ok(begin) = next.fetch_update(SeqCst, SeqCst, share) {
            let end = share(begin).unwrap_or(begin);
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
    /// Whether there is a job to take tasks of.
    open: AtomicBool,
    /// Threads that look at the job.
    active: AtomicUsize,
    job: UnsafeCell<Option<Job>>,
    /// The first task that nobody has taken.
    next: AtomicU64,
    stop: AtomicBool,
    sleepers: AtomicUsize,
    waiting: AtomicBool,
    lock: Mutex<()>,
    begin: Condvar,
    done: Condvar,
}

// SAFETY: `job` is written only while it is not open and no thread is active; threads look at it only after they became
// active and then saw it open. Its pointers are valid for as long as a thread is active after it was open.
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

    /// Takes tasks of the job, if there is one.
    fn help(&self, worker: usize, workers: usize) {
        self.active.fetch_add(1, SeqCst);
        if self.open.load(SeqCst) {
            // SAFETY: it is open, and stays as it is while this thread is active.
            if let Some(job) = unsafe { *self.job.get() } {
                job.run(&self.next, worker, workers);
            }
        }
        if self.active.fetch_sub(1, SeqCst) == 1 && self.waiting.load(SeqCst) {
            drop(self.guard());
            self.done.notify_all();
        }
    }

    /// Waits for those who took tasks of a job that is closed.
    fn wait_all(&self) {
        for _ in 0..SPINS {
            if self.active.load(SeqCst) == 0 {
                return;
            }
            std::hint::spin_loop();
        }
        self.waiting.store(true, SeqCst);
        let mut guard = self.guard();
        while self.active.load(SeqCst) != 0 {
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
        shared.help(worker, workers);
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
            open: AtomicBool::new(false),
            active: AtomicUsize::new(0),
            job: UnsafeCell::new(None),
            next: AtomicU64::new(0),
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
            // SAFETY: as the caller promises.
            return unsafe { (job.kernel)(job.args, 0, job.tasks, job.scratch) };
        }
        let shared = &self.shared;
        // SAFETY: no job is open and no thread is active, so none looks at it.
        unsafe { *shared.job.get() = Some(job) };
        shared.next.store(0, SeqCst);
        shared.open.store(true, SeqCst);
        shared.announce();
        job.run(&shared.next, 0, self.workers());
        shared.open.store(false, SeqCst);
        shared.wait_all();
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
