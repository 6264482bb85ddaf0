//! Attributes of nodes, other than bodies; and the tensors of `Constant` nodes.
//!
//! In: `AttributeProto`, perhaps one that refers to an attribute of the function around it.  Out: [`Attribute`].

use crate::importer::Importer;
use crate::scope::Scope;
use crate::store::Source;
use mlc_ir::onnx::{Attribute, OnnxNode};
use mlc_ir::{Error, Result, Tensor};
use onnx_protobuf::attribute_proto::AttributeType as Type;
use onnx_protobuf::{AttributeProto, NodeProto};

impl<'a> Importer<'a> {
    /// Adds the attributes of a node that are no graphs.
    pub fn attributes(&self, scope: &Scope<'a>, node: &'a NodeProto, onnx: &mut OnnxNode) -> Result<()> {
        for proto in &node.attribute {
            let Some(value) = resolve(scope, proto)? else { continue };
            if kind(value)? == Type::GRAPH {
                continue;
            }
            let attribute = convert(&self.model.source, &proto.name, value)?;
            if onnx.attributes.insert(proto.name.clone(), attribute).is_some() {
                return Err(Error::invalid(format!("attribute `{}` is given more than once", proto.name)));
            }
        }
        Ok(())
    }

    /// The tensor a `Constant` node states.
    pub fn constant(&self, scope: &Scope<'a>, node: &'a NodeProto) -> Result<Tensor> {
        for proto in &node.attribute {
            let Some(value) = resolve(scope, proto)? else { continue };
            return match convert(&self.model.source, &proto.name, value)? {
                Attribute::Tensor(tensor) => Ok(tensor),
                Attribute::Float(x) => Tensor::from_f32s(vec![], &[x]),
                Attribute::Floats(list) => Tensor::from_f32s(vec![list.len()], &list),
                Attribute::Int(n) => Tensor::from_i64s(&[n]).reshaped(vec![]),
                Attribute::Ints(list) => Ok(Tensor::from_i64s(&list)),
                Attribute::String(_) | Attribute::Strings(_) | Attribute::Graph(_) => {
                    Err(Error::unsupported(format!("attribute `{}` is no tensor of numbers", proto.name)))
                }
            };
        }
        Err(Error::invalid("a Constant needs a value"))
    }
}

/// The attribute itself, or the one of the function that it refers to; `None` if the call leaves that out.
pub fn resolve<'a>(scope: &Scope<'a>, proto: &'a AttributeProto) -> Result<Option<&'a AttributeProto>> {
    let name = proto.ref_attr_name.as_str();
    if name.is_empty() {
        return Ok(Some(proto));
    }
    if scope.calls.is_empty() {
        let message = format!("attribute `{}` refers to `{name}` outside a function", proto.name);
        return Err(Error::invalid(message));
    }
    let found = scope.attributes.get(name).copied();
    if found.is_some_and(|found| found.g.is_some()) {
        return Err(Error::unsupported(format!("attribute `{name}` of a function is a graph, which is not supported")));
    }
    Ok(found)
}

/// The type an attribute states, or shows by what it has (older models state none).
pub fn kind(proto: &AttributeProto) -> Result<Type> {
    let stated = proto
        .type_
        .enum_value()
        .map_err(|n| Error::invalid(format!("attribute `{}` has the unknown type {n}", proto.name)))?;
    Ok(match stated {
        Type::UNDEFINED if proto.t.is_some() => Type::TENSOR,
        Type::UNDEFINED if proto.g.is_some() => Type::GRAPH,
        Type::UNDEFINED if !proto.s.is_empty() => Type::STRING,
        Type::UNDEFINED if !proto.floats.is_empty() => Type::FLOATS,
        Type::UNDEFINED if !proto.ints.is_empty() => Type::INTS,
        Type::UNDEFINED if !proto.strings.is_empty() => Type::STRINGS,
        Type::UNDEFINED if proto.f != 0.0 => Type::FLOAT,
        Type::UNDEFINED => Type::INT,
        stated => stated,
    })
}

/// The value of an attribute that is no graph.
fn convert(source: &Source, name: &str, proto: &AttributeProto) -> Result<Attribute> {
    let what = || format!("attribute `{name}`");
    let empty = || Error::invalid(format!("{} has no value", what()));
    let text = |bytes: &Vec<u8>| {
        String::from_utf8(bytes.clone()).map_err(|_| Error::unsupported(format!("{} is no UTF-8 text", what())))
    };
    Ok(match kind(proto)? {
        Type::FLOAT => Attribute::Float(proto.f),
        Type::INT => Attribute::Int(proto.i),
        Type::STRING => Attribute::String(text(&proto.s)?),
        Type::FLOATS => Attribute::Floats(proto.floats.clone()),
        Type::INTS => Attribute::Ints(proto.ints.clone()),
        Type::STRINGS => Attribute::Strings(proto.strings.iter().map(text).collect::<Result<_>>()?),
        Type::TENSOR => Attribute::Tensor(source.tensor(proto.t.as_ref().ok_or_else(empty)?, &what())?),
        Type::SPARSE_TENSOR => {
            Attribute::Tensor(source.sparse(proto.sparse_tensor.as_ref().ok_or_else(empty)?, &what())?)
        }
        other => return Err(Error::unsupported(format!("{} is of type {other:?}, which is not supported", what()))),
    })
}
