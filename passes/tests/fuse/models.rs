use crate::common::{Model, ints};
use mlc_ir::graph::Graph;
use mlc_ir::onnx::{Attribute, OnnxNode};
use mlc_ir::{DType, Index};

/// Grouped queries: each head of keys serves two of queries. Keys are turned by a copy; nothing else is left.
#[test]
fn repeated_heads_are_an_index() {
    let mut m = Model::new();
    let (q, k) = (m.input(&[1, 4, 5, 8]), m.input(&[1, 2, 5, 8]));
    let axis = m.dims(&[2]);
    let k = m.op("Unsqueeze", &[k, axis]);
    let shape = m.dims(&[1, 2, 2, 5, 8]);
    let k = m.op("Expand", &[k, shape]);
    let shape = m.dims(&[1, 4, 5, 8]);
    let k = m.op("Reshape", &[k, shape]);
    let k = m.op_with("Transpose", &[("perm", ints(&[0, 1, 3, 2]))], &[k]);
    let y = m.op("MatMul", &[q, k]);
    assert_eq!(m.check(&[y]).kernels, 2);
}

#[test]
fn squeeze_and_excite_merges_into_few_kernels() {
    let mut m = Model::new();
    let x = m.input(&[1, 4, 5, 5]);
    let (a, b) = (m.weight(&[2, 4, 1, 1]), m.weight(&[4, 2, 1, 1]));
    let s = m.op("GlobalAveragePool", &[x]);
    let s = m.op("Conv", &[s, a]);
    let s = m.op("Relu", &[s]);
    let s = m.op("Conv", &[s, b]);
    let s = m.op("HardSigmoid", &[s]);
    let y = m.op("Mul", &[x, s]);
    let result = m.check(&[y]);
    assert!(result.kernels <= 4, "{}", result.kernels);
}

#[test]
fn grouped_convolution_writes_its_channels_in_place() {
    let mut m = Model::new();
    let (x, w, b) = (m.input(&[1, 4, 5, 5]), m.weight(&[6, 2, 1, 1]), m.weight(&[6]));
    let y = m.op_with("Conv", &[("group", Attribute::Int(2))], &[x, w, b]);
    let y = m.op("Relu", &[y]);
    assert_eq!(m.check(&[y]).kernels, 1);
}

fn branch(op: &str) -> Graph {
    let mut graph = Graph::new("branch");
    let x = graph.add_input("x", DType::F32, vec![Index::from(2), Index::from(3)]);
    let a = graph.add("inner", OnnxNode::new(op), &[Some(x)]).unwrap()[0];
    let b = graph.add("outer", OnnxNode::new("Exp"), &[Some(a)]).unwrap()[0];
    graph.add_output("y", b);
    graph
}

#[test]
fn branches_are_fused_inside() {
    for condition in [0, 1] {
        let mut m = Model::new();
        let truth = mlc_ir::Tensor::from_scalars(DType::Bool, vec![], &[mlc_ir::Scalar::Int(condition)]).unwrap();
        let (c, x) = (m.given(truth), m.input(&[2, 3]));
        let z = m.op("Relu", &[x]);
        let node = OnnxNode::new("If")
            .with("then_branch", Attribute::Graph(Box::new(branch("Neg"))))
            .with("else_branch", Attribute::Graph(Box::new(branch("Abs"))));
        if mlc_ir::ops::parse(&node).is_err() {
            return;
        }
        let y = m.add(node, &[c, z])[0];
        let y = m.op("Neg", &[y]);
        m.check(&[y]);
    }
}
