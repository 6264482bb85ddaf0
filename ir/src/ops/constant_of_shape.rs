use super::OpDef;
use crate::compute::Compute;
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::{DType, Error, Result, Scalar};

/// A tensor of one value (ONNX `ConstantOfShape`); F32 zero by default. An empty shape gives a scalar.
#[derive(Debug)]
pub struct ConstantOfShape {
    dtype: DType,
    value: Scalar,
}

impl ConstantOfShape {
    pub(super) fn parse(node: &OnnxNode) -> Result<ConstantOfShape> {
        match node.tensor("value")? {
            None => Ok(ConstantOfShape { dtype: DType::F32, value: Scalar::Float(0.0) }),
            Some(tensor) if tensor.len() == 1 => Ok(ConstantOfShape { dtype: tensor.dtype(), value: tensor.get(0) }),
            Some(_) => Err(Error::invalid("the value of ConstantOfShape must have one element")),
        }
    }
}

impl OpDef for ConstantOfShape {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let shape = c.input(0)?;
        let shape = c.extents(&shape, "the shape given to ConstantOfShape")?;
        let y = c.map(self.dtype, &shape, |_| Expr::constant(self.dtype, self.value));
        c.output(0, y);
        Ok(())
    }
}
