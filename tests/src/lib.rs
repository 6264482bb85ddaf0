//! Shared pieces of the integration tests: where models and their data are, and how the data is read.
//!
//! `tests/setup.sh` makes the folders `.models` (real models with reference results) and `.node-tests` (the ONNX backend
//! tests). Both give [`Test`]s: a model and folders of `input_N.pb` and `output_N.pb` in the order of the graph.

#![forbid(unsafe_code)]

mod check;
mod data;
mod expected;
mod locate;
pub mod operators;

pub use check::{Way, check};
pub use data::{Data, load};
pub use expected::{Outcome, list, run_all};
pub use locate::{SUITES, Test, model_tests, node_tests, root};
