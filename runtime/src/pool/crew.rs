//! How a job is handed to threads that wait for it.
//!
//! A thread waits for the next job by spinning for a while, because kernels and runs follow each other closely, then
//! sleeps. What it looks at while it spins is all it needs to begin: one cache line. What everybody counts on is in
//! another.
#![allow(unsafe_code)] // hands jobs to other threads.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Job;

/// How long a thread waits for the next job before it sleeps: longer than most kernels that one thread runs alone, and
/// than a program takes from one run to the next if it has nothing else to do.
const LINGER: Duration = Duration::from_micros(200);
/// How often a waiting thread looks before it asks for the time.
const LOOKS: usize = 32;

/// What the caller tells.
#[repr(align(64))]
struct Board {
    /// Grows by one with each job.
    epoch: AtomicUsize,
    /// Whether there is a job to take tasks of.
    open: AtomicBool,
    stop: AtomicBool,
    job: UnsafeCell<Option<Job>>,
}

/// What everybody counts on.
#[repr(align(64))]
struct Counts {
    /// The first task that nobody has taken.
    next: AtomicU64,
    /// Threads that look at the job.
    active: AtomicUsize,
}

/// What the caller and its threads share.
pub(super) struct Crew {
    board: Board,
    counts: Counts,
    workers: usize,
    sleepers: AtomicUsize,
    waiting: AtomicBool,
    lock: Mutex<()>,
    begin: Condvar,
    done: Condvar,
}

// SAFETY: `job` is written only while it is not open and no thread is active; threads look at it only after they became
// active and then saw it open. Its pointers are valid for as long as a thread is active after it was open.
unsafe impl Send for Crew {}
// SAFETY: as above.
unsafe impl Sync for Crew {}

/// Looks until something holds, for as long as a thread lingers; gives whether it does.
fn spin(holds: impl Fn() -> bool) -> bool {
    let begun = Instant::now();
    loop {
        for _ in 0..LOOKS {
            if holds() {
                return true;
            }
            std::hint::spin_loop();
        }
        if begun.elapsed() >= LINGER {
            return false;
        }
    }
}

impl Crew {
    /// Of so many workers, the caller among them.
    pub fn new(workers: usize) -> Crew {
        let (epoch, open, stop) = (AtomicUsize::new(0), AtomicBool::new(false), AtomicBool::new(false));
        Crew {
            board: Board { epoch, open, stop, job: UnsafeCell::new(None) },
            counts: Counts { next: AtomicU64::new(0), active: AtomicUsize::new(0) },
            workers,
            sleepers: AtomicUsize::new(0),
            waiting: AtomicBool::new(false),
            lock: Mutex::new(()),
            begin: Condvar::new(),
            done: Condvar::new(),
        }
    }

    /// The number of threads that would have to be woken.
    pub fn sleepers(&self) -> usize {
        self.sleepers.load(SeqCst)
    }

    fn guard(&self) -> MutexGuard<'_, ()> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a job with whoever comes, to its end. Gives how many tasks the caller ran itself and, if asked, when it had.
    ///
    /// # Safety
    ///
    /// The kernel may be called with these arguments for any range of tasks, by several threads at once. No other call
    /// of this function is under way.
    pub unsafe fn lead(&self, job: Job, wake: bool, measure: bool) -> (u64, Option<Instant>) {
        // SAFETY: no job is open and no thread is active, so none looks at it.
        unsafe { *self.board.job.get() = Some(job) };
        self.counts.next.store(0, SeqCst);
        self.board.open.store(true, SeqCst);
        self.announce(wake);
        let own = self.take(&job, 0);
        let end = measure.then(Instant::now);
        self.board.open.store(false, SeqCst);
        self.wait_all();
        (own, end)
    }

    /// What a thread of the pool does.
    pub fn work(&self, worker: usize) {
        let mut seen = 0;
        loop {
            seen = self.next(seen);
            if self.board.stop.load(SeqCst) {
                return;
            }
            self.help(worker);
        }
    }

    /// Ends all threads.
    pub fn stop(&self) {
        self.board.stop.store(true, SeqCst);
        self.announce(true);
    }

    /// Waits for the job after the one numbered `seen`.
    fn next(&self, seen: usize) -> usize {
        let epoch = || self.board.epoch.load(SeqCst);
        if !spin(|| epoch() != seen) {
            let mut guard = self.guard();
            self.sleepers.fetch_add(1, SeqCst);
            while epoch() == seen {
                guard = self.begin.wait(guard).unwrap_or_else(PoisonError::into_inner);
            }
            self.sleepers.fetch_sub(1, SeqCst);
        }
        epoch()
    }

    /// Tells those who wait of the job that has been written, and if asked for those who sleep.
    fn announce(&self, wake: bool) {
        self.board.epoch.fetch_add(1, SeqCst);
        if wake && self.sleepers() > 0 {
            drop(self.guard());
            self.begin.notify_all();
        }
    }

    /// Takes tasks of the job, if there is one.
    pub(super) fn help(&self, worker: usize) {
        self.counts.active.fetch_add(1, SeqCst);
        if self.board.open.load(SeqCst) {
            // SAFETY: it is open, and stays as it is while this thread is active.
            if let Some(job) = unsafe { *self.board.job.get() } {
                self.take(&job, worker);
            }
        }
        if self.counts.active.fetch_sub(1, SeqCst) == 1 && self.waiting.load(SeqCst) {
            drop(self.guard());
            self.done.notify_all();
        }
    }

    /// Runs tasks as a worker until all are taken; gives how many.
    fn take(&self, job: &Job, worker: usize) -> u64 {
        let scratch = job.scratch.wrapping_add(worker.wrapping_mul(job.scratch_bytes as usize));
        let share = |begin: u64| {
            let left = job.tasks - begin;
            (left > 0).then(|| begin + left.div_ceil(2 * self.workers as u64))
        };
        let mut own = 0;
        while let Ok(begin) = self.counts.next.fetch_update(SeqCst, SeqCst, share) {
            let end = share(begin).unwrap_or(begin);
            own += end - begin;
            // SAFETY: the model made kernel and arguments for each other; ranges are disjoint, and each worker has
            // scratch of its own, which the model took from an arena planned for this number of workers.
            unsafe { (job.kernel)(job.args, begin, end, scratch) }
        }
        own
    }

    /// Waits for those who took tasks of a job that is closed.
    fn wait_all(&self) {
        let idle = || self.counts.active.load(SeqCst) == 0;
        // Most often they are done, or nobody came.
        if idle() || spin(idle) {
            return;
        }
        self.waiting.store(true, SeqCst);
        let mut guard = self.guard();
        while !idle() {
            guard = self.done.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.waiting.store(false, SeqCst);
    }
}
