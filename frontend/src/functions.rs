//! Functions the model brings along: their nodes are added in place of the call.

use crate::attributes::resolve;
use crate::importer::Importer;
use crate::model::{key_of, opsets};
use crate::scope::{Scope, Slot};
use mlc_ir::{Error, Graph, Result};
use onnx_protobuf::{FunctionProto, NodeProto};

impl<'a> Importer<'a> {
    /// Adds the nodes of a function; returns the call's outputs.
    pub fn inline(
        &mut self,
        graph: &mut Graph,
        scope: &Scope<'a>,
        node: &'a NodeProto,
        function: &'a FunctionProto,
        inputs: &[Slot],
        name: &str,
    ) -> Result<Vec<Slot>> {
        if inputs.len() > function.input.len() || node.output.len() > function.output.len() {
            let message = format!(
                "it has {} inputs and {} outputs, but function `{}` has {} and {}",
                inputs.len(),
                node.output.len(),
                function.name,
                function.input.len(),
                function.output.len()
            );
            return Err(Error::invalid(message));
        }
        let versions =
            if function.opset_import.is_empty() { (*scope.opsets).clone() } else { opsets(&function.opset_import)? };
        let mut inner = scope.call(key_of(node), name, versions)?;
        self.declare(&mut inner, function.value_info.iter());
        inner.attributes = arguments(scope, node, function)?;
        let inputs = inputs.iter().copied().chain(std::iter::repeat(Slot::Absent));
        for (formal, slot) in function.input.iter().zip(inputs) {
            if inner.values.insert(formal, slot).is_some() {
                return Err(Error::invalid(format!("function `{}` names input `{formal}` twice", function.name)));
            }
        }
        let used = node.output.iter().zip(&function.output).filter(|(actual, _)| !actual.is_empty());
        let wanted: Vec<&str> = used.map(|(_, formal)| formal.as_str()).collect();
        self.import_nodes(graph, &mut inner, &function.node, &wanted)?;
        let slot = |formal: &String| inner.values.get(formal.as_str()).copied().unwrap_or(Slot::Absent);
        Ok(function.output.iter().map(slot).collect())
    }
}

/// Attributes as the function sees them: what the call gives, else their defaults.
fn arguments<'a>(
    scope: &Scope<'a>,
    node: &'a NodeProto,
    function: &'a FunctionProto,
) -> Result<std::collections::HashMap<&'a str, &'a onnx_protobuf::AttributeProto>> {
    let defaults = function.attribute_proto.iter().map(|attribute| (attribute.name.as_str(), attribute));
    let mut arguments: std::collections::HashMap<_, _> = defaults.collect();
    for proto in &node.attribute {
        if let Some(value) = resolve(scope, proto)? {
            arguments.insert(&proto.name, value);
        }
    }
    Ok(arguments)
}
