//! Models that parse and are wrong, or ask for what cannot be: an error that names node or file, and nothing left behind.

mod common;

use common::{Ran, mlc, names};
use onnx_protobuf::attribute_proto::AttributeType;
use onnx_protobuf::tensor_proto::DataLocation;
use onnx_protobuf::tensor_shape_proto::{Dimension, dimension};
use onnx_protobuf::type_proto::{Tensor, Value};
use onnx_protobuf::{
    AttributeProto, GraphProto, Message, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
};
use std::fs;
use std::path::Path;

const F32: i32 = 1;
const I64: i32 = 7;
const TEXT: i32 = 8;

fn value(name: &str, elem_type: i32, dims: &[i64]) -> ValueInfoProto {
    let dim = |n: &i64| Dimension { value: Some(dimension::Value::DimValue(*n)), ..Default::default() };
    let shape = TensorShapeProto { dim: dims.iter().map(dim).collect(), ..Default::default() };
    let tensor = Tensor { elem_type, shape: Some(shape).into(), ..Default::default() };
    let kind = TypeProto { value: Some(Value::TensorType(tensor)), ..Default::default() };
    ValueInfoProto { name: name.into(), type_: Some(kind).into(), ..Default::default() }
}

/// A node; inputs are separated by blanks.
fn node(name: &str, op: &str, inputs: &str, output: &str) -> NodeProto {
    let input = inputs.split(' ').map(String::from).collect();
    NodeProto { name: name.into(), op_type: op.into(), input, output: vec![output.into()], ..Default::default() }
}

fn ints(name: &str, values: &[i64]) -> TensorProto {
    let dims = vec![values.len() as i64];
    TensorProto { name: name.into(), dims, data_type: I64, int64_data: values.to_vec(), ..Default::default() }
}

/// Writes a model whose input is `x` and whose output `y`.
fn put(path: &Path, x: ValueInfoProto, nodes: &[NodeProto], weights: &[TensorProto]) {
    let output = vec![ValueInfoProto { name: "y".into(), ..Default::default() }];
    let (node, initializer) = (nodes.to_vec(), weights.to_vec());
    let graph = GraphProto { name: "g".into(), input: vec![x], node, initializer, output, ..Default::default() };
    let opset = OperatorSetIdProto { version: 17, ..Default::default() };
    let model =
        ModelProto { ir_version: 8, opset_import: vec![opset], graph: Some(graph).into(), ..Default::default() };
    fs::write(path, model.write_to_bytes().unwrap()).unwrap();
}

/// Every command that reads a model refuses it in the same way, and leaves nothing.
fn refused(path: &Path, code: i32, texts: &[&str]) {
    let (model, out) = (path.display().to_string(), path.with_file_name("out"));
    let folder = out.display().to_string();
    let before = names(path.parent().unwrap());
    for args in [
        &["build", &model, "-o", &folder][..],
        &["build", &model, "-o", &folder, "--target", "aarch64", "--emit", "obj,header"],
        &["run", &model, "-o", &folder],
        &["inspect", &model],
    ] {
        mlc(args).fails(code, texts);
        assert_eq!(names(path.parent().unwrap()), before, "{args:?}");
    }
}

#[test]
fn graphs_that_are_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wrong.onnx");
    let x = || value("x", F32, &[2, 3]);
    let ring = [node("ring/add", "Add", "x b", "a"), node("ring/neg", "Neg", "a", "b"), node("end", "Neg", "b", "y")];
    put(&path, x(), &ring, &[]);
    refused(&path, 3, &["node `ring/", "needs itself: the graph has a cycle"]);
    put(&path, x(), &[node("layer/add", "Add", "x w", "y")], &[ints("w", &[1, 2, 3])]);
    refused(&path, 3, &["node `layer/add`", "f32 and i64"]);
    put(&path, x(), &[node("layer/matmul", "MatMul", "x x", "y")], &[]);
    refused(&path, 3, &["node `layer/matmul`", "3", "2"]);
    let mut softmax = node("layer/softmax", "Softmax", "x", "y");
    let axis = AttributeProto { name: "axis".into(), i: 7, type_: AttributeType::INT.into(), ..Default::default() };
    softmax.attribute = vec![axis];
    put(&path, x(), &[softmax], &[]);
    refused(&path, 3, &["node `layer/softmax`", "axis 7", "rank-2"]);
    put(&path, x(), &[node("layer/neg", "Neg", "nobody", "y")], &[]);
    refused(&path, 3, &["node `layer/neg`", "`nobody`"]);
}

#[test]
fn weights_that_are_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("external.onnx");
    let external = |location: &str| {
        let entry = |key: &str, value: &str| StringStringEntryProto {
            key: key.into(),
            value: value.into(),
            ..Default::default()
        };
        TensorProto {
            name: "layer/w".into(),
            dims: vec![3],
            data_type: F32,
            data_location: DataLocation::EXTERNAL.into(),
            external_data: vec![entry("location", location), entry("offset", "4"), entry("length", "12")],
            ..Default::default()
        }
    };
    let x = || value("x", F32, &[2, 3]);
    let add = [node("add", "Add", "x layer/w", "y")];
    put(&path, x(), &add, &[external("weights.bin")]);
    refused(&path, 3, &["weights.bin`, which holds tensor `layer/w`"]);
    fs::write(folder.path().join("weights.bin"), [0; 15]).unwrap();
    refused(&path, 3, &["tensor `layer/w`", "`weights.bin`", "has only 15 bytes"]);
    put(&path, x(), &add, &[external("../weights.bin")]);
    refused(&path, 3, &["tensor `layer/w`", "inside the model's folder"]);
    put(&path, x(), &add, &[external("weights.bin")]);
    fs::write(folder.path().join("weights.bin"), [0; 16]).unwrap();
    mlc(["build".as_ref(), path.as_os_str(), "-o".as_ref(), folder.path().as_os_str()]).fine();
}

#[test]
fn tensors_larger_than_any_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("huge.onnx");
    // Four times what an address can name.
    let huge = 1 << 47;
    let relu = [node("relu", "Relu", "x", "y")];
    put(&path, value("x", F32, &[i64::MAX, 8]), &relu, &[]);
    refused(&path, 3, &["`x`", "larger than any memory"]);
    let claims = TensorProto { name: "w".into(), dims: vec![huge, huge], data_type: F32, ..Default::default() };
    put(&path, value("x", F32, &[1]), &[node("add", "Add", "x w", "y")], &[claims]);
    refused(&path, 3, &["tensor `w`"]);

    // These are models; only memory is missing, and only once they run.
    let one = folder.path().join("one.npy").display().to_string();
    let tensor = mlc_ir::Tensor::from_f32s(vec![1], &[1.0]).unwrap();
    mlc_tensorio::write(Path::new(&one), &[mlc_tensorio::Named { name: None, tensor }]).unwrap();
    let expand = [node("expand", "Expand", "x shape", "y")];
    for (shape, code) in [(&[huge][..], 5), (&[huge, huge], 3)] {
        put(&path, value("x", F32, &[1]), &expand, &[ints("shape", shape)]);
        let results = folder.path().join("results");
        let ran = mlc(["run", &path.display().to_string(), "-i", &one, "-o", &results.display().to_string()]);
        ran.fails(code, &[]);
        assert!(!results.exists());
    }
    let fill = [node("fill", "ConstantOfShape", "shape", "ones"), node("add", "Add", "x ones", "y")];
    put(&path, value("x", F32, &[1]), &fill, &[ints("shape", &[huge])]);
    mlc(["build".as_ref(), path.as_os_str(), "-o".as_ref(), folder.path().as_os_str()]).fine();
}

#[test]
fn everything_unsupported_is_listed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gaps.onnx");
    let nodes =
        [node("a/frob", "Frobnicate", "x", "z"), node("b/frob", "Frobnicate", "z", "v"), node("c", "Nope", "v", "y")];
    put(&path, value("x", F32, &[2]), &nodes, &[]);
    let (model, out) = (path.display().to_string(), folder.path().join("out").display().to_string());
    let gaps = |ran: Ran| {
        assert_eq!(ran.code, 4, "{}{}", ran.out, ran.err);
        let text = ran.out + &ran.err;
        assert!(["Frobnicate", "a/frob", "Nope"].iter().all(|word| text.contains(word)), "{text}");
    };
    gaps(mlc(["build", &model, "-o", &out]));
    gaps(mlc(["check", &model]));
    gaps(mlc(["run", &model]));
    put(&path, value("x", TEXT, &[2]), &[node("same", "Identity", "x", "y")], &[]);
    let ran = mlc(["build", &model, "-o", &out]);
    assert!(ran.code == 4 && ran.err.contains("`x`") && ran.err.contains("string"), "{}", ran.err);
    assert_eq!(names(folder.path()), ["gaps.onnx"]);
}

/// A model whose only constants are empty has no weights to miss.
#[test]
fn constants_that_are_empty() {
    let folder = tempfile::tempdir().unwrap();
    let (model, x) = (folder.path().join("m.onnx"), folder.path().join("x.pb"));
    let axis = AttributeProto { name: "axis".into(), type_: AttributeType::INT.into(), ..Default::default() };
    let join = NodeProto { attribute: vec![axis], ..node("join", "Concat", "x e", "y") };
    put(&model, value("x", I64, &[2]), &[join], &[ints("e", &[])]);
    fs::write(&x, ints("x", &[3, 4]).write_to_bytes().unwrap()).unwrap();
    let path = |path: &Path| path.display().to_string();
    mlc(["build", &path(&model), "-o", &path(folder.path())]).fine();
    mlc(["run", &path(&folder.path().join("m.so")), "-i", &path(&x)]).fine();
}
