use super::OpDef;
use crate::compute::Compute;
use crate::onnx::OnnxNode;
use crate::program::{Expr, Known};
use crate::{DType, Result};

/// The number of elements of `x`, as an I64 scalar (ONNX `Size`); known while building.
#[derive(Debug)]
pub struct Size;

impl Size {
    pub(super) fn parse(_: &OnnxNode) -> Result<Size> {
        Ok(Size)
    }
}

impl OpDef for Size {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let size = c.input(0)?.size();
        let y = c.map(DType::I64, &[], |_| Expr::index(size.clone()));
        let y = c.with_known(y, Some(vec![Known::Index(size)]));
        c.output(0, y);
        Ok(())
    }
}
