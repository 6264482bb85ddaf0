//! The typed tensor graph: nodes are operators, edges are tensors.
//!
//! In: nodes as the model states them, in any order that defines values before they are used.  Out: the same graph,
//! rewritten by passes, until it is built into a [`Program`](crate::program::Program).
//! Invariants: acyclic; every node's operator accepts its inputs, and the types of its outputs are what it infers from
//! them; see [`Graph::verify`].

mod build;
mod text;

pub use build::infer;

use crate::compute::shape_text;
use crate::onnx::OnnxNode;
use crate::ops::{self, OpDef};
use crate::program::Known;
use crate::{DType, Error, Facts, Index, Result, Tensor};
use petgraph::Direction::{Incoming, Outgoing};
use petgraph::stable_graph::{NodeIndex, StableDiGraph};
use petgraph::visit::EdgeRef;
use std::fmt;
use std::sync::Arc;

/// A node of a [`Graph`].
pub type NodeId = NodeIndex<u32>;

/// One output of a node.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Value {
    /// Whose.
    pub node: NodeId,
    /// Which.
    pub port: u32,
}

/// Type and shape of a tensor, and its elements where they are known as expressions.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// Element type.
    pub dtype: DType,
    /// Extents, outermost first.
    pub shape: Vec<Index>,
    /// Elements in row-major order, of small integer tensors (shapes).
    pub known: Option<Vec<Known>>,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum NodeKind {
    /// A tensor the caller gives.
    Input,
    /// A weight or another constant.
    Constant(Tensor),
    /// An operator: how the model states it, and what that means.
    Op(OnnxNode, Arc<dyn OpDef>),
}

/// A node: its name in the model, what it is, and the facts of its outputs. An output the model gives no name has one
/// made from the node's.
#[derive(Clone, Debug)]
pub struct Node {
    /// For messages and profiles.
    pub name: String,
    /// What it is.
    pub kind: NodeKind,
    /// One for each output.
    pub outputs: Vec<Fact>,
}

/// From an output to an input.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Edge {
    port: u32,
    slot: u32,
}

/// See the module's documentation.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// Of the model, or of a body.
    pub name: String,
    /// Ranges of the symbols.
    pub facts: Facts,
    dag: StableDiGraph<Node, Edge>,
    inputs: Vec<NodeId>,
    outputs: Vec<(String, Value)>,
}

impl Graph {
    /// An empty graph.
    pub fn new(name: impl Into<String>) -> Graph {
        Graph { name: name.into(), ..Graph::default() }
    }

    /// Adds a tensor the caller gives.
    pub fn add_input(&mut self, name: impl Into<String>, dtype: DType, shape: Vec<Index>) -> Value {
        let outputs = vec![Fact { dtype, shape, known: None }];
        let node = self.dag.add_node(Node { name: name.into(), kind: NodeKind::Input, outputs });
        self.inputs.push(node);
        Value { node, port: 0 }
    }

    /// Adds a constant.
    pub fn add_constant(&mut self, name: impl Into<String>, tensor: Tensor) -> Value {
        let fact = Fact::of(&tensor);
        let node = Node { name: name.into(), kind: NodeKind::Constant(tensor), outputs: vec![fact] };
        Value { node: self.dag.add_node(node), port: 0 }
    }

    /// Adds an operator; absent inputs are `None`. Returns its outputs.
    ///
    /// # Errors
    /// If there is no such operator or it does not accept these attributes or inputs; the error names the node.
    pub fn add(&mut self, name: impl Into<String>, onnx: OnnxNode, inputs: &[Option<Value>]) -> Result<Vec<Value>> {
        let name = name.into();
        let op = ops::parse(&onnx).map_err(|e| e.at(&name))?;
        let facts: Vec<Option<Fact>> = inputs.iter().map(|v| v.map(|v| self.fact(v).clone())).collect();
        let constants: Vec<Option<Tensor>> = inputs.iter().map(|v| v.and_then(|v| self.constant(v).cloned())).collect();
        let outputs = infer(&*op, &name, &facts, &constants, onnx.outputs, &self.facts).map_err(|e| e.at(&name))?;
        let count = outputs.len() as u32;
        let node = self.dag.add_node(Node { name, kind: NodeKind::Op(onnx, op), outputs });
        for (slot, value) in inputs.iter().enumerate() {
            if let Some(value) = value {
                self.dag.add_edge(value.node, node, Edge { port: value.port, slot: slot as u32 });
            }
        }
        Ok((0..count).map(|port| Value { node, port }).collect())
    }

    /// Adds a named result of the whole graph.
    pub fn add_output(&mut self, name: impl Into<String>, value: Value) {
        self.outputs.push((name.into(), value));
    }

    /// The inputs, in order.
    pub fn inputs(&self) -> &[NodeId] {
        &self.inputs
    }

    /// The results, in order, with their names.
    pub fn outputs(&self) -> &[(String, Value)] {
        &self.outputs
    }

    /// All nodes.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.dag.node_indices()
    }

    /// A node.
    ///
    /// # Panics
    /// If it was removed.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.dag[id]
    }

    /// The type, shape and known elements of a value.
    pub fn fact(&self, value: Value) -> &Fact {
        &self.dag[value.node].outputs[value.port as usize]
    }

    /// The tensor a value is, if it is a constant.
    pub fn constant(&self, value: Value) -> Option<&Tensor> {
        match &self.dag[value.node].kind {
            NodeKind::Constant(tensor) => Some(tensor),
            _ => None,
        }
    }

    /// The inputs of a node, by slot; absent ones are `None`.
    pub fn inputs_of(&self, node: NodeId) -> Vec<Option<Value>> {
        let mut inputs = Vec::new();
        for edge in self.dag.edges_directed(node, Incoming) {
            let Edge { port, slot } = *edge.weight();
            let slot = slot as usize;
            if inputs.len() <= slot {
                inputs.resize(slot + 1, None);
            }
            inputs[slot] = Some(Value { node: edge.source(), port });
        }
        inputs
    }

    /// Number of uses of a value, as inputs of nodes and as results.
    pub fn uses(&self, value: Value) -> usize {
        let edges = self.dag.edges_directed(value.node, Outgoing).filter(|edge| edge.weight().port == value.port);
        edges.count() + self.outputs.iter().filter(|output| output.1 == value).count()
    }

    /// Makes every use of `old` a use of `new`.
    pub fn replace(&mut self, old: Value, new: Value) {
        let edges = self.dag.edges_directed(old.node, Outgoing).filter(|edge| edge.weight().port == old.port);
        let moved: Vec<_> = edges.map(|edge| (edge.id(), edge.target(), edge.weight().slot)).collect();
        for (edge, target, slot) in moved {
            self.dag.remove_edge(edge);
            self.dag.add_edge(new.node, target, Edge { port: new.port, slot });
        }
        for output in self.outputs.iter_mut().filter(|output| output.1 == old) {
            output.1 = new;
        }
    }

    /// Removes every node that no result needs; inputs stay. Returns how many.
    pub fn remove_dead(&mut self) -> usize {
        let mut live: std::collections::HashSet<NodeId> = self.inputs.iter().copied().collect();
        let mut todo: Vec<NodeId> = self.outputs.iter().map(|output| output.1.node).collect();
        while let Some(node) = todo.pop() {
            if live.insert(node) {
                todo.extend(self.dag.neighbors_directed(node, Incoming));
            }
        }
        let before = self.dag.node_count();
        self.dag.retain_nodes(|_, node| live.contains(&node));
        before - self.dag.node_count()
    }

    /// All nodes, each after those it uses, and otherwise in the order in which they were added.
    pub fn order(&self) -> Vec<NodeId> {
        use std::cmp::Reverse;
        let mut waiting: std::collections::HashMap<NodeId, usize> =
            self.dag.node_indices().map(|n| (n, self.dag.edges_directed(n, Incoming).count())).collect();
        let ready = waiting.iter().filter(|(_, count)| **count == 0).map(|(node, _)| Reverse(*node));
        let mut ready: std::collections::BinaryHeap<_> = ready.collect();
        let mut order = Vec::with_capacity(waiting.len());
        while let Some(Reverse(node)) = ready.pop() {
            order.push(node);
            for edge in self.dag.edges_directed(node, Outgoing) {
                let count = waiting.get_mut(&edge.target()).expect("every node is counted");
                *count -= 1;
                if *count == 0 {
                    ready.push(Reverse(edge.target()));
                }
            }
        }
        order
    }

    /// Infers every node's outputs again and compares.
    ///
    /// # Errors
    /// Names the first node that breaks an invariant.
    pub fn verify(&self) -> Result<()> {
        let order = self.order();
        if order.len() != self.dag.node_count() {
            return Err(Error::internal("the graph has a cycle"));
        }
        for id in order {
            let node = self.node(id);
            let NodeKind::Op(onnx, op) = &node.kind else { continue };
            let inputs = self.inputs_of(id);
            let facts: Vec<Option<Fact>> = inputs.iter().map(|v| v.map(|v| self.fact(v).clone())).collect();
            let constants: Vec<_> = inputs.iter().map(|v| v.and_then(|v| self.constant(v).cloned())).collect();
            let again = infer(&**op, &node.name, &facts, &constants, onnx.outputs, &self.facts)
                .map_err(|e| e.at(&node.name))?;
            let same = again.len() == node.outputs.len()
                && again.iter().zip(&node.outputs).all(|(a, b)| a.dtype == b.dtype && a.shape.len() == b.shape.len());
            if !same {
                let message = format!("its outputs are {:?}, but its inputs imply {again:?}", node.outputs);
                return Err(Error::internal(message).at(&node.name));
            }
        }
        Ok(())
    }
}

impl Fact {
    /// What is known of a constant.
    pub fn of(tensor: &Tensor) -> Fact {
        let shape = tensor.shape().iter().map(|&n| Index::from(n as i64)).collect();
        Fact { dtype: tensor.dtype(), shape, known: crate::compute::known_of(tensor) }
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}{}", self.dtype, shape_text(&self.shape))
    }
}
