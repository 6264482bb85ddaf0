use super::OpDef;
use crate::compute::{Compute, T, compute_type};
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::{DType, Error, Result};

/// `y = min(max(x, low), high)` (ONNX `Clip`). Each bound may be absent; if they cross, `high` wins. NaN stays.
///
/// Before opset 11 the bounds are attributes, then scalar inputs.
#[derive(Debug)]
pub struct Clip {
    low: Option<f32>,
    high: Option<f32>,
}

impl Clip {
    pub(super) fn parse(node: &OnnxNode) -> Result<Clip> {
        Ok(Clip { low: node.optional_float("min")?, high: node.optional_float("max")? })
    }
}

impl OpDef for Clip {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        let bounds = [c.optional(1), c.optional(2)];
        if x.dtype == DType::Bool || bounds.iter().flatten().any(|b| b.dtype != x.dtype) {
            return Err(Error::invalid("Clip needs numbers and bounds of their type"));
        }
        let bound = |t: &Option<T>, attribute: Option<f32>| match t {
            Some(t) => c.one(t, "a bound of Clip").map(Some),
            None => Ok(attribute.map(|number| Expr::float(compute_type(x.dtype), number.into()))),
        };
        let (low, high) = (bound(&bounds[0], self.low)?, bound(&bounds[1], self.high)?);
        let y = c.map(x.dtype, &x.shape, |i| {
            // A NaN in the second operand of `max` and `min` comes through.
            let x = x.at(i.to_vec());
            let above = low.map_or_else(|| x.clone(), |low| low.max(&x));
            high.map_or_else(|| above.clone(), |high| high.min(&above))
        });
        c.output(0, y);
        Ok(())
    }
}
