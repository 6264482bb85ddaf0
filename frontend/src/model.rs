//! A model file: its message, where its weights lie, which operator sets and functions it states.
//!
//! In: bytes.  Out: a [`Model`] whose versions are ones `mlc` knows.

use crate::store::Source;
use crate::wire;
use mlc_ir::tensor::SharedBytes;
use mlc_ir::{Error, Result};
use onnx_protobuf::{FunctionProto, GraphProto, Message, ModelProto, NodeProto, OperatorSetIdProto};
use std::collections::HashMap;
use std::path::Path;

/// The newest version of the file format this frontend was written for.
const NEWEST_IR: i64 = 14;

/// The newest version of `ai.onnx` the operators were written for.
const NEWEST_OPSET: i64 = 28;

/// The version a graph imports of each domain; that of `ai.onnx` is under the empty name.
pub type Opsets = HashMap<String, i64>;

/// Domain, name and overload of a function.
pub type FunctionKey<'a> = (&'a str, &'a str, &'a str);

/// A parsed model.
pub struct Model {
    pub proto: ModelProto,
    pub source: Source,
    pub opsets: Opsets,
}

impl Model {
    /// Parses and checks; `name` is the file's in messages, `base` where external data lies.
    pub fn read(bytes: SharedBytes, name: &str, base: Option<&Path>) -> Result<Model> {
        let wrong = |why: String| Error::invalid(format!("{name} is not an ONNX model: {why}"));
        let stripped = wire::strip((*bytes).as_ref()).map_err(wrong)?;
        let proto = ModelProto::parse_from_bytes(&stripped.message).map_err(|e| wrong(e.to_string()))?;
        if proto.ir_version <= 0 {
            return Err(wrong("it states no IR version".into()));
        }
        if proto.ir_version > NEWEST_IR {
            let message = format!(
                "{name} has IR version {}, newer than {NEWEST_IR}: export it for an older version",
                proto.ir_version
            );
            return Err(Error::unsupported(message));
        }
        if proto.graph.is_none() {
            return Err(wrong("it has no graph".into()));
        }
        let mut opsets = opsets(&proto.opset_import)?;
        if proto.ir_version < 3 {
            opsets.entry(String::new()).or_insert(1);
        }
        let source = Source::new(bytes, stripped.ranges, base);
        Ok(Model { proto, source, opsets })
    }

    /// The main graph.
    pub fn graph(&self) -> &GraphProto {
        &self.proto.graph
    }

    /// The functions the model brings along.
    pub fn functions(&self) -> HashMap<FunctionKey<'_>, &FunctionProto> {
        let keyed = self.proto.functions.iter().map(|f| ((domain(&f.domain), f.name.as_str(), f.overload.as_str()), f));
        keyed.collect()
    }
}

/// The function a node calls, if the model brings it along.
pub fn key_of(node: &NodeProto) -> FunctionKey<'_> {
    (domain(&node.domain), &node.op_type, &node.overload)
}

/// A domain; `ai.onnx` is the empty one.
pub fn domain(name: &str) -> &str {
    if name == "ai.onnx" { "" } else { name }
}

/// Reads imports of operator sets.
pub fn opsets(imports: &[OperatorSetIdProto]) -> Result<Opsets> {
    let mut opsets = Opsets::new();
    for import in imports {
        let (domain, version) = (domain(&import.domain), import.version);
        let shown = if domain.is_empty() { "ai.onnx" } else { domain };
        if version < 1 {
            return Err(Error::invalid(format!("the model imports version {version} of {shown}; versions begin at 1")));
        }
        if domain.is_empty() && version > NEWEST_OPSET {
            let message = format!("opset {version} is newer than {NEWEST_OPSET}: export the model for an older opset");
            return Err(Error::unsupported(message));
        }
        if opsets.insert(domain.into(), version).is_some_and(|other| other != version) {
            return Err(Error::invalid(format!("the model imports {shown} in two versions, {version} is one of them")));
        }
    }
    Ok(opsets)
}
