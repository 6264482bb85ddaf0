//! Runs PTX without a GPU, for tests. It is strict where a GPU, and `ptxas`, are not.
//!
//! In: the text of a module, a [`Device`]'s memory.  Out: what its entries leave there, or the first error.
//!
//! Errors are: an instruction, modifier or directive that is not known here; a register, or memory, that is read before it
//! is written; an address that is outside every allocation, or no multiple of the access's size; two threads of a launch
//! that touch the same byte, if one of them writes it before.
//!
//! | module | what it does |
//! |---|---|
//! | `parse` | text to entries |
//! | `types`, `compute`, `convert` | what an instruction does to a lane |
//! | `memory`, `local` | allocations, and who wrote which byte; what each thread has for itself |
//! | `run` | grids, warps, branches |
//!
//! Invariant: lanes of a warp that part meet again at the first instruction all of them come to.

mod compute;
mod convert;
mod local;
mod memory;
mod parse;
mod run;
#[cfg(test)]
mod tests;
mod types;

pub use memory::Device;
pub use parse::{Entry, Module};

/// A result, or what is wrong in one line.
pub type Result<T> = std::result::Result<T, String>;
