//! Reads an ONNX model into a [`Graph`].
//!
//! In: a `.onnx` file and the files of external data beside it.  Out: a typed graph whose weights are parts of the
//! mapped files.
//! Invariants: weights given as bytes are never copied; no input, however hostile, panics or exhausts memory; every
//! error names the node, tensor, value or file it is about.
//!
//! ```text
//!   file --wire--> message without weights --onnx-protobuf--> ModelProto --importer--> Graph
//!            \---> where the weights lie ----store----------------------------/
//! ```
//!
//! | module | what it does |
//! |---|---|
//! | `file` | maps files (the only unsafe call) |
//! | `wire` | takes the weights out of the message before it is parsed |
//! | `model` | parses, checks versions, keeps opsets and functions |
//! | `store`, `typed`, `sparse`, `external` | tensors: mapped, from typed fields, sparse, in other files |
//! | `symbols` | types and symbolic dims |
//! | `order` | sorts nodes; the names a node or a body needs |
//! | `importer`, `nodes`, `attributes`, `functions`, `bodies` | build the graph |
//! | `gaps` | what `check` reports |

mod attributes;
mod bodies;
mod external;
mod file;
mod functions;
mod gaps;
mod importer;
mod model;
mod nodes;
mod options;
mod order;
mod scope;
mod sparse;
mod store;
mod symbols;
mod typed;
mod wire;

#[cfg(test)]
mod tests;

pub use gaps::Gap;
pub use options::{DimRange, Options};

use importer::Importer;
use mlc_ir::{Error, Graph, Result};
use model::Model;
use std::path::Path;
use std::sync::Arc;

/// Reads a model file.
///
/// # Errors
/// If the file cannot be read, is not a valid model, or needs something `mlc` does not have; see [`check`] for all of
/// the latter at once.
pub fn import(path: &Path, options: &Options) -> Result<Graph> {
    let model = open(path)?;
    Importer::new(&model, options).run()
}

/// Reads a model from memory; external data, if it has any, lies in `base`.
///
/// # Errors
/// As [`import`].
pub fn import_bytes(bytes: Vec<u8>, base: Option<&Path>, options: &Options) -> Result<Graph> {
    let model = Model::read(Arc::new(bytes), "the input", base)?;
    Importer::new(&model, options).run()
}

/// Everything in a model that `mlc` cannot compile yet, found in one run. Empty if [`import`] succeeds.
///
/// # Errors
/// If the file cannot be read or is not an ONNX model at all.
pub fn check(path: &Path, options: &Options) -> Result<Vec<Gap>> {
    let model = open(path)?;
    Ok(Importer::new(&model, options).check())
}

fn open(path: &Path) -> Result<Model> {
    let name = format!("`{}`", path.display());
    let bytes = file::map(path).map_err(|e| Error::invalid(format!("cannot read {name}: {e}")))?;
    // The parent of a bare file name is "", which names the current folder when joined to.
    Model::read(bytes, &name, path.parent())
}
