use super::OpDef;
use crate::compute::{Compute, T, compute_type};
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::tile::{Math, Monoid};
use crate::{DType, Error, Index, Result};

/// Folds a tensor over some axes (ONNX `ReduceSum`, `ReduceMean`, `ReduceMax`, `ReduceMin`, `ReduceProd`, `ReduceL1`,
/// `ReduceL2`, `ReduceSumSquare`, `ReduceLogSum`, `ReduceLogSumExp`), which stay with extent 1 if `keepdims` is set.
///
/// The axes are an attribute before opset 13 (`ReduceSum`) or 18 (the others), then an input. Without axes all are
/// reduced, or none if `noop_with_empty_axes` is set. 16-bit floats accumulate in F32, integers wrap in their own type.
#[derive(Debug)]
pub struct Reduce {
    kind: Kind,
    axes: Option<Vec<i64>>,
    keep: bool,
    noop: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Sum,
    Mean,
    Max,
    Min,
    Prod,
    L1,
    L2,
    SumSquare,
    LogSum,
    LogSumExp,
}

impl Reduce {
    pub(super) fn parse(node: &OnnxNode) -> Result<Reduce> {
        let kind = match node.op_type.as_str() {
            "ReduceSum" => Kind::Sum,
            "ReduceMean" => Kind::Mean,
            "ReduceMax" => Kind::Max,
            "ReduceMin" => Kind::Min,
            "ReduceProd" => Kind::Prod,
            "ReduceL1" => Kind::L1,
            "ReduceL2" => Kind::L2,
            "ReduceSumSquare" => Kind::SumSquare,
            "ReduceLogSum" => Kind::LogSum,
            _ => Kind::LogSumExp,
        };
        let (keep, noop) = (node.flag("keepdims", true)?, node.flag("noop_with_empty_axes", false)?);
        Ok(Reduce { kind, axes: node.ints("axes")?, keep, noop })
    }

    fn axes(&self, c: &Compute, x: &T) -> Result<Vec<usize>> {
        let axes = match c.optional(1) {
            Some(t) => c.ints(&t, "the axes of a reduction")?,
            None => self.axes.clone().unwrap_or_default(),
        };
        if axes.is_empty() && !self.noop {
            return Ok((0..x.rank()).collect());
        }
        let mut axes = axes.into_iter().map(|a| x.axis(a)).collect::<Result<Vec<_>>>()?;
        axes.sort_unstable();
        axes.dedup();
        Ok(axes)
    }
}

impl OpDef for Reduce {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        let extreme = matches!(self.kind, Kind::Max | Kind::Min);
        let logarithm = matches!(self.kind, Kind::LogSum | Kind::LogSumExp);
        if (x.dtype == DType::Bool && !extreme) || (!x.dtype.is_float() && logarithm) {
            return Err(Error::invalid(format!("Reduce{:?} does not take elements of type {}", self.kind, x.dtype)));
        }
        let axes = self.axes(c, &x)?;
        let to = Fold { x: &x, axes: &axes, keep: self.keep };
        let y = match self.kind {
            Kind::Sum => to.fold(c, Monoid::Sum, x.dtype, |x| x),
            Kind::Prod => to.fold(c, Monoid::Prod, x.dtype, |x| x),
            Kind::Max => to.fold(c, if x.dtype == DType::Bool { Monoid::Or } else { Monoid::Max }, x.dtype, |x| x),
            Kind::Min => to.fold(c, if x.dtype == DType::Bool { Monoid::And } else { Monoid::Min }, x.dtype, |x| x),
            Kind::L1 => to.fold(c, Monoid::Sum, x.dtype, |x| if x.dtype().is_unsigned_int() { x } else { x.abs() }),
            Kind::SumSquare => to.fold(c, Monoid::Sum, x.dtype, |x| &x * &x),
            Kind::Mean => mean(c, &to),
            Kind::L2 => {
                let sum = to.fold(c, Monoid::Sum, compute_type(x.dtype), |x| &x * &x);
                let root = |x: Expr| if x.dtype().is_float() { x.sqrt() } else { x.cast(DType::F64).sqrt() };
                c.map(x.dtype, &sum.shape, |i| root(sum.at(i.to_vec())))
            }
            Kind::LogSum => {
                let sum = to.fold(c, Monoid::Sum, compute_type(x.dtype), |x| x);
                c.map(x.dtype, &sum.shape, |i| sum.at(i.to_vec()).math(Math::Log))
            }
            Kind::LogSumExp => log_sum_exp(c, &to),
        };
        c.output(0, y);
        Ok(())
    }
}

fn mean(c: &mut Compute, to: &Fold) -> T {
    let sum = to.fold(c, Monoid::Sum, compute_type(to.x.dtype), |x| x);
    let count = Index::product(to.axes.iter().map(|&a| &to.x.shape[a]));
    c.map(to.x.dtype, &sum.shape, |i| {
        let sum = sum.at(i.to_vec());
        &sum / &Expr::index(count).cast(sum.dtype())
    })
}

/// `m + log(sum(exp(x - m)))` with the maximum `m`, or 0 where it is infinite.
fn log_sum_exp(c: &mut Compute, to: &Fold) -> T {
    let (x, wide) = (to.x, compute_type(to.x.dtype));
    let max = c.fold(Monoid::Max, wide, x, to.axes, |x| x);
    let finite = c.map(wide, &max.shape, |i| {
        let max = max.at(i.to_vec());
        max.abs().equals(&max.like(f64::INFINITY)).select(&max.like(0.0), &max)
    });
    let sum = to.fold_at(c, Monoid::Sum, wide, |i| (x.at(i.to_vec()) - finite.broadcast(i)).exp());
    c.map(x.dtype, &sum.shape, |i| {
        let kept = to.kept_index(i);
        sum.at(i.to_vec()).math(Math::Log) + finite.at(kept)
    })
}

/// A fold of a tensor over some axes, which stay with extent 1 or go.
struct Fold<'a> {
    x: &'a T,
    axes: &'a [usize],
    keep: bool,
}

impl Fold<'_> {
    fn fold(&self, c: &mut Compute, monoid: Monoid, dtype: DType, f: impl FnOnce(Expr) -> Expr) -> T {
        self.fold_at(c, monoid, dtype, |i| f(self.x.at(i.to_vec())))
    }

    fn fold_at(&self, c: &mut Compute, monoid: Monoid, dtype: DType, f: impl FnOnce(&[Index]) -> Expr) -> T {
        if self.axes.is_empty() {
            return c.map(dtype, &self.x.shape, f);
        }
        if self.keep {
            return c.fold_at(monoid, dtype, &self.x.shape, self.axes, f);
        }
        let shape: Vec<Index> =
            (0..self.x.rank()).filter(|a| !self.axes.contains(a)).map(|a| self.x.shape[a].clone()).collect();
        let over: Vec<Index> = self.axes.iter().map(|&a| self.x.shape[a].clone()).collect();
        c.reduce(monoid, dtype, &shape, &over, |i, r| {
            let mut full = self.kept_index(i);
            self.axes.iter().zip(r).for_each(|(&a, r)| full[a] = r.clone());
            f(&full)
        })
    }

    /// The index of a result's element in the result with all axes kept.
    fn kept_index(&self, i: &[Index]) -> Vec<Index> {
        if self.keep {
            return i.to_vec();
        }
        let mut rest = i.iter().cloned();
        let kept = (0..self.x.rank()).map(|a| if self.axes.contains(&a) { None } else { rest.next() });
        kept.map(Option::unwrap_or_default).collect()
    }
}
