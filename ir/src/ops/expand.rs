use super::OpDef;
use crate::Result;
use crate::compute::Compute;
use crate::onnx::OnnxNode;

/// Broadcasts `x` against a shape (ONNX `Expand`): a 1 in the shape keeps the dim of `x`, whose rank may be larger.
#[derive(Debug)]
pub struct Expand;

impl Expand {
    pub(super) fn parse(_: &OnnxNode) -> Result<Expand> {
        Ok(Expand)
    }
}

impl OpDef for Expand {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (x, shape) = (c.input(0)?, c.input(1)?);
        let shape = c.extents(&shape, "the shape given to Expand")?;
        let shape = c.broadcast_shape(&[&x.shape, &shape])?;
        let y = if shape == x.shape { x } else { c.gather(&x, &shape, |_, i| x.broadcast_index(i)) };
        c.output(0, y);
        Ok(())
    }
}
