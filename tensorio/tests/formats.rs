//! What is written reads back, files of others are read, and garbage is an error.

use mlc_ir::{DType, ErrorKind, Tensor};
use mlc_tensorio::{Named, npy, npz, pb};
use proptest::prelude::*;

/// Any small tensor of any type.
fn tensors() -> impl Strategy<Value = Tensor> {
    let dtypes = proptest::sample::select(DType::all().collect::<Vec<_>>());
    let shapes = proptest::collection::vec(0usize..4, 0..5);
    (dtypes, shapes).prop_flat_map(|(dtype, shape)| {
        let size = shape.iter().product::<usize>() * dtype.bytes();
        let largest = if dtype == DType::Bool { 1 } else { u8::MAX };
        proptest::collection::vec(0..=largest, size)
            .prop_map(move |bytes| Tensor::new(dtype, shape.clone(), bytes).unwrap())
    })
}

fn named() -> impl Strategy<Value = Named> {
    let name = proptest::option::of("[a-zä_./:]{1,12}");
    (name, tensors()).prop_map(|(name, tensor)| Named { name, tensor })
}

proptest! {
    #[test]
    fn npy_reads_back(tensor in tensors()) {
        prop_assert_eq!(npy::decode(&npy::encode(&tensor)).unwrap(), tensor);
    }

    #[test]
    fn pb_reads_back(named in named()) {
        prop_assert_eq!(pb::decode(&pb::encode(&named)).unwrap(), named);
    }

    #[test]
    fn npz_reads_back(list in proptest::collection::vec(tensors(), 0..4)) {
        let list: Vec<Named> = list
            .into_iter()
            .enumerate()
            .map(|(index, tensor)| Named { name: Some(format!("x/{index}")), tensor })
            .collect();
        prop_assert_eq!(npz::decode(&npz::encode(&list).unwrap()).unwrap(), list);
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = (npy::decode(&bytes), npz::decode(&bytes), pb::decode(&bytes));
    }

    #[test]
    fn no_header_makes_the_npy_reader_panic(text in "[{}()'\":,a-z0-9<>|ä ]{0,60}") {
        let _ = npy::decode(&npy_file(&text, &[0; 8]));
    }

    #[test]
    fn damage_makes_no_reader_panic(named in named(), place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let npy = npy::encode(&named.tensor);
        let pb = pb::encode(&named);
        let npz = npz::encode(std::slice::from_ref(&named)).unwrap();
        for mut bytes in [npy, pb, npz] {
            let place = place.index(bytes.len());
            let _ = (npy::decode(&bytes[..place]), npz::decode(&bytes[..place]), pb::decode(&bytes[..place]));
            bytes[place] = byte;
            let _ = (npy::decode(&bytes), npz::decode(&bytes), pb::decode(&bytes));
        }
    }
}

fn npy_file(header: &str, data: &[u8]) -> Vec<u8> {
    [b"\x93NUMPY\x01\x00".as_slice(), &(header.len() as u16).to_le_bytes(), header.as_bytes(), data].concat()
}

fn f32s(shape: &[usize], values: &[f32]) -> Tensor {
    Tensor::from_f32s(shape.to_vec(), values).unwrap()
}

#[test]
fn npy_is_written_as_numpy_writes_it() {
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }";
    let padded = format!("{header}{}\n", " ".repeat(118 - header.len() - 1));
    let file = npy_file(&padded, &[0, 0, 128, 63, 0, 0, 0, 192]);
    assert_eq!(npy::encode(&f32s(&[2], &[1.0, -2.0])), file);
    assert_eq!(npy::decode(&file).unwrap(), f32s(&[2], &[1.0, -2.0]));
    let scalar = npy::encode(&f32s(&[], &[1.0]));
    assert!(String::from_utf8_lossy(&scalar).contains("'shape': ()"));
}

#[test]
fn npy_of_other_orders_is_read() {
    let values: Vec<u8> = [1f32, 4.0, 2.0, 5.0, 3.0, 6.0].iter().flat_map(|x| x.to_be_bytes()).collect();
    let file = npy_file("{\"shape\":(2, 3), 'fortran_order':True,'descr':'>f4'}", &values);
    assert_eq!(npy::decode(&file).unwrap(), f32s(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
}

#[test]
fn npy_says_what_is_wrong() {
    let header = |descr: &str, shape: &str| format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}");
    for (header, data, kind, message) in [
        (header("'<f4'", "(3,)"), 8, ErrorKind::Invalid, "8 bytes follow the header, which does not fit f32[3]"),
        (header("'<f4'", "(-1,)"), 8, ErrorKind::Invalid, "a shape that is no tuple"),
        (header("'<f4'", &format!("({0}, {0}, 0)", usize::MAX)), 0, ErrorKind::Invalid, "does not fit"),
        (header("'<f4'", "(99999999999999999999,)"), 0, ErrorKind::Invalid, "a shape that is no tuple"),
        (header("'<U5'", "(1,)"), 20, ErrorKind::Unsupported, "numpy type '<U5' are not supported"),
        (header("'|O'", "(1,)"), 20, ErrorKind::Unsupported, "numpy type '|O' are not supported"),
        (header("[('a', '<f4')]", "(1,)"), 4, ErrorKind::Unsupported, "records"),
        ("{'descr': '<f4'}".into(), 4, ErrorKind::Invalid, "lacks"),
        ("nonsense".into(), 4, ErrorKind::Invalid, "is no dictionary: nonsense"),
    ] {
        let error = npy::decode(&npy_file(&header, &vec![0; data])).unwrap_err();
        assert!(error.kind == kind && error.message.contains(message), "{header}: {error}");
    }
    let truth = npy::decode(&npy_file(&header("'|b1'", "(1,)"), &[2])).unwrap_err();
    assert!(truth.message.contains("neither 0 nor 1"), "{truth}");
}

#[test]
fn pb_reads_the_typed_fields() {
    // dims 2, FLOAT, float_data packed; then unpacked.
    let packed = [8, 2, 16, 1, 34, 8, 0, 0, 128, 63, 0, 0, 0, 192];
    let unpacked = [8, 2, 16, 1, 37, 0, 0, 128, 63, 37, 0, 0, 0, 192];
    for file in [packed.as_slice(), &unpacked] {
        assert_eq!(pb::decode(file).unwrap(), Named { name: None, tensor: f32s(&[2], &[1.0, -2.0]) });
    }
    // INT8 -1 and 5 in int32_data, where -1 takes ten bytes; packed.
    let minus_one = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    let file = [[8, 2, 16, 3, 42, 11].as_slice(), &minus_one, &[5]].concat();
    assert_eq!(pb::decode(&file).unwrap().tensor, Tensor::new(DType::I8, vec![2], vec![255, 5]).unwrap());
    // FLOAT16 1.0 as its bits, in a scalar named x.
    let half = pb::decode(&[16, 10, 40, 0x80, 0x78, 66, 1, b'x']).unwrap();
    assert_eq!(half.name.as_deref(), Some("x"));
    assert_eq!(half.tensor, Tensor::new(DType::F16, vec![], vec![0, 0x3c]).unwrap());
}

#[test]
fn pb_says_what_is_wrong() {
    for (file, kind, message) in [
        ([8, 2, 16, 1, 74, 4, 0, 0, 0, 0].as_slice(), ErrorKind::Invalid, "needs more than the 4 bytes"),
        (&[8, 1, 16, 1, 74, 8, 0, 0, 0, 0, 0, 0, 0, 0], ErrorKind::Invalid, "too many"),
        (&[8, 1, 16, 1, 74, 8, 0], ErrorKind::Invalid, "cut short"),
        (&[8, 1, 16, 1, 42, 1, 1], ErrorKind::Invalid, "stand in field 5"),
        (&[8, 1, 16, 3, 40, 0x80, 1], ErrorKind::Invalid, "the element 128 does not fit i8"),
        (&[8, 1, 16, 77], ErrorKind::Invalid, "unknown element type 77"),
        (&[], ErrorKind::Invalid, "unknown element type 0"),
        (&[8, 1, 16, 8, 50, 1, b'x'], ErrorKind::Unsupported, "STRING"),
        (&[8, 1, 16, 22, 40, 1], ErrorKind::Unsupported, "INT4"),
        (&[8, 1, 16, 1, 112, 1], ErrorKind::Unsupported, "in another file"),
        // A sequence named s with one tensor, an empty one, and an optional without a value.
        (&[10, 1, b's', 16, 1, 26, 2, 16, 1], ErrorKind::Unsupported, "sequence or an optional"),
        (&[10, 1, b's', 16, 1], ErrorKind::Unsupported, "sequence or an optional"),
        (&[10, 1, b's'], ErrorKind::Unsupported, "sequence or an optional"),
    ] {
        let error = pb::decode(file).unwrap_err();
        assert!(error.kind == kind && error.message.contains(message), "{file:?}: {error}");
    }
    let huge = [8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 8, 8, 16, 1, 74, 0];
    assert_eq!(pb::decode(&huge).unwrap_err().kind, ErrorKind::Invalid);
}

#[test]
fn npz_refuses_names_that_are_there_twice() {
    let one = |name: Option<&str>| Named { name: name.map(String::from), tensor: f32s(&[1], &[1.0]) };
    let error = npz::encode(&[one(Some("x")), one(Some("x"))]).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    let unnamed = npz::decode(&npz::encode(&[one(None), one(None)]).unwrap()).unwrap();
    assert_eq!(unnamed, [one(Some("arr_0")), one(Some("arr_1"))]);
}
