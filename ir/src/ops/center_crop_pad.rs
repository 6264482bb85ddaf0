use super::OpDef;
use super::pad::constant;
use crate::compute::Compute;
use crate::onnx::OnnxNode;
use crate::{Error, Index, Result};

/// Crops or pads with zeros around the center to the given extents (ONNX `CenterCropPad`), on all axes or those of the
/// attribute `axes`. Of an odd difference the larger half is at the end.
#[derive(Debug)]
pub struct CenterCropPad {
    axes: Option<Vec<i64>>,
}

impl CenterCropPad {
    pub(super) fn parse(node: &OnnxNode) -> Result<CenterCropPad> {
        Ok(CenterCropPad { axes: node.ints("axes")? })
    }
}

impl OpDef for CenterCropPad {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (x, shape) = (c.input(0)?, c.input(1)?);
        let shape = c.dims(&shape, "the shape given to CenterCropPad")?;
        let axes = self.axes.clone().unwrap_or_else(|| (0..x.rank() as i64).collect());
        if axes.len() != shape.len() {
            return Err(Error::invalid(format!("CenterCropPad has {} extents for {} axes", shape.len(), axes.len())));
        }
        let (facts, zero, two) = (c.facts().clone(), Index::zero(), Index::from(2));
        let mut pads = vec![(zero.clone(), zero.clone()); x.rank()];
        for (&axis, want) in axes.iter().zip(&shape) {
            let axis = x.axis(axis)?;
            let more = want.clone() - x.shape[axis].clone();
            // Half of what is added, less half of what is cropped, both rounded down.
            let (added, cropped) = (facts.max(&zero, &more), facts.max(&zero, &-more.clone()));
            let low = facts.div(&added, &two) - facts.div(&cropped, &two);
            pads[axis] = (low.clone(), more - low);
        }
        let y = constant(c, &x, &pads, |x| x.like(0.0));
        c.output(0, y);
        Ok(())
    }
}
