use super::OpDef;
use crate::compute::{Compute, T, compute_type};
use crate::onnx::OnnxNode;
use crate::program::{Expr, StoreMode};
use crate::tile::Monoid;
use crate::{DType, Error, Index, Result};

/// Determinants of the matrices in the last two axes (ONNX `Det`): Gaussian elimination with row exchanges.
#[derive(Debug)]
pub struct Det;

impl Det {
    pub(super) fn parse(_: &OnnxNode) -> Result<Det> {
        Ok(Det)
    }
}

impl OpDef for Det {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        if x.rank() < 2 {
            return Err(Error::invalid(format!("Det of a rank-{} tensor", x.rank())));
        }
        let batch = &x.shape[..x.rank() - 2];
        let n = c.same_dim(&x.shape[x.rank() - 1], &x.shape[x.rank() - 2])?;
        let count = Index::product(batch);
        let shape = [count.clone(), n.clone(), n.clone()];
        let wide = compute_type(x.dtype);
        let matrices = c.reshape(&x, &shape);
        let rest = c.buffer(wide, &shape);
        c.store(&rest, &shape, StoreMode::Set, |i| (i.to_vec(), matrices.at(i.to_vec())));
        let det = c.buffer(wide, std::slice::from_ref(&count));
        c.store(&det, std::slice::from_ref(&count), StoreMode::Set, |i| (i.to_vec(), Expr::float(wide, 1.0)));
        c.repeat(&n, |c, column| {
            eliminate(c, &rest, &det, column);
            Ok(())
        })?;
        let det = c.map(x.dtype, &det.shape, |i| det.at(i.to_vec()));
        let y = c.reshape(&det, batch);
        c.output(0, y);
        Ok(())
    }
}

/// Multiplies `det` with the pivot of a column, and clears the column below it.
fn eliminate(c: &mut Compute, rest: &T, det: &T, column: &Index) {
    let (batch, n) = (rest.shape[0].clone(), rest.shape[1].clone());
    let number = |index: &Index| Expr::index(index.clone());
    let size = |b: &Index, row: &Index| {
        let size = rest.at(vec![b.clone(), row.clone(), column.clone()]).abs();
        number(column).le(&number(row)).select(&size, &size.like(-1.0))
    };
    let rows = std::slice::from_ref(&n);
    let each = std::slice::from_ref(&batch);
    let largest = c.reduce(Monoid::Max, rest.dtype, each, rows, |i, r| size(&i[0], &r[0]));
    let pivot = c.reduce(Monoid::Min, DType::I64, each, rows, |i, r| {
        let found = size(&i[0], &r[0]).equals(&largest.at(i.to_vec()));
        found.select(&number(&r[0]), &number(&(n.clone() - 1)))
    });
    let at_pivot =
        |b: &Index, column: &Index| rest.at(vec![b.clone(), pivot.lookup(vec![b.clone()], &n), column.clone()]);
    // Row `column` moves to where the pivot was.
    let source = c.map(DType::I64, &rest.shape[..2], |i| {
        let moved = number(&i[1]).equals(&pivot.at(vec![i[0].clone()]));
        moved.select(&number(column), &number(&i[1]))
    });
    let next = c.map(rest.dtype, &rest.shape, |i| {
        let row = |column: &Index| rest.at(vec![i[0].clone(), source.lookup(i[..2].to_vec(), &n), column.clone()]);
        let factor = row(column) / at_pivot(&i[0], column);
        let factor = at_pivot(&i[0], column).equals(&factor.like(0.0)).select(&factor.like(0.0), &factor);
        row(&i[2]) - factor * at_pivot(&i[0], &i[2])
    });
    c.store(det, each, StoreMode::Set, |i| {
        let value = at_pivot(&i[0], column);
        let kept = pivot.at(i.to_vec()).equals(&number(column));
        (i.to_vec(), det.at(i.to_vec()) * kept.select(&value, &-value.clone()))
    });
    c.store(rest, &rest.shape, StoreMode::Set, |i| (i.to_vec(), next.at(i.to_vec())));
}
