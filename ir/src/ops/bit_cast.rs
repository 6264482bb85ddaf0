use super::OpDef;
use crate::compute::Compute;
use crate::onnx::OnnxNode;
use crate::{DType, Error, Result};

/// The same bits read as another type of equal width (ONNX `BitCast`).
#[derive(Debug)]
pub struct BitCast {
    to: DType,
}

impl BitCast {
    pub(super) fn parse(node: &OnnxNode) -> Result<BitCast> {
        Ok(BitCast { to: node.dtype("to", None)? })
    }
}

impl OpDef for BitCast {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        if x.dtype.bytes() != self.to.bytes() {
            return Err(Error::invalid(format!("BitCast from {} to {} changes the width", x.dtype, self.to)));
        }
        let y = if self.to == x.dtype { x } else { c.map(self.to, &x.shape, |i| x.raw(i.to_vec()).bitcast(self.to)) };
        c.output(0, y);
        Ok(())
    }
}
