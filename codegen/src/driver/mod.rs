//! The driver: what `NAME_plan` and `NAME_run` do around the kernels, as code.
//!
//! In: a program with layouts, an arena plan, packed weights and lowered kernels.  Out: functions in a Cranelift module.
//! Invariant: the functions keep no state and import nothing.

mod body;
mod describe;
mod dims;
mod entry;
pub mod gpu;
pub mod memory;
pub mod pack;
mod run;
mod sizes;

pub use describe::{describe, input_symbols};
pub use entry::{Entries, Functions, Place, define_entries};
