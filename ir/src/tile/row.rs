//! The rows of the matrix table that `dot` names.

use super::Type;
use crate::DType;

/// A multiply-accumulate instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    /// Type of the accumulator.
    pub cell: Type,
    /// Type of the first factor.
    pub a: Type,
    /// Type of the second factor.
    pub b: Type,
    /// What is multiplied with what.
    pub kind: RowKind,
}

/// What a row multiplies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RowKind {
    /// Lanes: `cell[i] += a[i] * b[i]`.
    Lanes,
    /// Matrices, in row-major order: `cell[i, j] += a[i, k] * b[k, j]`, for each `k` from 0 on.
    Matrix(Shape),
}

/// The matrices of a row: the first factor is `m` by `k`, the second `k` by `n`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    /// Rows of the result.
    pub m: u16,
    /// Columns of the result.
    pub n: u16,
    /// What is summed over.
    pub k: u16,
    /// Whether the factors are floats of which 10 bits behind the point count: they are rounded so, ties away from zero.
    pub rounds: bool,
}

/// Rows of matrices: name, `m`, `n`, `k`, types of the factors and of the accumulator, [`Shape::rounds`]. Floats are summed in the order of `k`
/// here; hardware has orders of its own, so that its results are compared with a bound.
const MATRICES: &[(&str, [u16; 3], DType, DType, DType, bool)] = &[
    ("mma.f16", [16, 8, 16], DType::F16, DType::F16, DType::F32, false),
    ("mma.bf16", [16, 8, 16], DType::BF16, DType::BF16, DType::F32, false),
    ("mma.tf32", [16, 8, 8], DType::F32, DType::F32, DType::F32, true),
    ("mma.f32", [16, 8, 8], DType::F32, DType::F32, DType::F32, false),
    ("mma.s8", [16, 8, 32], DType::I8, DType::I8, DType::I32, false),
    ("mma.u8s8", [16, 8, 32], DType::U8, DType::I8, DType::I32, false),
];

impl Row {
    /// The row with this name: one of matrices, or a type of `f32`, `f64`, `i32` or `i64`, which stands for itself in all three
    /// places.
    pub fn from_name(name: &str) -> Option<Row> {
        if let Some((_, [m, n, k], a, b, cell, rounds)) = MATRICES.iter().find(|row| row.0 == name) {
            let shape = Shape { m: *m, n: *n, k: *k, rounds: *rounds };
            return Some(Row {
                cell: Type::vector(*cell, m * n),
                a: Type::vector(*a, m * k),
                b: Type::vector(*b, k * n),
                kind: RowKind::Matrix(shape),
            });
        }
        let ty = Type::from_name(name)?;
        let known = matches!(ty.dtype, DType::F32 | DType::F64 | DType::I32 | DType::I64);
        known.then_some(Row { cell: ty, a: ty, b: ty, kind: RowKind::Lanes })
    }

    /// The names of the rows of matrices.
    pub fn matrices() -> impl Iterator<Item = &'static str> {
        MATRICES.iter().map(|row| row.0)
    }

    /// The matrices it multiplies, if it does.
    pub fn shape(&self) -> Option<Shape> {
        match self.kind {
            RowKind::Lanes => None,
            RowKind::Matrix(shape) => Some(shape),
        }
    }
}
