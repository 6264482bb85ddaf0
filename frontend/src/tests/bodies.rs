//! Bodies: what they capture, and the types of their inputs.

use super::*;
use crate::importer::Importer;
use crate::model::Model;
use crate::scope::{Scope, Slot};
use crate::symbols::Symbols;
use mlc_ir::onnx::{Attribute, OnnxNode};
use mlc_ir::{DType, Index};
use std::sync::Arc;

/// Imports the bodies of the first node of a model, whose inputs are all values of `f32[n, 3]`, but a constant `k`.
fn bodies(node: NodeProto) -> Result<(OnnxNode, Vec<String>)> {
    let model = model(graph(&[value("x", F32, &["n", "3"])], &[node], "x"));
    let model = Model::read(Arc::new(bytes(&model)), "m", None)?;
    let options = Options::default();
    let mut importer = Importer::new(&model, &options);
    importer.symbols = Some(Symbols::new(model.graph(), &options)?);
    let (mut outer, mut scope) = (Graph::new("outer"), Scope::main(&model.opsets));
    let node = &model.graph().node[0];
    for name in crate::order::uses(node) {
        let value = match name {
            "k" => outer.add_constant("k", mlc_ir::Tensor::from_f32s(vec![1], &[1.0])?),
            "cond" => outer.add_input(name, DType::Bool, vec![]),
            _ => outer.add_input(name, DType::F32, vec![Index::sym("n"), 3.into()]),
        };
        scope.values.insert(name, Slot::Value(value));
    }
    let mut onnx = OnnxNode::new(&node.op_type);
    for attribute in &node.attribute {
        if attribute.g.is_none() {
            onnx = onnx.with(&attribute.name, Attribute::Int(attribute.i));
        }
    }
    let slot = |name: &String| scope.values.get(name.as_str()).copied().unwrap_or(Slot::Absent);
    let mut inputs = node.input.iter().map(slot).collect();
    assert!(importer.bodies(&outer, &scope, node, &mut onnx, &mut inputs)?);
    let name = |slot: &Slot| match slot {
        Slot::Value(value) => outer.node(value.node).name.clone(),
        _ => "_".into(),
    };
    Ok((onnx, inputs.iter().map(name).collect()))
}

fn body(onnx: &OnnxNode, name: &str) -> (Graph, Vec<String>) {
    let graph = onnx.graph(name).unwrap().clone();
    let inputs = graph.inputs().iter().map(|&id| format!("{}: {}", graph.node(id).name, graph.node(id).outputs[0]));
    let inputs = inputs.collect();
    (graph, inputs)
}

#[test]
fn all_bodies_of_a_node_share_one_list_of_captures() {
    let mut then = graph(&[], &[node("Add", "b k", "t"), node("Mul", "t w", "u")], "u");
    then.initializer.push(floats("w", &[1], &[2.0]));
    let otherwise = graph(&[], &[node("Sub", "a b", "v")], "v");
    let mut branch = node("If", "cond", "y");
    branch.attribute = vec![graph_attribute("then_branch", then), graph_attribute("else_branch", otherwise)];
    let (onnx, inputs) = bodies(branch).unwrap();
    assert_eq!(inputs, ["cond", "b", "a"]);
    assert_eq!(onnx.int("captures", 0), Ok(2));
    let (then, then_inputs) = body(&onnx, "then_branch");
    let (otherwise, else_inputs) = body(&onnx, "else_branch");
    assert_eq!(then_inputs, ["b: f32[n, 3]", "a: f32[n, 3]"]);
    assert_eq!(else_inputs, then_inputs);
    assert_eq!(
        then.nodes().filter(|id| matches!(then.node(*id).kind, mlc_ir::graph::NodeKind::Constant(_))).count(),
        2
    );
    assert_eq!(otherwise.outputs()[0].0, "v");
}

#[test]
fn a_loop_takes_types_from_its_inputs() {
    let inputs = [untyped("i"), untyped("go"), untyped("state"), value("other", F32, &["m", "m"])];
    let nodes = [node("Add", "state captured", "next")];
    let mut repeat = node("Loop", "_ cond s o", "y z");
    repeat.attribute = vec![graph_attribute("body", graph(&inputs, &nodes, "go next other"))];
    let (onnx, inputs) = bodies(repeat).unwrap();
    assert_eq!(inputs, ["_", "cond", "s", "o", "captured"]);
    let expected =
        ["i: i64[]", "go: bool[]", "state: f32[state.0, state.1]", "other: f32[m, m]", "captured: f32[n, 3]"];
    assert_eq!(body(&onnx, "body").1, expected);
}

#[test]
fn a_scan_keeps_states_and_takes_axes_away() {
    let nodes = [node("Add", "state captured", "next")];
    let mut scan = node("Scan", "s o", "y z");
    let inner = graph(&[value("state", F32, &["", ""]), untyped("row")], &nodes, "next row");
    scan.attribute = vec![graph_attribute("body", inner), int("num_scan_inputs", 1)];
    let (onnx, _) = bodies(scan.clone()).unwrap();
    assert_eq!(body(&onnx, "body").1, ["state: f32[n, 3]", "row: f32[3]", "captured: f32[n, 3]"]);
    scan.attribute[1].i = 3;
    assert!(bodies(scan).unwrap_err().message.contains("num_scan_inputs"));
}

#[test]
fn captures_of_nested_bodies_pass_through() {
    let mut inner = node("NestedIf", "", "t");
    inner.attribute = vec![graph_attribute("body", graph(&[], &[node("Neg", "deep", "d")], "d"))];
    let mut outer = node("If", "cond", "y");
    outer.attribute = vec![graph_attribute("then_branch", graph(&[], &[inner], "t"))];
    assert_eq!(crate::order::captures(&outer), ["deep"]);
    // `NestedIf` is no operator, but what it needs was captured before that is found.
    assert!(bodies(outer).unwrap_err().message.contains("NestedIf is not supported"));
}

#[test]
fn wrong_bodies_are_errors() {
    let mut branch = node("If", "cond", "y");
    branch.attribute = vec![graph_attribute("then_branch", graph(&[untyped("x")], &[], "x"))];
    assert!(bodies(branch).unwrap_err().message.contains("has 1 inputs, but the node implies 0"));
    let mut repeat = node("Loop", "_ cond s", "y");
    let inputs = [untyped("i"), untyped("go"), value("state", I64, &["1"])];
    repeat.attribute = vec![graph_attribute("body", graph(&inputs, &[], "go state"))];
    assert!(bodies(repeat).unwrap_err().message.contains("is i64, but gets f32"));
    let mut branch = node("If", "x", "y");
    branch.attribute = vec![graph_attribute("then_branch", graph(&[], &[node("Neg", "nowhere", "d")], "d"))];
    let model = model(graph(&[value("x", F32, &["1"])], &[branch], "y"));
    assert!(error(&model).to_string().contains("node `y`: it uses `nowhere`"));
}
