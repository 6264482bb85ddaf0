use super::OpDef;
use crate::compute::Compute;
use crate::onnx::{Attribute, OnnxNode};
use crate::{DType, Error, Result, Scalar, Tensor};

/// A tensor given by an attribute (ONNX `Constant`): `value`, `value_float`, `value_floats`, `value_int` or `value_ints`.
#[derive(Debug)]
pub struct Constant {
    value: Tensor,
}

impl Constant {
    pub(super) fn parse(node: &OnnxNode) -> Result<Constant> {
        let value = match node.attributes.iter().next() {
            Some((_, Attribute::Tensor(tensor))) => tensor.clone(),
            Some((_, Attribute::Float(x))) => Tensor::from_f32s(vec![], &[*x])?,
            Some((_, Attribute::Floats(list))) => Tensor::from_f32s(vec![list.len()], list)?,
            Some((_, Attribute::Int(n))) => Tensor::from_scalars(DType::I64, vec![], &[Scalar::Int(*n)])?,
            Some((_, Attribute::Ints(list))) => Tensor::from_i64s(list),
            Some((name, _)) => return Err(Error::unsupported(format!("Constant with `{name}` is not supported"))),
            None => return Err(Error::invalid("Constant has no value")),
        };
        Ok(Constant { value })
    }
}

impl OpDef for Constant {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let y = c.constant(self.value.clone());
        c.output(0, y);
        Ok(())
    }
}
