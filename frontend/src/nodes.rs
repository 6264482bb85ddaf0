//! Nodes: functions are inlined, `Constant` becomes a constant, everything else an operator.

use crate::importer::Importer;
use crate::model::{domain, key_of};
use crate::order;
use crate::scope::{Scope, Slot};
use crate::symbols;
use mlc_ir::graph::Value;
use mlc_ir::onnx::{Attribute, OnnxNode};
use mlc_ir::{Error, Graph, Result};
use onnx_protobuf::NodeProto;

impl<'a> Importer<'a> {
    /// Adds the nodes that the `wanted` values need; afterwards `scope` has these.
    pub fn import_nodes(
        &mut self,
        graph: &mut Graph,
        scope: &mut Scope<'a>,
        nodes: &'a [NodeProto],
        wanted: &[&'a str],
    ) -> Result<()> {
        for node in order::needed(nodes, |name| scope.values.contains_key(name), wanted)? {
            let name = self.unique(format!("{}{}", scope.prefix, order::name(node)))?;
            let slots = match self.node(graph, scope, node, &name) {
                Ok(slots) => slots,
                Err(error) => {
                    let domain = domain(&node.domain);
                    let opset = scope.opsets.get(domain).copied().unwrap_or(0);
                    self.gap_at(error.at(&name), &node.op_type, domain, opset)?;
                    vec![]
                }
            };
            for (place, output) in node.output.iter().enumerate().filter(|(_, output)| !output.is_empty()) {
                let slot = match slots.get(place) {
                    Some(slot @ Slot::Value(_)) => *slot,
                    _ => self.made_up(graph, scope, output).map_err(|e| e.at(&name))?,
                };
                scope.values.insert(output, slot);
            }
        }
        Ok(())
    }

    /// Stands in for a value that could not be computed, while gaps are collected: an input with the type the model
    /// states for it, if it states one.
    fn made_up(&mut self, graph: &mut Graph, scope: &Scope<'a>, name: &str) -> Result<Slot> {
        let Some(gaps) = &mut self.gaps else {
            return Err(Error::invalid(format!("its output `{name}` is not computed")));
        };
        let slot = gaps.made_up(Slot::Unknown);
        let Some(info) = scope.declared.get(name) else { return Ok(slot) };
        let Ok(Some(declared)) = symbols::declared(info) else { return Ok(slot) };
        let Some(dims) = declared.dims else { return Ok(slot) };
        let Ok(shape) = self.symbols().shape(&mut graph.facts, name, dims) else { return Ok(slot) };
        Ok(Slot::Value(graph.add_input(name, declared.dtype, shape)))
    }

    fn node(&mut self, graph: &mut Graph, scope: &mut Scope<'a>, node: &'a NodeProto, name: &str) -> Result<Vec<Slot>> {
        let key = key_of(node);
        let slot = |name: &String| scope.values.get(name.as_str()).copied().unwrap_or(Slot::Absent);
        let mut inputs: Vec<Slot> = node.input.iter().map(slot).collect();
        if let Some(function) = self.functions.get(&key).copied() {
            return self.inline(graph, scope, node, function, &inputs, name);
        }
        if key.0.is_empty() && key.1 == "Constant" {
            let tensor = self.constant(scope, node)?;
            return Ok(vec![Slot::Value(graph.add_constant(name, tensor))]);
        }
        let mut onnx = self.operator(scope, node)?;
        let mut complete = self.supported(&onnx, name)?;
        self.attributes(scope, node, &mut onnx)?;
        complete &= self.bodies(graph, scope, node, &mut onnx, &mut inputs)?;
        if !complete || inputs.contains(&Slot::Unknown) {
            // Its inputs are unknown, but its attributes can still be ones that are not supported.
            if complete && onnx.attributes.values().all(|a| !matches!(a, Attribute::Graph(_))) {
                mlc_ir::ops::parse(&onnx)?;
            }
            return Ok(vec![]);
        }
        let inputs: Vec<Option<Value>> = inputs.into_iter().map(value).collect();
        let values = graph.add(name, onnx, &inputs)?;
        Ok(values.into_iter().map(Slot::Value).collect())
    }

    /// The operator of a node, without attributes.
    fn operator(&self, scope: &Scope<'a>, node: &NodeProto) -> Result<OnnxNode> {
        let domain = domain(&node.domain);
        let opset = scope.opsets.get(domain).copied().ok_or_else(|| {
            let shown = if domain.is_empty() { "ai.onnx" } else { domain };
            Error::invalid(format!("it is an operator of {shown}, of which the model imports no version"))
        })?;
        let outputs = node.output.iter().rposition(|output| !output.is_empty()).map_or(1, |last| last + 1);
        let (op_type, domain) = (node.op_type.clone(), domain.to_string());
        Ok(OnnxNode { op_type, domain, opset, outputs, ..OnnxNode::default() })
    }

    /// Whether there is such an operator; if not, fails or notes the gap.
    fn supported(&mut self, onnx: &OnnxNode, name: &str) -> Result<bool> {
        if self.known.iter().any(|(domain, op)| *domain == onnx.domain && *op == onnx.op_type) {
            return Ok(true);
        }
        let domain = if onnx.domain.is_empty() { String::new() } else { format!("{}.", onnx.domain) };
        let error = Error::unsupported(format!("operator {domain}{} is not supported", onnx.op_type)).at(name);
        self.gap_at(error, &onnx.op_type, &onnx.domain, onnx.opset)?;
        Ok(false)
    }

    /// How much was made up so far.
    pub fn made_up_count(&self) -> usize {
        self.gaps.as_ref().map_or(0, |gaps| gaps.made_up)
    }
}

fn value(slot: Slot) -> Option<Value> {
    match slot {
        Slot::Value(value) => Some(value),
        Slot::Absent | Slot::Unknown => None,
    }
}
