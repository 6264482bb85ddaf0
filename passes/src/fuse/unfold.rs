//! Weights that are stored in fewer bytes than they are computed with: quantized ones, half floats.
//!
//! In: kernels that make them what they stand for, `f32(q[k, n]) * s[n]`.  Out: where a contraction reads an element for a
//! few rows only, or for a number of them that is known at run time, the conversion is in its read: what comes from memory
//! is what such a contraction waits for. All others read what is computed here, once, as far as it is not too large.

use super::inline::Pointwise;
use super::report::{Report, Rule};
use super::rewrite::loads;
use super::work::{Item, Place, Work, reads};
use mlc_ir::Tensor;
use mlc_ir::program::{Buffer, Expr};

/// Rows for which an element is converted again and again rather than once for all.
pub const ROWS: i64 = 256;

/// A constant may have so many times the bytes of what it is made from,
const GROWTH: usize = 4;
/// and so many more.
const SPARE: usize = 1 << 16;

/// Whether an element is made of weights alone, and the largest of these has fewer bytes an element.
pub fn unfolds(work: &Work, value: &Expr) -> bool {
    let elements = |weights: &&Buffer| weights.constant.as_ref().map_or(0, Tensor::len);
    let loads = loads(value);
    let largest = loads.iter().map(|load| &work.buffers[load.0 as usize]).max_by_key(elements);
    work.is_constant(value) && largest.is_some_and(|weights| weights.dtype.bytes() < value.dtype().bytes())
}

/// Computes what is left of the kernels that read constants alone.
pub fn compute(work: &mut Work, report: &mut Report) {
    for place in work.places() {
        if let Some((buffer, tensor)) = computed(work, place) {
            let name = work.kernel(place).map(|kernel| kernel.name.clone());
            for reader in work.readers(buffer).clone() {
                if let Some((reader, name)) = work.kernel(reader).zip(name.as_ref()) {
                    report.fused(Rule::Constant, &reader.name, name);
                }
            }
            work.buffers[buffer as usize].constant = Some(tensor);
            work.set(place, Item::Empty);
        }
    }
}

fn computed(work: &Work, place: Place) -> Option<(u32, Tensor)> {
    let pointwise = Pointwise::new(work, place)?;
    let buffer = &work.buffers[pointwise.buffer as usize];
    let bytes = |buffer: &u32| Some(work.buffers[*buffer as usize].constant.as_ref()?.bytes().len());
    let given: usize = reads(work.kernel(place)?).iter().map(bytes).sum::<Option<usize>>()?;
    let shape = buffer.shape.iter().map(|dim| usize::try_from(dim.as_const()?).ok()).collect::<Option<Vec<_>>>()?;
    let made = shape.iter().product::<usize>() * buffer.dtype.bytes();
    if made > GROWTH * given + SPARE || work.outputs.contains(&pointwise.buffer) {
        return None;
    }
    let tensor = pointwise.table(&work.buffers)?.reshaped(shape).ok()?;
    Some((pointwise.buffer, tensor))
}
