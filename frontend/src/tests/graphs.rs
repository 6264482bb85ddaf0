//! Main graphs: order, names, types, symbols, options, opsets, gaps.

use super::*;
use crate::options::DimRange;
use mlc_ir::{ErrorKind, Index, Tensor};

fn relu() -> GraphProto {
    graph(&[value("x", F32, &["batch", "3"])], &[node("Relu", "x", "y")], "y")
}

#[test]
fn nodes_are_sorted_and_only_needed_ones_kept() {
    let nodes = [node("Neg", "a", "y"), node("NoSuchOperator", "x", "dead"), node("Relu", "x", "a")];
    let graph = import(&model(graph(&[value("x", F32, &["2"])], &nodes, "y"))).unwrap();
    let names: Vec<_> = graph.order().into_iter().map(|id| graph.node(id).name.clone()).collect();
    assert_eq!(names, ["x", "a", "y"]);
}

#[test]
fn names_of_nodes_are_unique() {
    let mut nodes = [node("Relu", "x", "a"), node("Relu", "a", "b"), node("Relu", "b", "c")];
    nodes.iter_mut().for_each(|node| node.name = "n".into());
    let graph = import(&model(graph(&[value("x", F32, &["2"])], &nodes, "c"))).unwrap();
    let names: Vec<_> = graph.order().into_iter().map(|id| graph.node(id).name.clone()).collect();
    assert_eq!(names, ["x", "n", "n_2", "n_3"]);
}

#[test]
fn wrong_graphs_are_errors_that_name_the_node() {
    let x = || value("x", F32, &["2"]);
    for (graph, expected) in [
        (
            graph(&[x()], &[node("Neg", "z", "y")], "y"),
            "node `y`: it uses `z`, which no node, initializer or input defines",
        ),
        (
            graph(&[x()], &[node("Add", "x b", "a"), node("Neg", "a", "b"), node("Neg", "b", "y")], "y"),
            "needs itself: the graph has a cycle",
        ),
        (graph(&[x()], &[node("Neg", "x", "y"), node("Abs", "x", "y")], "y"), "`y` is defined more than once"),
        (graph(&[x()], &[node("Neg", "x", "x")], "x"), "`x` is defined more than once"),
        (graph(&[x(), x()], &[], "x"), "more than once"),
        (graph(&[x()], &[], "y"), "output `y` is not computed by any node"),
        (graph(&[x()], &[], "x x"), "listed more than once"),
        (graph(&[x()], &[], ""), "no outputs"),
        (graph(&[untyped("x")], &[], "x"), "input `x` has no type"),
        (graph(&[value("x", F32, &["9223372036854775807", "8"])], &[], "x"), "larger than any memory"),
        (graph(&[value("x", F32, &["1"; 99])], &[], "x"), "more than 32 dims"),
        (graph(&[value("x", 8, &["1"])], &[], "x"), "value `x` has elements of type string"),
        (graph(&[x()], &[node("NoSuchOperator", "x", "y")], "y"), "node `y`: operator NoSuchOperator is not supported"),
    ] {
        let error = error(&model(graph)).to_string();
        assert!(error.contains(expected), "{error}");
    }
    let mut wrong = relu();
    wrong.output = vec![value("y", I64, &["batch", "3"])];
    assert!(error(&model(wrong)).message.contains("declared i64, but is f32"));
}

#[test]
fn dims_without_a_number_are_symbols() {
    let inputs = [value("x", F32, &["n", "", "-1", "0"]), value("z", F32, &["n"])];
    let model = model(graph(&inputs, &[], "x z"));
    let plain = import(&model).unwrap();
    let shape = &plain.fact(output(&plain, "x")).shape;
    assert_eq!(*shape, [Index::sym("n"), Index::sym("x.1"), Index::sym("x.2"), 0.into()]);
    assert_eq!(plain.fact(output(&plain, "z")).shape, [Index::sym("n")]);
    assert_eq!(plain.facts.symbol_range("n"), (0, None));

    let range = |text: &str| text.parse::<DimRange>().unwrap();
    let dims = vec![("n".into(), range("4")), ("x.1".into(), range("1..8"))];
    let bound = import_with(&model, &Options { dims, ..Options::default() }).unwrap();
    assert_eq!(bound.fact(output(&bound, "x")).shape[..2], [4.into(), Index::sym("x.1")]);
    assert_eq!(bound.facts.symbol_range("x.1"), (1, Some(8)));

    let dims = vec![("m".into(), range("4"))];
    let error = import_with(&model, &Options { dims, ..Options::default() }).unwrap_err();
    assert_eq!(error.message, "the model has no symbolic dim `m`; it has n, x.1, x.2");
}

#[test]
fn an_input_can_be_a_constant() {
    let nodes = [node("Add", "x z", "y")];
    let model = model(graph(&[value("x", F32, &["n"]), value("z", F32, &["n"])], &nodes, "y"));
    let with = |name: &str, values: &[f32]| {
        let tensor = Tensor::from_f32s(vec![values.len()], values).unwrap();
        import_with(&model, &Options { values: [(name.to_string(), tensor)].into(), ..Options::default() })
    };
    let graph = with("z", &[1.0, 2.0]).unwrap();
    assert_eq!(graph.inputs().len(), 2);
    let sum = graph.inputs_of(output(&graph, "y").node);
    assert!(graph.constant(sum[1].unwrap()).is_some());
    assert_eq!(graph.fact(sum[0].unwrap()).shape, [2.into()], "the symbol is fixed for the other input too");
    assert!(with("w", &[1.0]).unwrap_err().message.contains("no input `w`"));
    let wrong = Options { values: [("z".to_string(), Tensor::from_i64s(&[1]))].into(), ..Options::default() };
    assert!(import_with(&model, &wrong).unwrap_err().message.contains("does not fit"));
}

#[test]
fn initializers_that_are_inputs_are_constants() {
    let mut graph = graph(&[value("x", F32, &["1"]), value("w", F32, &["1"])], &[node("Add", "x w", "y")], "y");
    graph.initializer.push(floats("w", &[1], &[1.0]));
    let graph = import(&model(graph)).unwrap();
    assert_eq!(graph.inputs().len(), 1);
}

#[test]
fn versions_are_checked() {
    let with = |change: fn(&mut ModelProto)| {
        let mut model = model(relu());
        change(&mut model);
        import(&model)
    };
    assert!(with(|_| ()).is_ok());
    assert!(with(|m| m.opset_import[0].domain = "ai.onnx".into()).is_ok());
    for (change, message) in [
        ((|m| m.ir_version = 0) as fn(&mut ModelProto), "states no IR version"),
        (|m| m.ir_version = 99, "IR version 99"),
        (|m| m.opset_import[0].version = 99, "opset 99 is newer"),
        (|m| m.opset_import[0].version = 0, "versions begin at 1"),
        (|m| m.opset_import.clear(), "imports no version"),
        (|m| m.graph.as_mut().unwrap().node[0].domain = "com.example".into(), "of com.example, of which"),
    ] {
        let error = with(change).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn constants_and_attributes() {
    let mut constant = node("Constant", "", "c");
    constant.attribute.push(AttributeProto {
        name: "value_floats".into(),
        floats: vec![1.0, 2.0],
        ..Default::default()
    });
    let mut softmax = node("Softmax", "c", "y");
    softmax.attribute.push(int("axis", 0));
    let mut graph = graph(&[], &[constant, softmax], "y");
    assert!(import(&model(graph.clone())).is_ok());
    let bad = |change: fn(&mut NodeProto), message: &str| {
        let mut graph = graph.clone();
        change(&mut graph.node[1]);
        let error = error(&model(graph)).to_string();
        assert!(error.starts_with("node `y`") && error.contains(message), "{error}");
    };
    bad(|n| n.attribute[0].type_ = AttributeType::GRAPH.into(), "has no value");
    bad(|n| n.attribute[0].type_ = AttributeType::TENSOR.into(), "has no value");
    bad(|n| n.attribute[0].type_ = AttributeType::TYPE_PROTO.into(), "not supported");
    bad(|n| n.attribute[0].type_ = protobuf::EnumOrUnknown::from_i32(77), "unknown type 77");
    bad(|n| n.attribute.push(int("axis", 1)), "more than once");
    bad(|n| n.attribute[0].ref_attr_name = "a".into(), "outside a function");
    graph.node[0].attribute.clear();
    assert!(error(&model(graph)).message.contains("needs a value"));
}

#[test]
fn check_finds_every_gap_and_counts() {
    let nodes = [
        node("Nope", "x", "a"),
        node("Nope", "x", "b"),
        node("Neg", "a", "c"),
        node("Never", "c", "d"),
        node("Relu", "b", "e"),
        node("Sum", "d e", "y"),
    ];
    let mut graph = graph(&[value("x", F32, &["2"])], &nodes, "y");
    graph.value_info.push(value("b", F32, &["2"]));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    std::fs::write(&path, bytes(&model(graph))).unwrap();
    let gaps = crate::check(&path, &Options::default()).unwrap();
    let short: Vec<_> = gaps.iter().map(|g| (g.op.as_str(), g.node.as_str(), g.opset, g.count)).collect();
    assert_eq!(short, [("Nope", "a", 17, 2), ("Never", "d", 17, 1)]);
    assert!(
        gaps[0].to_string().starts_with("node `a` and 1 more: Nope (ai.onnx 17): operator Nope is not supported; ")
    );
    assert_eq!(crate::import(&path, &Options::default()).unwrap_err().kind, ErrorKind::Unsupported);
    assert!(crate::check(&folder.path().join("none.onnx"), &Options::default()).is_err());
}

#[test]
fn the_seeds_of_the_fuzzer_import() {
    let folder = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/import"));
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let result = crate::import(&path, &Options::default());
        match path.file_stem().unwrap().to_str() {
            Some("external") => assert!(result.unwrap_err().message.contains("w.bin`, which holds tensor `w`")),
            _ => {
                let graph = result.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                let text = graph.to_string();
                assert_eq!(Graph::parse(&text).unwrap().to_string(), text);
            }
        }
    }
}
