//! One backend test: build the model, run it on each data set, compare.

use crate::{Data, Test, load};
use mlc_frontend::Options;
use mlc_ir::program::interp;
use mlc_ir::{Error, ErrorKind, Result, Tensor};
use mlc_tensorio::{Tolerance, compare};
use std::collections::HashMap;
use std::path::Path;

/// Runs a test; the reason if it fails.
///
/// # Errors
/// The reason for people.
pub fn check(test: &Test, compiled: bool) -> std::result::Result<(), String> {
    let tolerance = test.tolerance().map_err(|e| e.to_string())?;
    for set in &test.sets {
        let data = load(set).map_err(|e| e.to_string())?;
        let inputs: Vec<Tensor> = data.inputs.iter().map(|named| named.tensor.clone()).collect();
        let outputs = run(&test.model, &data, &inputs, compiled).map_err(|e| format!("{:?}: {e}", e.kind))?;
        agree(&outputs, &data, tolerance)?;
    }
    Ok(())
}

fn agree(outputs: &[Tensor], data: &Data, tolerance: Tolerance) -> std::result::Result<(), String> {
    if outputs.len() != data.outputs.len() {
        return Err(format!("{} outputs, expected {}", outputs.len(), data.outputs.len()));
    }
    for (place, (got, expected)) in outputs.iter().zip(&data.outputs).enumerate() {
        let report = compare(got, &expected.tensor, tolerance).map_err(|e| format!("output {place}: {e}"))?;
        if !report.passed() {
            return Err(format!("output {place}: {report}"));
        }
    }
    Ok(())
}

fn run(model: &Path, data: &Data, inputs: &[Tensor], compiled: bool) -> Result<Vec<Tensor>> {
    let mut last = Error::internal("not tried");
    // What decides a shape must be known: first nothing is fixed, then integer inputs, then small ones of any type.
    for fixed in 0..3 {
        let values: HashMap<String, Tensor> = data
            .inputs
            .iter()
            .filter(|named| match fixed {
                0 => false,
                1 => !named.tensor.dtype().is_float() && named.tensor.shape().len() <= 1,
                _ => named.tensor.shape().len() <= 1 && named.tensor.len() <= 64,
            })
            .filter_map(|named| Some((named.name.clone()?, named.tensor.clone())))
            .collect();
        if fixed > 0 && values.is_empty() {
            continue;
        }
        match run_once(model, &Options { values, ..Options::default() }, inputs, compiled) {
            Err(error) if error.kind == ErrorKind::Unsupported => last = error,
            other => return other,
        }
    }
    Err(last)
}

fn run_once(model: &Path, options: &Options, inputs: &[Tensor], compiled: bool) -> Result<Vec<Tensor>> {
    let graph = mlc_frontend::import(model, options)?;
    let program = graph.to_program()?;
    let _ = compiled;
    interp::run(&program, inputs)
}
