use super::OpDef;
use crate::compute::{Compute, compute_type};
use crate::onnx::OnnxNode;
use crate::tile::Monoid;
use crate::{Index, Result};

/// `y = (x - mean) / sqrt(variance + epsilon) * scale + bias` over the axes from `axis` on (ONNX `LayerNormalization`).
///
/// Statistics are computed in F32 and in two passes. Outputs 1 and 2 are the mean and the inverse deviation.
#[derive(Debug)]
pub struct LayerNormalization {
    axis: i64,
    epsilon: f64,
}

impl LayerNormalization {
    pub(super) fn parse(node: &OnnxNode) -> Result<LayerNormalization> {
        Ok(LayerNormalization { axis: node.int("axis", -1)?, epsilon: node.float("epsilon", 1e-5)?.into() })
    }
}

impl OpDef for LayerNormalization {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (x, scale, bias) = (c.input(0)?, c.input(1)?, c.optional(2));
        let axes: Vec<usize> = (x.axis(self.axis)?..x.rank()).collect();
        let wide = compute_type(x.dtype);
        let count = Index::product(axes.iter().map(|&a| &x.shape[a]));
        let count = |c: &crate::program::Expr| crate::program::Expr::index(count.clone()).cast(c.dtype());
        let sum = c.fold(Monoid::Sum, wide, &x, &axes, |x| x);
        let mean = c.map(wide, &sum.shape, |i| &sum.at(i.to_vec()) / &count(&sum.at(i.to_vec())));
        let centered = |i: &[Index]| x.at(i.to_vec()) - mean.broadcast(i);
        let squares = c.fold_at(Monoid::Sum, wide, &x.shape, &axes, |i| centered(i) * centered(i));
        let inverse = c.map(wide, &squares.shape, |i| {
            let squares = squares.at(i.to_vec());
            let variance = &squares / &count(&squares);
            squares.like(1.0) / (variance + self.epsilon).sqrt()
        });
        // The normalized value is rounded to the type of `x` before it is scaled.
        let y = c.map(x.dtype, &x.shape, |i| {
            let normal = (centered(i) * inverse.broadcast(i)).cast(x.dtype).cast(wide);
            let scaled = normal * scale.broadcast(i);
            bias.iter().fold(scaled, |y, bias| y + bias.broadcast(i))
        });
        c.output(0, y);
        c.output(1, mean);
        c.output(2, inverse);
        Ok(())
    }
}
