use super::OpDef;
use super::normalize::{inverse_rms, statistics};
use crate::compute::{Compute, T, compute_type};
use crate::onnx::OnnxNode;
use crate::{DType, Result};

/// `y = (x - mean) / sqrt(variance + epsilon) * scale + bias` over the axes from `axis` on (ONNX `LayerNormalization`).
///
/// Statistics are computed in F32 and in two passes. Outputs 1 and 2 are the mean and the inverse deviation.
#[derive(Debug)]
pub struct LayerNormalization {
    axis: i64,
    epsilon: f64,
}

impl LayerNormalization {
    pub(super) fn parse(node: &OnnxNode) -> Result<LayerNormalization> {
        Ok(LayerNormalization { axis: node.int("axis", -1)?, epsilon: node.float("epsilon", 1e-5)?.into() })
    }
}

impl OpDef for LayerNormalization {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (x, scale, bias) = (c.input(0)?, c.input(1)?, c.optional(2));
        let axis = x.axis(self.axis)?;
        let (y, mean, inverse) = layer_normalization(c, &x, &scale, bias.as_ref(), axis, self.epsilon);
        c.output(0, y);
        c.output(1, mean);
        c.output(2, inverse);
        Ok(())
    }
}

/// The result, the mean and the inverse deviation.
pub(super) fn layer_normalization(
    c: &mut Compute,
    x: &T,
    scale: &T,
    bias: Option<&T>,
    axis: usize,
    epsilon: f64,
) -> (T, T, T) {
    let axes: Vec<usize> = (axis..x.rank()).collect();
    let wide = compute_type(x.dtype);
    let (mean, inverse) = statistics(c, x, &axes, wide, epsilon);
    // The normalized value is rounded to the type of `x` before it is scaled.
    let y = c.map(x.dtype, &x.shape, |i| {
        let normal = ((x.at(i.to_vec()) - mean.broadcast(i)) * inverse.broadcast(i)).cast(x.dtype).cast(wide);
        let scaled = normal * scale.broadcast(i).cast(wide);
        bias.iter().fold(scaled, |y, bias| y + bias.broadcast(i).cast(wide))
    });
    (y, mean, inverse)
}

/// `y = x / sqrt(mean(x * x) + epsilon) * scale` over the axes from `axis` on (ONNX `RMSNormalization`, and
/// `SimplifiedLayerNormalization` of ONNX Runtime).
///
/// The mean is computed in F32; the result has the type of `scale`.
#[derive(Debug)]
pub struct RmsNormalization {
    axis: i64,
    epsilon: f64,
}

impl RmsNormalization {
    pub(super) fn parse(node: &OnnxNode) -> Result<RmsNormalization> {
        Ok(RmsNormalization { axis: node.int("axis", -1)?, epsilon: node.float("epsilon", 1e-5)?.into() })
    }
}

impl OpDef for RmsNormalization {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (x, scale) = (c.input(0)?, c.input(1)?);
        let axis = x.axis(self.axis)?;
        let (y, inverse) = rms_normalization(c, &x, &scale, axis, self.epsilon);
        c.output(0, y);
        c.output(1, inverse);
        Ok(())
    }
}

/// The result and the inverse root of the mean square.
pub(super) fn rms_normalization(c: &mut Compute, x: &T, scale: &T, axis: usize, epsilon: f64) -> (T, T) {
    let axes: Vec<usize> = (axis..x.rank()).collect();
    let wide = if x.dtype == DType::F64 { DType::F64 } else { DType::F32 };
    let inverse = inverse_rms(c, x, &axes, wide, epsilon);
    let y = c.map(scale.dtype, &x.shape, |i| {
        let normal = (x.at(i.to_vec()).cast(wide) * inverse.broadcast(i)).cast(scale.dtype);
        let scale = scale.broadcast(i);
        normal.cast(scale.dtype()) * scale
    });
    (y, inverse)
}
