//! Tiles as machine code, by Cranelift.
//!
//! In: a linear [`Tile`](mlc_ir::tile::Tile).  Out: a Cranelift function
//! `fn(args: *const u64, begin: u64, end: u64, scratch: *mut u8)`, which runs the tasks `begin..end`. `args` holds the
//! base address of every parameter that is not scratch, in their order, then the values of the tile's symbols.
//!
//! A vector of any number of lanes is a list of 128-bit registers; if its lanes fill less than one, they lie at the
//! beginning and the rest holds anything. A mask is a vector of ints that are 0 or -1, of the width that made it; it is
//! brought to the width its user needs.
//!
//! Invariants: no instruction traps; no symbol is imported ([`check`] finds calls that Cranelift would add); what is
//! computed for an index and does not vary with a loop is computed before it.
//!
//! | module | what it emits |
//! |---|---|
//! | `body` | tasks, loops, branches, cells |
//! | `index` | index expressions, hoisted |
//! | `memory` | loads and stores, masked and narrow ones too |
//! | `arithmetic`, `convert`, `lanes` | everything else, with what replaces instructions that a machine lacks |

mod arithmetic;
mod body;
mod convert;
mod index;
pub mod jit;
mod lanes;
mod legal;
mod memory;
mod target;
#[cfg(test)]
pub(crate) mod tests;
mod value;

pub use body::emit;
pub use target::{check, host_features, isa, isa_in_memory, signature};
