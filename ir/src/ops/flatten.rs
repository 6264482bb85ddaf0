use super::OpDef;
use crate::compute::{Compute, normalize_axis};
use crate::onnx::OnnxNode;
use crate::{Index, Result};

/// A matrix whose rows are the axes before `axis`, and whose columns are the others (ONNX `Flatten`).
#[derive(Debug)]
pub struct Flatten {
    axis: i64,
}

impl Flatten {
    pub(super) fn parse(node: &OnnxNode) -> Result<Flatten> {
        Ok(Flatten { axis: node.int("axis", 1)? })
    }
}

impl OpDef for Flatten {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        let axis = if self.axis == x.rank() as i64 { x.rank() } else { normalize_axis(self.axis, x.rank())? };
        let (rows, columns) = x.shape.split_at(axis);
        let y = c.reshape(&x, &[Index::product(rows), Index::product(columns)]);
        c.output(0, y);
        Ok(())
    }
}
