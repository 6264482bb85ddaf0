use super::*;
use std::time::Duration;

/// Adds 1 to each task's word, and the number of tasks to the word of the worker.
unsafe extern "C" fn count(args: *const u64, begin: u64, end: u64, scratch: *mut u8) {
    for task in begin..end {
        // SAFETY: the tests pass a pointer to as many words as tasks, and scratch of 64 bytes a worker.
        unsafe {
            *(*args as *mut u64).add(task as usize) += 1;
            *scratch.cast::<u64>() += 1;
        }
    }
}

/// As [`count`], and takes some time.
unsafe extern "C" fn slowly(args: *const u64, begin: u64, end: u64, scratch: *mut u8) {
    thread::sleep(Duration::from_micros(50));
    // SAFETY: the caller's.
    unsafe { count(args, begin, end, scratch) }
}

/// Calls `run` with a job; each task must have run once, by one worker.
fn check(kernel: KernelFn, tasks: u64, workers: usize, run: impl FnOnce(Job)) {
    let mut words = vec![0u64; tasks as usize];
    let mut scratch = vec![0u64; 8 * workers];
    let args = [words.as_mut_ptr() as u64];
    run(Job { kernel, args: args.as_ptr(), tasks, scratch: scratch.as_mut_ptr().cast(), scratch_bytes: 64 });
    assert!(words.iter().all(|&it| it == 1), "{tasks} tasks, {workers} workers: {words:?}");
    assert_eq!(scratch.iter().sum::<u64>(), tasks);
}

fn check_pool(pool: &Pool, kernel: KernelFn, tasks: u64) {
    // SAFETY: the kernels touch words of their own tasks only.
    check(kernel, tasks, pool.workers(), |job| unsafe { pool.run(job) });
}

#[test]
fn every_task_runs_once_whatever_the_number_of_workers() {
    for workers in [1, 2, 3, 7] {
        let pool = Pool::new(workers, false).expect("threads");
        assert_eq!(pool.workers(), workers);
        for tasks in [0u64, 1, 2, 5, 64, 1000] {
            for _ in 0..20 {
                check_pool(&pool, count, tasks);
            }
            check_pool(&pool, slowly, tasks);
        }
    }
}

/// Jobs that follow each other as fast as can be, whoever is called for them.
#[test]
fn many_tiny_jobs() {
    let pool = Pool::new(4, false).expect("threads");
    for turn in 0..20_000u64 {
        let tasks = 2 + turn % 7;
        if turn % 3 == 0 {
            check_pool(&pool, count, tasks);
        } else {
            // SAFETY: as above.
            check(count, tasks, 4, |job| unsafe { _ = pool.crew.lead(job, turn % 2 == 0, false) });
        }
    }
}

#[test]
fn sleeping_threads_wake() {
    let pool = Pool::new(3, false).expect("threads");
    for _ in 0..3 {
        while pool.crew.sleepers() < 2 {
            thread::sleep(Duration::from_millis(1));
        }
        check_pool(&pool, slowly, 30);
    }
}

/// Threads that the system never lets run are not waited for.
#[test]
fn nobody_waits_for_threads_that_never_come() {
    let crew = Crew::new(5);
    for tasks in [1, 2, 10, 1000] {
        // SAFETY: as above.
        check(count, tasks, 5, |job| assert_eq!(unsafe { crew.lead(job, true, true) }.0, tasks));
    }
}

/// A thread that comes when a job is over finds none, and disturbs no later one.
#[test]
fn threads_that_come_late_find_nothing() {
    let crew = Crew::new(2);
    let stop = std::sync::atomic::AtomicBool::new(false);
    let relaxed = std::sync::atomic::Ordering::Relaxed;
    thread::scope(|scope| {
        // As a thread that is always a job behind: it comes without having been called.
        scope.spawn(|| {
            while !stop.load(relaxed) {
                crew.help(1);
            }
        });
        for turn in 0..20_000 {
            // SAFETY: as above.
            check(count, 1 + turn % 9, 2, |job| unsafe { _ = crew.lead(job, false, false) });
        }
        stop.store(true, relaxed);
    });
}

#[test]
#[cfg(target_os = "linux")]
fn pinned_threads_work() {
    let pool = Pool::new(4, true).expect("threads");
    (0..50).for_each(|_| check_pool(&pool, slowly, 40));
    // Linux says where a thread may run; the caller's own places are as they were.
    let allowed = |task: &str| {
        let status = std::fs::read_to_string(format!("/proc/self/task/{task}/status")).expect("a thread");
        let (name, list) = ("Name:\t", "Cpus_allowed_list:\t");
        let line = |head: &str| status.lines().find_map(|it| it.strip_prefix(head)).unwrap_or("").to_string();
        (line(name), line(list))
    };
    let tasks = std::fs::read_dir("/proc/self/task").expect("threads").flatten();
    let all: Vec<_> = tasks.map(|it| allowed(&it.file_name().to_string_lossy())).collect();
    // Other tests have threads of the same names, which are not pinned.
    for name in ["mlc-1", "mlc-2", "mlc-3"] {
        assert!(all.iter().any(|(of, list)| of == name && list.parse::<usize>().is_ok()), "{name}: {all:?}");
    }
}
