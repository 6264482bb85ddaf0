use super::OpDef;
use super::slice::part;
use crate::compute::{Compute, T};
use crate::onnx::OnnxNode;
use crate::{Error, Index, Result};

/// Cuts a tensor into parts along `axis` (ONNX `Split`).
///
/// The extents are given (an attribute before opset 13, then an input), or the parts are equal; if the extent does not
/// divide, the last part is smaller, maybe empty.
#[derive(Debug)]
pub struct Split {
    axis: i64,
    extents: Option<Vec<i64>>,
    outputs: i64,
}

impl Split {
    pub(super) fn parse(node: &OnnxNode) -> Result<Split> {
        let outputs = node.int("num_outputs", node.outputs as i64)?;
        if outputs < 1 || outputs != node.outputs as i64 {
            return Err(Error::invalid(format!("Split has {} outputs, and num_outputs is {outputs}", node.outputs)));
        }
        Ok(Split { axis: node.int("axis", 0)?, extents: node.ints("split")?, outputs })
    }

    fn extents(&self, c: &Compute, extent: &Index) -> Result<Vec<Index>> {
        if let Some(t) = c.optional(1) {
            return c.dims(&t, "the extents given to Split");
        }
        if let Some(extents) = &self.extents {
            return Ok(extents.iter().map(|&n| n.into()).collect());
        }
        let (facts, each) = (c.facts(), extent.ceil_div(&self.outputs.into()));
        let left = |place: i64| extent.clone() - each.clone() * place;
        Ok((0..self.outputs).map(|place| facts.max(&Index::zero(), &facts.min(&each, &left(place)))).collect())
    }
}

impl OpDef for Split {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        let axis = x.axis(self.axis)?;
        let extents = self.extents(c, &x.shape[axis])?;
        if extents.iter().any(|extent| extent.as_const().is_some_and(|n| n < 0)) {
            return Err(Error::invalid("an extent given to Split is negative"));
        }
        let total = extents.iter().fold(Index::zero(), |sum, extent| sum + extent.clone());
        if let (Some(have), Some(want)) = (x.shape[axis].as_const(), total.as_const())
            && have != want
        {
            return Err(Error::invalid(format!("the parts of Split have {want} elements, the axis {have}")));
        }
        let mut start = Index::zero();
        for (place, extent) in extents.into_iter().enumerate() {
            let y: T = part(c, &x, axis, start.clone(), extent.clone());
            c.output(place, y);
            start = start + extent;
        }
        Ok(())
    }
}
