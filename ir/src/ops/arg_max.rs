use super::OpDef;
use crate::compute::{Compute, T, compute_type};
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::tile::Monoid;
use crate::{DType, Error, Index, Result};

/// The place of the largest (ONNX `ArgMax`) or smallest (`ArgMin`) element along `axis`, as I64.
///
/// Of equal elements it is the first, or with `select_last_index` the last. NaN counts as the extreme.
#[derive(Debug)]
pub struct ArgMax {
    min: bool,
    axis: i64,
    keep: bool,
    last: bool,
}

impl ArgMax {
    pub(super) fn parse(node: &OnnxNode) -> Result<ArgMax> {
        let (keep, last) = (node.flag("keepdims", true)?, node.flag("select_last_index", false)?);
        Ok(ArgMax { min: node.op_type == "ArgMin", axis: node.int("axis", 0)?, keep, last })
    }
}

impl OpDef for ArgMax {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        if x.dtype == DType::Bool {
            return Err(Error::invalid("ArgMax and ArgMin do not take Bool"));
        }
        let axis = x.axis(self.axis)?;
        let monoid = if self.min { Monoid::Min } else { Monoid::Max };
        let place = arg_extreme(c, &x, axis, monoid, self.last);
        let y = if self.keep {
            place
        } else {
            let shape = [&x.shape[..axis], &x.shape[axis + 1..]].concat();
            c.gather(&place, &shape, |_, i| [&i[..axis], &[Index::zero()], &i[axis..]].concat())
        };
        c.output(0, y);
        Ok(())
    }
}

/// The place of the extreme along an axis, which stays with extent 1: the first place of an element equal to it.
pub(super) fn arg_extreme(c: &mut Compute, x: &T, axis: usize, monoid: Monoid, last: bool) -> T {
    let extreme = c.fold(monoid, compute_type(x.dtype), x, &[axis], |x| x);
    let (choice, none) = if last { (Monoid::Max, Index::from(-1)) } else { (Monoid::Min, x.shape[axis].clone()) };
    c.fold_at(choice, DType::I64, &x.shape, &[axis], |i| {
        let element = x.at(i.to_vec());
        let mut hit = element.equals(&extreme.broadcast(i));
        if x.dtype.is_float() {
            hit = hit | element.is_nan();
        }
        hit.select(&Expr::index(i[axis].clone()), &Expr::index(none))
    })
}
