use mlc_ir::program::{interp, verify};
use mlc_ir::{DType, Graph, Program, Scalar, Tensor};
use mlc_passes::state::State;
use mlc_passes::{Options, fuse, optimize};

/// An attention that keeps its keys and values.
const CACHE: &str = "
graph @cache(%mask: f32[total], %x: f32[seq, 4], %past_k: f32[past, 4], %past_v: f32[past, 4]) opset 17 {
  %key = Concat(%past_k, %x) {axis = 0} : f32[past + seq, 4]
  %n = Neg(%x) : f32[seq, 4]
  %value = Concat(%past_v, %n) {axis = 0} : f32[past + seq, 4]
  %t = Transpose(%key) {perm = [1, 0]} : f32[4, past + seq]
  %s = MatMul(%x, %t) : f32[seq, past + seq]
  %m = Add(%s, %mask) : f32[seq, past + seq]
  %p = Softmax(%m) {axis = -1} : f32[seq, past + seq]
  %y = MatMul(%p, %value) : f32[seq, 4]
  return %y, present_k = %key, present_v = %value
}
";

fn state(past: &str, present: &str) -> State {
    State { past: past.into(), present: present.into() }
}

fn bound(text: &str, states: &[State]) -> mlc_ir::Result<Program> {
    let graph = Graph::parse(text).unwrap_or_else(|e| panic!("{e}"));
    let options = Options { verify: true, states: states.to_vec(), ..Options::default() };
    optimize(graph, options).map(|it| it.0)
}

fn tensor(shape: [usize; 2], number: impl Fn(usize) -> f64) -> Tensor {
    let scalars: Vec<Scalar> = (0..shape[0] * shape[1]).map(|i| Scalar::Float(number(i))).collect();
    Tensor::from_scalars(DType::F32, shape.to_vec(), &scalars).unwrap()
}

/// Mask, new rows and old ones; the old ones in memory for `capacity`.
fn inputs(past: usize, seq: usize, capacity: usize) -> Vec<Tensor> {
    let mask = Tensor::from_scalars(DType::F32, vec![past + seq], &vec![Scalar::Float(0.5); past + seq]).unwrap();
    let old = |scale: f64| tensor([capacity, 4], |i| if i < past * 4 { (i as f64 * scale).sin() } else { 9.0 });
    vec![mask, tensor([seq, 4], |i| (i as f64).cos()), old(0.7), old(1.3)]
}

#[test]
fn the_output_is_the_memory_of_the_input() {
    let program = bound(CACHE, &[state("past_*", "present_*")]).unwrap();
    let text = program.to_string();
    for line in ["mask: f32[past + seq]", "past_k: f32[past.capacity, 4]", "present_v: f32[past.capacity, 4]"] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(text.contains("limit past + seq within past.capacity at present_k"), "{text}");
    assert_eq!(program.states.len(), 2);
    assert!(program.asserts.is_empty(), "{text}");
    assert_eq!(verify::verify(&program).unwrap(), Vec::<String>::new());
    assert_eq!(Program::parse(&text, &|_| None).unwrap().to_string(), text);
    let copying = bound(CACHE, &[]).unwrap();
    assert_eq!(fuse::count(&copying) - fuse::count(&program), 2, "{text}");

    let (old, new) = (inputs(3, 2, 3), inputs(3, 2, 7));
    let (expected, found) = (interp::run(&copying, &old).unwrap(), interp::run(&program, &new).unwrap());
    assert_eq!(found[0].bytes(), expected[0].bytes());
    for (expected, found) in expected[1..].iter().zip(&found[1..]) {
        assert_eq!((expected.shape(), found.shape()), (&[5, 4][..], &[7, 4][..]));
        let (there, rest) = found.bytes().split_at(expected.bytes().len());
        assert_eq!(there, expected.bytes());
        assert!(rest.chunks(4).all(|bytes| *bytes == 9f32.to_le_bytes()), "nothing is written behind");
    }
    let full = interp::run(&program, &inputs(3, 2, 4)).unwrap_err();
    assert!(full.message.contains("no room"), "{}", full.message);
}

#[test]
fn lengths_that_are_equal_are_one() {
    let text = CACHE.replace("%past_k: f32[past, 4]", "%past_k: f32[old, 4]");
    let text = text.replace(" : f32[past + seq, 4]", "").replace(" : f32[4, past + seq]", "");
    let text = text.replace(" : f32[seq, past + seq]", "");
    let program = bound(&text, &[state("past_v", "present_v"), state("past_k", "present_k")]).unwrap();
    let found = interp::run(&program, &inputs(3, 2, 7)).unwrap();
    let expected = interp::run(&bound(CACHE, &[]).unwrap(), &inputs(3, 2, 3)).unwrap();
    assert_eq!(found[0].bytes(), expected[0].bytes());
}

#[test]
fn what_is_no_state_is_refused() {
    let cases = [
        (CACHE.to_string(), state("post_*", "present_*"), "no input `post_*`"),
        (CACHE.to_string(), state("past_*", "presents_*"), "no output `presents_k` for input `past_k`"),
        (CACHE.to_string(), state("past_k", "y"), "cannot be one memory"),
        (CACHE.to_string(), state("past_k", "present_v"), "writes where the old entries are"),
        (CACHE.replace("Concat(%past_k, %x)", "Concat(%x, %past_k)"), state("past_k", "present_k"), "old entries"),
        (
            CACHE
                .replace("past_k: f32[past, 4]", "past_k: f32[2, 4]")
                .replace("f32[past + seq, 4]\n  %n", "f32[seq + 2, 4]\n  %n")
                .replace("f32[4, past + seq]", "f32[4, seq + 2]")
                .replace("f32[seq, past + seq]", "f32[seq, seq + 2]"),
            state("past_k", "present_k"),
            "leave it open",
        ),
        (CACHE.replace("Add(%s, %mask)", "Neg(%s)"), state("past_*", "present_*"), "cannot be known"),
    ];
    for (text, state, message) in cases {
        let error = bound(&text, std::slice::from_ref(&state)).unwrap_err();
        assert!(error.message.contains(message), "{state:?}: {}", error.message);
    }
    let twice = [state("past_k", "present_k"), state("past_*", "present_*")];
    assert!(bound(CACHE, &twice).unwrap_err().message.contains("in two states"));
}
