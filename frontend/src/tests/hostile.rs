//! Files that are no models, damaged ones, and ones made to hurt.

use super::*;

fn import_raw(bytes: &[u8]) -> Error {
    crate::import_bytes(bytes.to_vec(), None, &Options::default()).expect_err("these bytes are no model")
}

#[test]
fn garbage_is_no_model() {
    for garbage in
        [&b""[..], b"hello world", b"\x08", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"\x0b\x0c", &[0; 99]]
    {
        let error = import_raw(garbage).message;
        assert!(error.starts_with("the input is not an ONNX model: "), "{error}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    std::fs::write(&path, "PK\u{3}\u{4}").unwrap();
    let error = crate::import(&path, &Options::default()).unwrap_err().message;
    assert!(error.contains("m.onnx` is not an ONNX model: "), "{error}");
    assert!(crate::import(folder.path(), &Options::default()).unwrap_err().message.contains("not a regular file"));
}

#[test]
fn every_truncation_and_many_damages_are_errors_or_models() {
    let mut branch = node("If", "x", "y");
    branch.attribute = vec![graph_attribute("then_branch", graph(&[], &[node("Neg", "w", "d")], "d")), int("a", 3)];
    let mut graph = graph(&[value("x", F32, &["n", "2"])], &[node("Relu", "x", "z"), branch], "y z");
    graph.initializer.push(floats("w", &[2], &[1.0, 2.0]));
    let whole = bytes(&model(graph));
    for end in 0..whole.len() {
        let _ = crate::import_bytes(whole[..end].to_vec(), None, &Options::default());
    }
    for place in 0..whole.len() {
        for byte in [0, 1, 0x7f, 0x80, 0xff, whole[place].wrapping_add(1), whole[place] ^ 8] {
            let mut damaged = whole.clone();
            damaged[place] = byte;
            let _ = crate::import_bytes(damaged, None, &Options::default());
        }
    }
}

#[test]
fn deep_nesting_is_an_error() {
    let mut inner = graph(&[], &[node("Neg", "x", "d")], "d");
    for _ in 0..15 {
        let mut branch = node("If", "x", "d");
        branch.attribute = vec![graph_attribute("then_branch", inner)];
        inner = graph(&[], &[branch], "d");
    }
    let nested = |levels: usize| {
        // Message by message from the inside: graph in attribute in node in graph.
        let mut bytes = Vec::new();
        for _ in 0..levels {
            for tag in [0x0a, 0x2a, 0x32] {
                let mut outer = vec![tag];
                let mut length = bytes.len();
                while length >= 0x80 {
                    outer.push(length as u8 | 0x80);
                    length >>= 7;
                }
                outer.push(length as u8);
                outer.extend(&bytes);
                bytes = outer;
            }
        }
        let model = [vec![0x3a], bytes].concat();
        import_raw(&model).message
    };
    assert!(nested(200).contains("not an ONNX model"));
    inner.input = vec![value("x", F32, &["1"])];
    let _ = import(&model(inner));
}

#[test]
fn groups_and_unknown_fields_never_reach_the_parser() {
    let whole = bytes(&model(graph(&[value("x", F32, &["2"])], &[node("Relu", "x", "y")], "y")));
    // A group in a group in a group ...: unknown to ONNX, and dangerous to parsers that skip it recursively.
    let groups = [whole.clone(), [0xf3, 0x07].repeat(100_000)].concat();
    assert!(import_raw(&groups).message.contains("unknown wire type 3"));
    let unknown = [whole, vec![0xfa, 0x07, 2, 1, 2]].concat();
    assert!(crate::import_bytes(unknown, None, &Options::default()).is_ok());
}

#[test]
fn marks_in_a_file_are_not_believed() {
    // Field 2^29-1 of a tensor is how `wire` names ranges; one from outside is dropped.
    let mut tensor = TensorProto { name: "w".into(), data_type: F32, dims: vec![1], ..TensorProto::default() };
    tensor.special_fields.mut_unknown_fields().add_varint(crate::wire::RAW, 0);
    let mut graph = graph(&[], &[], "w v");
    graph.initializer = vec![floats("v", &[1], &[1.0]), tensor];
    assert!(error(&model(graph)).message.contains("tensor `w` has 0 bytes"));
}
