use super::OpDef;
use crate::compute::Compute;
use crate::onnx::OnnxNode;
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
        let one = |b: &crate::compute::T| b.size().as_const().is_none_or(|n| n == 1);
        if !bounds.iter().flatten().all(one) {
            return Err(Error::invalid("a bound of Clip has more than one element"));
        }
        let y = c.map(x.dtype, &x.shape, |i| {
            let x = x.at(i.to_vec());
            let bound = |place: usize, attribute: Option<f32>| match &bounds[place] {
                Some(t) => Some(t.at(vec![crate::Index::zero(); t.rank()])),
                None => attribute.map(|number| x.like(number.into())),
            };
            // A NaN in the second operand of `max` and `min` comes through.
            let above = bound(0, self.low).map_or_else(|| x.clone(), |low| low.max(&x));
            bound(1, self.high).map_or_else(|| above.clone(), |high| high.min(&above))
        });
        c.output(0, y);
        Ok(())
    }
}
