//! What the functions of expressions give for numbers; the one place that says so for interpreter and constants.

use crate::DType;
use crate::tensor::Scalar;
use crate::tile::{Binary, Compare, Math, Monoid, Unary};

/// Conversion between types.
pub fn cast(value: Scalar, from: DType, to: DType) -> Scalar {
    match value {
        // Unsigned 64-bit integers are kept as their bits.
        Scalar::Int(n) if from == DType::U64 && to.is_float() => Scalar::Float(n as u64 as f64).cast(to),
        _ => value.cast(to),
    }
}

/// One step of a fold; the value is rounded or wrapped to its type at the end.
pub fn fold(monoid: Monoid, a: Scalar, b: Scalar) -> Scalar {
    match (a, b) {
        (Scalar::Float(a), Scalar::Float(b)) => Scalar::Float(match monoid {
            Monoid::Sum => a + b,
            Monoid::Prod => a * b,
            Monoid::Max => {
                if a.is_nan() || a > b {
                    a
                } else {
                    b
                }
            }
            Monoid::Min => {
                if a.is_nan() || a < b {
                    a
                } else {
                    b
                }
            }
            Monoid::And => f64::from(a != 0.0 && b != 0.0),
            Monoid::Or => f64::from(a != 0.0 || b != 0.0),
        }),
        (a, b) => {
            let (a, b) = (a.int(), b.int());
            Scalar::Int(match monoid {
                Monoid::Sum => a.wrapping_add(b),
                Monoid::Prod => a.wrapping_mul(b),
                Monoid::Max => a.max(b),
                Monoid::Min => a.min(b),
                Monoid::And => (a != 0 && b != 0).into(),
                Monoid::Or => (a != 0 || b != 0).into(),
            })
        }
    }
}

/// A function of one operand, rounded or wrapped to its type.
pub fn unary(f: Unary, a: Scalar, dtype: DType) -> Scalar {
    let value = match a {
        Scalar::Float(x) => Scalar::Float(match f {
            Unary::Neg => -x,
            Unary::Abs => x.abs(),
            Unary::Sqrt => x.sqrt(),
            Unary::Floor => x.floor(),
            Unary::Ceil => x.ceil(),
            Unary::Trunc => x.trunc(),
            Unary::Round => x.round_ties_even(),
            Unary::Not => f64::from(x == 0.0),
        }),
        Scalar::Int(n) => Scalar::Int(match f {
            Unary::Neg => n.wrapping_neg(),
            Unary::Abs if dtype == DType::U64 => n,
            Unary::Abs => n.wrapping_abs(),
            Unary::Not if dtype == DType::Bool => (n == 0).into(),
            Unary::Not => !n,
            Unary::Sqrt | Unary::Floor | Unary::Ceil | Unary::Trunc | Unary::Round => n,
        }),
    };
    value.cast(dtype)
}

/// A function of two operands, rounded or wrapped to their type.
pub fn binary(f: Binary, a: Scalar, b: Scalar, dtype: DType) -> Scalar {
    let value = match (a, b) {
        (Scalar::Float(a), Scalar::Float(b)) => Scalar::Float(match f {
            Binary::Add => a + b,
            Binary::Sub => a - b,
            Binary::Mul => a * b,
            Binary::Div => a / b,
            Binary::Rem => a % b,
            Binary::Min => {
                if a < b {
                    a
                } else {
                    b
                }
            }
            Binary::Max => {
                if a > b {
                    a
                } else {
                    b
                }
            }
            Binary::And | Binary::Or | Binary::Xor | Binary::Shl | Binary::Shr => f64::NAN,
        }),
        (a, b) => Scalar::Int(int_binary(f, a.int(), b.int(), dtype)),
    };
    value.cast(dtype)
}

fn int_binary(f: Binary, a: i64, b: i64, dtype: DType) -> i64 {
    let (ua, ub) = (a as u64, b as u64);
    let unsigned = dtype == DType::U64;
    match f {
        Binary::Add => a.wrapping_add(b),
        Binary::Sub => a.wrapping_sub(b),
        Binary::Mul => a.wrapping_mul(b),
        Binary::Div if b == 0 => 0,
        Binary::Rem if b == 0 => 0,
        Binary::Div if unsigned => (ua / ub) as i64,
        Binary::Rem if unsigned => (ua % ub) as i64,
        Binary::Div => a.wrapping_div(b),
        Binary::Rem => a.wrapping_rem(b),
        Binary::Min if unsigned => ua.min(ub) as i64,
        Binary::Max if unsigned => ua.max(ub) as i64,
        Binary::Min => a.min(b),
        Binary::Max => a.max(b),
        Binary::And => a & b,
        Binary::Or => a | b,
        Binary::Xor => a ^ b,
        Binary::Shl => a.wrapping_shl(b as u32),
        Binary::Shr if unsigned => (ua >> (ub & 63)) as i64,
        Binary::Shr => a.wrapping_shr(b as u32),
    }
}

/// A comparison of operands of a type.
pub fn compare(f: Compare, a: Scalar, b: Scalar, dtype: DType) -> Scalar {
    let truth = match (a, b) {
        (Scalar::Float(a), Scalar::Float(b)) => match f {
            Compare::Eq => a == b,
            Compare::Ne => a != b,
            Compare::Lt => a < b,
            Compare::Le => a <= b,
        },
        (a, b) => {
            let (a, b) = (a.int(), b.int());
            match f {
                Compare::Eq => a == b,
                Compare::Ne => a != b,
                Compare::Lt if dtype == DType::U64 => (a as u64) < (b as u64),
                Compare::Le if dtype == DType::U64 => (a as u64) <= (b as u64),
                Compare::Lt => a < b,
                Compare::Le => a <= b,
            }
        }
    };
    Scalar::Int(truth.into())
}

/// A mathematical function, rounded to its type.
pub fn math(f: Math, x: f64, y: f64, dtype: DType) -> Scalar {
    Scalar::Float(crate::tile::interp::math(f, x, y)).cast(dtype)
}
