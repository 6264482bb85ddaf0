use mlc_ir::graph::{Graph, NodeKind, Value};
use mlc_ir::onnx::{Attribute, OnnxNode};
use mlc_ir::program::interp;
use mlc_ir::{DType, Index, Scalar, Tensor};
use mlc_passes::graph::PIPELINE;

fn tensor(shape: &[usize], seed: u32) -> Tensor {
    let numbers: Vec<f32> =
        (0..shape.iter().product::<usize>() as u32).map(|n| ((n * 37 + seed * 11) % 17) as f32 * 0.25 - 1.5).collect();
    Tensor::from_f32s(shape.to_vec(), &numbers).unwrap()
}

fn input(graph: &mut Graph, shape: &[i64]) -> Value {
    graph.add_input("x", DType::F32, shape.iter().map(|&n| Index::from(n)).collect())
}

fn op(graph: &mut Graph, node: OnnxNode, inputs: &[Value]) -> Value {
    let name = format!("{}{}", node.op_type, graph.nodes().count());
    graph.add(name, node, &inputs.iter().copied().map(Some).collect::<Vec<_>>()).unwrap()[0]
}

/// Runs all passes, checks that results stay, and gives the operators left.
fn check(mut graph: Graph, result: Value, x: Tensor) -> Vec<String> {
    graph.add_output("y", result);
    let expected = interp::run(&graph.to_program().unwrap(), std::slice::from_ref(&x)).unwrap();
    for (name, pass) in PIPELINE {
        pass(&mut graph).unwrap();
        graph.verify().unwrap_or_else(|e| panic!("{name}: {e}"));
    }
    let got = interp::run(&graph.to_program().unwrap(), &[x]).unwrap();
    for (a, b) in expected[0].scalars().zip(got[0].scalars()) {
        assert!((a.float() - b.float()).abs() <= 1e-5 * (1.0 + a.float().abs()), "{a:?} became {b:?}");
    }
    let op = |id| match &graph.node(id).kind {
        NodeKind::Op(onnx, _) => Some(onnx.op_type.clone()),
        _ => None,
    };
    graph.order().into_iter().filter_map(op).collect()
}

fn ints(values: &[i64]) -> Attribute {
    Attribute::Ints(values.to_vec())
}

#[test]
fn constants_are_computed() {
    let mut g = Graph::new("g");
    let x = input(&mut g, &[2, 3]);
    let (a, b) = (g.add_constant("a", tensor(&[2, 4], 1)), g.add_constant("b", tensor(&[4, 3], 2)));
    let c = op(&mut g, OnnxNode::new("MatMul"), &[a, b]);
    let c = op(&mut g, OnnxNode::new("Exp"), &[c]);
    let y = op(&mut g, OnnxNode::new("Add"), &[x, c]);
    assert_eq!(check(g, y, tensor(&[2, 3], 3)), ["Add"]);
}

#[test]
fn known_shapes_become_constants_and_growth_is_left_alone() {
    let mut g = Graph::new("g");
    let x = input(&mut g, &[2, 3]);
    let shape = op(&mut g, OnnxNode::new("Shape"), &[x]);
    let zeros = op(&mut g, OnnxNode::new("ConstantOfShape"), &[shape]);
    let large = g.add_constant("large", Tensor::from_i64s(&[100, 200, 2, 3]));
    let large = op(&mut g, OnnxNode::new("ConstantOfShape"), &[large]);
    let y = op(&mut g, OnnxNode::new("Add"), &[x, zeros]);
    let y = op(&mut g, OnnxNode::new("Add"), &[y, large]);
    assert_eq!(check(g, y, tensor(&[2, 3], 3)), ["ConstantOfShape", "Add", "Add"]);
}

#[test]
fn what_changes_nothing_goes() {
    let mut g = Graph::new("g");
    let x = input(&mut g, &[2, 3]);
    let y = op(&mut g, OnnxNode::new("Identity"), &[x]);
    let y = op(&mut g, OnnxNode::new("Dropout"), &[y]);
    let y = op(&mut g, OnnxNode::new("Cast").with("to", Attribute::Int(1)), &[y]);
    let shape = g.add_constant("shape", Tensor::from_i64s(&[0, -1]));
    let y = op(&mut g, OnnxNode::new("Reshape"), &[y, shape]);
    let shape = g.add_constant("shape", Tensor::from_i64s(&[1, 3]));
    let y = op(&mut g, OnnxNode::new("Expand"), &[y, shape]);
    let y = op(&mut g, OnnxNode::new("Transpose"), &[y]);
    let y = op(&mut g, OnnxNode::new("Transpose").with("perm", ints(&[1, 0])), &[y]);
    let y = op(&mut g, OnnxNode::new("Relu"), &[y]);
    assert_eq!(check(g, y, tensor(&[2, 3], 3)), ["Relu"]);
}

#[test]
fn transpositions_are_joined() {
    let mut g = Graph::new("g");
    let x = input(&mut g, &[2, 3, 4]);
    let y = op(&mut g, OnnxNode::new("Transpose").with("perm", ints(&[1, 2, 0])), &[x]);
    let y = op(&mut g, OnnxNode::new("Transpose").with("perm", ints(&[1, 0, 2])), &[y]);
    assert_eq!(check(g, y, tensor(&[2, 3, 4], 3)), ["Transpose"]);
}

#[test]
fn normalizations_merge_into_the_weights() {
    let products = [("Conv", vec![4, 3, 1, 1]), ("ConvTranspose", vec![3, 4, 2, 2])];
    for (product, shape) in products {
        for bias in [false, true] {
            let mut g = Graph::new("g");
            let x = input(&mut g, &[1, 3, 5, 5]);
            let w = g.add_constant("w", tensor(&shape, 1));
            let b = g.add_constant("b", tensor(&[4], 2));
            let operands = if bias { vec![x, w, b] } else { vec![x, w] };
            let y = op(&mut g, OnnxNode::new(product), &operands);
            let parameters = [3, 4, 5].map(|seed| g.add_constant(format!("p{seed}"), tensor(&[4], seed)));
            let variance = Tensor::from_f32s(vec![4], &[0.5, 1.0, 2.0, 0.25]).unwrap();
            let variance = g.add_constant("v", variance);
            let [scale, shift, mean] = parameters;
            let y = op(&mut g, OnnxNode::new("BatchNormalization"), &[y, scale, shift, mean, variance]);
            assert_eq!(check(g, y, tensor(&[1, 3, 5, 5], 6)), [product], "bias {bias}");
        }
    }
}

#[test]
fn equal_nodes_are_shared() {
    let mut g = Graph::new("g");
    let x = input(&mut g, &[2, 3]);
    let (a, b) = (g.add_constant("a", tensor(&[3], 1)), g.add_constant("b", tensor(&[3], 1)));
    let (a, b) = (op(&mut g, OnnxNode::new("Add"), &[x, a]), op(&mut g, OnnxNode::new("Add"), &[x, b]));
    let y = op(&mut g, OnnxNode::new("Mul"), &[a, b]);
    assert_eq!(check(g, y, tensor(&[2, 3], 3)), ["Add", "Mul"]);
}

fn body() -> Graph {
    let mut g = Graph::new("body");
    let x = input(&mut g, &[2, 3]);
    let a = g.add_constant("a", tensor(&[3], 1));
    let a = op(&mut g, OnnxNode::new("Exp"), &[a]);
    let y = op(&mut g, OnnxNode::new("Add"), &[x, a]);
    g.add_output("y", y);
    g
}

#[test]
fn bodies_are_rewritten_too() {
    let mut g = Graph::new("g");
    let c = g.add_constant("c", Tensor::from_scalars(DType::Bool, vec![], &[Scalar::Int(1)]).unwrap());
    let x = input(&mut g, &[2, 3]);
    let node = OnnxNode::new("If")
        .with("then_branch", Attribute::Graph(Box::new(body())))
        .with("else_branch", Attribute::Graph(Box::new(body())));
    if mlc_ir::ops::parse(&node).is_ok() {
        let y = op(&mut g, node, &[c, x]);
        assert_eq!(check(g, y, tensor(&[2, 3], 3)), ["If"]);
    }
}
