//! Merges a normalization by constant statistics into the weights before it.
//!
//! `(conv(x, w) + b - mean) * s + bias` is `conv(x, s*w) + (b - mean)*s + bias`, with `s = scale / sqrt(var + epsilon)`.
//! Also for ConvTranspose without groups, and for Gemm.

use super::{floats, is};
use mlc_ir::graph::{Graph, NodeId, NodeKind, Value};
use mlc_ir::onnx::OnnxNode;
use mlc_ir::{Result, Scalar, Tensor};

/// Replaces every BatchNormalization that can be.
pub(super) fn merge(graph: &mut Graph) -> Result<usize> {
    let mut changed = 0;
    for id in graph.order() {
        let Some(merged) = merged(graph, id) else { continue };
        let name = graph.node(merged.product).name.clone();
        let weights = graph.add_constant(format!("{name}.weights"), merged.weights);
        let bias = graph.add_constant(format!("{name}.bias"), merged.bias);
        let mut inputs = graph.inputs_of(merged.product);
        inputs.resize(3, None);
        (inputs[1], inputs[2]) = (Some(weights), Some(bias));
        let value = graph.add(name, merged.onnx, &inputs)?[0];
        graph.replace(Value { node: id, port: 0 }, value);
        changed += 1;
    }
    graph.remove_dead();
    Ok(changed)
}

/// What replaces a product and the normalization after it.
struct Merged {
    product: NodeId,
    onnx: OnnxNode,
    weights: Tensor,
    bias: Tensor,
}

fn merged(graph: &Graph, id: NodeId) -> Option<Merged> {
    let NodeKind::Op(norm, _) = &graph.node(id).kind else { return None };
    if !is(norm, "BatchNormalization") || norm.flag("training_mode", false).ok()? || graph.node(id).outputs.len() > 1 {
        return None;
    }
    let inputs = graph.inputs_of(id);
    let product = (*inputs.first()?)?;
    let NodeKind::Op(onnx, _) = &graph.node(product.node).kind else { return None };
    if graph.uses(product) > 1 {
        return None;
    }
    let numbers = |value: Option<&Option<Value>>| floats(graph.constant((*value?)?)?);
    let [scale, shift, mean, variance] = [1, 2, 3, 4].map(|place| numbers(inputs.get(place)));
    let (scale, shift, mean, variance) = (scale?, shift?, mean?, variance?);
    let epsilon = f64::from(norm.float("epsilon", 1e-5).ok()?);
    let factors: Vec<f64> = scale.iter().zip(&variance).map(|(s, v)| s / (v + epsilon).sqrt()).collect();
    let operands = graph.inputs_of(product.node);
    let weights = graph.constant((*operands.get(1)?)?)?;
    let axis = channel_axis(onnx, weights)?;
    if weights.shape()[axis] != factors.len() || shift.len() != factors.len() || mean.len() != factors.len() {
        return None;
    }
    let before = match operands.get(2).copied().flatten() {
        None => vec![0.0; factors.len()],
        // A column of biases would be one a row.
        Some(bias) if !matches!(graph.constant(bias)?.shape(), [.., a, 1] if *a > 1) => floats(graph.constant(bias)?)?,
        Some(_) => return None,
    };
    let before = if before.len() == 1 { vec![before[0]; factors.len()] } else { before };
    if before.len() != factors.len() {
        return None;
    }
    let bias: Vec<Scalar> =
        (0..factors.len()).map(|m| Scalar::Float((before[m] - mean[m]) * factors[m] + shift[m])).collect();
    let bias = Tensor::from_scalars(weights.dtype(), vec![factors.len()], &bias).ok()?;
    Some(Merged { product: product.node, onnx: onnx.clone(), weights: scaled(weights, axis, &factors)?, bias })
}

/// The axis of the weights that is the channel of the result.
fn channel_axis(onnx: &OnnxNode, weights: &Tensor) -> Option<usize> {
    if !weights.dtype().is_float() {
        return None;
    }
    let one = |name: &str| onnx.float(name, 1.0).ok() == Some(1.0);
    match onnx.op_type.as_str() {
        _ if !onnx.domain.is_empty() && onnx.domain != "ai.onnx" => None,
        "Conv" => Some(0),
        "ConvTranspose" if onnx.int("group", 1).ok()? == 1 => Some(1),
        "Gemm" if one("alpha") && one("beta") && weights.shape().len() == 2 => {
            Some(usize::from(!onnx.flag("transB", false).ok()?))
        }
        _ => None,
    }
}

/// The weights with everything at place `m` of an axis times `factors[m]`.
fn scaled(weights: &Tensor, axis: usize, factors: &[f64]) -> Option<Tensor> {
    let stride: usize = weights.shape()[axis + 1..].iter().product();
    let scale = |(place, scalar): (usize, Scalar)| {
        Scalar::Float(scalar.float() * factors[place / stride.max(1) % factors.len()])
    };
    let scalars: Vec<Scalar> = weights.scalars().enumerate().map(scale).collect();
    Tensor::from_scalars(weights.dtype(), weights.shape().to_vec(), &scalars).ok()
}
