//! Shares nodes that compute the same: one operator with equal attributes and inputs, or equal small constants.

use super::is_random;
use mlc_ir::graph::{Graph, NodeId, NodeKind, Value};
use mlc_ir::{DType, Result};
use std::collections::HashMap;

/// Constants up to so many bytes are compared.
const CONSTANT_BYTES: usize = 1 << 16;

#[derive(PartialEq, Eq, Hash)]
enum Key {
    Op(String, String, i64, Vec<Option<Value>>),
    Constant(DType, Vec<usize>, Vec<u8>),
}

/// Makes the uses of every repeated node uses of the first.
pub(super) fn share(graph: &mut Graph) -> Result<usize> {
    let mut first: HashMap<Key, Vec<NodeId>> = HashMap::new();
    let mut changed = 0;
    for id in graph.order() {
        let Some(key) = key(graph, id) else { continue };
        let candidates = first.entry(key).or_default();
        match candidates.iter().find(|other| same(graph, id, **other)) {
            Some(&other) => {
                for port in 0..graph.node(id).outputs.len() as u32 {
                    graph.replace(Value { node: id, port }, Value { node: other, port });
                }
                changed += 1;
            }
            None => candidates.push(id),
        }
    }
    graph.remove_dead();
    Ok(changed)
}

fn key(graph: &Graph, id: NodeId) -> Option<Key> {
    match &graph.node(id).kind {
        NodeKind::Op(onnx, _) if !is_random(onnx) => {
            Some(Key::Op(onnx.domain.clone(), onnx.op_type.clone(), onnx.opset, graph.inputs_of(id)))
        }
        NodeKind::Constant(tensor) if tensor.bytes().len() <= CONSTANT_BYTES => {
            Some(Key::Constant(tensor.dtype(), tensor.shape().to_vec(), tensor.bytes().to_vec()))
        }
        _ => None,
    }
}

fn same(graph: &Graph, a: NodeId, b: NodeId) -> bool {
    match (&graph.node(a).kind, &graph.node(b).kind) {
        (NodeKind::Op(a, _), NodeKind::Op(b, _)) => a == b,
        _ => true,
    }
}
