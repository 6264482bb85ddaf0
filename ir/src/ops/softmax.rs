use super::OpDef;
use crate::compute::{Compute, T, compute_type};
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::tile::{Math, Monoid};
use crate::{DType, Error, Index, Result};

/// `y = exp(x - max(x)) / sum(exp(x - max(x)))` along `axis` (ONNX `Softmax`); `LogSoftmax` is its logarithm, and `Hardmax`
/// is 1 at the first maximum and 0 elsewhere.
///
/// Before opset 13 the axis defaults to 1 and all axes from it on are one. A row of -inf gives NaN.
#[derive(Debug)]
pub struct Softmax {
    axis: i64,
    flatten: bool,
    form: Form,
}

#[derive(Debug)]
enum Form {
    Plain,
    Log,
    Hard,
}

impl Softmax {
    pub(super) fn parse(node: &OnnxNode) -> Result<Softmax> {
        let old = node.opset < 13;
        let form = match node.op_type.as_str() {
            "LogSoftmax" => Form::Log,
            "Hardmax" => Form::Hard,
            _ => Form::Plain,
        };
        Ok(Softmax { axis: node.int("axis", if old { 1 } else { -1 })?, flatten: old, form })
    }

    fn axes(&self, x: &T) -> Result<Vec<usize>> {
        let axis = if self.flatten && self.axis == x.rank() as i64 { x.rank() } else { x.axis(self.axis)? };
        Ok(if self.flatten { (axis..x.rank()).collect() } else { vec![axis] })
    }
}

impl OpDef for Softmax {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        if !x.dtype.is_float() {
            return Err(Error::invalid(format!("Softmax does not take elements of type {}", x.dtype)));
        }
        let axes = self.axes(&x)?;
        let y = match self.form {
            Form::Plain => softmax(c, &x, &axes),
            Form::Log => log_softmax(c, &x, &axes),
            Form::Hard => hardmax(c, &x, &axes),
        };
        c.output(0, y);
        Ok(())
    }
}

/// `z - log(sum(exp(z)))` with `z = x - max(x)`, over some axes.
pub(super) fn log_softmax(c: &mut Compute, x: &T, axes: &[usize]) -> T {
    let wide = compute_type(x.dtype);
    let max = c.fold(Monoid::Max, wide, x, axes, |x| x);
    let shifted = |i: &[Index]| x.at(i.to_vec()) - max.broadcast(i);
    let sum = c.fold_at(Monoid::Sum, wide, &x.shape, axes, |i| shifted(i).exp());
    c.map(x.dtype, &x.shape, |i| shifted(i) - sum.broadcast(i).math(Math::Log))
}

fn hardmax(c: &mut Compute, x: &T, axes: &[usize]) -> T {
    let max = c.fold(Monoid::Max, compute_type(x.dtype), x, axes, |x| x);
    let place = |i: &[Index]| {
        let flat = axes.iter().fold(Index::zero(), |flat, &a| &flat * &x.shape[a] + i[a].clone());
        Expr::index(flat)
    };
    let size = Expr::index(Index::product(axes.iter().map(|&a| &x.shape[a])));
    let first = c.fold_at(Monoid::Min, DType::I64, &x.shape, axes, |i| {
        let element = x.at(i.to_vec());
        (element.equals(&max.broadcast(i)) | element.is_nan()).select(&place(i), &size)
    });
    c.map(x.dtype, &x.shape, |i| place(i).equals(&first.broadcast(i)))
}

/// Softmax over some axes, in the tensor's own type.
pub(super) fn softmax(c: &mut Compute, x: &T, axes: &[usize]) -> T {
    let wide = compute_type(x.dtype);
    let max = c.fold(Monoid::Max, wide, x, axes, |x| x);
    let shifted = |i: &[Index]| (x.at(i.to_vec()) - max.broadcast(i)).exp();
    let sum = c.fold_at(Monoid::Sum, wide, &x.shape, axes, shifted);
    c.map(x.dtype, &x.shape, |i| shifted(i) / sum.broadcast(i))
}
