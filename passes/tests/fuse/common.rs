//! Graphs built by hand, and the comparison of a program before and after fusion.

use mlc_ir::graph::{Graph, Value};
use mlc_ir::onnx::{Attribute, OnnxNode};
use mlc_ir::program::{Program, interp};
use mlc_ir::{DType, Index, Scalar, Tensor};
use mlc_passes::fuse::{Report, count, fuse};

/// A graph with shorthands; every node has one output.
pub struct Model {
    pub graph: Graph,
    inputs: Vec<Tensor>,
    seed: u64,
    nodes: usize,
}

pub fn ints(values: &[i64]) -> Attribute {
    Attribute::Ints(values.to_vec())
}

pub fn int(value: i64) -> Attribute {
    Attribute::Int(value)
}

impl Model {
    pub fn new() -> Model {
        Model { graph: Graph::new("test"), inputs: vec![], seed: 1, nodes: 0 }
    }

    fn numbers(&mut self, shape: &[usize]) -> Tensor {
        let next = |seed: &mut u64| {
            *seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            ((*seed >> 40) as f64 / (1u64 << 24) as f64 - 0.5) * 2.0
        };
        let scalars: Vec<Scalar> = (0..shape.iter().product()).map(|_| Scalar::Float(next(&mut self.seed))).collect();
        Tensor::from_scalars(DType::F32, shape.to_vec(), &scalars).unwrap()
    }

    /// An input with random numbers; a dim 0 is the symbol `n` with the value 3.
    pub fn input(&mut self, shape: &[usize]) -> Value {
        let dims = shape.iter().map(|&d| if d == 0 { Index::sym("n") } else { Index::from(d as i64) }).collect();
        let real: Vec<usize> = shape.iter().map(|&d| if d == 0 { 3 } else { d }).collect();
        let tensor = self.numbers(&real);
        self.inputs.push(tensor);
        self.graph.add_input(format!("in{}", self.inputs.len()), DType::F32, dims)
    }

    /// An input with given numbers.
    pub fn given(&mut self, tensor: Tensor) -> Value {
        let dims = tensor.shape().iter().map(|&d| Index::from(d as i64)).collect();
        let dtype = tensor.dtype();
        self.inputs.push(tensor);
        self.graph.add_input(format!("in{}", self.inputs.len()), dtype, dims)
    }

    pub fn weight(&mut self, shape: &[usize]) -> Value {
        let tensor = self.numbers(shape);
        self.constant(tensor)
    }

    pub fn constant(&mut self, tensor: Tensor) -> Value {
        self.nodes += 1;
        self.graph.add_constant(format!("w{}", self.nodes), tensor)
    }

    pub fn scalar(&mut self, x: f32) -> Value {
        self.constant(Tensor::from_f32s(vec![], &[x]).unwrap())
    }

    pub fn dims(&mut self, dims: &[i64]) -> Value {
        self.constant(Tensor::from_i64s(dims))
    }

    pub fn op(&mut self, op: &str, inputs: &[Value]) -> Value {
        self.op_with(op, &[], inputs)
    }

    pub fn op_with(&mut self, op: &str, attributes: &[(&str, Attribute)], inputs: &[Value]) -> Value {
        let node = attributes.iter().fold(OnnxNode::new(op), |node, (name, value)| node.with(name, value.clone()));
        self.add(node, inputs)[0]
    }

    pub fn add(&mut self, node: OnnxNode, inputs: &[Value]) -> Vec<Value> {
        self.nodes += 1;
        let inputs: Vec<Option<Value>> = inputs.iter().copied().map(Some).collect();
        let name = format!("{}{}", node.op_type.to_lowercase(), self.nodes);
        self.graph.add(name, node, &inputs).unwrap()
    }

    /// Fuses, compares the results, and gives the fused program.
    pub fn check(mut self, outputs: &[Value]) -> Fused {
        for (number, value) in outputs.iter().enumerate() {
            self.graph.add_output(format!("out{number}"), *value);
        }
        let before = self.graph.to_program().unwrap();
        let mut after = before.clone();
        let report = fuse(&mut after);
        let text = show(&after);
        let expected = interp::run(&before, &self.inputs).unwrap();
        let got = interp::run(&after, &self.inputs).unwrap_or_else(|e| panic!("{e}\n{text}"));
        for (number, (a, b)) in expected.iter().zip(&got).enumerate() {
            assert_eq!((a.dtype(), a.shape()), (b.dtype(), b.shape()));
            for (place, (x, y)) in a.scalars().zip(b.scalars()).enumerate() {
                let (x, y) = (x.float(), y.float());
                let close = (x - y).abs() <= 1e-5 * (1.0 + x.abs()) || x == y || x.is_nan() && y.is_nan();
                assert!(close, "output {number} element {place}: {x} became {y}\n{text}\n{:#?}", report.fused);
            }
        }
        Fused { kernels: count(&after), program: after, report, text }
    }
}

/// A program after fusion.
#[derive(Debug)]
#[allow(dead_code)]
pub struct Fused {
    pub kernels: usize,
    pub program: Program,
    pub report: Report,
    pub text: String,
}

fn show(program: &Program) -> String {
    format!("{:#?}", program.body)
}
