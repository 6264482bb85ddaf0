//! A neutral view of one ONNX node, which op files parse; `ir` needs no protobuf for it.

use crate::graph::Graph;
use crate::{DType, Error, Result, Tensor};
use std::collections::BTreeMap;

/// The type and attributes of a node, as the model states them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OnnxNode {
    /// Such as `Softmax`.
    pub op_type: String,
    /// Empty for `ai.onnx`.
    pub domain: String,
    /// The version of the domain the model imports.
    pub opset: i64,
    /// By name.
    pub attributes: BTreeMap<String, Attribute>,
    /// How many outputs it has; one that is not used counts.
    pub outputs: usize,
}

/// An attribute's value. Two graphs are never equal.
#[derive(Clone, Debug)]
pub enum Attribute {
    /// `FLOAT`
    Float(f32),
    /// `INT`
    Int(i64),
    /// `STRING`, UTF-8
    String(String),
    /// `TENSOR`
    Tensor(Tensor),
    /// `GRAPH`: its inputs are the body's inputs, then the outer values it captures, in the order in which they are
    /// appended to the node's inputs.
    Graph(Box<Graph>),
    /// `FLOATS`
    Floats(Vec<f32>),
    /// `INTS`
    Ints(Vec<i64>),
    /// `STRINGS`
    Strings(Vec<String>),
}

impl PartialEq for Attribute {
    fn eq(&self, other: &Attribute) -> bool {
        match (self, other) {
            (Attribute::Float(a), Attribute::Float(b)) => a.to_bits() == b.to_bits(),
            (Attribute::Int(a), Attribute::Int(b)) => a == b,
            (Attribute::String(a), Attribute::String(b)) => a == b,
            (Attribute::Tensor(a), Attribute::Tensor(b)) => a == b,
            (Attribute::Floats(a), Attribute::Floats(b)) => {
                a.iter().map(|x| x.to_bits()).eq(b.iter().map(|x| x.to_bits()))
            }
            (Attribute::Ints(a), Attribute::Ints(b)) => a == b,
            (Attribute::Strings(a), Attribute::Strings(b)) => a == b,
            _ => false,
        }
    }
}

impl OnnxNode {
    /// A node of `ai.onnx` without attributes, at the newest opset.
    pub fn new(op_type: &str) -> OnnxNode {
        OnnxNode { op_type: op_type.into(), opset: i64::MAX, outputs: 1, ..OnnxNode::default() }
    }

    /// With one more attribute.
    pub fn with(mut self, name: &str, value: Attribute) -> OnnxNode {
        self.attributes.insert(name.into(), value);
        self
    }

    fn wrong(&self, name: &str, expected: &str) -> Error {
        Error::invalid(format!("attribute `{name}` of {} must be {expected}", self.op_type))
    }

    /// Whether an attribute is given.
    pub fn has(&self, name: &str) -> bool {
        self.attributes.contains_key(name)
    }

    /// An integer attribute, if given.
    pub fn optional_int(&self, name: &str) -> Result<Option<i64>> {
        match self.attributes.get(name) {
            None => Ok(None),
            Some(Attribute::Int(n)) => Ok(Some(*n)),
            Some(_) => Err(self.wrong(name, "an integer")),
        }
    }

    /// An integer attribute, or its default.
    pub fn int(&self, name: &str, default: i64) -> Result<i64> {
        Ok(self.optional_int(name)?.unwrap_or(default))
    }

    /// An integer attribute read as a truth value.
    pub fn flag(&self, name: &str, default: bool) -> Result<bool> {
        Ok(self.int(name, default.into())? != 0)
    }

    /// A float attribute, if given.
    pub fn optional_float(&self, name: &str) -> Result<Option<f32>> {
        match self.attributes.get(name) {
            None => Ok(None),
            Some(Attribute::Float(x)) => Ok(Some(*x)),
            Some(_) => Err(self.wrong(name, "a float")),
        }
    }

    /// A float attribute, or its default.
    pub fn float(&self, name: &str, default: f32) -> Result<f32> {
        Ok(self.optional_float(name)?.unwrap_or(default))
    }

    /// A string attribute, or its default.
    pub fn string(&self, name: &str, default: &str) -> Result<String> {
        match self.attributes.get(name) {
            None => Ok(default.into()),
            Some(Attribute::String(text)) => Ok(text.clone()),
            Some(_) => Err(self.wrong(name, "a string")),
        }
    }

    /// A list of integers, if given.
    pub fn ints(&self, name: &str) -> Result<Option<Vec<i64>>> {
        match self.attributes.get(name) {
            None => Ok(None),
            Some(Attribute::Ints(list)) => Ok(Some(list.clone())),
            Some(_) => Err(self.wrong(name, "a list of integers")),
        }
    }

    /// A list of floats, if given.
    pub fn floats(&self, name: &str) -> Result<Option<Vec<f32>>> {
        match self.attributes.get(name) {
            None => Ok(None),
            Some(Attribute::Floats(list)) => Ok(Some(list.clone())),
            Some(_) => Err(self.wrong(name, "a list of floats")),
        }
    }

    /// A list of strings, if given.
    pub fn strings(&self, name: &str) -> Result<Option<Vec<String>>> {
        match self.attributes.get(name) {
            None => Ok(None),
            Some(Attribute::Strings(list)) => Ok(Some(list.clone())),
            Some(_) => Err(self.wrong(name, "a list of strings")),
        }
    }

    /// A tensor, if given.
    pub fn tensor(&self, name: &str) -> Result<Option<Tensor>> {
        match self.attributes.get(name) {
            None => Ok(None),
            Some(Attribute::Tensor(tensor)) => Ok(Some(tensor.clone())),
            Some(_) => Err(self.wrong(name, "a tensor")),
        }
    }

    /// A graph that must be given.
    pub fn graph(&self, name: &str) -> Result<&Graph> {
        match self.attributes.get(name) {
            Some(Attribute::Graph(graph)) => Ok(graph),
            _ => Err(self.wrong(name, "a graph")),
        }
    }

    /// An element type given as ONNX's number.
    pub fn dtype(&self, name: &str, default: Option<DType>) -> Result<DType> {
        match (self.optional_int(name)?, default) {
            (Some(number), _) => i32::try_from(number).ok().and_then(DType::from_onnx).ok_or_else(|| {
                Error::unsupported(format!("element type {number} (attribute `{name}`) is not supported"))
            }),
            (None, Some(default)) => Ok(default),
            (None, None) => Err(self.wrong(name, "an element type")),
        }
    }
}
