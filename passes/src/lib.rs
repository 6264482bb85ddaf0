//! What is done to a model between reading it and generating code.
//!
//! In: a graph as the frontend builds it.  Out: a fused [`Program`](mlc_ir::Program).
//! Invariant: no pass changes what is computed, beyond the rounding of reordered scalar arithmetic on constants.

pub mod fuse;
