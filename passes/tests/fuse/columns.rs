//! Products of one activation with several weights.

use crate::common::{Fused, Model, ints};
use mlc_ir::graph::Value;
use mlc_passes::fuse::Rule;

/// Kernels that became a part of a wider one.
fn joined(fused: &Fused) -> usize {
    fused.report.fused.iter().filter(|it| it.rule == Rule::Columns).count()
}

fn refused(fused: &Fused, reason: &str) -> bool {
    fused.report.refused.iter().any(|it| it.2 == reason)
}

/// Shapes of the constants that are left.
fn constants(fused: &Fused) -> Vec<String> {
    let constants = fused.program.buffers.iter().filter(|buffer| buffer.constant.is_some());
    constants.map(|buffer| format!("{:?}", buffer.constant.as_ref().unwrap().shape())).collect()
}

fn linear(m: &mut Model, x: Value, from: usize, to: usize) -> Value {
    let (w, b) = (m.weight(&[from, to]), m.weight(&[to]));
    let y = m.op("MatMul", &[x, w]);
    m.op("Add", &[y, b])
}

/// The mean of the rows of `v`, by how much their keys resemble.
fn attention(m: &mut Model, q: Value, k: Value, v: Value) -> Value {
    let turned = m.op_with("Transpose", &[("perm", ints(&[1, 0]))], &[k]);
    let scores = m.op("MatMul", &[q, turned]);
    let weights = m.op("Softmax", &[scores]);
    m.op("MatMul", &[weights, v])
}

#[test]
fn queries_keys_and_values_are_one_product() {
    let mut m = Model::new();
    let x = m.input(&[0, 6]);
    let (q, k, v) = (linear(&mut m, x, 6, 8), linear(&mut m, x, 6, 8), linear(&mut m, x, 6, 5));
    let y = attention(&mut m, q, k, v);
    let fused = m.check(&[y]);
    assert_eq!(joined(&fused), 2, "{:?}", fused.report);
    assert_eq!(constants(&fused), ["[6, 21]", "[21]"]);
}

#[test]
fn weights_that_lie_across_are_joined_by_rows() {
    let mut m = Model::new();
    let x = m.input(&[0, 6]);
    let mut gemm = |to: usize| {
        let (w, b) = (m.weight(&[to, 6]), m.weight(&[to]));
        m.op_with("Gemm", &[("transB", crate::common::int(1))], &[x, w, b])
    };
    let (q, k, v) = (gemm(8), gemm(8), gemm(5));
    let y = attention(&mut m, q, k, v);
    let fused = m.check(&[y]);
    assert_eq!(joined(&fused), 2, "{:?}", fused.report);
    assert!(constants(&fused).contains(&"[21, 6]".to_string()), "{:?}", constants(&fused));
}

#[test]
fn convolutions_of_single_places_are_one_product() {
    let mut m = Model::new();
    let x = m.input(&[1, 6, 4, 5]);
    let axes = m.dims(&[2, 3]);
    let mut branch = |to: usize| {
        let (w, b) = (m.weight(&[to, 6, 1, 1]), m.weight(&[to]));
        let y = m.op("Conv", &[x, w, b]);
        m.op("ReduceMax", &[y, axes])
    };
    let (a, b) = (branch(8), branch(4));
    let fused = m.check(&[a, b]);
    assert_eq!(joined(&fused), 1, "{:?}", fused.report);
    assert!(constants(&fused).contains(&"[12, 6, 1, 1]".to_string()), "{:?}", constants(&fused));
}

#[test]
fn a_product_that_another_tensor_is_added_to_stays_apart() {
    let mut m = Model::new();
    let (x, z) = (m.input(&[0, 6]), m.input(&[0, 8]));
    let (q, k, v) = (linear(&mut m, x, 6, 8), linear(&mut m, x, 6, 8), linear(&mut m, x, 6, 5));
    let k = m.op("Add", &[k, z]);
    let y = attention(&mut m, q, k, v);
    let fused = m.check(&[y]);
    assert_eq!(joined(&fused), 1, "{:?}", fused.report);
    assert!(
        refused(&fused, "what is computed behind the product reads another tensor's columns"),
        "{:?}",
        fused.report
    );
}

#[test]
fn products_with_other_epilogues_stay_apart() {
    let mut m = Model::new();
    let x = m.input(&[0, 6]);
    let (q, k, v) = (linear(&mut m, x, 6, 8), linear(&mut m, x, 6, 8), linear(&mut m, x, 6, 5));
    let v = m.op("Tanh", &[v]);
    let y = attention(&mut m, q, k, v);
    let fused = m.check(&[y]);
    assert_eq!(joined(&fused), 1, "{:?}", fused.report);
    assert!(refused(&fused, "the products differ in more than weights and columns"), "{:?}", fused.report);
}

#[test]
fn results_of_the_model_stay_apart() {
    let mut m = Model::new();
    let x = m.input(&[0, 6]);
    let (a, b) = (linear(&mut m, x, 6, 8), linear(&mut m, x, 6, 8));
    let fused = m.check(&[a, b]);
    assert_eq!((joined(&fused), fused.kernels), (0, 2));
    assert!(refused(&fused, "the result is one of the model"), "{:?}", fused.report);
}

#[test]
fn weights_that_others_read_are_not_copied() {
    let mut m = Model::new();
    let (x, z) = (m.input(&[0, 6]), m.input(&[0, 6]));
    let w = m.weight(&[6, 8]);
    let (q, k) = (linear(&mut m, x, 6, 8), m.op("MatMul", &[x, w]));
    let v = m.op("MatMul", &[z, w]);
    let y = attention(&mut m, q, k, v);
    let fused = m.check(&[y]);
    assert_eq!(joined(&fused), 0, "{:?}", fused.report);
    assert!(refused(&fused, "others read its weights too"), "{:?}", fused.report);
}
