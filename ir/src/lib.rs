//! The representations of `mlc`, and what can be said of them without a target.
//!
//! | module | what it holds |
//! |---|---|
//! | [`index`] | integer expressions: dimensions, index maps, loop bounds |
//! | [`dtype`], [`tensor`] | element types and constant tensors (owned or mapped from a file) |
//! | [`graph`] | the typed tensor graph that a frontend builds and passes rewrite |
//! | [`onnx`] | a neutral view of one ONNX node, which op files parse |
//! | [`ops`], [`compute`] | one file an operator: attributes and computation; and the language it is stated in |
//! | [`program`] | kernels (axes and stages), control flow and buffers; and their interpreter |
//! | [`tile`] | the language kernels are lowered to; its text, verifier and interpreter |
//!
//! Invariant: this crate depends on no other crate of the workspace.

pub mod compute;
pub mod dtype;
pub mod error;
pub mod graph;
pub mod index;
pub mod onnx;
pub mod ops;
pub mod program;
pub mod reshape;
pub mod target;
pub mod tensor;
pub mod text;
pub mod tile;

pub use dtype::DType;
pub use error::{Error, ErrorKind, Result};
pub use graph::Graph;
pub use index::{Facts, Index, Name};
pub use program::Program;
pub use tensor::{Scalar, Tensor};
