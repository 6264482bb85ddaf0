use super::OpDef;
use crate::compute::Compute;
use crate::onnx::OnnxNode;
use crate::{Error, Result};

/// `y[i] = x[i, but indices[i] on axis]` (ONNX `GatherElements`). The result has the shape of `indices`, which may be
/// smaller than that of `x`. Negative indices count from the end.
#[derive(Debug)]
pub struct GatherElements {
    axis: i64,
}

impl GatherElements {
    pub(super) fn parse(node: &OnnxNode) -> Result<GatherElements> {
        Ok(GatherElements { axis: node.int("axis", 0)? })
    }
}

impl OpDef for GatherElements {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (x, indices) = (c.input(0)?, c.input(1)?);
        let axis = x.axis(self.axis)?;
        if indices.rank() != x.rank() || !indices.dtype.is_int() {
            return Err(Error::invalid("the indices of GatherElements must be integers of the rank of the data"));
        }
        let y = c.gather(&x, &indices.shape, |c, i| {
            let mut index = i.to_vec();
            index[axis] = c.lookup(&indices, i.to_vec(), &x.shape[axis]);
            index
        });
        c.output(0, y);
        Ok(())
    }
}
