//! Inputs too small for a model are an error, and never a run out of bounds.

use mlc_ir::{DType, Graph, Scalar, Tensor};
use mlc_tensorio::relative_to_scale;
use mlc_tests::{Way, model_tests};

/// A window that is larger than what it slides over, where no output tells.
const CONV: &str = "graph @conv(%x: f32[1, 2, n]) opset 17 {
  %w = const f32[2, 2, 5] [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 1.0, 2.0]
  %c = Conv(%x, %w) {strides = [2]}
  %d = Relu(%c)
  %e = Conv(%d, %w)
  %y = ReduceSum(%e) {keepdims = 0}
  return %y
}";

#[test]
fn a_window_larger_than_its_input() {
    let graph = Graph::parse(CONV).unwrap();
    let mut interpreted = Way::Interpreter.engine(graph.clone()).unwrap();
    let mut compiled = Way::Compiled.engine(graph).unwrap();
    for n in 0..40 {
        let x: Vec<f32> = (0..2 * n).map(|place| (place % 7) as f32 - 3.0).collect();
        let inputs = [Tensor::from_f32s(vec![1, 2, n], &x).unwrap()];
        let (expected, got) = (interpreted.run(&inputs), compiled.run(&inputs));
        // From 11 elements the second window has 4 to slide over, which leaves 0; fewer would leave fewer than that.
        if n < 11 {
            for result in [expected, got] {
                let error = result.expect_err("too small").message;
                assert!(error.contains("the inputs are too small"), "{n}: {error}");
            }
        } else {
            let (expected, got) = (expected.unwrap(), got.unwrap());
            assert!(relative_to_scale(&got[0], &expected[0]).unwrap() < 1e-5, "{n}: {got:?}, {expected:?}");
        }
    }
}

/// An element at a fixed place of a dim that is empty is not read.
#[test]
fn the_first_of_none() {
    let text = "graph @first(%x: f32[n, 2]) opset 17 {
  %i = const i64[] [0]
  %g = Gather(%x, %i) {axis = 0}
  %y = Neg(%g)
  return %y
}";
    let graph = Graph::parse(text).unwrap();
    let mut interpreted = Way::Interpreter.engine(graph.clone()).unwrap();
    let mut compiled = Way::Compiled.engine(graph).unwrap();
    for n in [0, 3] {
        let x = [Tensor::from_f32s(vec![n, 2], &vec![1.0; 2 * n]).unwrap()];
        let (expected, got) = (interpreted.run(&x).unwrap(), compiled.run(&x).unwrap());
        assert_eq!(expected[0].bytes(), got[0].bytes(), "{n}");
        assert_eq!(got[0].get(0).float(), if n == 0 { 0.0 } else { -1.0 });
    }
}

/// Its two branches, one for each rate, ask for different lengths; only the one that is taken counts.
#[test]
fn a_sound_that_is_too_short() {
    let tests = model_tests().expect("the models are there: tests/setup.sh fetches them");
    let test = tests.iter().find(|test| test.name == "silero-vad").expect("a model with cases");
    let graph = mlc_frontend::import(&test.model, &Default::default()).unwrap();
    let mut compiled = Way::Compiled.engine(graph).unwrap();
    let mut run = |length: usize, rate: i64| {
        let sound = Tensor::from_f32s(vec![1, length], &vec![0.25; length]).unwrap();
        let rate = Tensor::from_scalars(DType::I64, vec![], &[Scalar::Int(rate)]).unwrap();
        let state = Tensor::from_f32s(vec![2, 1, 128], &[0.0; 256]).unwrap();
        compiled.run(&[sound, rate, state]).map(|outputs| outputs.len())
    };
    for length in [1, 30, 63] {
        let error = run(length, 16000).expect_err("too short").message;
        assert!(error.contains("the inputs are too small"), "{length}: {error}");
    }
    assert_eq!(run(512, 16000), Ok(2));
    assert_eq!(run(256, 8000), Ok(2));
}
