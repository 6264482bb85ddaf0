//! Small models built by hand, and what import makes of them.

mod bodies;
mod functions;
mod graphs;
mod hostile;
mod tensors;

use crate::options::Options;
use mlc_ir::graph::Value;
use mlc_ir::{Error, Graph, Result};
use onnx_protobuf::attribute_proto::AttributeType;
use onnx_protobuf::tensor_shape_proto::Dimension;
use onnx_protobuf::tensor_shape_proto::dimension::Value as Dim;
use onnx_protobuf::type_proto::{Tensor as TensorType, Value as Type};
use onnx_protobuf::{
    AttributeProto, GraphProto, Message, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto,
    TypeProto, ValueInfoProto,
};

pub const F32: i32 = 1;
pub const I64: i32 = 7;

/// A dim: a number if the text is one, nothing if it is empty, else a name.
fn dim(text: &str) -> Dimension {
    let value = match text.parse() {
        Ok(n) => Some(Dim::DimValue(n)),
        Err(_) if text.is_empty() => None,
        Err(_) => Some(Dim::DimParam(text.into())),
    };
    Dimension { value, ..Dimension::default() }
}

/// A value with a type.
pub fn value(name: &str, elem_type: i32, dims: &[&str]) -> ValueInfoProto {
    let shape = TensorShapeProto { dim: dims.iter().map(|text| dim(text)).collect(), ..TensorShapeProto::default() };
    let tensor = TensorType { elem_type, shape: Some(shape).into(), ..TensorType::default() };
    let type_ = TypeProto { value: Some(Type::TensorType(tensor)), ..TypeProto::default() };
    ValueInfoProto { name: name.into(), type_: Some(type_).into(), ..ValueInfoProto::default() }
}

/// A value without a type.
pub fn untyped(name: &str) -> ValueInfoProto {
    ValueInfoProto { name: name.into(), ..ValueInfoProto::default() }
}

fn names(text: &str) -> Vec<String> {
    text.split_whitespace().map(|name| if name == "_" { String::new() } else { name.into() }).collect()
}

/// A node; names are separated by blanks, `_` is an empty one.
pub fn node(op: &str, inputs: &str, outputs: &str) -> NodeProto {
    NodeProto { op_type: op.into(), input: names(inputs), output: names(outputs), ..NodeProto::default() }
}

/// A tensor of F32 as raw data.
pub fn floats(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    let raw_data = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    TensorProto { name: name.into(), dims: dims.to_vec(), data_type: F32, raw_data, ..TensorProto::default() }
}

/// An attribute that is an integer.
pub fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), i, type_: AttributeType::INT.into(), ..AttributeProto::default() }
}

/// An attribute that is a graph.
pub fn graph_attribute(name: &str, graph: GraphProto) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        g: Some(graph).into(),
        type_: AttributeType::GRAPH.into(),
        ..Default::default()
    }
}

/// A graph of nodes.
pub fn graph(inputs: &[ValueInfoProto], nodes: &[NodeProto], outputs: &str) -> GraphProto {
    let output = names(outputs).iter().map(|name| untyped(name)).collect();
    GraphProto { name: "g".into(), input: inputs.to_vec(), node: nodes.to_vec(), output, ..GraphProto::default() }
}

/// A model of a graph, at opset 17.
pub fn model(graph: GraphProto) -> ModelProto {
    let opset = OperatorSetIdProto { version: 17, ..OperatorSetIdProto::default() };
    ModelProto { ir_version: 8, opset_import: vec![opset], graph: Some(graph).into(), ..ModelProto::default() }
}

/// The bytes of a model.
pub fn bytes(model: &ModelProto) -> Vec<u8> {
    model.write_to_bytes().unwrap()
}

/// Imports a model without options.
pub fn import(model: &ModelProto) -> Result<Graph> {
    import_with(model, &Options::default())
}

/// Imports a model.
pub fn import_with(model: &ModelProto, options: &Options) -> Result<Graph> {
    let graph = crate::import_bytes(bytes(model), None, options)?;
    graph.verify()?;
    Ok(graph)
}

/// The error of a model that must not import.
pub fn error(model: &ModelProto) -> Error {
    import(model).expect_err("the model is wrong")
}

/// A result of a graph.
pub fn output(graph: &Graph, name: &str) -> Value {
    graph.outputs().iter().find(|output| output.0 == name).expect("there is such an output").1
}
