use super::OpDef;
use crate::compute::{Compute, T, compute_type};
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::tile::Monoid;
use crate::{Error, Index, Result};

/// `x / norm` along `axis`, where the norm is the sum of magnitudes (`p` 1) or the root of the sum of squares (`p` 2); 0 where
/// the norm is 0 (ONNX `LpNormalization`).
#[derive(Debug)]
pub struct LpNormalization {
    axis: i64,
    magnitudes: bool,
}

impl LpNormalization {
    pub(super) fn parse(node: &OnnxNode) -> Result<LpNormalization> {
        let p = node.int("p", 2)?;
        if p != 1 && p != 2 {
            return Err(Error::invalid(format!("attribute `p` of LpNormalization is {p}, not 1 or 2")));
        }
        Ok(LpNormalization { axis: node.int("axis", -1)?, magnitudes: p == 1 })
    }
}

impl OpDef for LpNormalization {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        let axes = [x.axis(self.axis)?];
        let wide = compute_type(x.dtype);
        let sum = c.fold(Monoid::Sum, wide, &x, &axes, |x| if self.magnitudes { x.abs() } else { &x * &x });
        let y = c.map(x.dtype, &x.shape, |i| {
            let sum = sum.broadcast(i);
            let norm = if self.magnitudes { sum } else { sum.sqrt() };
            norm.equals(&norm.like(0.0)).select(&norm.like(0.0), &(x.at(i.to_vec()) / &norm))
        });
        c.output(0, y);
        Ok(())
    }
}

/// `(x - mean) / (sqrt(variance) + 1e-9)` over `axes`, by default all but the channels of a rank-4 tensor (ONNX
/// `MeanVarianceNormalization`).
#[derive(Debug)]
pub struct MeanVarianceNormalization {
    axes: Vec<i64>,
}

impl MeanVarianceNormalization {
    pub(super) fn parse(node: &OnnxNode) -> Result<MeanVarianceNormalization> {
        let across = node.flag("across_channels", false)?;
        let default = if across { vec![0, 1, 2, 3] } else { vec![0, 2, 3] };
        Ok(MeanVarianceNormalization { axes: node.ints("axes")?.unwrap_or(default) })
    }
}

impl OpDef for MeanVarianceNormalization {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        let axes: Vec<usize> = self.axes.iter().map(|&a| x.axis(a)).collect::<Result<_>>()?;
        let wide = compute_type(x.dtype);
        let count = Expr::index(Index::product(axes.iter().map(|&a| &x.shape[a]))).cast(wide);
        let mean = |c: &mut Compute, sum: &T| c.map(wide, &sum.shape, |i| sum.at(i.to_vec()) / &count);
        let sum = c.fold(Monoid::Sum, wide, &x, &axes, |x| x);
        let average = mean(c, &sum);
        let centered = |i: &[Index]| x.at(i.to_vec()) - average.broadcast(i);
        let squares = c.fold_at(Monoid::Sum, wide, &x.shape, &axes, |i| centered(i) * centered(i));
        let variance = mean(c, &squares);
        let y = c.map(x.dtype, &x.shape, |i| centered(i) / (variance.broadcast(i).sqrt() + 1e-9));
        c.output(0, y);
        Ok(())
    }
}
