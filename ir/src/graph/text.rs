//! The textual form of a graph.
//!
//! ```text
//! graph @silu(%x: f32[batch, 64]) opset 17 where batch 1..8 {
//!   %s = Sigmoid(%x) : f32[batch, 64]
//!   %w = const f32[2] [1.0, 2.0]
//!   %a, %b = Split(%s) {axis = 1, num_outputs = 2} : f32[batch, 32], f32[batch, 32]
//!   %g = com.microsoft.Gelu@1(%a) : f32[batch, 32] as 'block 0/gelu'
//!   %c = Clip(%g, _, %w) : f32[batch, 32]
//!   return %b, result = %c
//! }
//! ```
//!
//! - `opset` is the version of `ai.onnx` that most nodes have, the newest if it is left out; `OP@N` is another one.
//!   Operators of other domains are `DOMAIN.OP@N`.
//! - `where` bounds symbols (both ends count); others are any number from 0.
//! - A name that is no identifier stands in quotes, also after `%`. A node is called as its first result, unless `as`
//!   says otherwise; a result of the graph likewise, unless `NAME =` does. `_` is an input that is left out.
//! - Attributes are numbers (floats have a point or an exponent), `'texts'`, lists (empty ones say what they hold:
//!   `ints []`, `floats []`, `strings []`), `const` tensors and `graph`s. Constants are written like attributes.
//! - A constant of more than 64 elements is written `const f32[384, 384] ...` and reads back as zeros.
//!
//! In: a [`Graph`].  Out: the text; or the other way round, where types are inferred and those written are compared.
//! Invariant: what is written reads back as the same graph, large constants and payloads of NaNs aside.

mod parse;
mod value;

use super::{Graph, NodeId, NodeKind, Value};
use crate::compute::shape_text;
use crate::onnx::OnnxNode;
use crate::text::write_name;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::{self, Write};

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write_graph(f, self, 0)?;
        f.write_char('\n')
    }
}

/// Writes a graph whose lines but the first are indented by `indent` levels.
fn write_graph(f: &mut dyn Write, graph: &Graph, indent: usize) -> fmt::Result {
    let order = graph.order();
    let printer = Printer { graph, names: names(graph, &order), opset: common_opset(graph), indent };
    printer.header(f)?;
    for id in order {
        if !matches!(graph.node(id).kind, NodeKind::Input) {
            printer.node(f, id)?;
        }
    }
    printer.results(f)
}

/// A printed name for every value: that of its node, made unique.
fn names(graph: &Graph, order: &[NodeId]) -> HashMap<Value, String> {
    let (mut names, mut taken) = (HashMap::new(), HashSet::new());
    let inputs = graph.inputs().iter();
    let others = order.iter().filter(|id| !matches!(graph.node(**id).kind, NodeKind::Input));
    for &node in inputs.chain(others) {
        let stem = &graph.node(node).name;
        for port in 0..graph.node(node).outputs.len() as u32 {
            let base = if port == 0 { stem.clone() } else { format!("{stem}.{port}") };
            let mut name = base.clone();
            let mut count = 1;
            while !taken.insert(name.clone()) {
                count += 1;
                name = format!("{base}_{count}");
            }
            names.insert(Value { node, port }, name);
        }
    }
    names
}

/// The version most nodes of `ai.onnx` have.
fn common_opset(graph: &Graph) -> i64 {
    let mut counts = HashMap::new();
    for id in graph.nodes() {
        if let NodeKind::Op(onnx, _) = &graph.node(id).kind {
            *counts.entry(onnx.opset).or_insert(0) += usize::from(onnx.domain.is_empty());
        }
    }
    counts
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .max_by_key(|(opset, count)| (*count, *opset))
        .map_or(i64::MAX, |c| c.0)
}

struct Printer<'a> {
    graph: &'a Graph,
    names: HashMap<Value, String>,
    opset: i64,
    indent: usize,
}

impl Printer<'_> {
    fn header(&self, f: &mut dyn Write) -> fmt::Result {
        f.write_str("graph @")?;
        write_name_or_number(f, &self.graph.name)?;
        f.write_str("(")?;
        for (place, &node) in self.graph.inputs().iter().enumerate() {
            f.write_str(if place > 0 { ", " } else { "" })?;
            self.value(f, Value { node, port: 0 })?;
            write!(f, ": {}", self.graph.node(node).outputs[0])?;
            self.alias(f, node)?;
        }
        f.write_str(")")?;
        if self.opset != i64::MAX {
            write!(f, " opset {}", self.opset)?;
        }
        self.ranges(f)?;
        f.write_str(" {\n")
    }

    fn ranges(&self, f: &mut dyn Write) -> fmt::Result {
        let facts = self.graph.nodes().flat_map(|id| &self.graph.node(id).outputs);
        let symbols: BTreeSet<_> = facts.flat_map(|fact| &fact.shape).flat_map(|dim| dim.syms()).collect();
        let mut before = " where ";
        for symbol in symbols {
            let (low, high) = self.graph.facts.symbol_range(&symbol);
            if (low, high) != (0, None) {
                f.write_str(before)?;
                write_name(f, &symbol)?;
                write!(f, " {low}..")?;
                high.map_or(Ok(()), |high| write!(f, "{high}"))?;
                before = ", ";
            }
        }
        Ok(())
    }

    fn node(&self, f: &mut dyn Write, id: NodeId) -> fmt::Result {
        let node = self.graph.node(id);
        self.line(f, 1)?;
        for port in 0..node.outputs.len() as u32 {
            f.write_str(if port > 0 { ", " } else { "" })?;
            self.value(f, Value { node: id, port })?;
        }
        f.write_str(" = ")?;
        match &node.kind {
            NodeKind::Input => {}
            NodeKind::Constant(tensor) => value::write_tensor(f, tensor)?,
            NodeKind::Op(onnx, _) => {
                self.operation(f, id, onnx)?;
                for (port, fact) in node.outputs.iter().enumerate() {
                    f.write_str(if port > 0 { ", " } else { " : " })?;
                    write!(f, "{}{}", fact.dtype, shape_text(&fact.shape))?;
                }
            }
        }
        self.alias(f, id)?;
        f.write_char('\n')
    }

    fn operation(&self, f: &mut dyn Write, id: NodeId, onnx: &OnnxNode) -> fmt::Result {
        match (onnx.domain.as_str(), onnx.op_type.as_str()) {
            // The word alone begins a constant.
            ("", "const") => f.write_str("'const'")?,
            ("", op) => write_name(f, op)?,
            (domain, op) => write_name(f, &format!("{domain}.{op}"))?,
        }
        let usual = if onnx.domain.is_empty() { self.opset } else { i64::MAX };
        if onnx.opset != usual {
            write!(f, "@{}", onnx.opset)?;
        }
        f.write_str("(")?;
        for (place, input) in self.graph.inputs_of(id).into_iter().enumerate() {
            f.write_str(if place > 0 { ", " } else { "" })?;
            match input {
                None => f.write_str("_")?,
                Some(input) => self.value(f, input)?,
            }
        }
        f.write_str(")")?;
        for (place, (name, attribute)) in onnx.attributes.iter().enumerate() {
            f.write_str(if place > 0 { ", " } else { " {" })?;
            write_name(f, name)?;
            f.write_str(" = ")?;
            value::write_attribute(f, attribute, self.indent + 2)?;
        }
        f.write_str(if onnx.attributes.is_empty() { "" } else { "}" })
    }

    fn results(&self, f: &mut dyn Write) -> fmt::Result {
        self.line(f, 1)?;
        f.write_str("return")?;
        for (place, (name, value)) in self.graph.outputs().iter().enumerate() {
            f.write_str(if place > 0 { ", " } else { " " })?;
            if *name != self.names[value] {
                write_name(f, name)?;
                f.write_str(" = ")?;
            }
            self.value(f, *value)?;
        }
        f.write_char('\n')?;
        self.line(f, 0)?;
        f.write_str("}")
    }

    fn value(&self, f: &mut dyn Write, value: Value) -> fmt::Result {
        f.write_str("%")?;
        write_name_or_number(f, &self.names[&value])
    }

    /// The node's name, where it is not that of its first result.
    fn alias(&self, f: &mut dyn Write, node: NodeId) -> fmt::Result {
        let name = &self.graph.node(node).name;
        if self.names.get(&Value { node, port: 0 }).is_some_and(|shown| shown == name) {
            return Ok(());
        }
        f.write_str(" as ")?;
        write_name(f, name)
    }

    fn line(&self, f: &mut dyn Write, deeper: usize) -> fmt::Result {
        (0..self.indent + deeper).try_for_each(|_| f.write_str("  "))
    }
}

/// After `%` and `@` a name may begin with a digit.
fn write_name_or_number(f: &mut dyn Write, name: &str) -> fmt::Result {
    if !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.') {
        return f.write_str(name);
    }
    write_name(f, name)
}

#[cfg(test)]
mod tests;
