//! Texts of graphs read back.

use crate::onnx::{Attribute, OnnxNode};
use crate::{DType, Graph, Index, Tensor};

fn round_trip(text: &str) -> Graph {
    let graph = Graph::parse(text).unwrap();
    let printed = graph.to_string();
    let again = Graph::parse(&printed).unwrap_or_else(|e| panic!("{e}\n{printed}"));
    assert_eq!(again.to_string(), printed);
    graph
}

#[test]
fn what_is_written_is_what_was_read() {
    let text = "\
graph @silu(%x: f32[batch, 64]) opset 17 where batch 1..8 {
  %s = Sigmoid(%x) : f32[batch, 64]
  %y = Mul(%x, %s) : f32[batch, 64]
  %w = const f32[2] [1.0, -0.1]
  %n = const i64[] [#x8000000000000000]
  %'a/b 1' = Softmax@11(%y) {axis = -1} : f32[batch, 64]
  %'block 0/concat' = Concat(%y, %x) {axis = 0} : f32[2*batch, 64]
  %y_2 = Relu(%'block 0/concat') : f32[2*batch, 64] as y
  return %y, out = %y_2, 'an other' = %'a/b 1'
}
";
    assert_eq!(Graph::parse(text).unwrap().to_string(), text);
}

#[test]
fn types_may_be_left_out_and_are_checked() {
    round_trip("graph @g(%x: f32[1,64]) { %s = Sigmoid(%x) %y = Mul(%x, %s) return %y }");
    let error = Graph::parse("graph @g(%x: f32[1,64]) {\n %s = Sigmoid(%x) : f32[64]\n return %s }").unwrap_err();
    assert_eq!(error.to_string(), "line 3: `%s` is f32[1, 64], not f32[64]");
}

#[test]
fn absent_inputs_and_large_constants() {
    let text = "graph @g(%x: f32[2]) {\n %c = const f32[100] ...\n %y = Clip(%x, _, %m) return %y }";
    assert!(Graph::parse(text).unwrap_err().message.contains("`%m` is not defined"));
    let text =
        "graph @g(%x: f32[2]) { %c = const f32[100] ... %m = const f32[] [1.0] %y = Clip(%x, _, %m) return %y, %c }";
    let graph = round_trip(text);
    let zeros = graph.constant(graph.outputs()[1].1).unwrap();
    assert!(zeros.bytes().iter().all(|byte| *byte == 0) && zeros.len() == 100);
}

#[test]
fn attributes_read_back() {
    let body = Graph::parse("graph @then(%a: f32[]) { %b = Relu(%a) return %b }").unwrap();
    let attributes = [
        ("empty", Attribute::Ints(vec![])),
        ("ints", Attribute::Ints(vec![i64::MIN, i64::MAX, 0])),
        ("floats", Attribute::Floats(vec![0.1, -0.0, f32::INFINITY, 1e-30, 16777216.0])),
        ("texts", Attribute::Strings(vec!["it's".into(), String::new()])),
        ("text", Attribute::String("linear".into())),
        (
            "tensor",
            Attribute::Tensor(Tensor::from_scalars(DType::F16, vec![1, 1], &[crate::Scalar::Float(1.5)]).unwrap()),
        ),
        ("whole", Attribute::Float(3.0)),
        ("body", Attribute::Graph(Box::new(body))),
    ];
    let mut onnx = OnnxNode::new("Relu");
    for (name, attribute) in attributes {
        onnx = onnx.with(name, attribute);
    }
    let mut graph = Graph::new("it's");
    let x = graph.add_input("x y", DType::F32, vec![Index::sym("batch size")]);
    let y = graph.add("0", onnx.clone(), &[Some(x)]).unwrap()[0];
    graph.add_output("y", y);
    let text = graph.to_string();
    let again = Graph::parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    assert_eq!(again.to_string(), text);
    let super::NodeKind::Op(read, _) = &again.node(again.outputs()[0].1.node).kind else { panic!("no operator") };
    for (name, attribute) in &onnx.attributes {
        let same = matches!(attribute, Attribute::Graph(_)) || read.attributes[name] == *attribute;
        assert!(same, "{name}: {:?}", read.attributes[name]);
    }
}

#[test]
fn bad_texts_are_errors() {
    for text in [
        "",
        "graph",
        "graph @g() { return } x",
        "graph @g() { %x = const f32[4] [1.0] return %x }",
        "graph @g() { %x = const i64[1] [1.5] return %x }",
        "graph @g() { %x = const f32[4000000000, 4000000000, 0] ... return %x }",
        "graph @g() { %x = const f32[1000000000] ... return %x }",
        "graph @g(%x: f32[], %x: f32[]) { return %x }",
        "graph @g(%x: f32[]) { %y = NoSuchOperator(%x) return %y }",
        "graph @g(%x: f32[a]) where a 3..2 { return %x }",
        "graph @g(%x: f32[]) { %y = Relu(%x) {a = [1, 2.0]} return %y }",
    ] {
        assert!(Graph::parse(text).is_err(), "{text}");
    }
    let deep = "graph @g() { %x = Relu() {a = ".repeat(1000);
    assert!(Graph::parse(&deep).is_err());
}
