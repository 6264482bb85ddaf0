//! Bodies of control flow: graphs in attributes.
//!
//! In: a node with graph attributes, and the values around it.  Out: `Attribute::Graph`s whose inputs are the formal
//! inputs of the body, then what any body of the node captures; the captured values are appended to the node's inputs
//! in the same order, and the attribute `captures` is their number.
//! Invariants: constants are copied into bodies, not captured; all bodies of a node have the same captured inputs.

use crate::attributes::{kind, resolve};
use crate::importer::Importer;
use crate::order;
use crate::scope::{Scope, Slot};
use crate::symbols;
use mlc_ir::compute::normalize_axis;
use mlc_ir::graph::Fact;
use mlc_ir::onnx::{Attribute, OnnxNode};
use mlc_ir::program::Known;
use mlc_ir::{DType, Error, Graph, Index, Result, Scalar, Tensor};
use onnx_protobuf::attribute_proto::AttributeType;
use onnx_protobuf::{GraphProto, NodeProto, ValueInfoProto};
use std::collections::HashMap;

/// How a body sees a value of the graph around it.
enum Captured {
    Constant(Tensor),
    /// An input of the body.
    Input(Fact),
    /// Nothing to see.
    Slot(Slot),
}

/// What a node says of a formal input of its body: the type, and the extents that are sure.
struct Formal {
    dtype: DType,
    dims: Vec<Option<Index>>,
}

impl<'a> Importer<'a> {
    /// Adds the bodies of a node to its attributes, and what they capture to its inputs. Whether they are complete; if
    /// not, gaps are collected.
    pub fn bodies(
        &mut self,
        graph: &Graph,
        scope: &Scope<'a>,
        node: &'a NodeProto,
        onnx: &mut OnnxNode,
        inputs: &mut Vec<Slot>,
    ) -> Result<bool> {
        let mut graphs: Vec<(&str, &'a GraphProto)> = Vec::new();
        for proto in &node.attribute {
            let Some(value) = resolve(scope, proto)? else { continue };
            if kind(value)? == AttributeType::GRAPH {
                let body = value.g.as_ref();
                let missing = || Error::invalid(format!("attribute `{}` has no value", proto.name));
                graphs.push((&proto.name, body.ok_or_else(missing)?));
            }
        }
        if graphs.is_empty() {
            return Ok(true);
        }
        if onnx.op_type == "Loop" {
            inputs.resize(inputs.len().max(2), Slot::Absent);
        }
        let formals = formals(graph, onnx, inputs)?;
        let mut captured = Vec::new();
        for name in order::captures(node) {
            let seen = see(graph, scope.values.get(name).copied().unwrap_or(Slot::Unknown));
            if let Captured::Input(_) = seen {
                inputs.push(scope.values[name]);
            }
            captured.push((name, seen));
        }
        // Says where the node's own inputs end; a model's attribute of this name means nothing.
        let count = captured.iter().filter(|(_, seen)| matches!(seen, Captured::Input(_))).count();
        onnx.attributes.insert("captures".into(), Attribute::Int(count as i64));
        let made_up = self.made_up_count();
        for (name, proto) in graphs {
            let outer = self.symbols().enter();
            let body = self.body(graph, scope, proto, formals.as_deref(), &captured);
            self.symbols().leave(outer);
            onnx.attributes.insert(name.to_string(), Attribute::Graph(Box::new(body?)));
        }
        Ok(made_up == self.made_up_count())
    }

    fn body(
        &mut self,
        outer: &Graph,
        scope: &Scope<'a>,
        proto: &'a GraphProto,
        formals: Option<&[Option<Formal>]>,
        captured: &[(&'a str, Captured)],
    ) -> Result<Graph> {
        let mut body = Graph::new(proto.name.as_str());
        body.facts = outer.facts.clone();
        let mut inner = scope.body()?;
        self.declare(&mut inner, proto.value_info.iter().chain(&proto.output));
        let constants: Vec<&str> = proto.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
        let inputs: Vec<_> = proto.input.iter().filter(|input| !constants.contains(&input.name.as_str())).collect();
        if let Some(needs) = formals.map(<[_]>::len).filter(|needs| inputs.len() != *needs) {
            let (name, has) = (&proto.name, inputs.len());
            return Err(Error::invalid(format!("its body `{name}` has {has} inputs, but the node implies {needs}")));
        }
        for (place, input) in inputs.iter().enumerate() {
            let slot = self.formal(&mut body, input, formals.and_then(|formals| formals[place].as_ref()))?;
            if inner.values.insert(&input.name, slot).is_some() {
                return Err(Error::invalid(format!("its body has two inputs `{}`", input.name)));
            }
        }
        for (name, captured) in captured {
            let slot = match captured {
                Captured::Input(fact) => Slot::Value(body.add_input(*name, fact.dtype, fact.shape.clone())),
                Captured::Constant(tensor) => Slot::Value(body.add_constant(*name, tensor.clone())),
                Captured::Slot(slot) => *slot,
            };
            inner.values.entry(name).or_insert(slot);
        }
        self.initializers(&mut body, &mut inner, proto, &HashMap::new())?;
        let wanted: Vec<&str> = proto.output.iter().map(|output| output.name.as_str()).collect();
        self.import_nodes(&mut body, &mut inner, &proto.node, &wanted)?;
        for name in wanted {
            if let Some(Slot::Value(value)) = inner.values.get(name) {
                body.add_output(name, *value);
            }
        }
        Ok(body)
    }

    fn formal(&mut self, body: &mut Graph, input: &ValueInfoProto, formal: Option<&Formal>) -> Result<Slot> {
        let (name, declared) = (&input.name, symbols::declared(input)?);
        let dtype = match (&declared, formal) {
            (Some(declared), Some(formal)) if declared.dtype != formal.dtype => {
                let message = format!("input `{name}` of its body is {}, but gets {}", declared.dtype, formal.dtype);
                return Err(Error::invalid(message));
            }
            (Some(declared), _) => declared.dtype,
            (None, Some(formal)) => formal.dtype,
            (None, None) if self.gaps.is_some() => return Ok(Slot::Unknown),
            (None, None) => return Err(Error::unsupported(format!("input `{name}` of its body has no type"))),
        };
        let sure = formal.map(|formal| formal.dims.as_slice());
        let shape = match (declared.and_then(|d| d.dims), sure) {
            (Some(dims), sure) => {
                let mut shape = self.symbols().shape(&mut body.facts, name, dims)?;
                for (dim, sure) in shape.iter_mut().zip(sure.filter(|s| s.len() == dims.len()).unwrap_or_default()) {
                    *dim = sure.clone().unwrap_or_else(|| dim.clone());
                }
                shape
            }
            (None, Some(sure)) => {
                let dims = sure.iter().enumerate();
                let dim = |(place, dim): (usize, &Option<Index>)| {
                    dim.clone().unwrap_or_else(|| self.symbols().dim(&mut body.facts, name, place, None))
                };
                dims.map(dim).collect()
            }
            (None, None) if self.gaps.is_some() => return Ok(Slot::Unknown),
            (None, None) => return Err(Error::unsupported(format!("input `{name}` of its body has no rank"))),
        };
        Ok(Slot::Value(body.add_input(name.as_str(), dtype, shape)))
    }
}

/// How a body sees a value.
fn see(graph: &Graph, slot: Slot) -> Captured {
    let Slot::Value(value) = slot else { return Captured::Slot(slot) };
    match graph.constant(value).cloned().or_else(|| known(graph.fact(value))) {
        Some(tensor) => Captured::Constant(tensor),
        None => Captured::Input(Fact { known: None, ..graph.fact(value).clone() }),
    }
}

/// The tensor a value is known to be, though no constant: a computed shape.
fn known(fact: &Fact) -> Option<Tensor> {
    let shape: Option<Vec<usize>> = fact.shape.iter().map(|n| n.as_const()?.try_into().ok()).collect();
    let scalar = |known: &Known| match known {
        Known::Index(index) => index.as_const().map(Scalar::Int),
        Known::Float(x) => Some(Scalar::Float(*x)),
    };
    let scalars: Option<Vec<Scalar>> = fact.known.as_ref()?.iter().map(scalar).collect();
    Tensor::from_scalars(fact.dtype, shape?, &scalars?).ok()
}

/// What a node says of the inputs of its bodies; `None` for one of which it says nothing, or for all of an unknown node.
fn formals(graph: &Graph, onnx: &OnnxNode, inputs: &[Slot]) -> Result<Option<Vec<Option<Formal>>>> {
    let fact = |slot: &Slot| match slot {
        Slot::Value(value) => Some(graph.fact(*value).clone()),
        Slot::Absent | Slot::Unknown => None,
    };
    // The shape of what a loop carries may change from one iteration to the next.
    let carried = |slot| fact(slot).map(|f| Formal { dtype: f.dtype, dims: vec![None; f.shape.len()] });
    let scalar = |dtype| Some(Formal { dtype, dims: vec![] });
    Ok(match onnx.op_type.as_str() {
        "If" => Some(vec![]),
        "Loop" => {
            let counters = [scalar(DType::I64), scalar(DType::Bool)];
            Some(counters.into_iter().chain(inputs[2..].iter().map(carried)).collect())
        }
        "Scan" => Some(scan(onnx, inputs.iter().map(fact).collect())?),
        _ => None,
    })
}

/// A scan's states keep their shapes; its other inputs lose the axis that is scanned. Version 8 has lengths first and
/// a batch before every shape.
fn scan(onnx: &OnnxNode, mut facts: Vec<Option<Fact>>) -> Result<Vec<Option<Formal>>> {
    let batched = onnx.opset < 9;
    if batched && !facts.is_empty() {
        facts.remove(0);
    }
    let scanned = usize::try_from(onnx.int("num_scan_inputs", 0)?).ok().filter(|n| *n <= facts.len());
    let scanned = scanned.ok_or_else(|| Error::invalid("num_scan_inputs does not fit the number of inputs"))?;
    let axes = onnx.ints("scan_input_axes")?.filter(|_| !batched).unwrap_or_default();
    let states = facts.len() - scanned;
    let formal = |(place, fact): (usize, Option<Fact>)| {
        let Some(Fact { dtype, mut shape, .. }) = fact else { return Ok(None) };
        if batched && !shape.is_empty() {
            shape.remove(0);
        }
        if let Some(place) = place.checked_sub(states) {
            shape.remove(normalize_axis(axes.get(place).copied().unwrap_or(0), shape.len())?);
        }
        Ok(Some(Formal { dtype, dims: shape.into_iter().map(Some).collect() }))
    };
    facts.into_iter().enumerate().map(formal).collect()
}
