//! The representations of `mlc`, and what can be said of them without a target.
//!
//! | module | what it holds |
//! |---|---|
//! | [`index`] | integer expressions: dimensions, index maps, loop bounds |
//! | [`dtype`], [`tensor`] | element types and constant tensors (owned or mapped from a file) |
//! | [`graph`] | the typed tensor graph that a frontend builds and passes rewrite |
//! | [`onnx`] | a neutral view of one ONNX node, which op files parse |
//! | [`ops`] | one file an operator: attributes, shape rule, computation |
//! | [`program`] | kernels (axes and stages), control flow and buffers; and their interpreter |
//! | [`tile`] | the language kernels are lowered to; its text, verifier and interpreter |
//!
//! Invariant: this crate depends on no other crate of the workspace.

pub mod dtype;
pub mod index;
pub mod text;
pub mod tile;

pub use dtype::DType;
pub use index::{Facts, Index, Name};
