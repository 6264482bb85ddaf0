use super::OpDef;
use crate::Result;
use crate::compute::Compute;
use crate::onnx::OnnxNode;

/// `y = x` (ONNX `Identity`): another name for the same tensor.
#[derive(Debug)]
pub struct Identity;

impl Identity {
    pub(super) fn parse(_: &OnnxNode) -> Result<Identity> {
        Ok(Identity)
    }
}

impl OpDef for Identity {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        c.output(0, x);
        Ok(())
    }
}
