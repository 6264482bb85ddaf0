//! Products of one activation with two weights.

use crate::common::Model;
use mlc_ir::graph::Value;
use mlc_ir::{DType, Scalar, Tensor};
use mlc_passes::fuse::Rule;

fn product(m: &mut Model, x: Value, depth: usize, columns: usize) -> Value {
    let w = m.weight(&[depth, columns]);
    m.op("MatMul", &[x, w])
}

fn silu(m: &mut Model, x: Value) -> Value {
    let s = m.op("Sigmoid", &[x]);
    m.op("Mul", &[x, s])
}

/// `silu(x gate) * (x up)`, in either order, with biases and without.
#[test]
fn a_gate_and_what_passes_it_are_one_kernel() {
    for (gate_first, bias) in [(true, false), (false, false), (true, true), (false, true)] {
        let mut m = Model::new();
        let x = m.input(&[0, 4, 6]);
        let (mut gate, mut up) = (product(&mut m, x, 6, 8), product(&mut m, x, 6, 8));
        if bias {
            let (a, b) = (m.weight(&[8]), m.weight(&[8]));
            (gate, up) = (m.op("Add", &[gate, a]), m.op("Add", &[up, b]));
        }
        let gate = silu(&mut m, gate);
        let y = if gate_first { m.op("Mul", &[gate, up]) } else { m.op("Mul", &[up, gate]) };
        let result = m.check(&[y]);
        assert_eq!(result.kernels, 1, "{}", result.text);
        assert!(result.report.fused.iter().any(|it| it.rule == Rule::Siblings));
    }
}

/// Two scales stand behind two sums.
#[test]
fn weights_of_a_gate_may_be_quantized() {
    let mut m = Model::new();
    let x = m.input(&[0, 6]);
    let mut product = |x| {
        let q: Vec<Scalar> = (0..48).map(|n| Scalar::Int(n * 7 % 41 - 20)).collect();
        let q = m.constant(Tensor::from_scalars(DType::I8, vec![6, 8], &q).unwrap());
        let (scale, zero) =
            (m.scalar(0.125), m.constant(Tensor::from_scalars(DType::I8, vec![], &[Scalar::Int(0)]).unwrap()));
        let w = m.op("DequantizeLinear", &[q, scale, zero]);
        m.op("MatMul", &[x, w])
    };
    let (gate, up) = (product(x), product(x));
    let gate = silu(&mut m, gate);
    let y = m.op("Mul", &[gate, up]);
    let result = m.check(&[y]);
    assert_eq!(result.kernels, 1, "{}", result.text);
}

fn refused(m: Model, outputs: &[Value], why: &str) {
    let result = m.check(outputs);
    assert!(result.kernels > 1, "{}", result.text);
    assert!(result.report.refused.iter().any(|it| it.2 == why), "{:#?}", result.report.refused);
}

#[test]
fn products_that_differ_in_more_than_their_weights_stay_apart() {
    let mut m = Model::new();
    let x = m.input(&[0, 4, 6]);
    let (a, b) = (product(&mut m, x, 6, 4), product(&mut m, x, 6, 4));
    let a = m.op("Sigmoid", &[a]);
    let turned = m.op_with("Transpose", &[("perm", crate::common::ints(&[0, 2, 1]))], &[a]);
    let y = m.op("Mul", &[turned, b]);
    refused(m, &[y], "the products read other elements of what they share");
}

#[test]
fn panels_of_deep_products_stay_apart() {
    let mut m = Model::new();
    let x = m.input(&[2, 1100]);
    let (a, b) = (product(&mut m, x, 1100, 4), product(&mut m, x, 1100, 4));
    let a = m.op("Sigmoid", &[a]);
    let y = m.op("Mul", &[a, b]);
    refused(m, &[y], "the products' panels of weights do not stay near together");
}

/// A product that is a result, too.
#[test]
fn a_gate_that_others_read_stays_apart() {
    let mut m = Model::new();
    let x = m.input(&[0, 6]);
    let (a, b) = (product(&mut m, x, 6, 8), product(&mut m, x, 6, 8));
    let a = m.op("Sigmoid", &[a]);
    let y = m.op("Mul", &[a, b]);
    refused(m, &[a, y], "others read what the first product gives");
}

/// Products of two activations are no siblings.
#[test]
fn products_of_two_activations_stay_apart() {
    let mut m = Model::new();
    let (x, y) = (m.input(&[0, 6]), m.input(&[0, 6]));
    let (a, b) = (product(&mut m, x, 6, 8), product(&mut m, y, 6, 8));
    let a = m.op("Sigmoid", &[a]);
    let y = m.op("Mul", &[a, b]);
    refused(m, &[y], "a contraction reads its weights for all rows at once");
}
