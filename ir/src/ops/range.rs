use super::OpDef;
use crate::compute::{Compute, compute_type};
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::tile::Unary;
use crate::{DType, Error, Result};

/// `start + i * delta` while it is before `limit` (ONNX `Range`): `max(ceil((limit - start) / delta), 0)` elements.
///
/// 16-bit floats are computed in F32. Operands that are only known at run time give an extent that is, too.
#[derive(Debug)]
pub struct Range;

impl Range {
    pub(super) fn parse(_: &OnnxNode) -> Result<Range> {
        Ok(Range)
    }
}

impl OpDef for Range {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let operands = [c.input(0)?, c.input(1)?, c.input(2)?];
        let dtype = operands[0].dtype;
        if operands.iter().any(|t| t.dtype != dtype) || dtype == DType::Bool {
            return Err(Error::invalid("Range needs three scalars of one number type"));
        }
        let [start, limit, delta] = operands.each_ref().map(|t| c.one(t, "an operand of Range"));
        let (start, limit, delta) = (start?, limit?, delta?);
        let count = c.value("count", &count(&start, &limit, &delta), None);
        let y = c.map(dtype, &[count], |i| {
            let place = Expr::index(i[0].clone()).cast(compute_type(dtype));
            &start + &(place * delta)
        });
        c.output(0, y);
        Ok(())
    }
}

fn count(start: &Expr, limit: &Expr, delta: &Expr) -> Expr {
    let zero = Expr::int(DType::I64, 0);
    if start.dtype().is_float() {
        let wide = |x: &Expr| x.cast(DType::F64);
        let steps = (wide(limit) - wide(start)) / wide(delta);
        return zero.max(&steps.unary(Unary::Ceil).cast(DType::I64));
    }
    let [start, limit, delta] = [start, limit, delta].map(|x| x.cast(DType::I64));
    // Truncating division after adding `delta` less one rounds up; below 0 it may be off, but stays below 1.
    let one = zero.lt(&delta).select(&delta.like(1.0), &delta.like(-1.0));
    zero.max(&((limit - start + (&delta - &one)) / delta))
}
