use super::OpDef;
use crate::compute::{Compute, compute_type, inside};
use crate::onnx::OnnxNode;
use crate::tensor::Scalar;
use crate::tile::{Math, Monoid};
use crate::{Error, Index, Result};

/// `y = x * (bias + alpha / size * sum(x * x))^-beta`, the sum over `size` neighbouring channels (ONNX `LRN`):
/// `(size - 1) / 2` before, rounded down, the others after.
#[derive(Debug)]
pub struct Lrn {
    size: i64,
    alpha: f64,
    beta: f64,
    bias: f64,
}

impl Lrn {
    pub(super) fn parse(node: &OnnxNode) -> Result<Lrn> {
        let size = node.optional_int("size")?.filter(|&size| size > 0);
        Ok(Lrn {
            size: size.ok_or_else(|| Error::invalid("attribute `size` of LRN must be a positive integer"))?,
            alpha: node.float("alpha", 1e-4)?.into(),
            beta: node.float("beta", 0.75)?.into(),
            bias: node.float("bias", 1.0)?.into(),
        })
    }
}

impl OpDef for Lrn {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        if x.rank() < 2 {
            return Err(Error::invalid(format!("LRN of a rank-{} tensor", x.rank())));
        }
        let over = [Index::from(self.size)];
        let facts = c.scope(&x.shape, &over);
        let sum = c.reduce(Monoid::Sum, compute_type(x.dtype), &x.shape, &over, |i, r| {
            let channel = i[1].clone() + r[0].clone() - (self.size - 1) / 2;
            let tests = inside(&facts, [(channel.clone(), x.shape[1].clone())]);
            let mut at = i.to_vec();
            at[1] = channel;
            let x = x.at(at);
            (&x * &x).guard(tests, Scalar::Int(0))
        });
        let y = c.map(x.dtype, &x.shape, |i| {
            let scale = sum.at(i.to_vec()) * (self.alpha / self.size as f64) + self.bias;
            x.at(i.to_vec()) * scale.math2(Math::Pow, &scale.like(-self.beta))
        });
        c.output(0, y);
        Ok(())
    }
}
