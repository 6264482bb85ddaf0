use super::OpDef;
use crate::compute::Compute;
use crate::onnx::OnnxNode;
use crate::{DType, Error, Result, Scalar, Tensor};

/// Whether there is a tensor (ONNX `OptionalHasElement`), which is known while building: an absent input has none.
#[derive(Debug)]
pub struct OptionalHasElement;

impl OptionalHasElement {
    pub(super) fn parse(_: &OnnxNode) -> Result<OptionalHasElement> {
        Ok(OptionalHasElement)
    }
}

impl OpDef for OptionalHasElement {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let has = i64::from(c.optional(0).is_some());
        let y = c.constant(Tensor::from_scalars(DType::Bool, vec![], &[Scalar::Int(has)])?);
        c.output(0, y);
        Ok(())
    }
}

/// The tensor that an optional holds (ONNX `OptionalGetElement`): another name for it.
#[derive(Debug)]
pub struct OptionalGetElement;

impl OptionalGetElement {
    pub(super) fn parse(_: &OnnxNode) -> Result<OptionalGetElement> {
        Ok(OptionalGetElement)
    }
}

impl OpDef for OptionalGetElement {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.optional(0).ok_or_else(|| Error::invalid("OptionalGetElement of an optional without an element"))?;
        c.output(0, x);
        Ok(())
    }
}
