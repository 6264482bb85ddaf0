//! Inputs nobody gave: random floats, and 0 for everything else.

use crate::failure::Result;
use crate::interface::{Interface, Sizes};
use mlc_ir::{Scalar, Tensor};
use std::collections::BTreeMap;

/// Fills up inputs: the same numbers in every run.
///
/// # Errors
/// If a symbol has no size; names it.
pub fn fill(interface: &Interface, given: &BTreeMap<usize, Tensor>, sizes: &Sizes) -> Result<Vec<Tensor>> {
    let mut sizes = sizes.clone();
    for (place, tensor) in given {
        for (dim, &extent) in interface.inputs[*place].shape.iter().zip(tensor.shape()) {
            if let Some(mlc_ir::index::Atom::Sym(name)) = dim.as_atom() {
                sizes.entry(name.to_string()).or_insert(extent as i64);
            }
        }
    }
    let mut state = 0x9e37_79b9_7f4a_7c15;
    let mut tensors = Vec::new();
    for (place, port) in interface.inputs.iter().enumerate() {
        if let Some(tensor) = given.get(&place) {
            tensors.push(tensor.clone());
            continue;
        }
        let shape = port.extents(&sizes)?;
        let count: usize = shape.iter().product();
        let scalars: Vec<Scalar> = match port.dtype.is_float() {
            true => (0..count).map(|_| Scalar::Float(next(&mut state))).collect(),
            false => vec![Scalar::Int(0); count],
        };
        tensors.push(Tensor::from_scalars(port.dtype, shape, &scalars)?);
    }
    interface.bind(&tensors)?;
    Ok(tensors)
}

/// From -1 to 1, by xorshift.
fn next(state: &mut u64) -> f64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}
