//! The binary interface of compiled models: what a generated artifact and the program that runs it agree on.
//!
//! A model called `NAME` exports, with the C calling convention,
//!
//! | symbol | type |
//! |---|---|
//! | `NAME_plan` | [`PlanFn`]: checks inputs, writes output shapes (upper bounds if they depend on data) and the arena size |
//! | `NAME_run` | [`RunFn`]: checks again, runs, writes the actual output shapes |
//! | `NAME_message` | [`MessageFn`]: the text of a code |
//! | `NAME_descriptor` | data: a [`descriptor`] blob |
//! | `NAME_weights` | data: the packed weights, if they are embedded; aligned to [`WEIGHTS_ALIGN`] |
//!
//! and imports nothing. The same facts for C programs are in `include/mlc_types.h`, here as [`C_TYPES`].
//!
//! Invariants: no dependency, no allocation, no panic; a change of any layout or meaning changes [`ABI`].

#![no_std]

pub mod code;
pub mod descriptor;
pub mod dtype;
pub mod feature;
pub mod note;

use core::ffi::{c_char, c_void};
use core::mem::{offset_of, size_of};

/// The version of everything in this crate; an artifact carries it and a host refuses others.
pub const ABI: u32 = 4;

/// The C declarations of [`Tensor`], [`Host`] and [`KernelFn`], with their own include guard.
pub const C_TYPES: &str = include_str!("../include/mlc_types.h");

/// Alignment of packed weights, in files and in memory.
pub const WEIGHTS_ALIGN: u64 = 4096;

/// Readable bytes after the packed weights, so that a kernel may load a whole vector at the end. They are 0 in files.
pub const WEIGHTS_SLACK: u64 = 64;

/// Alignment that `NAME_run` asks of the arena.
pub const ARENA_ALIGN: u64 = 64;

/// The processor families artifacts are made for. The numbers are those of ELF (`e_machine`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u32)]
pub enum Architecture {
    /// x86, 64 bits.
    X86_64 = 62,
    /// Arm, 64 bits, little-endian.
    Aarch64 = 183,
}

impl Architecture {
    /// The family with a number.
    pub fn from_number(number: u32) -> Option<Architecture> {
        [Architecture::X86_64, Architecture::Aarch64].into_iter().find(|it| *it as u32 == number)
    }

    /// The name, as Rust and target triples spell it.
    pub fn name(self) -> &'static str {
        match self {
            Architecture::X86_64 => "x86_64",
            Architecture::Aarch64 => "aarch64",
        }
    }

    /// The family this program was compiled for, if it is one of these.
    pub fn host() -> Option<Architecture> {
        if cfg!(target_arch = "x86_64") {
            Some(Architecture::X86_64)
        } else if cfg!(all(target_arch = "aarch64", target_endian = "little")) {
            Some(Architecture::Aarch64)
        } else {
            None
        }
    }
}

/// A dense tensor, last dimension fastest; `mlc_tensor` in C. Whoever passes it owns both pointers.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Tensor {
    /// The elements.
    pub data: *mut c_void,
    /// `rank` numbers.
    pub shape: *mut i64,
    /// Number of dimensions. For an output: room in `shape` before the call, the rank after it.
    pub rank: u32,
    /// Element type, by ONNX number (see [`dtype`]).
    pub dtype: u32,
    /// Capacity of `data`.
    pub bytes: u64,
}

impl Tensor {
    /// Offset of `data`.
    pub const DATA: i32 = offset_of!(Tensor, data) as i32;
    /// Offset of `shape`.
    pub const SHAPE: i32 = offset_of!(Tensor, shape) as i32;
    /// Offset of `rank`.
    pub const RANK: i32 = offset_of!(Tensor, rank) as i32;
    /// Offset of `dtype`.
    pub const DTYPE: i32 = offset_of!(Tensor, dtype) as i32;
    /// Offset of `bytes`.
    pub const BYTES: i32 = offset_of!(Tensor, bytes) as i32;
    /// Size of one, and the distance between two in an array.
    pub const SIZE: i32 = size_of::<Tensor>() as i32;
}

/// What a host program offers a model; `mlc_host` in C. A null pointer in place of it always works.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Host {
    /// [`ABI`].
    pub abi: u32,
    /// Number of threads `parallel_for` uses, at least 1; scratch in the arena is for that many.
    pub workers: u32,
    /// Handed back to the callbacks.
    pub ctx: *mut c_void,
    /// Runs tasks on several threads; none: the model runs them itself, one after another.
    pub parallel_for: Option<ParallelForFn>,
    /// Told when a kernel begins and ends.
    pub profile: Option<ProfileFn>,
    /// Processor features (see [`feature`]), for artifacts that cannot ask the processor; 0 if unknown.
    pub features: u64,
    /// A GPU, for artifacts with kernels for one; null if there is none.
    pub device: *const Device,
}

impl Host {
    /// Offset of `abi`.
    pub const ABI: i32 = offset_of!(Host, abi) as i32;
    /// Offset of `workers`.
    pub const WORKERS: i32 = offset_of!(Host, workers) as i32;
    /// Offset of `ctx`.
    pub const CTX: i32 = offset_of!(Host, ctx) as i32;
    /// Offset of `parallel_for`.
    pub const PARALLEL_FOR: i32 = offset_of!(Host, parallel_for) as i32;
    /// Offset of `profile`.
    pub const PROFILE: i32 = offset_of!(Host, profile) as i32;
    /// Offset of `features`.
    pub const FEATURES: i32 = offset_of!(Host, features) as i32;
    /// Offset of `device`.
    pub const DEVICE: i32 = offset_of!(Host, device) as i32;
}

/// What a host program offers a model with kernels for a GPU; `mlc_device` in C. All functions return a [`code`]; what
/// they start is done in that order, and a copy to the host has happened when it returns.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Device {
    /// Handed back to the callbacks.
    pub ctx: *mut c_void,
    /// Called first in every run.
    pub begin: BeginFn,
    /// Starts a kernel.
    pub launch: LaunchFn,
    /// Copies between host and device.
    pub copy: CopyFn,
}

impl Device {
    /// Offset of `ctx`.
    pub const CTX: i32 = offset_of!(Device, ctx) as i32;
    /// Offset of `begin`.
    pub const BEGIN: i32 = offset_of!(Device, begin) as i32;
    /// Offset of `launch`.
    pub const LAUNCH: i32 = offset_of!(Device, launch) as i32;
    /// Offset of `copy`.
    pub const COPY: i32 = offset_of!(Device, copy) as i32;
}

/// What a run needs on the device.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct DeviceNeeds {
    /// The text of a PTX module, which ends in 0; the same in every run of a model.
    pub code: *const c_char,
    /// Packed weights on the host, the same in every run of a model.
    pub weights: *const c_void,
    /// Their size without slack; [`WEIGHTS_SLACK`] bytes follow.
    pub weights_bytes: u64,
    /// Memory for everything else.
    pub arena_bytes: u64,
    /// Written: address on the device of the weights.
    pub device_weights: u64,
    /// Written: address on the device of the memory, aligned to [`ARENA_ALIGN`].
    pub device_arena: u64,
}

impl DeviceNeeds {
    /// Offset of `code`.
    pub const CODE: i32 = offset_of!(DeviceNeeds, code) as i32;
    /// Offset of `weights`.
    pub const WEIGHTS: i32 = offset_of!(DeviceNeeds, weights) as i32;
    /// Offset of `weights_bytes`.
    pub const WEIGHTS_BYTES: i32 = offset_of!(DeviceNeeds, weights_bytes) as i32;
    /// Offset of `arena_bytes`.
    pub const ARENA_BYTES: i32 = offset_of!(DeviceNeeds, arena_bytes) as i32;
    /// Offset of `device_weights`.
    pub const DEVICE_WEIGHTS: i32 = offset_of!(DeviceNeeds, device_weights) as i32;
    /// Offset of `device_arena`.
    pub const DEVICE_ARENA: i32 = offset_of!(DeviceNeeds, device_arena) as i32;
    /// Size of one.
    pub const SIZE: i32 = size_of::<DeviceNeeds>() as i32;
}

/// Threads of a block at most: entries of a module are compiled for no more.
pub const DEVICE_BLOCK: u32 = 256;

/// Makes code, weights and memory ready, if they are not, and writes where they are.
pub type BeginFn = unsafe extern "C" fn(ctx: *mut c_void, needs: *mut DeviceNeeds) -> i32;

/// Runs tasks `0..tasks` of the entry `k` followed by `kernel`, with `count` arguments: each by a block of `crew` threads, or
/// by one thread of blocks of any size if that is 0. Where `scratch` is not 0, each such block or thread has so many bytes of
/// memory for itself, in the order of their numbers; there may then be fewer of them than tasks, which they take in turn. The
/// entry's parameters are the arguments, `tasks`, and the address of that memory, aligned to [`ARENA_ALIGN`].
pub type LaunchFn = unsafe extern "C" fn(
    ctx: *mut c_void,
    kernel: u32,
    args: *const u64,
    count: u32,
    tasks: u64,
    crew: u32,
    scratch: u64,
) -> i32;

/// Copies bytes to the device if `up` is not 0, else from it.
pub type CopyFn = unsafe extern "C" fn(ctx: *mut c_void, device: u64, host: *mut c_void, bytes: u64, up: u32) -> i32;

/// A kernel: runs tasks `begin..end` with what its driver put into `args`, and its worker's scratch memory.
pub type KernelFn = unsafe extern "C" fn(args: *const u64, begin: u64, end: u64, scratch: *mut u8);

/// Runs tasks `0..tasks` in disjoint contiguous ranges, that of worker `w` with `scratch + w * scratch_bytes`, and
/// returns when all are done.
pub type ParallelForFn = unsafe extern "C" fn(
    ctx: *mut c_void,
    kernel: KernelFn,
    args: *const u64,
    tasks: u64,
    scratch: *mut u8,
    scratch_bytes: u64,
);

/// Told of a kernel by its index among the descriptor's kernel names; `phase` is 0 before it and 1 after it.
pub type ProfileFn = unsafe extern "C" fn(ctx: *mut c_void, kernel: u32, phase: u32);

/// `NAME_plan`: checks rank, dtype and dims of the inputs (their data is not read), writes rank, shape and dtype of the
/// outputs, and the exact arena size for `workers` threads. Returns a [`code`].
pub type PlanFn =
    unsafe extern "C" fn(inputs: *const Tensor, outputs: *mut Tensor, arena_bytes: *mut u64, workers: u32) -> i32;

/// `NAME_run`: checks the inputs, runs, writes the outputs and their shapes. `weights` may be null where they are
/// embedded, `host` always. Returns a [`code`].
pub type RunFn = unsafe extern "C" fn(
    weights: *const c_void,
    inputs: *const Tensor,
    outputs: *mut Tensor,
    arena: *mut c_void,
    arena_bytes: u64,
    host: *const Host,
) -> i32;

/// `NAME_message`: a text that ends in 0 and lives as long as the artifact; never null, whatever the code.
pub type MessageFn = unsafe extern "C" fn(code: i32) -> *const c_char;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_those_of_the_header() {
        assert_eq!(
            [Tensor::DATA, Tensor::SHAPE, Tensor::RANK, Tensor::DTYPE, Tensor::BYTES, Tensor::SIZE],
            [0, 8, 16, 20, 24, 32]
        );
        assert_eq!(
            [Host::ABI, Host::WORKERS, Host::CTX, Host::PARALLEL_FOR, Host::PROFILE, Host::FEATURES, Host::DEVICE],
            [0, 4, 8, 16, 24, 32, 40]
        );
        assert_eq!([Device::CTX, Device::BEGIN, Device::LAUNCH, Device::COPY], [0, 8, 16, 24]);
        assert!(C_TYPES.contains("#define MLC_ABI 4u"));
    }
}
