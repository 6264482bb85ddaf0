//! The rows of the matrix table that `dot` names.

use super::Type;
use crate::DType;

/// A multiply-accumulate of vectors: `cell[i] += a[i] * b[i]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    /// Type of the accumulator.
    pub cell: Type,
    /// Type of the first factor.
    pub a: Type,
    /// Type of the second factor.
    pub b: Type,
}

impl Row {
    /// The row with this name: a type of `f32`, `f64`, `i32` or `i64` stands for itself in all three places.
    pub fn from_name(name: &str) -> Option<Row> {
        let ty = Type::from_name(name)?;
        let known = matches!(ty.dtype, DType::F32 | DType::F64 | DType::I32 | DType::I64);
        known.then_some(Row { cell: ty, a: ty, b: ty })
    }
}
