//! Sparse tensors, made dense.

use mlc_ir::{Error, Result, Tensor};

/// The largest dense tensor made: small files must not become large allocations.
const MAX_BYTES: usize = 1 << 28;

/// Spreads `values` over zeros. `indices` holds a row-major position for each, or one coordinate a dim.
pub fn dense(values: &Tensor, indices: &Tensor, shape: Vec<usize>, size: usize, what: &str) -> Result<Tensor> {
    if size > MAX_BYTES {
        let message = format!("{what} is sparse and takes {size} bytes when made dense; the limit is {MAX_BYTES}");
        return Err(Error::unsupported(message));
    }
    let (count, rank) = (values.len(), shape.len());
    let positions = match (indices.to_i64s(), indices.shape()) {
        (Some(positions), [n]) if *n == count => positions,
        (Some(coordinates), [n, r]) if *n == count && *r == rank && rank > 0 => {
            coordinates.chunks_exact(rank).map(|at| position(at, &shape)).collect()
        }
        _ => return Err(Error::invalid(format!("{what} is sparse and its indices do not fit its values"))),
    };
    let width = values.dtype().bytes();
    let mut bytes = vec![0; size];
    for (element, position) in values.bytes().chunks_exact(width).zip(positions) {
        let place = usize::try_from(position).ok().filter(|p| *p < size / width);
        let place = place.ok_or_else(|| Error::invalid(format!("{what} is sparse and has an index out of range")))?;
        bytes[place * width..(place + 1) * width].copy_from_slice(element);
    }
    Tensor::new(values.dtype(), shape, bytes)
}

/// The row-major position of coordinates, or -1 if one is out of range.
fn position(at: &[i64], shape: &[usize]) -> i64 {
    at.iter().zip(shape).fold(0, |position, (&i, &n)| {
        let inside = position >= 0 && (0..n as i64).contains(&i);
        if inside { position * n as i64 + i } else { -1 }
    })
}
