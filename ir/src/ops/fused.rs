use super::OpDef;
use super::conv::Conv;
use super::gemm::Gemm;
use super::named_activation::Activation;
use super::pool::MaxPool;
use super::qlinear::{channels_first, channels_last};
use crate::compute::Compute;
use crate::onnx::OnnxNode;
use crate::{Error, Result};
use std::sync::Arc;

/// An operator followed by an activation (ONNX Runtime `FusedConv`, `FusedGemm`), or on tensors whose channels come last
/// (`NhwcConv`, `NhwcFusedConv`, `NhwcMaxPool`).
///
/// Input 3 of a convolution is added before the activation.
#[derive(Debug)]
pub struct Fused {
    inner: Arc<dyn OpDef>,
    /// How many inputs the operator itself has.
    inputs: usize,
    channels_last: bool,
    activation: Activation,
}

impl Fused {
    pub(super) fn parse(node: &OnnxNode) -> Result<Fused> {
        let (inner, inputs): (Arc<dyn OpDef>, usize) = match node.op_type.as_str() {
            "FusedGemm" => (Arc::new(Gemm::parse(node)?), 3),
            "NhwcMaxPool" => (Arc::new(MaxPool::parse(node)?), 1),
            _ => (Arc::new(Conv::parse(node)?), 3),
        };
        let listed = node.floats("activation_params")?.unwrap_or_default();
        let alpha = node.optional_float("activation_alpha")?.or(listed.first().copied());
        let beta = node.optional_float("activation_beta")?.or(listed.get(1).copied());
        let activation = Activation::new(&node.string("activation", "")?, alpha, beta)?;
        Ok(Fused { inner, inputs, channels_last: node.op_type.starts_with("Nhwc"), activation })
    }
}

impl OpDef for Fused {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let mut inputs: Vec<_> = (0..self.inputs.min(c.input_count())).map(|place| c.optional(place)).collect();
        let mut added = c.optional(self.inputs);
        if self.channels_last {
            let x = c.input(0)?;
            inputs[0] = Some(channels_first(c, &x)?);
            added = added.map(|added| channels_first(c, &added)).transpose()?;
        }
        let built = c.delegate(&*self.inner, inputs)?.into_iter().next().flatten();
        let y = built.ok_or_else(|| Error::internal("a fused operator has no result"))?;
        for added in added.iter() {
            c.demand(added, "the summand", &y.shape)?;
        }
        let y = c.map(y.dtype, &y.shape, |i| {
            let sum = added.iter().fold(y.at(i.to_vec()), |y, added| y + added.at(i.to_vec()));
            self.activation.of(&sum)
        });
        let y = if self.channels_last { channels_last(c, &y) } else { y };
        c.output(0, y);
        Ok(())
    }
}
