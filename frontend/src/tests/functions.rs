//! Functions the model brings along.

use super::*;
use mlc_ir::graph::NodeKind;
use onnx_protobuf::FunctionProto;

/// A function of domain `f`; nodes of that domain call functions.
fn function(name: &str, inputs: &str, nodes: &[NodeProto], outputs: &str) -> FunctionProto {
    let import = |domain: &str, version| OperatorSetIdProto { domain: domain.into(), version, ..Default::default() };
    FunctionProto {
        name: name.into(),
        domain: "f".into(),
        input: names(inputs),
        output: names(outputs),
        node: nodes.to_vec(),
        opset_import: vec![import("", 11), import("f", 1)],
        ..FunctionProto::default()
    }
}

fn call(name: &str, inputs: &str, outputs: &str) -> NodeProto {
    NodeProto { domain: "f".into(), ..node(name, inputs, outputs) }
}

fn with(functions: &[FunctionProto], nodes: &[NodeProto]) -> ModelProto {
    let mut model = model(graph(&[value("x", F32, &["2", "3"])], nodes, "y"));
    model.functions = functions.to_vec();
    model
}

fn reference(name: &str, to: &str) -> AttributeProto {
    AttributeProto { ref_attr_name: to.into(), ..int(name, 0) }
}

#[test]
fn calls_are_inlined_with_their_attributes_and_opset() {
    let mut softmax = node("Softmax", "a", "b");
    softmax.attribute.push(reference("axis", "dim"));
    let mut inner = function("Inner", "a", &[softmax], "b");
    inner.attribute_proto.push(int("dim", 1));
    let mut nested = call("Inner", "p", "t");
    nested.attribute.push(reference("dim", "d"));
    let outer = function("Outer", "p q", &[nested, call("Inner", "t", "u"), node("Clip", "u q", "r")], "r t");
    let mut outer_call = call("Outer", "x", "y");
    outer_call.attribute.push(int("d", 0));
    let graph = import(&with(&[inner, outer], &[outer_call])).unwrap();
    let mut nodes = Vec::new();
    for id in graph.order() {
        if let NodeKind::Op(onnx, _) = &graph.node(id).kind {
            nodes.push((graph.node(id).name.clone(), onnx.opset, onnx.int("axis", 9).unwrap()));
        }
    }
    let expected = [("y/t/b", 11, 0), ("y/u/b", 11, 1), ("y/r", 11, 9)];
    assert_eq!(nodes, expected.map(|(name, opset, axis)| (name.to_string(), opset, axis)));
    assert_eq!(graph.outputs()[0].0, "y");
}

#[test]
fn wrong_calls_are_errors() {
    let id = || function("Id", "a", &[node("Relu", "a", "b")], "b");
    for (model, message) in [
        (with(&[function("R", "a", &[call("R", "a", "b")], "b")], &[call("R", "x", "y")]), "calls itself"),
        (
            with(
                &[function("R", "a", &[call("S", "a", "b")], "b"), function("S", "a", &[call("R", "a", "b")], "b")],
                &[call("R", "x", "y")],
            ),
            "calls itself",
        ),
        (with(&[id()], &[call("Id", "x x", "y")]), "has 2 inputs"),
        (with(&[id()], &[call("Id", "x", "a y")]), "2 outputs"),
        (with(&[function("F", "a", &[], "b")], &[call("F", "x", "y")]), "`b` is not computed"),
        (with(&[function("F", "a", &[node("Relu", "x", "b")], "b")], &[call("F", "x", "y")]), "it uses `x`"),
    ] {
        let mut model = model;
        model.opset_import.push(OperatorSetIdProto { domain: "f".into(), version: 1, ..Default::default() });
        let error = error(&model).to_string();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn functions_that_multiply_are_stopped() {
    let mut functions = vec![function("F0", "a", &[node("Neg", "a", "b")], "b")];
    for i in 1..40 {
        let below = format!("F{}", i - 1);
        let nodes = [call(&below, "a", "t"), call(&below, "t", "b")];
        functions.push(function(&format!("F{i}"), "a", &nodes, "b"));
    }
    // Two calls at each of 40 levels are far too many nodes; the limit stops the run while it is small.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    let mut deep = with(&functions[..12], &[call("F11", "x", "y")]);
    std::fs::write(&path, bytes(&deep)).unwrap();
    assert_eq!(crate::import(&path, &Options::default()).unwrap().nodes().count(), 2049);
    let chain: Vec<_> =
        (0..100).map(|i| function(&format!("G{i}"), "a", &[call(&format!("G{}", i + 1), "a", "b")], "b")).collect();
    deep = with(&chain, &[call("G0", "x", "y")]);
    assert!(error(&deep).message.contains("nest deeper"));
}
