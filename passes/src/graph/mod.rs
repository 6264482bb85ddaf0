//! Passes over the graph: what can be said of operators is said before they become kernels.
//!
//! In: a graph as the model states it.  Out: the same function, with fewer nodes.
//! Invariant: inputs and results keep their names, types and order.

mod cse;
mod dce;
mod fold;
mod merge;
mod simplify;

use mlc_ir::graph::{Graph, NodeKind, Value};
use mlc_ir::onnx::{Attribute, OnnxNode};
use mlc_ir::{Result, Tensor};

/// A pass: its name, and what it does; returns how many nodes it changed.
pub type Pass = (&'static str, fn(&mut Graph) -> Result<usize>);

/// All passes, in order.
pub const PIPELINE: &[Pass] = &[
    ("bodies", bodies),
    ("simplify", simplify::simplify),
    ("fold", fold::fold),
    ("merge", merge::merge),
    ("cse", cse::share),
    ("dce", dce::remove),
];

/// Runs the passes on the graphs inside of nodes: branches and loop bodies.
fn bodies(graph: &mut Graph) -> Result<usize> {
    let mut changed = 0;
    for id in graph.order() {
        let node = graph.node(id);
        let NodeKind::Op(onnx, _) = &node.kind else { continue };
        let (name, mut onnx) = (node.name.clone(), onnx.clone());
        let mut inside = 0;
        for attribute in onnx.attributes.values_mut() {
            if let Attribute::Graph(body) = attribute {
                for (_, pass) in PIPELINE {
                    inside += pass(body)?;
                }
            }
        }
        if inside == 0 {
            continue;
        }
        let inputs = graph.inputs_of(id);
        let outputs = graph.add(name, onnx, &inputs)?;
        for value in outputs {
            graph.replace(Value { node: id, port: value.port }, value);
        }
        changed += inside;
    }
    graph.remove_dead();
    Ok(changed)
}

/// Whether a node of `ai.onnx` has a name.
fn is(node: &OnnxNode, op: &str) -> bool {
    node.op_type == op && (node.domain.is_empty() || node.domain == "ai.onnx")
}

/// Whether equal inputs may give different outputs.
fn is_random(node: &OnnxNode) -> bool {
    node.op_type.starts_with("Random") || matches!(node.op_type.as_str(), "Bernoulli" | "Multinomial")
}

/// The numbers of a constant of floats.
fn floats(tensor: &Tensor) -> Option<Vec<f64>> {
    tensor.dtype().is_float().then(|| tensor.scalars().map(|scalar| scalar.float()).collect())
}
