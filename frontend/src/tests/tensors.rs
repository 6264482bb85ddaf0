//! Tensors: every field they may stand in, mapped bytes, external files.

use super::*;
use crate::file;
use crate::model::Model;
use mlc_ir::DType;
use onnx_protobuf::tensor_proto::DataLocation;
use onnx_protobuf::{SparseTensorProto, StringStringEntryProto};
use std::fs;

/// A model whose result is one constant.
fn constant(tensor: TensorProto) -> ModelProto {
    let mut graph = graph(&[], &[], &tensor.name);
    graph.initializer.push(tensor);
    model(graph)
}

fn read(tensor: TensorProto) -> Result<mlc_ir::Tensor> {
    let name = tensor.name.clone();
    let graph = import(&constant(tensor))?;
    Ok(graph.constant(output(&graph, &name)).unwrap().clone())
}

fn empty(data_type: i32, dims: &[i64]) -> TensorProto {
    TensorProto { name: "w".into(), data_type, dims: dims.to_vec(), ..TensorProto::default() }
}

#[test]
fn weights_are_parts_of_the_mapping() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    let typed = TensorProto { name: "v".into(), float_data: vec![1.0, 2.0], ..empty(F32, &[2]) };
    let mut graph = graph(&[], &[], "w v");
    graph.initializer = vec![floats("w", &[3], &[1.0, 2.0, 3.0]), typed];
    fs::write(&path, bytes(&model(graph))).unwrap();
    let mapping = file::map(&path).unwrap();
    let all = (*mapping).as_ref().as_ptr_range();
    let model = Model::read(mapping.clone(), "m", None).unwrap();
    let graph = crate::importer::Importer::new(&model, &Options::default()).run().unwrap();
    for (name, first) in [("w", 1.0), ("v", 1.0f64)] {
        let tensor = graph.constant(output(&graph, name)).unwrap();
        assert!(all.contains(&tensor.bytes().as_ptr()), "{name} was copied");
        assert_eq!(tensor.get(0).float(), first);
    }
    assert!(crate::import(&path, &Options::default()).is_ok());
}

#[test]
fn typed_fields_are_converted() {
    let ints = |data_type, values: &[i32]| {
        let tensor = TensorProto { int32_data: values.to_vec(), ..empty(data_type, &[values.len() as i64]) };
        let tensor = read(tensor).unwrap();
        (tensor.dtype(), tensor.scalars().map(|x| x.float()).collect::<Vec<_>>())
    };
    assert_eq!(ints(6, &[-1, 7]), (DType::I32, vec![-1.0, 7.0]));
    assert_eq!(ints(5, &[-1, 7]), (DType::I16, vec![-1.0, 7.0]));
    assert_eq!(ints(3, &[-128, 7]), (DType::I8, vec![-128.0, 7.0]));
    assert_eq!(ints(2, &[255, 7]), (DType::U8, vec![255.0, 7.0]));
    assert_eq!(ints(4, &[65535]), (DType::U16, vec![65535.0]));
    assert_eq!(ints(9, &[1, 0]), (DType::Bool, vec![1.0, 0.0]));
    assert_eq!(ints(10, &[0x3c00]), (DType::F16, vec![1.0]));
    assert_eq!(ints(16, &[0x3f80]), (DType::BF16, vec![1.0]));
    let long = read(TensorProto { int64_data: vec![-5], ..empty(I64, &[]) }).unwrap();
    assert_eq!(long.to_i64s(), Some(vec![-5]));
    let unsigned = read(TensorProto { uint64_data: vec![7], ..empty(12, &[1]) }).unwrap();
    assert_eq!((unsigned.dtype(), unsigned.to_i64s()), (DType::U32, Some(vec![7])));
    let double = read(TensorProto { double_data: vec![0.5], ..empty(11, &[]) }).unwrap();
    assert_eq!(double.get(0).float(), 0.5);
    assert_eq!(read(empty(F32, &[0, 3])).unwrap().len(), 0);
}

#[test]
fn wrong_tensors_are_errors_that_name_them() {
    for (tensor, message) in [
        (empty(F32, &[2]), "has 0 bytes of data, but its type and shape need 8"),
        (TensorProto { raw_data: vec![0; 9], ..empty(F32, &[2]) }, "has 9 bytes"),
        (empty(F32, &[-1]), "negative extent"),
        (empty(F32, &[i64::MAX, i64::MAX]), "larger than any memory"),
        (empty(F32, &[i64::MAX, i64::MAX, 0]), "larger than any memory"),
        (empty(F32, &[1; 100]), "100 dims"),
        (empty(8, &[1]), "string, which is not supported"),
        (empty(22, &[1]), "int4, which is not supported"),
        (empty(17, &[1]), "float8e4m3fn, which is not supported"),
        (empty(99, &[1]), "unknown element type 99"),
        (empty(0, &[1]), "no element type"),
        (TensorProto { int32_data: vec![1, 2], ..empty(I64, &[2]) }, "has 0 bytes"),
        (TensorProto { float_data: vec![1.0, 2.0], ..empty(I64, &[1]) }, "of another type"),
    ] {
        let error = read(tensor).unwrap_err().message;
        assert!(error.starts_with("tensor `w`") && error.contains(message), "{error}");
    }
}

#[test]
fn sparse_tensors_are_made_dense() {
    let sparse = |indices: Vec<i64>, dims: &[i64]| {
        let indices = TensorProto { int64_data: indices, data_type: I64, dims: dims.to_vec(), ..Default::default() };
        let mut graph = graph(&[], &[], "w");
        graph.sparse_initializer.push(SparseTensorProto {
            values: Some(floats("w", &[2], &[1.0, 2.0])).into(),
            indices: Some(indices).into(),
            dims: vec![2, 3],
            ..Default::default()
        });
        let graph = import(&model(graph))?;
        Ok(graph.constant(output(&graph, "w")).unwrap().scalars().map(|x| x.float()).collect())
    };
    let expected: Result<Vec<f64>> = Ok(vec![0.0, 1.0, 0.0, 0.0, 0.0, 2.0]);
    assert_eq!(sparse(vec![1, 5], &[2]), expected);
    assert_eq!(sparse(vec![0, 1, 1, 2], &[2, 2]), expected);
    assert!(sparse(vec![1, 6], &[2]).unwrap_err().message.contains("out of range"));
    assert!(sparse(vec![0, 1, 1, -2], &[2, 2]).unwrap_err().message.contains("out of range"));
    assert!(sparse(vec![1], &[1]).unwrap_err().message.contains("do not fit"));
}

fn external(location: &str, offset: &str, length: &str) -> TensorProto {
    let entry =
        |key: &str, value: &str| StringStringEntryProto { key: key.into(), value: value.into(), ..Default::default() };
    let external_data = vec![entry("location", location), entry("offset", offset), entry("length", length)];
    let data_location = DataLocation::EXTERNAL.into();
    TensorProto { external_data, data_location, ..empty(F32, &[2]) }
}

#[test]
fn external_data_is_mapped_once() {
    let folder = tempfile::tempdir().unwrap();
    let data: Vec<u8> = [9.0f32, 1.0, 2.0, 3.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    fs::create_dir(folder.path().join("data")).unwrap();
    fs::write(folder.path().join("data/w.bin"), data).unwrap();
    let mut graph = graph(&[], &[], "w v");
    graph.initializer = vec![external("data/w.bin", "4", "8"), external("./data/w.bin", "8", "8")];
    graph.initializer[1].name = "v".into();
    let path = folder.path().join("m.onnx");
    fs::write(&path, bytes(&model(graph))).unwrap();
    let graph = crate::import(&path, &Options::default()).unwrap();
    let tensor = |name| graph.constant(output(&graph, name)).unwrap();
    assert_eq!(tensor("w").get(1).float(), 2.0);
    assert_eq!(tensor("v").get(1).float(), 3.0);
    // One mapping: the tensors are as far apart as in the file.
    let (w, v) = (tensor("w").bytes().as_ptr() as usize, tensor("v").bytes().as_ptr() as usize);
    assert_eq!(v - w, 4);
}

#[test]
fn wrong_external_data_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("w.bin"), [0; 8]).unwrap();
    for (tensor, message) in [
        (external("missing.bin", "0", "8"), "missing.bin`, which holds tensor `w`"),
        (external("../w.bin", "0", "8"), "inside the model's folder"),
        (external("/etc/passwd", "0", "8"), "inside the model's folder"),
        (external("", "0", "8"), "inside the model's folder"),
        (external("w.bin", "4", "8"), "has only 8 bytes"),
        (external("w.bin", "18446744073709551615", "8"), "has only 8 bytes"),
        (external("w.bin", "0", "4"), "need 8"),
        (external("w.bin", "-1", "8"), "is no offset"),
        (external(".", "0", "8"), "not a regular file"),
    ] {
        let bytes = bytes(&constant(tensor));
        let error = crate::import_bytes(bytes.clone(), Some(folder.path()), &Options::default()).unwrap_err().message;
        assert!(error.contains(message), "{error}");
        assert!(crate::import_bytes(bytes, None, &Options::default()).is_err());
    }
}
