//! Which jobs are worth handing to other threads.
//!
//! A thread that spins answers within a microsecond; one that sleeps must be woken by the system, which costs the caller
//! several, and comes later still. So a job is handed over if it takes some microseconds, by what it took before. Sleeping
//! threads are woken once the time that they would have saved adds up to what waking them costs: at once for a long job,
//! after some short ones, and never if a model has none that they could help with.
//!
//! Who runs a task changes no bit of what it computes.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Duration;

/// Nanoseconds that handing a job to threads that spin may cost everyone.
const HANDING: u64 = 250;
/// Nanoseconds that waking threads costs, until they come.
const WAKING: u64 = 10_000;
/// Measuring costs little beside jobs that take so many nanoseconds; shorter ones are measured at first, then rarely.
const LONG: u64 = 10_000;
const AT_FIRST: u32 = 4;
const RARELY: u32 = 32;

/// Whom a job is announced to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Call {
    /// The caller runs it by itself.
    Nobody,
    /// Whoever is awake.
    Awake,
    /// Also those who sleep.
    All,
}

/// How long a job took.
struct Seen {
    tasks: u64,
    calls: u32,
    /// On one thread.
    nanoseconds: u64,
}

/// What is known of jobs, by the addresses of their kernels.
#[derive(Default)]
pub(super) struct Worth {
    seen: HashMap<usize, Seen, BuildHasherDefault<Spread>>,
    /// Nanoseconds that threads would have saved had they been awake.
    missed: u64,
}

impl Worth {
    pub fn forget(&mut self) {
        self.seen.clear();
    }

    /// Whom to call for a job, and whether to measure it.
    pub fn judge(&mut self, kernel: usize, tasks: u64, helpers: usize, sleepers: usize) -> (Call, bool) {
        let new = Seen { tasks, calls: 0, nanoseconds: u64::MAX };
        let seen = self.seen.entry(kernel).or_insert(Seen { ..new });
        if seen.tasks != tasks {
            *seen = new;
        }
        seen.calls = seen.calls.wrapping_add(1);
        if seen.nanoseconds == u64::MAX {
            return (Call::All, true);
        }
        let measure = seen.nanoseconds >= LONG || seen.calls <= AT_FIRST || seen.calls.is_multiple_of(RARELY);
        // Of two workers each runs half.
        let saved = seen.nanoseconds / 2;
        if saved < HANDING {
            return (Call::Nobody, measure);
        }
        if sleepers == 0 {
            return (Call::Awake, measure);
        }
        self.missed = self.missed.saturating_add(saved);
        if self.missed >= WAKING {
            self.missed = 0;
            return (Call::All, measure);
        }
        (if sleepers < helpers { Call::Awake } else { Call::Nobody }, measure)
    }

    /// Notes that one thread took so long for so many tasks of a job. What was measured may have been disturbed, so that
    /// estimates fall at once and rise slowly.
    pub fn learn(&mut self, kernel: usize, own: u64, took: Duration) {
        let Some(seen) = self.seen.get_mut(&kernel).filter(|_| own > 0) else { return };
        let all = (took.as_nanos() as u64).saturating_mul(seen.tasks) / own;
        seen.nanoseconds = match seen.nanoseconds {
            u64::MAX => all,
            before => all.min(before + before / 4 + 100),
        };
    }
}

/// Spreads addresses, which are multiples of a power of two.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_usize(byte.into()));
    }

    fn write_usize(&mut self, n: usize) {
        self.0 = (self.0 ^ n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn microseconds(n: u64) -> Duration {
        Duration::from_micros(n)
    }

    #[test]
    fn a_short_job_is_for_the_caller_alone() {
        let mut worth = Worth::default();
        assert_eq!(worth.judge(64, 8, 3, 3), (Call::All, true), "nothing is known yet");
        worth.learn(64, 4, Duration::from_nanos(200));
        for sleepers in [0, 1, 3] {
            assert_eq!(worth.judge(64, 8, 3, sleepers).0, Call::Nobody);
        }
        // With other sizes it is another job.
        assert_eq!(worth.judge(64, 800, 3, 3), (Call::All, true));
    }

    #[test]
    fn sleepers_are_woken_when_it_pays() {
        let mut worth = Worth::default();
        for (kernel, time) in [(64, 6), (128, 1000)] {
            worth.judge(kernel, 10, 1, 1);
            worth.learn(kernel, 10, microseconds(time));
        }
        assert_eq!(worth.judge(128, 10, 1, 1).0, Call::All);
        assert_eq!(worth.judge(64, 10, 1, 0).0, Call::Awake);
        let calls: Vec<Call> = (0..8).map(|_| worth.judge(64, 10, 1, 1).0).collect();
        let [no, all] = [Call::Nobody, Call::All];
        assert_eq!(calls, [no, no, no, all, no, no, no, all]);
    }

    #[test]
    fn estimates_fall_at_once_and_rise_slowly() {
        let mut worth = Worth::default();
        worth.judge(64, 2, 1, 1);
        worth.learn(64, 1, microseconds(500));
        worth.learn(64, 1, microseconds(20));
        worth.learn(64, 0, microseconds(0));
        assert_eq!(worth.seen[&64].nanoseconds, 40_000);
        worth.learn(64, 2, microseconds(9000));
        assert_eq!(worth.seen[&64].nanoseconds, 50_100);
    }

    #[test]
    fn short_jobs_are_measured_at_first_then_rarely() {
        let mut worth = Worth::default();
        let mut measured = 0;
        for _ in 0..320 {
            if worth.judge(64, 2, 1, 0).1 {
                measured += 1;
                worth.learn(64, 2, microseconds(3));
            }
        }
        assert_eq!(measured, 4 + 10);
    }
}
