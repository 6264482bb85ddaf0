//! What operators give for data that no backend test has: long axes, empty ones.

use crate::graph::Graph;
use crate::onnx::{Attribute, OnnxNode};
use crate::program::interp;
use crate::{DType, Index, Tensor};

/// The results of one operator on a float tensor with the given dims and an integer tensor.
fn run(node: OnnxNode, dims: &[Index], x: &Tensor, integers: &Tensor, constant: bool) -> Vec<Tensor> {
    let mut graph = Graph::new("test");
    graph.facts.symbol("N", 0, None);
    let a = graph.add_input("x", DType::F32, dims.to_vec());
    let shape = integers.shape().iter().map(|&n| Index::from(n as i64)).collect();
    let (b, inputs) = if constant {
        (graph.add_constant("k", integers.clone()), vec![x.clone()])
    } else {
        (graph.add_input("k", DType::I64, shape), vec![x.clone(), integers.clone()])
    };
    let results = graph.add("op", node, &[Some(a), Some(b)]).unwrap();
    results.into_iter().enumerate().for_each(|(k, value)| graph.add_output(format!("y{k}"), value));
    interp::run(&graph.to_program().unwrap(), &inputs).unwrap()
}

#[test]
fn long_axes_are_sorted_stably() {
    let n = 2500;
    let mut values: Vec<f32> = (0..n).map(|k| (k * 7919 % 101) as f32).collect();
    values[17] = f32::NAN;
    let mut order: Vec<usize> = (0..n).collect();
    let key = |k: usize| if values[k].is_nan() { f32::INFINITY } else { values[k] };
    order.sort_by(|&a, &b| key(b).partial_cmp(&key(a)).unwrap());
    let x = Tensor::from_f32s(vec![n], &values).unwrap();
    for dim in [Index::from(n as i64), Index::sym("N")] {
        let node = OnnxNode { outputs: 2, ..OnnxNode::new("TopK") };
        let y = run(node, &[dim], &x, &Tensor::from_i64s(&[40]), true);
        let places: Vec<usize> = y[1].scalars().map(|place| place.int() as usize).collect();
        assert_eq!(places, order[..40]);
    }
}

#[test]
fn nothing_is_read_from_an_empty_axis() {
    let x = Tensor::from_f32s(vec![0, 2], &[]).unwrap();
    let far = Tensor::from_i64s(&[3, 1 << 40]);
    let gather = OnnxNode::new("Gather").with("axis", Attribute::Int(0));
    let y = run(gather, &[Index::sym("N"), 2.into()], &x, &far, false);
    assert!(y[0].scalars().all(|element| element.float() == 0.0));
}
