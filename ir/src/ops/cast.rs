use super::OpDef;
use crate::compute::Compute;
use crate::onnx::OnnxNode;
use crate::{DType, Error, Result};

/// `y = x` converted to another type: the attribute `to` (ONNX `Cast`) or the type of input 1 (ONNX `CastLike`).
///
/// Floats round to nearest even and overflow to infinity; float to integer truncates and saturates; integer to integer
/// keeps the low bits; to `Bool` is `x != 0`, so that NaN is true.
#[derive(Debug)]
pub struct Cast {
    to: Option<DType>,
}

impl Cast {
    pub(super) fn parse(node: &OnnxNode) -> Result<Cast> {
        if node.op_type == "CastLike" {
            return Ok(Cast { to: None });
        }
        // Before opset 6 the type is given by name.
        let to = match node.string("to", "") {
            Ok(name) if !name.is_empty() => by_name(&name)?,
            _ => node.dtype("to", None)?,
        };
        Ok(Cast { to: Some(to) })
    }
}

fn by_name(name: &str) -> Result<DType> {
    let dtype = match name {
        "FLOAT" => DType::F32,
        "DOUBLE" => DType::F64,
        "FLOAT16" => DType::F16,
        "INT64" => DType::I64,
        "INT32" => DType::I32,
        "INT16" => DType::I16,
        "INT8" => DType::I8,
        "UINT64" => DType::U64,
        "UINT32" => DType::U32,
        "UINT16" => DType::U16,
        "UINT8" => DType::U8,
        "BOOL" => DType::Bool,
        _ => return Err(Error::unsupported(format!("element type {name} is not supported"))),
    };
    Ok(dtype)
}

impl OpDef for Cast {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        let to = match self.to {
            Some(to) => to,
            None => c.input(1)?.dtype,
        };
        let y = if to == x.dtype { x } else { c.map(to, &x.shape, |i| x.raw(i.to_vec())) };
        c.output(0, y);
        Ok(())
    }
}
