use super::OpDef;
use super::softmax::log_softmax;
use crate::compute::{Compute, T, compute_type};
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::tile::Monoid;
use crate::{DType, Error, Index, Result};

/// How the losses of all targets become one.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Reduction {
    None,
    Sum,
    Mean,
}

/// `-x[n, target] * weight[target]` (ONNX `NegativeLogLikelihoodLoss`); with `SoftmaxCrossEntropyLoss` of the logarithm of
/// the softmax over axis 1, which is output 1.
///
/// Targets equal to `ignore_index` count nothing and may be out of range. The mean divides by the weights that count.
#[derive(Debug)]
pub struct Loss {
    reduction: Reduction,
    ignore: Option<i64>,
    softmax: bool,
}

impl Loss {
    pub(super) fn parse(node: &OnnxNode) -> Result<Loss> {
        let reduction = match node.string("reduction", "mean")?.as_str() {
            "none" => Reduction::None,
            "sum" => Reduction::Sum,
            "mean" => Reduction::Mean,
            other => return Err(Error::invalid(format!("attribute `reduction` is `{other}`"))),
        };
        let softmax = node.op_type == "SoftmaxCrossEntropyLoss";
        Ok(Loss { reduction, ignore: node.optional_int("ignore_index")?, softmax })
    }
}

impl OpDef for Loss {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (mut x, target, weight) = (c.input(0)?, c.input(1)?, c.optional(2));
        if x.rank() < 2 || target.rank() + 1 != x.rank() || weight.as_ref().is_some_and(|w| w.rank() != 1) {
            return Err(Error::invalid("a loss needs scores of rank 2 or more, and targets of one less"));
        }
        let shape = [&x.shape[..1], &x.shape[2..]].concat();
        c.demand(&target, "the target", &shape)?;
        for weight in weight.iter() {
            c.same_dim(&weight.shape[0], &x.shape[1])?;
        }
        if self.softmax {
            x = log_softmax(c, &x, &[1]);
            c.output(1, x.clone());
        }
        let y = self.loss(c, &x, &target, weight.as_ref());
        c.output(0, y);
        Ok(())
    }
}

impl Loss {
    fn loss(&self, c: &mut Compute, x: &T, target: &T, weight: Option<&T>) -> T {
        let wide = compute_type(x.dtype);
        let shape = target.shape.clone();
        let class = |i: &[Index]| target.lookup(i.to_vec(), &x.shape[1]);
        let weights = c.map(wide, &shape, |i| {
            let own = weight.map_or(Expr::float(wide, 1.0), |w| w.at(vec![class(i)]).cast(wide));
            let is = |ignored: i64| target.at(i.to_vec()).cast(DType::I64).equals(&Expr::int(DType::I64, ignored));
            self.ignore.map_or(own.clone(), |ignored| is(ignored).select(&own.like(0.0), &own))
        });
        let dtype = if self.reduction == Reduction::None { x.dtype } else { wide };
        let losses = c.map(dtype, &shape, |i| {
            let score = x.at([&i[..1], &[class(i)], &i[1..]].concat());
            -score * weights.at(i.to_vec())
        });
        if self.reduction == Reduction::None {
            return losses;
        }
        let all = |c: &mut Compute, t: &T| c.reduce(Monoid::Sum, wide, &[], &shape, |_, r| t.at(r.to_vec()));
        let sum = all(c, &losses);
        let count = all(c, &weights);
        c.map(x.dtype, &[], |_| match self.reduction {
            Reduction::Mean => sum.at(vec![]) / count.at(vec![]),
            _ => sum.at(vec![]),
        })
    }
}
