//! Inputs, outputs and symbols of a model, wherever it comes from: a program or a compiled artifact.

use crate::failure::{Failure, Result};
use mlc_abi::descriptor::{Descriptor, Dim, TensorRow};
use mlc_ir::graph::{Fact, Graph, NodeId};
use mlc_ir::index::{Leaf, parse_index};
use mlc_ir::text::Lexer;
use mlc_ir::{DType, Facts, Index, Program, Tensor};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fmt;

/// Symbols of an artifact with this bound have none of their own.
const UNBOUNDED: i64 = i32::MAX as i64;

/// Sizes of symbols by name.
pub type Sizes = HashMap<String, i64>;

/// A symbolic dimension and its range.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Symbol {
    /// In the model.
    pub name: String,
    /// Smallest value.
    pub low: i64,
    /// Largest value, if there is one.
    pub high: Option<i64>,
}

/// An input or output.
#[derive(Clone, PartialEq, Debug)]
pub struct Port {
    /// In the model.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Extents, outermost first.
    pub shape: Vec<Index>,
}

/// Inputs, outputs and symbols of a model.
#[derive(Clone, PartialEq, Debug)]
pub struct Interface {
    /// Symbols of the inputs, in order of first use.
    pub symbols: Vec<Symbol>,
    /// In the order of the call.
    pub inputs: Vec<Port>,
    /// In the order of the call.
    pub outputs: Vec<Port>,
    /// Places of inputs and of the outputs that continue them in their memory.
    pub states: Vec<(usize, usize)>,
}

impl Interface {
    /// That of a program.
    pub fn of_program(program: &Program) -> Interface {
        let port = |&number: &u32| {
            let buffer = program.buffer(number);
            Port { name: buffer.name.to_string(), dtype: buffer.dtype, shape: buffer.shape.clone() }
        };
        let inputs = program.inputs.iter().map(port).collect();
        let place = |list: &[u32], buffer| list.iter().position(|b| *b == buffer);
        let states = program.states.iter();
        let states = states.filter_map(|it| Some((place(&program.inputs, it.0)?, place(&program.outputs, it.1)?)));
        let states = states.collect();
        let outputs = program.outputs.iter().map(port).collect();
        Interface { states, ..Interface::new(inputs, outputs, &program.facts) }
    }

    /// That of a graph.
    pub fn of_graph(graph: &Graph) -> Interface {
        let port = |name: &str, fact: &Fact| Port { name: name.into(), dtype: fact.dtype, shape: fact.shape.clone() };
        let input = |id: &NodeId| {
            let node = graph.node(*id);
            node.outputs.first().map(|fact| port(&node.name, fact))
        };
        let inputs = graph.inputs().iter().filter_map(input).collect();
        let outputs = graph.outputs().iter().map(|(name, value)| port(name, graph.fact(*value))).collect();
        Interface::new(inputs, outputs, &graph.facts)
    }

    fn new(inputs: Vec<Port>, outputs: Vec<Port>, facts: &Facts) -> Interface {
        let mut symbols: Vec<Symbol> = Vec::new();
        for name in inputs.iter().flat_map(|port| &port.shape).flat_map(Index::syms) {
            if symbols.iter().all(|symbol| symbol.name != *name) {
                let (low, high) = facts.symbol_range(&name);
                symbols.push(Symbol { name: name.to_string(), low, high });
            }
        }
        Interface { symbols, inputs, outputs, states: vec![] }
    }

    /// That of an artifact.
    pub fn of_descriptor(descriptor: &Descriptor) -> Interface {
        let symbols: Vec<Symbol> = descriptor
            .symbols()
            .map(|it| Symbol { name: it.name.into(), low: it.low, high: Some(it.high).filter(|n| *n < UNBOUNDED) })
            .collect();
        let port = |row: TensorRow| Port {
            name: row.name.into(),
            dtype: DType::from_onnx(row.dtype as i32).unwrap_or(DType::F32),
            shape: row.dims().map(|dim| index(dim, &symbols)).collect(),
        };
        let states = descriptor.outputs().enumerate();
        let states = states.filter_map(|(place, row)| Some((row.state? as usize, place))).collect();
        let (inputs, outputs) = (descriptor.inputs().map(port).collect(), descriptor.outputs().map(port).collect());
        Interface { symbols, inputs, outputs, states }
    }

    /// The place of an input.
    ///
    /// # Errors
    /// If there is none of this name; the message lists those there are.
    pub fn input(&self, name: &str) -> Result<usize> {
        let place = self.inputs.iter().position(|port| port.name == name);
        place.ok_or_else(|| {
            Failure::usage(format!("the model has no input `{name}`; its inputs are {}", self.list(&self.inputs)))
        })
    }

    /// Names, types and shapes in one line.
    pub fn list(&self, ports: &[Port]) -> String {
        if ports.is_empty() { "none".into() } else { ports.iter().map(Port::to_string).collect::<Vec<_>>().join(", ") }
    }

    /// Checks tensors for all inputs, and gives the sizes that follow for the symbols.
    ///
    /// # Errors
    /// Names the first input that does not fit.
    pub fn bind(&self, tensors: &[Tensor]) -> Result<Sizes> {
        if tensors.len() != self.inputs.len() {
            let (have, want) = (tensors.len(), self.inputs.len());
            return Err(Failure::invalid(format!("{have} inputs are given, the model has {want}")));
        }
        let mut sizes = Sizes::new();
        for (port, tensor) in self.inputs.iter().zip(tensors) {
            let wrong = || Failure::invalid(format!("input `{}` is {tensor:?}, the model wants {port}", port.name));
            if tensor.dtype() != port.dtype || tensor.shape().len() != port.shape.len() {
                return Err(wrong());
            }
            for (dim, &extent) in port.shape.iter().zip(tensor.shape()) {
                let extent = extent as i64;
                let symbol = self.symbols.iter().find(|symbol| *dim == Index::sym(symbol.name.as_str()));
                let Some(symbol) = symbol else {
                    if dim.as_const().is_some_and(|n| n != extent) {
                        return Err(wrong());
                    }
                    continue;
                };
                if extent < symbol.low || symbol.high.is_some_and(|high| extent > high) {
                    return Err(wrong().in_front(&format!("{symbol} cannot be {extent}")));
                }
                let before = sizes.insert(symbol.name.clone(), extent);
                if let Some(before) = before.filter(|before| *before != extent) {
                    return Err(wrong().in_front(&format!("`{}` is {before} in another place", symbol.name)));
                }
            }
        }
        Ok(sizes)
    }

    /// As an object.
    pub fn json(&self) -> Value {
        let ports = |ports: &[Port]| ports.iter().map(Port::json).collect::<Vec<_>>();
        let symbols = self.symbols.iter().map(|it| json!({ "name": it.name, "low": it.low, "high": it.high }));
        json!({
            "symbols": symbols.collect::<Vec<_>>(), "inputs": ports(&self.inputs), "outputs": ports(&self.outputs),
            "states": self.states.iter().map(|(input, output)| json!([input, output])).collect::<Vec<_>>(),
        })
    }
}

impl Port {
    /// The extents, where the symbols have these sizes.
    ///
    /// # Errors
    /// Names the first symbol without a size, and how to give it one.
    pub fn extents(&self, sizes: &Sizes) -> Result<Vec<usize>> {
        let extent = |dim: &Index| {
            let missing = dim.syms().into_iter().find(|name| !sizes.contains_key(&**name));
            if let Some(name) = missing {
                let message = format!("input {self}: say how large `{name}` is, with `--dim {name}=N`");
                return Err(Failure::usage(message));
            }
            let value = value(dim, sizes).and_then(|n| usize::try_from(n).ok());
            value.ok_or_else(|| Failure::usage(format!("input {self}: {dim} is no extent with these sizes")))
        };
        self.shape.iter().map(extent).collect()
    }

    fn json(&self) -> Value {
        let dims = self.shape.iter().map(|dim| dim.as_const().map_or_else(|| json!(dim.to_string()), |n| json!(n)));
        json!({ "name": self.name, "dtype": self.dtype.name(), "shape": dims.collect::<Vec<_>>() })
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "`{}`: {}{}", self.name, self.dtype, mlc_ir::compute::shape_text(&self.shape))
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.high {
            Some(high) => write!(f, "`{}` ({} to {high})", self.name, self.low),
            None => write!(f, "`{}` (from {})", self.name, self.low),
        }
    }
}

fn value(index: &Index, sizes: &Sizes) -> Option<i64> {
    index.eval(&mut |leaf| if let Leaf::Sym(name) = leaf { sizes.get(&***name).copied() } else { None })
}

/// The value of a formula of symbols, where these have known sizes.
pub fn formula(text: &str, sizes: &Sizes) -> Option<i64> {
    value(&parse_index(&mut Lexer::new(text)).ok()?, sizes)
}

fn index(dim: Dim, symbols: &[Symbol]) -> Index {
    match dim {
        Dim::Fixed(n) => Index::from(n),
        Dim::Symbol(number) => Index::sym(symbols.get(number as usize).map_or("?", |it| it.name.as_str())),
        Dim::Expression(text) | Dim::AtMost(text) => {
            parse_index(&mut Lexer::new(text)).unwrap_or_else(|_| Index::sym(text))
        }
    }
}
