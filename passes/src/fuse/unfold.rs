//! Weights that are stored in fewer bytes than they are computed with: quantized ones, half floats.
//!
//! In: kernels that make them what they stand for, `f32(q[k, n]) * s[n]`.  Out: where a contraction reads an element for a
//! few rows only, or for a number of them that is known at run time, the conversion is in its read: what comes from memory
//! is what such a contraction waits for. All others read what is computed here, once, as far as it is not too large.

use super::inline::Pointwise;
use super::report::{Report, Rule};
use super::rewrite::loads;
use super::work::{Item, Place, Work, reads};
use crate::fuse::finish::rename_buffers;
use mlc_ir::program::{Expr, Kernel, Program, Step, interp};
use mlc_ir::{DType, Index, Tensor};

/// Rows for which an element is converted again and again rather than once for all.
pub const ROWS: i64 = 256;

/// A constant may have so many times the bytes of what it is made from,
const GROWTH: usize = 4;
/// and so many more.
const SPARE: usize = 1 << 16;
/// Elements that are computed while building, at most.
const WORK: usize = 1 << 26;

/// Whether an element is made of weights alone, and these have fewer bytes.
pub fn unfolds(work: &Work, value: &Expr) -> bool {
    let loads = loads(value);
    let bytes = |dtype: DType| dtype.bytes();
    let constant = |(buffer, _): &(u32, Vec<Index>)| work.buffers[*buffer as usize].constant.is_some();
    let large = loads.iter().map(|(buffer, _)| &work.buffers[*buffer as usize]).max_by_key(|buffer| size(buffer));
    loads.iter().all(constant) && large.is_some_and(|weights| bytes(weights.dtype) < bytes(value.dtype()))
}

fn size(buffer: &mlc_ir::program::Buffer) -> usize {
    buffer.constant.as_ref().map_or(0, |tensor| tensor.shape().iter().product())
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
    let buffer = Pointwise::new(work, place)?.buffer;
    let kernel = work.kernel(place)?;
    let given: Vec<&Tensor> =
        reads(kernel).iter().map(|read| work.buffers[*read as usize].constant.as_ref()).collect::<Option<_>>()?;
    let shape = &work.buffers[buffer as usize].shape;
    let elements = Index::product(shape).as_const().and_then(|n| usize::try_from(n).ok())?;
    let made = elements * work.buffers[buffer as usize].dtype.bytes();
    let given: usize = given.iter().map(|tensor| tensor.bytes().len()).sum();
    let worth = elements <= WORK && made <= GROWTH * given + SPARE && !work.outputs.contains(&buffer);
    worth.then(|| run(work, kernel, buffer)).flatten().map(|tensor| (buffer, tensor))
}

/// What a kernel without inputs writes to a buffer.
fn run(work: &Work, kernel: &Kernel, output: u32) -> Option<Tensor> {
    let mut numbers = reads(kernel);
    numbers.push(output);
    let place = |buffer: u32| numbers.iter().position(|n| *n == buffer).map_or(buffer, |n| n as u32);
    let mut body = vec![Step::Kernel(kernel.clone())];
    rename_buffers(&mut body, &place);
    let buffers = numbers.iter().map(|n| work.buffers[*n as usize].clone()).collect();
    let program = Program { buffers, body, outputs: vec![place(output)], ..Program::default() };
    interp::run(&program, &[]).ok()?.pop()
}
