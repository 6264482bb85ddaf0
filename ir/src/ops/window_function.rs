use super::OpDef;
use crate::compute::Compute;
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::tile::Math;
use crate::{DType, Index, Result};
use std::f64::consts::TAU;

/// Windows of a given size (ONNX `HannWindow`, `HammingWindow`, `BlackmanWindow`): a sum of cosines of `2 pi i / size`, or of
/// `2 pi i / (size - 1)` if `periodic` is 0. Hamming uses 25/46, not 0.54.
#[derive(Debug)]
pub struct WindowFunction {
    /// Of the cosines of 0, 1 and 2 times the angle.
    coefficients: [f64; 3],
    periodic: bool,
    dtype: DType,
}

impl WindowFunction {
    pub(super) fn parse(node: &OnnxNode) -> Result<WindowFunction> {
        let coefficients = match node.op_type.as_str() {
            "HannWindow" => [0.5, -0.5, 0.0],
            "HammingWindow" => [25.0 / 46.0, -21.0 / 46.0, 0.0],
            _ => [0.42, -0.5, 0.08],
        };
        let dtype = node.dtype("output_datatype", Some(DType::F32))?;
        Ok(WindowFunction { coefficients, periodic: node.flag("periodic", true)?, dtype })
    }
}

impl OpDef for WindowFunction {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let size = c.input(0)?;
        let size = c.one(&size, "the size of a window")?.cast(DType::I64);
        let size = c.value("size", &size, None);
        let y = c.map(self.dtype, &[size.clone()], |i| {
            let wide = |index: Index| Expr::index(index).cast(DType::F64);
            let angle = wide(i[0].clone()) * TAU / wide(if self.periodic { size } else { size - 1 });
            let cosine = |times: f64| (angle.clone() * times).math(Math::Cos);
            let [constant, first, second] = self.coefficients;
            let y = cosine(1.0) * first + constant;
            if second == 0.0 { y } else { y + cosine(2.0) * second }
        });
        c.output(0, y);
        Ok(())
    }
}
