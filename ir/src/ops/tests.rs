//! Shape arithmetic as exporters write it must give dims, whatever the symbols are.

use crate::graph::{Graph, Value};
use crate::onnx::{Attribute, OnnxNode};
use crate::program::Known;
use crate::{DType, Index, Scalar, Tensor};

/// A graph under construction, which names nodes by itself.
struct Builder {
    graph: Graph,
    count: usize,
}

impl Builder {
    fn new() -> Builder {
        let mut graph = Graph::new("test");
        graph.facts.symbol("B", 1, None);
        graph.facts.symbol("S", 1, None);
        Builder { graph, count: 0 }
    }

    fn input(&mut self, shape: &[Index]) -> Value {
        self.count += 1;
        self.graph.add_input(format!("x{}", self.count), DType::F32, shape.to_vec())
    }

    fn ints(&mut self, values: &[i64]) -> Value {
        self.count += 1;
        self.graph.add_constant(format!("c{}", self.count), Tensor::from_i64s(values))
    }

    fn int(&mut self, value: i64) -> Value {
        let tensor = Tensor::from_scalars(DType::I64, vec![], &[Scalar::Int(value)]).unwrap();
        self.count += 1;
        self.graph.add_constant(format!("c{}", self.count), tensor)
    }

    fn node(&mut self, node: OnnxNode, inputs: &[Value]) -> Vec<Value> {
        self.count += 1;
        let inputs: Vec<Option<Value>> = inputs.iter().copied().map(Some).collect();
        self.graph.add(format!("n{}", self.count), node, &inputs).unwrap()
    }

    fn op(&mut self, name: &str, inputs: &[Value]) -> Value {
        self.node(OnnxNode::new(name), inputs)[0]
    }

    fn known(&self, value: Value) -> Vec<String> {
        let known = self.graph.fact(value).known.as_ref().expect("known while building");
        let text = |known: &Known| match known {
            Known::Index(index) => index.to_string(),
            Known::Float(x) => x.to_string(),
        };
        known.iter().map(text).collect()
    }

    fn shape(&self, value: Value) -> Vec<String> {
        self.graph.fact(value).shape.iter().map(Index::to_string).collect()
    }

    /// The dims `[B, S, 384]`, as a tensor.
    fn dims(&mut self) -> Value {
        let x = self.input(&[Index::sym("B"), Index::sym("S"), 384.into()]);
        self.op("Shape", &[x])
    }
}

fn axis(name: &str, axis: i64) -> OnnxNode {
    OnnxNode::new(name).with("axis", Attribute::Int(axis))
}

#[test]
fn heads_are_split_by_gathered_dims() {
    let mut b = Builder::new();
    let x = b.input(&[Index::sym("B"), Index::sym("S"), 384.into()]);
    let dims = b.op("Shape", &[x]);
    let (zero, one) = (b.int(0), b.int(-2));
    let (batch, length) = (b.node(axis("Gather", 0), &[dims, zero])[0], b.node(axis("Gather", 0), &[dims, one])[0]);
    let first = b.ints(&[0]);
    let (batch, length) = (b.op("Unsqueeze", &[batch, first]), b.op("Unsqueeze", &[length, first]));
    let (heads, rest) = (b.ints(&[12]), b.ints(&[-1]));
    let shape = b.node(axis("Concat", 0), &[batch, length, heads, rest])[0];
    assert_eq!(b.known(shape), ["B", "S", "12", "-1"]);
    let y = b.op("Reshape", &[x, shape]);
    assert_eq!(b.shape(y), ["B", "S", "12", "32"]);
}

#[test]
fn arithmetic_goes_through_symbols() {
    let mut b = Builder::new();
    let dims = b.dims();
    let two = b.int(2);
    for (op, expected) in [
        ("Add", ["B + 2", "S + 2", "386"]),
        ("Sub", ["B - 2", "S - 2", "382"]),
        ("Mul", ["2*B", "2*S", "768"]),
        ("Div", ["floordiv(B, 2)", "floordiv(S, 2)", "192"]),
        ("Mod", ["mod(B, 2)", "mod(S, 2)", "0"]),
        ("Min", ["min(2, B)", "min(2, S)", "2"]),
        ("Max", ["max(2, B)", "max(2, S)", "384"]),
    ] {
        let y = b.op(op, &[dims, two]);
        let mut known = b.known(y);
        known.iter_mut().for_each(|text| *text = text.replace("2 + B", "B + 2").replace("2 + S", "S + 2"));
        assert_eq!(known, expected, "{op}");
    }
    let y = b.op("Sub", &[dims, dims]);
    assert_eq!(b.known(y), ["0", "0", "0"]);
    let y = b.op("Equal", &[dims, dims]);
    assert_eq!(b.known(y), ["1", "1", "1"]);
    let to = OnnxNode::new("Cast").with("to", Attribute::Int(6));
    let y = b.node(to, &[dims])[0];
    assert_eq!(b.known(y), ["B", "S", "384"]);
    let y = b.op("ReduceProd", &[dims]);
    assert_eq!(b.known(y), ["384*B*S"]);
    let y = b.op("Identity", &[dims]);
    assert_eq!(b.known(y), ["B", "S", "384"]);
}

#[test]
fn movements_keep_what_is_known() {
    let mut b = Builder::new();
    let dims = b.dims();
    let (minus_one, low, zero) = (b.ints(&[-1]), b.ints(&[i64::MIN]), b.ints(&[0]));
    let reversed = b.op("Slice", &[dims, minus_one, low, zero, minus_one]);
    assert_eq!(b.known(reversed), ["384", "S", "B"]);
    let end = b.ints(&[i64::MAX]);
    let tail = b.op("Slice", &[dims, minus_one, end]);
    assert_eq!(b.known(tail), ["384"]);
    let matrix = b.ints(&[1, 3]);
    let row = b.op("Reshape", &[dims, matrix]);
    let column = b.op("Transpose", &[row]);
    assert_eq!(
        (b.shape(column), b.known(column)),
        (vec!["3".into(), "1".into()], vec!["B".into(), "S".into(), "384".into()])
    );
    let flat = b.op("Squeeze", &[column]);
    assert_eq!(b.known(flat), ["B", "S", "384"]);
    let three = b.ints(&[3]);
    let twice = b.op("Expand", &[tail, three]);
    assert_eq!(b.known(twice), ["384", "384", "384"]);
    let split = OnnxNode { outputs: 3, ..axis("Split", 0) };
    let parts = b.node(split, &[dims]);
    assert_eq!((b.known(parts[0]), b.known(parts[1])), (vec!["B".to_string()], vec!["S".to_string()]));
    let pads = b.ints(&[1, 0]);
    let padded = b.op("Pad", &[dims, pads]);
    assert_eq!(b.known(padded), ["0", "B", "S", "384"]);
    let places = b.ints(&[2, 0]);
    let gathered = b.op("GatherElements", &[dims, places]);
    assert_eq!(b.known(gathered), ["384", "B"]);
}

#[test]
fn an_expanded_shape_takes_the_place_of_minus_one() {
    let mut b = Builder::new();
    let dims = b.dims();
    let ones = {
        let count = b.ints(&[3]);
        let one = Tensor::from_i64s(&[1]);
        b.node(OnnxNode::new("ConstantOfShape").with("value", Attribute::Tensor(one)), &[count])[0]
    };
    let minus_one = b.int(-1);
    let scaled = b.op("Mul", &[ones, minus_one]);
    let wanted = b.ints(&[-1, -1, 384]);
    let is_scaled = b.op("Equal", &[wanted, scaled]);
    let shape = b.op("Where", &[is_scaled, ones, wanted]);
    assert_eq!(b.known(shape), ["1", "1", "384"]);
    let x = b.input(&[Index::sym("B"), Index::sym("S"), 1.into()]);
    let y = b.op("Expand", &[x, shape]);
    assert_eq!(b.shape(y), ["B", "S", "384"]);
    let mask = b.op("ConstantOfShape", &[dims]);
    assert_eq!(b.shape(mask), ["B", "S", "384"]);
}

#[test]
fn ranges_and_slices_have_symbolic_extents() {
    let mut b = Builder::new();
    let dims = b.dims();
    let (zero, one) = (b.int(0), b.int(1));
    let length = b.node(axis("Gather", 0), &[dims, one])[0];
    let range = b.op("Range", &[zero, length, one]);
    assert_eq!(b.shape(range), ["S"]);
    let more = b.op("Add", &[length, length]);
    let range = b.op("Range", &[length, more, one]);
    assert_eq!(b.shape(range), ["S"]);
    let x = b.input(&[Index::sym("B"), Index::sym("S"), 64.into()]);
    let (first, last) = (b.ints(&[1]), b.ints(&[i64::MAX]));
    let tail = b.op("Slice", &[x, first, last, first]);
    assert_eq!(b.shape(tail), ["B", "S - 1", "64"]);
    let (start, end, axes) = (b.ints(&[0]), b.ints(&[-1]), b.ints(&[1]));
    let head = b.op("Slice", &[x, start, end, axes]);
    assert_eq!(b.shape(head), ["B", "S - 1", "64"]);
    let half = b.ints(&[32]);
    let two = b.ints(&[2]);
    let left = b.op("Slice", &[x, start, half, two]);
    assert_eq!(b.shape(left), ["B", "S", "32"]);
}

#[test]
fn what_depends_on_elements_has_an_extent_of_its_own() {
    let mut b = Builder::new();
    let x = b.input(&[Index::sym("B"), 5.into()]);
    let y = b.op("NonZero", &[x]);
    let shape = b.shape(y);
    assert_eq!(shape[0], "2");
    assert!(shape[1].ends_with(".count1"), "{}", shape[1]);
    // Building again gives the same name.
    b.graph.verify().unwrap();
}

#[test]
fn split_has_the_outputs_it_says() {
    for (says, fits) in [(2, true), (3, false), (214, false)] {
        let mut graph = Graph::new("split");
        let x = graph.add_input("x", DType::F32, vec![Index::sym("n"), 4.into()]);
        let node = OnnxNode { outputs: 2, ..axis("Split", 0).with("num_outputs", Attribute::Int(says)) };
        let split = graph.add("split", node, &[Some(x)]);
        assert_eq!(split.is_ok(), fits, "{says}");
    }
}
