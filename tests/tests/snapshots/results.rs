//! Runs a case on the same numbers in every way there is.

use crate::case::Case;
use crate::stages;
use mlc::engine::Engine;
use mlc::interface::{Interface, Sizes};
use mlc_ir::program::{Program, interp};
use mlc_ir::{DType, Scalar, Tensor};
use mlc_passes::{Options, optimize};
use mlc_tensorio::relative_to_scale;

/// Largest difference between elements, relative to the largest value of an output. Integers must be equal. Compiled code
/// does not round half floats that stay inside, so one that comes out may be the neighbour of the one expected.
fn tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => 2f64.powi(-10),
        DType::BF16 => 2f64.powi(-7),
        dtype if dtype.is_float() => 1e-5,
        _ => 0.0,
    }
}

/// Compares, in every run, the graph as it is with its fused program as it reads back, and with compiled code.
///
/// # Errors
/// Names the case, the run and the output.
pub fn check(case: &Case) -> Result<(), String> {
    let failed = |e: &dyn std::fmt::Display| format!("{}: {e}", case.name);
    let reference = case.graph.to_program().map_err(|e| failed(&e))?;
    let (fused, _) = optimize(case.graph.clone(), Options::default()).map_err(|e| failed(&e))?;
    let constants: Vec<Tensor> = fused.buffers.iter().filter_map(|buffer| buffer.constant.clone()).collect();
    let read = stages::program(&fused.to_string(), &constants).map_err(|e| failed(&e))?;
    let mut compiled = Engine::compiled(fused, 1).map_err(|e| failed(&e))?;
    for sizes in &case.runs {
        let inputs = inputs(case, &reference, sizes).map_err(|e| failed(&e))?;
        let expected = interp::run(&reference, &inputs).map_err(|e| failed(&e))?;
        let fused = interp::run(&read, &inputs).map_err(|e| failed(&e))?;
        let native = compiled.run(&inputs).map_err(|e| failed(&e))?;
        agree(&fused, &expected).map_err(|e| failed(&format!("fused, {sizes:?}: {e}")))?;
        agree(&native, &expected).map_err(|e| failed(&format!("compiled, {sizes:?}: {e}")))?;
    }
    Ok(())
}

/// Compares outputs.
///
/// # Errors
/// Names the output.
pub fn agree(got: &[Tensor], expected: &[Tensor]) -> Result<(), String> {
    if got.len() != expected.len() {
        return Err(format!("{} outputs, expected {}", got.len(), expected.len()));
    }
    for (place, (got, expected)) in got.iter().zip(expected).enumerate() {
        let error = relative_to_scale(got, expected).map_err(|e| format!("output {place}: {e}"))?;
        if error > tolerance(expected.dtype()) {
            return Err(format!("output {place} differs by {error:.1e}: {got:?}, expected {expected:?}"));
        }
    }
    Ok(())
}

/// Numbers that look random and are the same in every run.
///
/// # Errors
/// If a symbol has no size.
pub fn inputs(case: &Case, program: &Program, sizes: &Sizes) -> mlc::Result<Vec<Tensor>> {
    let mut state = 7u64;
    let mut tensors = Vec::new();
    for port in Interface::of_program(program).inputs {
        let shape = port.extents(sizes)?;
        let (low, high) = case.ranges.get(&port.name).copied().unwrap_or((-2, 2));
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as i64
        };
        let mut scalar = || match port.dtype.is_float() {
            true => Scalar::Float(low as f64 + (next() % 1000) as f64 / 999.0 * (high - low) as f64),
            false => Scalar::Int(low + next() % (high - low + 1)),
        };
        let scalars: Vec<Scalar> = (0..shape.iter().product()).map(|_| scalar()).collect();
        tensors.push(Tensor::from_scalars(port.dtype, shape, &scalars)?);
    }
    Ok(tensors)
}
