//! What the processor has, and what the system lets programs use of it.
#![allow(unsafe_code)] // asks the processor and, for AMX, the system.

use std::sync::OnceLock;

/// The features of this machine, as a word of [`mlc_abi::feature`].
pub fn features() -> u64 {
    static FOUND: OnceLock<u64> = OnceLock::new();
    *FOUND.get_or_init(detect)
}

/// Sets the bits of those names that the standard library detects.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! word {
    ($arch:expr, $detect:ident: $($name:tt as $ours:tt),* $(,)?) => {
        0 $(| if std::arch::$detect!($name) { mlc_abi::feature::mask($arch, $ours).unwrap_or(0) } else { 0 })*
    };
}

#[cfg(target_arch = "x86_64")]
fn detect() -> u64 {
    let arch = mlc_abi::Architecture::X86_64;
    let word: u64 = word!(arch, is_x86_feature_detected:
        "sse3" as "sse3", "ssse3" as "ssse3", "sse4.1" as "sse4.1", "sse4.2" as "sse4.2", "popcnt" as "popcnt",
        "avx" as "avx", "avx2" as "avx2", "fma" as "fma", "f16c" as "f16c", "bmi1" as "bmi1", "bmi2" as "bmi2",
        "lzcnt" as "lzcnt", "avx512f" as "avx512f", "avx512bw" as "avx512bw", "avx512dq" as "avx512dq",
        "avx512vl" as "avx512vl", "avx512cd" as "avx512cd", "avx512vbmi" as "avx512vbmi",
        "avx512vnni" as "avx512vnni", "avx512bf16" as "avx512bf16", "avx512fp16" as "avx512fp16",
        "avxvnni" as "avxvnni", "gfni" as "gfni", "avx512bitalg" as "avx512bitalg",
    );
    word | amx()
}

#[cfg(target_arch = "aarch64")]
fn detect() -> u64 {
    let arch = mlc_abi::Architecture::Aarch64;
    word!(arch, is_aarch64_feature_detected:
        "neon" as "neon", "dotprod" as "dotprod", "fp16" as "fp16", "bf16" as "bf16", "i8mm" as "i8mm",
        "sve" as "sve", "sve2" as "sve2", "lse" as "lse", "fhm" as "fhm",
    )
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn detect() -> u64 {
    0
}

/// The AMX features, where the processor has them and the system grants this process their registers.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[allow(unused_unsafe)] // `__cpuid` became safe in a later standard library than the oldest supported.
fn amx() -> u64 {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    use std::ffi::c_long;
    unsafe extern "C" {
        fn syscall(number: c_long, ...) -> c_long;
    }
    const ARCH_PRCTL: c_long = 158;
    const ARCH_REQ_XCOMP_PERM: c_long = 0x1023;
    const XTILEDATA: c_long = 18;
    // SAFETY: every x86-64 processor has CPUID.
    let found = unsafe { if __cpuid(0).eax >= 7 { __cpuid_count(7, 0).edx } else { 0 } };
    let bit = |place: u32, name| match found >> place & 1 {
        1 => mlc_abi::feature::mask(mlc_abi::Architecture::X86_64, name).unwrap_or(0),
        _ => 0,
    };
    if found >> 24 & 1 == 0 {
        return 0;
    }
    // SAFETY: the call takes two numbers and touches no memory; kernels that do not know it answer with an error.
    let granted = unsafe { syscall(ARCH_PRCTL, ARCH_REQ_XCOMP_PERM, XTILEDATA) } == 0;
    if granted { bit(24, "amx-tile") | bit(25, "amx-int8") | bit(22, "amx-bf16") } else { 0 }
}

#[cfg(all(target_arch = "x86_64", not(target_os = "linux")))]
fn amx() -> u64 {
    0
}
