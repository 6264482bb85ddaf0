//! Ties threads to processors.
#![allow(unsafe_code)] // asks the system.

use std::io;
use std::thread::JoinHandle;

/// Ties the n-th thread, from 1 on, to the n-th of the processors that this process may use. The first is left to the
/// caller, which is not touched. Where there are fewer processors than threads it begins again.
#[cfg(target_os = "linux")]
pub(super) fn pin(threads: &[JoinHandle<()>]) -> io::Result<()> {
    use std::os::unix::thread::JoinHandleExt;
    const BYTES: usize = size_of::<libc::cpu_set_t>();
    let check = |code: i32| if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code)) };
    // SAFETY: a set of bits; none is set.
    let none: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    let mut allowed = none;
    // SAFETY: the set is as large as said, here and below; threads that can be joined exist.
    check(unsafe { libc::pthread_getaffinity_np(libc::pthread_self(), BYTES, &mut allowed) })?;
    // SAFETY: no number is larger than the set.
    let processors: Vec<usize> = (0..8 * BYTES).filter(|&n| unsafe { libc::CPU_ISSET(n, &allowed) }).collect();
    for (thread, &processor) in threads.iter().zip(processors.iter().cycle().skip(1)) {
        let mut one = none;
        // SAFETY: as above.
        unsafe {
            libc::CPU_SET(processor, &mut one);
            check(libc::pthread_setaffinity_np(thread.as_pthread_t(), BYTES, &one))?;
        }
    }
    Ok(())
}

/// There is no way to do this here.
#[cfg(not(target_os = "linux"))]
pub(super) fn pin(_: &[JoinHandle<()>]) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "threads are tied to processors on Linux only"))
}
