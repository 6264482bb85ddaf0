//! Values that stay in the memory of a task, for every processor family that this machine can run: they are what the
//! interpreter says, and the same bits on any number of threads.

use mlc::engine::Engine;
use mlc::targets::{Target, find};
use mlc_ir::program::interp;
use mlc_ir::{Graph, Scalar, Tensor};
use mlc_passes::{Options, optimize};
use mlc_tensorio::relative_to_scale;

/// Two heads of keys for four of queries, and a mask.
const ATTENTION: &str =
    "graph @attention(%q: f32[b, 4, n, 20], %k: f32[b, 2, m, 20], %v: f32[b, 2, m, 9], %hide: f32[n, m]) opset 23 {
  %y = Attention(%q, %k, %v, %hide) : f32[b, 4, n, 9]
  return %y
}";

/// Scores of fixed lengths that fill no block and no vector.
const FIXED: &str = "graph @fixed(%a: f32[13, 17], %b: f32[17, 51], %v: f32[51, 6]) opset 17 {
  %s = MatMul(%a, %b) : f32[13, 51]
  %p = Softmax(%s) : f32[13, 51]
  %y = MatMul(%p, %v) : f32[13, 6]
  return %y
}";

/// This machine, and what it runs of lesser ones.
fn targets() -> Vec<Target> {
    let host = find("host", None).expect("this machine is known");
    let lesser = ["x86-64-v3", "x86-64-v2"].into_iter().filter_map(|name| find(name, None).ok());
    let mut targets: Vec<Target> = lesser
        .filter(|it| it.triple.architecture == host.triple.architecture)
        .filter(|it| it.features.iter().all(|feature| host.features.contains(feature)))
        .map(|it| Target { triple: host.triple.clone(), ..it })
        .collect();
    targets.push(host);
    targets
}

fn numbers(shape: &[usize], step: usize) -> Tensor {
    let scalar = |n: usize| Scalar::Float(((n * step) % 23) as f64 / 7.0 - 1.5);
    let scalars: Vec<Scalar> = (0..shape.iter().product()).map(scalar).collect();
    Tensor::from_scalars(mlc_ir::DType::F32, shape.to_vec(), &scalars).expect("as many as the shape says")
}

fn check(text: &str, runs: &[Vec<Tensor>]) {
    let graph = Graph::parse(text).unwrap();
    let reference = graph.clone().to_program().unwrap();
    let (fused, _) = optimize(graph, Options::default()).unwrap();
    for target in targets() {
        let engine = |threads| Engine::compiled_for(fused.clone(), target.clone(), threads).unwrap();
        let mut engines = [1, 2, 3].map(engine);
        for inputs in runs {
            let expected = interp::run(&reference, inputs).unwrap().remove(0);
            let found: Vec<Tensor> = engines.iter_mut().map(|engine| engine.run(inputs).unwrap().remove(0)).collect();
            let shapes: Vec<&[usize]> = inputs.iter().map(Tensor::shape).collect();
            assert!(relative_to_scale(&found[0], &expected).unwrap() < 1e-5, "{:?}: {shapes:?}", target.features);
            assert!(found.iter().all(|it| it.bytes() == found[0].bytes()), "{:?}: {shapes:?}", target.features);
        }
    }
}

#[test]
fn attention_of_any_lengths() {
    let run = |(b, n, m): (usize, usize, usize)| {
        vec![numbers(&[b, 4, n, 20], 5), numbers(&[b, 2, m, 20], 3), numbers(&[b, 2, m, 9], 7), numbers(&[n, m], 11)]
    };
    let sizes =
        [(1, 1, 1), (2, 0, 5), (1, 5, 0), (0, 3, 3), (1, 3, 16), (2, 7, 15), (1, 9, 33), (2, 40, 67), (1, 1, 300)];
    check(ATTENTION, &sizes.map(run));
}

#[test]
fn scores_of_fixed_lengths() {
    check(FIXED, &[vec![numbers(&[13, 17], 5), numbers(&[17, 51], 3), numbers(&[51, 6], 7)]]);
}
