use super::OpDef;
use crate::Index;
use crate::Result;
use crate::compute::{Compute, T, compute_type};
use crate::onnx::OnnxNode;
use crate::tile::Monoid;

/// `y = exp(x - max(x)) / sum(exp(x - max(x)))` along `axis` (ONNX `Softmax`).
///
/// Before opset 13 the axis defaults to 1 and all axes from it on are one. A row of -inf gives NaN.
#[derive(Debug)]
pub struct Softmax {
    axis: i64,
    flatten: bool,
}

impl Softmax {
    pub(super) fn parse(node: &OnnxNode) -> Result<Softmax> {
        let old = node.opset < 13;
        Ok(Softmax { axis: node.int("axis", if old { 1 } else { -1 })?, flatten: old })
    }

    fn axes(&self, x: &T) -> Result<Vec<usize>> {
        let axis = if self.flatten && self.axis == x.rank() as i64 { x.rank() } else { x.axis(self.axis)? };
        Ok(if self.flatten { (axis..x.rank()).collect() } else { vec![axis] })
    }
}

impl OpDef for Softmax {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        let axes = self.axes(&x)?;
        let y = softmax(c, &x, &axes);
        c.output(0, y);
        Ok(())
    }
}

/// Softmax over some axes, in the tensor's own type.
pub(super) fn softmax(c: &mut Compute, x: &T, axes: &[usize]) -> T {
    let wide = compute_type(x.dtype);
    let max = c.fold(Monoid::Max, wide, x, axes, |x| x);
    let shifted = |i: &[Index]| (x.at(i.to_vec()) - max.broadcast(i)).exp();
    let sum = c.fold_at(Monoid::Sum, wide, &x.shape, axes, shifted);
    c.map(x.dtype, &x.shape, |i| shifted(i) / sum.broadcast(i))
}
