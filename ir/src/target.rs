//! What a processor has, so far as schedules and emitters ask.

use crate::DType;

/// A target: asked what it has, never who it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Bytes of a vector register.
    pub vector_bytes: u32,
    /// Number of vector registers.
    pub vector_regs: u32,
    /// Whether a multiply-accumulate can name one lane of a vector register as its factor.
    pub lane_fma: bool,
    /// Whether a multiply-add leaves its factors as they are and adds into the accumulator.
    pub adds_in_place: bool,
    /// Whether loads and stores of the first lanes of a vector are as fast as those of all.
    pub masks: bool,
    /// Types of at most 16 bits whose elements become lanes of `F32` in about one instruction, so that weights may be stored
    /// in them and be converted wherever they are read.
    pub converts: &'static [DType],
    /// Whether half floats between kernels stay half floats: where memory is what kernels wait for, and a conversion costs no
    /// time.
    pub keeps_halves: bool,
    /// Bytes of the first level data cache of a core.
    pub l1_bytes: u32,
    /// Bytes of the second level cache of a core.
    pub l2_bytes: u32,
    /// Cost below which a task is not worth handing to another thread, in cycles or so.
    pub task_cost: u32,
    /// So many tasks keep the threads of a large machine equally busy.
    pub tasks: u32,
    /// Whether tasks that follow each other run abreast, so that what they read or write side by side is one access: then
    /// as many as this keep the machine busy, and a task should be larger only where there are more.
    pub abreast: Option<u32>,
    /// Whether some threads can run a task together.
    pub crew: Option<Crew>,
    /// The rows of matrices of the matrix table that there are instructions for.
    pub matrices: &'static [&'static str],
}

/// Threads that multiply a matrix together.
pub const WARP: u32 = 32;

/// What threads that run a task together have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crew {
    /// As few as keep a core busy, a power of two.
    pub least: u32,
    /// As many as there may be, a power of two.
    pub most: u32,
    /// Bytes of scratch memory that they share.
    pub bytes: u32,
    /// Cores that run crews.
    pub cores: u32,
}

const NARROW: &[DType] = &[DType::I8, DType::U8, DType::F16];

impl Target {
    /// 128-bit vectors in 16 registers: what every x86-64 offers.
    pub const fn x86_64() -> Target {
        Target {
            vector_bytes: 16,
            vector_regs: 16,
            lane_fma: false,
            adds_in_place: false,
            masks: false,
            converts: &[],
            keeps_halves: false,
            l1_bytes: 32 << 10,
            l2_bytes: 512 << 10,
            task_cost: 30_000,
            tasks: 64,
            abreast: None,
            crew: None,
            matrices: &[],
        }
    }

    /// 512-bit vectors in 32 registers: x86-64 with AVX-512.
    pub fn avx512() -> Target {
        Target {
            vector_bytes: 64,
            vector_regs: 32,
            adds_in_place: true,
            masks: true,
            converts: NARROW,
            l2_bytes: 1 << 20,
            ..Target::x86_64()
        }
    }

    /// 256-bit vectors in 16 registers: x86-64 with AVX2 and FMA.
    pub fn avx2() -> Target {
        Target { vector_bytes: 32, adds_in_place: true, converts: NARROW, ..Target::x86_64() }
    }

    /// 128-bit vectors in 32 registers: what every aarch64 offers.
    pub fn aarch64() -> Target {
        Target { vector_regs: 32, lane_fma: true, adds_in_place: true, ..Target::x86_64() }
    }

    /// A GPU of so many multiprocessors: a thread for every task, however little it does, and registers for what a thread computes at once.
    pub fn gpu(cores: u32) -> Target {
        Target {
            vector_regs: 32,
            adds_in_place: true,
            converts: &[DType::I8, DType::U8, DType::F16, DType::BF16],
            keeps_halves: true,
            task_cost: 0,
            tasks: u32::MAX,
            abreast: Some(1 << 15),
            crew: Some(Crew { least: 32, most: 256, bytes: 48 << 10, cores }),
            ..Target::x86_64()
        }
    }
}
