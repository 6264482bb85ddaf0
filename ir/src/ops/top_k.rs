use super::OpDef;
use super::sort::ranks;
use crate::compute::Compute;
use crate::onnx::OnnxNode;
use crate::program::{Expr, StoreMode};
use crate::tile::InRange;
use crate::{DType, Error, Index, Result};

/// The `k` largest (or smallest) elements along `axis`, best first, and their places as I64 (ONNX `TopK`).
///
/// Of equal elements the first comes first. NaN is larger than any number. `k` is an attribute before opset 10.
#[derive(Debug)]
pub struct TopK {
    axis: i64,
    largest: bool,
    k: Option<i64>,
}

impl TopK {
    pub(super) fn parse(node: &OnnxNode) -> Result<TopK> {
        Ok(TopK { axis: node.int("axis", -1)?, largest: node.flag("largest", true)?, k: node.optional_int("k")? })
    }
}

impl OpDef for TopK {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        let axis = x.axis(self.axis)?;
        let extent = x.shape[axis].clone();
        let k = match self.k {
            Some(k) => Index::from(k),
            None => {
                let k = c.one(&c.input(1)?, "the k of TopK")?.cast(DType::I64);
                c.value("k", &k, extent.as_const())
            }
        };
        if let (Some(k), Some(extent)) = (k.as_const(), extent.as_const())
            && !(0..=extent).contains(&k)
        {
            return Err(Error::invalid(format!("TopK cannot choose {k} of {extent} elements")));
        }
        let rank = ranks(c, &x, axis, self.largest)?;
        let mut shape = x.shape.clone();
        shape[axis] = k;
        let (values, places) = (c.buffer(x.dtype, &shape), c.buffer(DType::I64, &shape));
        for (y, which) in [(&values, false), (&places, true)] {
            c.store_where(y, &x.shape, StoreMode::Set, |i| {
                let to = Index::at(rank.buffer, i.to_vec());
                let mut target = i.to_vec();
                target[axis] = to.clone();
                let value = if which { Expr::index(i[axis].clone()) } else { x.raw(i.to_vec()) };
                (vec![InRange::extent(to, shape[axis].clone())], target, value)
            });
        }
        c.output(0, values);
        c.output(1, places);
        Ok(())
    }
}

/// `a < b` in an order in which NaN is the largest.
pub(super) fn before(a: &Expr, b: &Expr) -> Expr {
    let less = a.lt(b);
    if a.dtype().is_float() { less | (!a.is_nan() & b.is_nan()) } else { less }
}

/// `a == b`, where NaN equals NaN.
pub(super) fn same(a: &Expr, b: &Expr) -> Expr {
    let equal = a.equals(b);
    if a.dtype().is_float() { equal | (a.is_nan() & b.is_nan()) } else { equal }
}
