//! Removes nodes that change nothing: conversions to the same type, reshapes to the same shape, pairs of transpositions.

use super::is;
use mlc_ir::graph::{Graph, NodeId, NodeKind, Value};
use mlc_ir::onnx::{Attribute, OnnxNode};
use mlc_ir::{Result, Scalar};

/// Replaces the uses of such nodes by what they pass on.
pub(super) fn simplify(graph: &mut Graph) -> Result<usize> {
    let mut changed = 0;
    for id in graph.order() {
        let NodeKind::Op(onnx, _) = &graph.node(id).kind else { continue };
        let onnx = onnx.clone();
        let output = Value { node: id, port: 0 };
        if let Some(same) = passes_on(graph, id, &onnx) {
            graph.replace(output, same);
            changed += 1;
        } else if let Some((source, perm)) = two_transpositions(graph, id, &onnx) {
            let name = graph.node(id).name.clone();
            let identity = perm.iter().copied().eq(0..perm.len() as i64);
            let value = match identity {
                true => source,
                false => graph.add(name, onnx.with("perm", Attribute::Ints(perm)), &[Some(source)])?[0],
            };
            graph.replace(output, value);
            changed += 1;
        }
    }
    graph.remove_dead();
    Ok(changed)
}

/// The input that a node's first output is.
fn passes_on(graph: &Graph, id: NodeId, onnx: &OnnxNode) -> Option<Value> {
    let inputs = graph.inputs_of(id);
    let first = (*inputs.first()?)?;
    let (from, to) = (graph.fact(first), &graph.node(id).outputs[0]);
    let same_shape = from.shape == to.shape && from.dtype == to.dtype;
    let named = |names: &[&str]| names.iter().any(|name| is(onnx, name));
    if named(&["Identity"]) || named(&["Dropout"]) && !trains(graph, id, onnx) {
        return Some(first);
    }
    let moves_nothing = named(&["Reshape", "Expand", "Flatten", "Squeeze", "Unsqueeze", "Cast", "CastLike"]);
    if moves_nothing && same_shape {
        return Some(first);
    }
    let alone = inputs.len() == 1 && named(&["Concat", "Sum", "Mean", "Max", "Min"]);
    if alone && same_shape {
        return Some(first);
    }
    let perm = permutation(graph, id, onnx)?;
    perm.iter().copied().eq(0..perm.len() as i64).then_some(first)
}

/// Whether a Dropout drops, or its mask is used.
fn trains(graph: &Graph, id: NodeId, onnx: &OnnxNode) -> bool {
    if graph.node(id).outputs.len() > 1 && graph.uses(Value { node: id, port: 1 }) > 0 {
        return true;
    }
    match graph.inputs_of(id).get(2).copied().flatten() {
        None => onnx.opset < 7 && onnx.int("is_test", 0).ok() != Some(1) && onnx.has("is_test"),
        Some(mode) => !graph.constant(mode).is_some_and(|t| t.len() == 1 && t.get(0) == Scalar::Int(0)),
    }
}

/// The permutation of a Transpose.
fn permutation(graph: &Graph, id: NodeId, onnx: &OnnxNode) -> Option<Vec<i64>> {
    if !is(onnx, "Transpose") {
        return None;
    }
    let rank = graph.node(id).outputs[0].shape.len() as i64;
    let perm = onnx.ints("perm").ok()?.unwrap_or_else(|| (0..rank).rev().collect());
    (perm.len() as i64 == rank && perm.iter().all(|p| (0..rank).contains(p))).then_some(perm)
}

/// What a Transpose of a Transpose reads in the end, and how it permutes that.
fn two_transpositions(graph: &Graph, id: NodeId, onnx: &OnnxNode) -> Option<(Value, Vec<i64>)> {
    let outer = permutation(graph, id, onnx)?;
    let middle = (*graph.inputs_of(id).first()?)?;
    let NodeKind::Op(inner, _) = &graph.node(middle.node).kind else { return None };
    let perm = permutation(graph, middle.node, inner)?;
    let source = (*graph.inputs_of(middle.node).first()?)?;
    Some((source, outer.iter().map(|&p| perm[p as usize]).collect()))
}
