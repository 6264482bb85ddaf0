//! What is done to a model between reading it and generating code.
//!
//! In: a graph as the frontend builds it.  Out: a fused [`Program`](mlc_ir::Program).
//! Invariant: no pass changes what is computed, beyond the rounding of constants that are merged.
//!
//! | module | what it does |
//! |---|---|
//! | [`graph`] | passes over operators: fold, simplify, merge, share |
//! | [`fuse`] | passes over kernels: inline, join, pad |
//! | [`state`] | outputs that continue an input, in the input's memory |
//! | [`runner`] | runs them all; verifies, dumps, times, stops, bisects |

pub mod fuse;
pub mod graph;
pub mod runner;
pub mod state;

pub use runner::{Options, Report, Snapshot, bisect, optimize};
