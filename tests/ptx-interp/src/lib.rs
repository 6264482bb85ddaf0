//! Runs PTX without a GPU, for tests. It is strict where a GPU, and `ptxas`, are not.
//!
//! In: the text of a module, a [`Device`]'s memory.  Out: what its entries leave there and [`Counts`] of what memory had to do,
//! or the first error.
//!
//! Errors are: an instruction, modifier or directive that is not known here; a register, or memory, that is read before it
//! is written; an address that is outside every allocation, or no multiple of the access's size; two threads of a launch
//! that touch the same byte of the device's memory, if one of them writes it before, and two threads of a block that touch the
//! same byte of shared memory, one of them writing, unless the threads are of one block with a barrier between; a barrier, a shuffle, that not all threads come
//! to which it waits for.
//!
//! | module | what it does |
//! |---|---|
//! | `text`, `parse`, `statement`, `operand` | text to entries |
//! | `code` | entries and instructions |
//! | `types`, `compute`, `convert` | what an instruction does to a lane |
//! | `shuffle` | what lanes tell each other |
//! | `special`, `copies` | copies to shared memory that are waited for |
//! | `matrix`, `mma`, `fragment` | matrices in the registers of a warp |
//! | `memory`, `local`, `shared` | allocations, and who wrote which byte; what each thread has for itself, and a block |
//! | `counts` | how often memory was asked, and what it took |
//! | `grid`, `warp`, `step` | blocks and barriers; warps and branches; instructions |
//!
//! Invariants: lanes of a warp that part meet again at the first instruction all of them come to; what is found wrong does
//! not depend on which of the threads between two barriers runs first.

mod code;
mod compute;
mod convert;
mod copies;
mod counts;
mod fragment;
mod grid;
mod local;
mod matrix;
mod memory;
mod mma;
mod operand;
mod parse;
mod shared;
mod shuffle;
mod special;
mod statement;
mod step;
#[cfg(test)]
mod tests;
mod text;
mod types;
mod warp;

pub use code::Entry;
pub use counts::{Counts, Sectors, Waves};
pub use memory::Device;
pub use parse::Module;

/// A result, or what is wrong in one line.
pub type Result<T> = std::result::Result<T, String>;
