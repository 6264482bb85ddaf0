//! The element types a tensor can have at the interface, by ONNX number.

/// One element type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dtype {
    /// Its number in ONNX's `TensorProto.DataType`.
    pub number: u32,
    /// The name in every textual form.
    pub name: &'static str,
    /// Size of one element.
    pub bytes: u32,
    /// The C type of one element.
    pub c: &'static str,
}

/// All element types.
pub const DTYPES: &[Dtype] = &[
    Dtype { number: 1, name: "f32", bytes: 4, c: "float" },
    Dtype { number: 2, name: "u8", bytes: 1, c: "uint8_t" },
    Dtype { number: 3, name: "i8", bytes: 1, c: "int8_t" },
    Dtype { number: 4, name: "u16", bytes: 2, c: "uint16_t" },
    Dtype { number: 5, name: "i16", bytes: 2, c: "int16_t" },
    Dtype { number: 6, name: "i32", bytes: 4, c: "int32_t" },
    Dtype { number: 7, name: "i64", bytes: 8, c: "int64_t" },
    Dtype { number: 9, name: "bool", bytes: 1, c: "uint8_t" },
    Dtype { number: 10, name: "f16", bytes: 2, c: "uint16_t" },
    Dtype { number: 11, name: "f64", bytes: 8, c: "double" },
    Dtype { number: 12, name: "u32", bytes: 4, c: "uint32_t" },
    Dtype { number: 13, name: "u64", bytes: 8, c: "uint64_t" },
    Dtype { number: 16, name: "bf16", bytes: 2, c: "uint16_t" },
];

/// The element type with a number.
pub fn find(number: u32) -> Option<Dtype> {
    DTYPES.iter().find(|it| it.number == number).copied()
}

/// The name of the element type with a number, for messages.
pub fn name(number: u32) -> &'static str {
    find(number).map_or("unknown", |it| it.name)
}
