//! Attentions of lengths known at run time only, on a GPU: what a task keeps lies in memory of the device, whose size follows
//! from the lengths of a run. One artifact for all lengths, against the program interpreter.

use mlc::engine::Engine;
use mlc::targets::{GPU, find};
use mlc_codegen::kernels::{Schedules, schedule_program};
use mlc_codegen::ptx::{self, Capability};
use mlc_codegen::tuning::Tuning;
use mlc_ir::program::{Program, interp};
use mlc_ir::{DType, Graph, Scalar, Tensor};
use mlc_passes::{Options, optimize};
use mlc_tensorio::relative_to_scale;

const GENERATION: &str = "sm_75";

/// Largest difference that is accepted, relative to the largest value: sums of thousands are taken in another order.
const TOLERANCE: f64 = 1e-4;

const ATTENTION: &str = "graph @a(%q: f32[1, 2, m, 20], %k: f32[1, 2, n, 20], %v: f32[1, 2, n, 36]) opset 23 {
  %y = Attention(%q, %k, %v) : f32[1, 2, m, 36] return %y }";

/// Queries and keys: fewer tasks than blocks can run at the same time, and more; shorter rows than a crew; at last rows of which
/// a block could not share what it keeps.
const LENGTHS: [(usize, usize); 7] = [(1, 1), (7, 7), (16, 16), (130, 130), (1, 130), (130, 7), (2, 7000)];

fn program() -> Program {
    optimize(Graph::parse(ATTENTION).unwrap(), Options::default()).unwrap().0
}

fn numbers(shape: &[usize], step: usize) -> Tensor {
    let scalar = |n: usize| Scalar::Float(((n * step) % 23) as f64 / 7.0 - 1.5);
    let scalars: Vec<Scalar> = (0..shape.iter().product()).map(scalar).collect();
    Tensor::from_scalars(DType::F32, shape.to_vec(), &scalars).unwrap()
}

#[test]
fn an_attention_of_any_length_runs_on_a_gpu() {
    let mut program = program();
    let capability = Capability::from_name(GENERATION);
    let machine = find(GPU, Some(GENERATION)).unwrap().machine();
    let Schedules { kernels, .. } = schedule_program(&mut program, &machine, capability, &Tuning::NONE).unwrap();
    for kernel in &kernels {
        assert!(kernel.code.on_gpu(), "{:?}", kernel.code);
    }
    let far = kernels.iter().map(|kernel| ptx::far_bytes(&kernel.lowered.tile)).filter(|bytes| !bytes.is(0));
    let far: Vec<_> = far.map(|bytes| bytes.to_string()).collect();
    assert!(far.len() == 1 && far[0].contains('n'), "what one kernel keeps has the length of the keys: {far:?}");
}

#[test]
fn one_artifact_computes_attentions_of_all_lengths() {
    mlc_fake_cuda::install().unwrap_or_else(|why| panic!("{why}"));
    let reference = Graph::parse(ATTENTION).unwrap().to_program().unwrap();
    let mut engine = Engine::compiled_for(program(), find(GPU, Some(GENERATION)).unwrap(), 1).unwrap();
    for (queries, keys) in LENGTHS {
        let (k, v) = (numbers(&[1, 2, keys, 20], 7), numbers(&[1, 2, keys, 36], 9));
        let inputs = [numbers(&[1, 2, queries, 20], 5), k, v];
        let found = engine.run(&inputs).unwrap_or_else(|why| panic!("{queries} queries, {keys} keys: {why}"));
        let expected = interp::run(&reference, &inputs).unwrap();
        let error = relative_to_scale(&found[0], &expected[0]).unwrap();
        assert!(error <= TOLERANCE, "{queries} queries, {keys} keys: differs by {error:.1e}");
    }
}
