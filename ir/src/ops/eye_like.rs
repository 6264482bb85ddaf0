use super::OpDef;
use crate::compute::Compute;
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::{DType, Error, Result};

/// A matrix of the shape of `x` with ones where `i + k == j` (ONNX `EyeLike`), of the type `dtype` or that of `x`.
#[derive(Debug)]
pub struct EyeLike {
    dtype: Option<DType>,
    k: i64,
}

impl EyeLike {
    pub(super) fn parse(node: &OnnxNode) -> Result<EyeLike> {
        let dtype = if node.has("dtype") { Some(node.dtype("dtype", None)?) } else { None };
        Ok(EyeLike { dtype, k: node.int("k", 0)? })
    }
}

impl OpDef for EyeLike {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        if x.rank() != 2 {
            return Err(Error::invalid("EyeLike needs a matrix"));
        }
        let y = c.map(self.dtype.unwrap_or(x.dtype), &x.shape, |i| {
            Expr::index(i[0].clone() + self.k).equals(&Expr::index(i[1].clone()))
        });
        c.output(0, y);
        Ok(())
    }
}
