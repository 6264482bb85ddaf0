use super::OpDef;
use super::qlinear::{along, channels_first, channels_last};
use super::quantize::{centered, quantized};
use crate::compute::{Compute, T};
use crate::onnx::OnnxNode;
use crate::{DType, Error, Result};
use std::sync::Arc;

/// An operator on quantized tensors (ONNX Runtime `QLinearAdd`, `QLinearMul`, `QLinearWhere`, `QLinearConcat`,
/// `QLinearSigmoid`, `QLinearLeakyRelu`, `QLinearSoftmax`, `QLinearAveragePool`, `QLinearGlobalAveragePool`,
/// `QLinearReduceMean`): operands are dequantized, the result is quantized.
#[derive(Debug)]
pub struct QLinear {
    inner: Arc<dyn OpDef>,
    layout: Layout,
    channels_last: bool,
}

/// What the inputs are. An operand is a tensor, its scale and its zero point.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Layout {
    /// So many operands, then scale and zero point of the result.
    Operands(usize),
    /// A condition, two operands, then the result's.
    Where,
    /// The result's, then operands.
    ResultFirst,
}

impl QLinear {
    pub(super) fn parse(node: &OnnxNode) -> Result<QLinear> {
        let name = node.op_type.trim_start_matches("QLinear");
        let layout = match name {
            "Add" | "Mul" => Layout::Operands(2),
            "Where" => Layout::Where,
            "Concat" => Layout::ResultFirst,
            _ => Layout::Operands(1),
        };
        let opset = match name {
            // The version whose rules of flattening hold.
            "Softmax" => node.int("opset", 13)?,
            // Axes are an attribute.
            "ReduceMean" => 13,
            _ => i64::MAX,
        };
        let plain = OnnxNode { op_type: name.into(), domain: String::new(), opset, ..node.clone() };
        Ok(QLinear { inner: super::parse(&plain)?, layout, channels_last: node.flag("channels_last", false)? })
    }
}

/// `(x - zero_point) * scale` for parameters that are scalars.
pub(super) fn dequantized(c: &mut Compute, x: &T, scale: &T, zero: Option<&T>) -> T {
    c.map(DType::F32, &x.shape, |i| {
        let zero = zero.map(|zero| along(zero, 0, i));
        centered(&x.at(i.to_vec()), zero).cast(DType::F32) * along(scale, 0, i).cast(DType::F32)
    })
}

impl OpDef for QLinear {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (mut inputs, mut operands, result) = match self.layout {
            Layout::Operands(count) => (vec![], (0..count).map(|k| 3 * k).collect::<Vec<_>>(), 3 * count),
            Layout::Where => (vec![c.optional(0)], vec![1, 4], 7),
            Layout::ResultFirst => (vec![], (2..c.input_count()).step_by(3).collect(), 0),
        };
        for place in operands.drain(..) {
            let (x, scale, zero) = (c.input(place)?, c.input(place + 1)?, c.optional(place + 2));
            if !scale.size().is(1) || zero.as_ref().is_some_and(|zero| !zero.size().is(1)) {
                return Err(Error::unsupported("a scale or zero point that is no scalar is not supported here"));
            }
            let mut t = dequantized(c, &x, &scale, zero.as_ref());
            if self.channels_last {
                t = channels_first(c, &t)?;
            }
            inputs.push(Some(t));
        }
        let (scale, zero) = (c.input(result)?, c.optional(result + 1));
        let first =
            c.input(if self.layout == Layout::ResultFirst { 2 } else { usize::from(self.layout == Layout::Where) })?;
        let dtype = zero.as_ref().map_or(first.dtype, |zero| zero.dtype);
        let built = c.delegate(&*self.inner, inputs)?.into_iter().next().flatten();
        let y = built.ok_or_else(|| Error::internal("a quantized operator has no result"))?;
        let y = c.map(dtype, &y.shape, |i| {
            let zero = zero.as_ref().map(|zero| along(zero, 0, i));
            quantized(&y.at(i.to_vec()), &along(&scale, 0, i).cast(DType::F32), zero, dtype)
        });
        let y = if self.channels_last { channels_last(c, &y) } else { y };
        c.output(0, y);
        Ok(())
    }
}
