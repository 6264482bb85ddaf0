use super::OpDef;
use crate::compute::{Compute, T, compute_type};
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::tile::Monoid;
use crate::{DType, Error, Index, Result};

/// Matrix product over the last two axes, the others broadcast (ONNX `MatMul`, as `numpy.matmul`).
#[derive(Debug)]
pub struct MatMul;

impl MatMul {
    pub(super) fn parse(_: &OnnxNode) -> Result<MatMul> {
        Ok(MatMul)
    }
}

impl OpDef for MatMul {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (a, b) = (c.input(0)?, c.input(1)?);
        let y = matmul(c, &a, &b)?;
        c.output(0, y);
        Ok(())
    }
}

/// `numpy.matmul`: a rank-1 operand is a row or a column, whose axis is then dropped.
pub(super) fn matmul(c: &mut Compute, a: &T, b: &T) -> Result<T> {
    let wide = compute_type(a.dtype);
    product(c, a.dtype, a, b, &|i| a.at(i).cast(wide), &|i| b.at(i).cast(wide))
}

/// The matrix product of operands whose elements `left` and `right` give, in their type.
pub(super) fn product(
    c: &mut Compute,
    dtype: DType,
    a: &T,
    b: &T,
    left: &dyn Fn(Vec<Index>) -> Expr,
    right: &dyn Fn(Vec<Index>) -> Expr,
) -> Result<T> {
    if a.rank() == 0 || b.rank() == 0 {
        return Err(Error::invalid("a matrix product needs operands of rank 1 or more"));
    }
    let (row, column) = (a.rank() == 1, b.rank() == 1);
    let batch_a = &a.shape[..a.rank().saturating_sub(2)];
    let batch_b = &b.shape[..b.rank().saturating_sub(2)];
    let k = c.same_dim(&a.shape[a.rank() - 1], &b.shape[b.rank().saturating_sub(2)])?;
    let batch = c.broadcast_shape(&[batch_a, batch_b])?;
    let mut shape = batch.clone();
    if !row {
        shape.push(a.shape[a.rank() - 2].clone());
    }
    if !column {
        shape.push(b.shape[b.rank() - 1].clone());
    }
    let batch_index = |t: &T, own: &[Index], i: &[Index]| {
        let outer = T { shape: own.to_vec(), ..t.clone() };
        outer.broadcast_index(&i[..batch.len()])
    };
    Ok(c.reduce(Monoid::Sum, dtype, &shape, &[k], |i, r| {
        let (mut ia, mut ib) = (batch_index(a, batch_a, i), batch_index(b, batch_b, i));
        if !row {
            ia.push(i[batch.len()].clone());
        }
        ia.push(r[0].clone());
        ib.push(r[0].clone());
        if !column {
            ib.push(i[i.len() - 1].clone());
        }
        left(ia) * right(ib)
    }))
}
