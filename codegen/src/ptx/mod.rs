//! Tiles as PTX, the assembly language of NVIDIA GPUs.
//!
//! In: linear [`Tile`](mlc_ir::tile::Tile)s.  Out: the text of one module; each tile is an entry `(args, tasks, far)`: `args` holds the base
//! address of every parameter, then the values of the tile's symbols, and thread number `n` of the grid runs task `n`, if it is
//! below `tasks`. Of a tile with loops abreast, block number `n` runs task `n` ([`crew`]). Where scratch memory is far (`room`), at
//! the address `far`, those that run tasks take more of them in turn, at the distance of the number that there are.
//!
//! Every lane of a value has a register of its own: `%f` and `%e` for floats, `%r` and `%d` for ints of up to 32 and of 64
//! bits, the narrow ones extended as their type says, `%h` for the bits of half floats, `%p` for bools. `ptxas` gives the
//! real ones. Lanes that lie together in memory are moved by one instruction, where their address is known to be aligned.
//!
//! Invariants: arithmetic rounds as IEEE says and is contracted nowhere, so that floats have the bits they have on a
//! processor with `fma`; nothing is flushed to zero; no instruction traps; the text asks for the lowest version of PTX that
//! has its instructions.
//!
//! | module | what it emits |
//! |---|---|
//! | `entry` | the entry around a tile |
//! | `pressure` | how many registers it may take |
//! | `body` | loops, branches, cells |
//! | `crew` | tasks of a block of threads, barriers |
//! | `room`, `lives` | where scratch memory is |
//! | `own` | scratch memory that is a thread's own, as registers |
//! | `index`, `late` | index expressions, hoisted; cursors |
//! | `memory`, `align`, `together` | loads and stores, and how wide they may be |
//! | `fragment`, `products` | matrices in the registers of a warp, their loads and stores; what multiplies them |
//! | `copies` | copies that arrive late |
//! | `arithmetic`, `convert`, `lanes` | everything else |

mod align;
mod arithmetic;
mod body;
mod convert;
mod copies;
mod crew;
mod entry;
mod fragment;
mod index;
mod lanes;
mod late;
mod lives;
mod memory;
mod own;
mod pressure;
mod products;
mod register;
mod room;
#[cfg(test)]
mod tests;
mod together;

pub use crew::crew;
pub use entry::{Entry, emit};

use mlc_ir::target::Target;

/// Threads of a block at most: entries are compiled for no more, so that each may use many registers.
pub const BLOCK: u32 = mlc_abi::DEVICE_BLOCK;

/// A generation of GPUs: compute capability `major.minor` as `10 * major + minor`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Capability(u32);

impl Capability {
    /// The generations code can be made for, by the names that `nvcc` uses, and where they are found.
    pub const ALL: &[(&str, Capability, &str)] = &[
        ("sm_75", Capability(75), "Turing: T4, RTX 20"),
        ("sm_80", Capability(80), "Ampere: A100"),
        ("sm_86", Capability(86), "Ampere: A10, RTX 30"),
        ("sm_87", Capability(87), "Jetson Orin"),
        ("sm_89", Capability(89), "Ada: L4, RTX 40"),
        ("sm_90", Capability(90), "Hopper: H100, H200"),
        ("sm_100", Capability(100), "Blackwell: B200"),
        ("sm_120", Capability(120), "Blackwell: RTX 50"),
    ];

    /// The generation with a name.
    pub fn from_name(name: &str) -> Option<Capability> {
        Capability::ALL.iter().find(|row| row.0 == name).map(|row| row.1)
    }

    /// What schedules ask of it.
    pub fn target(self) -> Target {
        let matrices: &[&str] = match self.has_wide_products() {
            true => &["mma.f32", "mma.f16", "mma.bf16", "mma.s8", "mma.u8s8"],
            false => &["mma.f16", "mma.s8", "mma.u8s8"],
        };
        Target { matrices, ..Target::gpu(self.multiprocessors()) }
    }

    /// Multiprocessors of the cards that are meant, of the smaller ones where these differ much.
    fn multiprocessors(self) -> u32 {
        match self.0 {
            ..80 => 40,
            80 => 108,
            81..87 => 72,
            87 => 16,
            88..90 => 58,
            90..100 => 132,
            100..120 => 148,
            120.. => 70,
        }
    }

    /// Whether a block can copy to shared memory while it computes.
    fn has_copies(self) -> bool {
        self.0 >= 80
    }

    /// Whether products of matrices are as wide as the rows of the matrix table, of all their types.
    fn has_wide_products(self) -> bool {
        self.0 >= 80
    }

    /// The first version of PTX that knows it.
    fn version(self) -> &'static str {
        match self.0 {
            ..80 => "6.5",
            80 => "7.0",
            81..87 => "7.1",
            87..89 => "7.4",
            89..100 => "7.8",
            100..120 => "8.6",
            120.. => "8.7",
        }
    }
}

impl std::fmt::Display for Capability {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "sm_{}", self.0)
    }
}

/// The text of a module with some entries.
pub fn module(capability: Capability, entries: &[&str]) -> String {
    format!(".version {}\n.target {capability}\n.address_size 64\n{}", capability.version(), entries.concat())
}
