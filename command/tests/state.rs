//! State in place: several steps in one memory give the bits that the ordinary model gives, and misuse is an error.
#![allow(unsafe_code, reason = "calls a session with pointers of its own")]

mod common;

use common::{example_text, mlc};
use mlc::engine::{Engine, compile};
use mlc::model::{Passes, optimize};
use mlc_abi::Tensor as Raw;
use mlc_codegen::tuning::Tuning;
use mlc_ir::{DType, Graph, Scalar, Tensor};
use mlc_passes::state::State;
use mlc_runtime::{Session, TensorBuf, TensorView};

/// An attention with two heads that keeps its keys and values.
const CACHE: &str = "
graph @cache(%past_k: f32[2, past, 16], %mask: f32[total], %x: f32[2, seq, 16], %past_v: f32[2, past, 16]) opset 17 {
  %key = Concat(%past_k, %x) {axis = 1} : f32[2, past + seq, 16]
  %n = Exp(%x) : f32[2, seq, 16]
  %value = Concat(%past_v, %n) {axis = 1} : f32[2, past + seq, 16]
  %t = Transpose(%key) {perm = [0, 2, 1]} : f32[2, 16, past + seq]
  %s = MatMul(%x, %t) : f32[2, seq, past + seq]
  %m = Add(%s, %mask) : f32[2, seq, past + seq]
  %p = Softmax(%m) {axis = -1} : f32[2, seq, past + seq]
  %y = MatMul(%p, %value) : f32[2, seq, 16]
  return present_k = %key, %y, present_v = %value
}
";

const CAPACITY: usize = 40;

fn session() -> Session {
    let states = vec![State { past: "past_*".into(), present: "present_*".into() }];
    let passes = Passes { states, ..Passes::default() };
    compile(optimize(Graph::parse(CACHE).unwrap(), &passes).unwrap().0, 2, Tuning::NONE).unwrap().session
}

fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 7 + seed * 13) as f32).sin()).collect()
}

fn tensor(numbers: &[f32], shape: &[usize]) -> Tensor {
    let scalars: Vec<Scalar> = numbers.iter().map(|n| Scalar::Float(f64::from(*n))).collect();
    Tensor::from_scalars(DType::F32, shape.to_vec(), &scalars).unwrap()
}

/// The first `rows` rows of each head.
fn rows(bytes: &[u8], rows: usize) -> Vec<u8> {
    bytes.chunks(bytes.len() / 2).flat_map(|head| head[..rows * 64].to_vec()).collect()
}

#[test]
fn steps_in_place_have_the_bits_of_the_ordinary_model() {
    let graph = Graph::parse(CACHE).unwrap();
    let mut ordinary = Engine::compiled(optimize(graph, &Passes::default()).unwrap().0, 2).unwrap();
    let mut session = session();
    assert_eq!(session.states(), [(0, 0), (3, 2)]);
    let (empty, memory) = (tensor(&[], &[2, 0, 16]), vec![0f32; 2 * CAPACITY * 16]);
    let (mut keys, mut values, mut past) = (empty.clone(), empty, 0);
    let mut outputs: Vec<TensorBuf> = vec![];
    let mut places = vec![];
    for seq in [5, 1, 1, 3, 1, 29] {
        let (mask, x) = (numbers(past + seq, past), numbers(2 * seq * 16, past + 1));
        let step = [keys, tensor(&mask, &[past + seq]), tensor(&x, &[2, seq, 16]), values];
        let expected = ordinary.run(&step).unwrap();
        let (total, shape) = ([(past + seq) as i64], [2, seq as i64, 16]);
        let room = [2, CAPACITY as i64, 16];
        let (mask, x) = (TensorView::of(&mask, &total).unwrap(), TensorView::of(&x, &shape).unwrap());
        let memory = TensorView::of(&memory, &room).unwrap();
        match past {
            0 => session.run_into(&[memory, mask, x, memory], &mut outputs).unwrap(),
            _ => session.advance(&[mask, x], &mut outputs).unwrap(),
        }
        past += seq;
        assert_eq!(outputs[1].bytes(), expected[1].bytes(), "after {past}");
        for place in [0, 2] {
            assert_eq!(outputs[place].shape(), room);
            assert_eq!(rows(outputs[place].bytes(), past), expected[place].bytes(), "after {past}");
        }
        places.push((outputs[0].bytes().as_ptr(), outputs[2].bytes().as_ptr()));
        (keys, values) = (expected[0].clone(), expected[2].clone());
    }
    assert!(places.windows(2).all(|pair| pair[0] == pair[1]), "the memory is the same in every step");

    let before = outputs[0].bytes().to_vec();
    let (mask, x) = (numbers(past + 1, 1), numbers(32, 1));
    let total = [past as i64 + 1];
    let inputs = [TensorView::of(&mask, &total).unwrap(), TensorView::of(&x, &[2, 1, 16]).unwrap()];
    let full = session.advance(&inputs, &mut outputs).unwrap_err().to_string();
    assert!(full.contains("a state is full"), "{full}");
    assert_eq!(outputs[0].bytes(), before);
    let none = session.advance(&inputs, &mut vec![]).unwrap_err().to_string();
    assert!(none.contains("outputs of a run"), "{none}");
}

#[test]
fn other_memory_for_the_output_is_an_error() {
    let mut session = session();
    let mut shapes = [vec![2, 8, 16], vec![4], vec![2, 1, 16], vec![2, 8, 16]];
    let mut data: Vec<Vec<f32>> = shapes.iter().map(|it| vec![0.5; it.iter().product::<i64>() as usize]).collect();
    let mut raw = |place: usize, data: *mut f32| Raw {
        data: data.cast(),
        shape: shapes[place].as_mut_ptr(),
        rank: shapes[place].len() as u32,
        dtype: 1,
        bytes: shapes[place].iter().product::<i64>() as u64 * 4,
    };
    let pointers: Vec<*mut f32> = data.iter_mut().map(|it| it.as_mut_ptr()).collect();
    let inputs: Vec<Raw> = (0..4).map(|place| raw(place, pointers[place])).collect();
    let (mut y, mut other) = (vec![0f32; 32], vec![0f32; 256]);
    let mut call = |values: *mut f32| {
        let mut outputs = [raw(0, pointers[0]), raw(2, y.as_mut_ptr()), raw(3, values)];
        // SAFETY: all tensors describe vectors that live, of these sizes.
        unsafe { session.run_raw(&inputs, &mut outputs) }
    };
    let apart = call(other.as_mut_ptr()).unwrap_err();
    assert!(apart.to_string().contains("must have the data pointer of that input"), "{apart}");
    assert!(call(pointers[3]).is_ok());
    assert_eq!(data[3][3 * 16], 0.5f32.exp());
}

#[test]
fn the_command_says_what_is_no_state() {
    let model = example_text("digits.onnx");
    mlc(["build", &model, "--state", "picture=scores"]).fails(3, &["no input `picture`"]);
    mlc(["build", &model, "--state", "image=scores"]).fails(3, &["`image` and `scores` cannot be one memory"]);
    let wrong = mlc(["build", &model, "--state", "image"]);
    assert!(wrong.code == 2 && wrong.err.contains("write INPUT=OUTPUT"), "{}", wrong.err);
}
