//! Element types of tensors and scalars.

use std::fmt;

/// The type of one element, in memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum DType {
    /// IEEE 754 binary64.
    F64,
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary16.
    F16,
    /// The upper half of a binary32.
    BF16,
    /// Signed 64-bit integer, also the type of every index.
    I64,
    /// Signed 32-bit integer.
    I32,
    /// Signed 16-bit integer.
    I16,
    /// Signed 8-bit integer.
    I8,
    /// Unsigned 64-bit integer.
    U64,
    /// Unsigned 32-bit integer.
    U32,
    /// Unsigned 16-bit integer.
    U16,
    /// Unsigned 8-bit integer.
    U8,
    /// One byte, 0 or 1.
    Bool,
}

/// Every element type with its textual name, its size in bytes and its number in ONNX's `TensorProto.DataType`.
const TABLE: &[(DType, &str, usize, i32)] = &[
    (DType::F64, "f64", 8, 11),
    (DType::F32, "f32", 4, 1),
    (DType::F16, "f16", 2, 10),
    (DType::BF16, "bf16", 2, 16),
    (DType::I64, "i64", 8, 7),
    (DType::I32, "i32", 4, 6),
    (DType::I16, "i16", 2, 5),
    (DType::I8, "i8", 1, 3),
    (DType::U64, "u64", 8, 13),
    (DType::U32, "u32", 4, 12),
    (DType::U16, "u16", 2, 4),
    (DType::U8, "u8", 1, 2),
    (DType::Bool, "bool", 1, 9),
];

impl DType {
    fn row(self) -> &'static (DType, &'static str, usize, i32) {
        &TABLE[self as usize]
    }

    /// All element types.
    pub fn all() -> impl Iterator<Item = DType> {
        TABLE.iter().map(|row| row.0)
    }

    /// The name used in every textual form.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// Size of one element in bytes.
    pub fn bytes(self) -> usize {
        self.row().2
    }

    /// The number ONNX gives this type (`TensorProto.DataType`); artifacts use the same numbers.
    pub fn onnx(self) -> i32 {
        self.row().3
    }

    /// The type with an ONNX number, if `mlc` has it.
    pub fn from_onnx(number: i32) -> Option<DType> {
        TABLE.iter().find(|row| row.3 == number).map(|row| row.0)
    }

    /// The type with a textual name.
    pub fn from_name(name: &str) -> Option<DType> {
        TABLE.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// Floating-point, of any width.
    pub fn is_float(self) -> bool {
        matches!(self, DType::F64 | DType::F32 | DType::F16 | DType::BF16)
    }

    /// Floating-point of 16 bits.
    pub fn is_half(self) -> bool {
        matches!(self, DType::F16 | DType::BF16)
    }

    /// Signed or unsigned integer; `Bool` is none.
    pub fn is_int(self) -> bool {
        self.is_signed_int() || self.is_unsigned_int()
    }

    /// Signed integer.
    pub fn is_signed_int(self) -> bool {
        matches!(self, DType::I64 | DType::I32 | DType::I16 | DType::I8)
    }

    /// Unsigned integer.
    pub fn is_unsigned_int(self) -> bool {
        matches!(self, DType::U64 | DType::U32 | DType::U16 | DType::U8)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_in_the_order_of_the_enum() {
        for (place, row) in TABLE.iter().enumerate() {
            assert_eq!(row.0 as usize, place);
            assert_eq!(DType::from_onnx(row.3), Some(row.0));
            assert_eq!(DType::from_name(row.1), Some(row.0));
        }
    }
}
