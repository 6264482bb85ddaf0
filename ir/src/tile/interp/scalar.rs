//! What each operation does to one lane. A lane is 64 bits: those of the element, zeros above.

use super::code::{One, Three, Two};
use crate::DType;
use crate::tile::{Binary, Compare, Monoid, Unary};
use half::{bf16, f16};

/// A type of lanes.
trait Lane: Copy {
    fn get(bits: u64) -> Self;
    fn put(self) -> u64;
}

macro_rules! int_lanes {
    ($($ty:ty, $unsigned:ty;)+) => { $(
        impl Lane for $ty {
            fn get(bits: u64) -> $ty {
                bits as $ty
            }
            fn put(self) -> u64 {
                self as $unsigned as u64
            }
        }
    )+ };
}

int_lanes! { i64, u64; i32, u32; i16, u16; i8, u8; u64, u64; u32, u32; u16, u16; u8, u8; }

impl Lane for f64 {
    fn get(bits: u64) -> f64 {
        f64::from_bits(bits)
    }
    fn put(self) -> u64 {
        self.to_bits()
    }
}

impl Lane for f32 {
    fn get(bits: u64) -> f32 {
        f32::from_bits(bits as u32)
    }
    fn put(self) -> u64 {
        self.to_bits().into()
    }
}

/// Runs one of two macros for the Rust type of an element type; half floats and bools have no arithmetic.
macro_rules! by_type {
    ($dtype:expr, $int:ident, $float:ident, $op:expr) => {
        match $dtype {
            DType::F64 => $float!(f64, $op),
            DType::F32 => $float!(f32, $op),
            DType::I64 => $int!(i64, $op),
            DType::I32 => $int!(i32, $op),
            DType::I16 => $int!(i16, $op),
            DType::I8 => $int!(i8, $op),
            DType::U64 => $int!(u64, $op),
            DType::U32 => $int!(u32, $op),
            DType::U16 => $int!(u16, $op),
            DType::U8 => $int!(u8, $op),
            DType::F16 | DType::BF16 | DType::Bool => None,
        }
    };
}

macro_rules! one {
    ($ty:ty, $f:expr) => {{
        let f: One = |a| {
            let f: fn($ty) -> $ty = $f;
            f(Lane::get(a)).put()
        };
        Some(f)
    }};
}

macro_rules! two {
    ($ty:ty, $f:expr) => {{
        let f: Two = |a, b| {
            let f: fn($ty, $ty) -> $ty = $f;
            f(Lane::get(a), Lane::get(b)).put()
        };
        Some(f)
    }};
}

macro_rules! int_unary {
    ($ty:ty, $op:expr) => {
        match $op {
            Unary::Neg => one!($ty, |a| a.wrapping_neg()),
            // The lowest number stays as it is; so does every unsigned one.
            #[allow(unused_comparisons)]
            Unary::Abs => one!($ty, |a| if a < 0 { a.wrapping_neg() } else { a }),
            Unary::Not => one!($ty, |a| !a),
            _ => None,
        }
    };
}

macro_rules! float_unary {
    ($ty:ty, $op:expr) => {
        match $op {
            Unary::Neg => one!($ty, |a| -a),
            Unary::Abs => one!($ty, |a| a.abs()),
            Unary::Sqrt => one!($ty, |a| a.sqrt()),
            Unary::Floor => one!($ty, |a| a.floor()),
            Unary::Ceil => one!($ty, |a| a.ceil()),
            Unary::Trunc => one!($ty, |a| a.trunc()),
            Unary::Round => one!($ty, |a| a.round_ties_even()),
            Unary::Not => None,
        }
    };
}

/// One operand and the result of a type.
pub(super) fn unary(op: Unary, dtype: DType) -> Option<One> {
    match dtype {
        DType::Bool => (op == Unary::Not).then_some((|a| a ^ 1) as One),
        _ => by_type!(dtype, int_unary, float_unary, op),
    }
}

macro_rules! int_binary {
    ($ty:ty, $op:expr) => {
        match $op {
            Binary::Add => two!($ty, |a, b| a.wrapping_add(b)),
            Binary::Sub => two!($ty, |a, b| a.wrapping_sub(b)),
            Binary::Mul => two!($ty, |a, b| a.wrapping_mul(b)),
            Binary::Div => two!($ty, |a, b| if b == 0 { 0 } else { a.wrapping_div(b) }),
            Binary::Rem => two!($ty, |a, b| if b == 0 { 0 } else { a.wrapping_rem(b) }),
            Binary::Min => two!($ty, |a, b| if a < b { a } else { b }),
            Binary::Max => two!($ty, |a, b| if a > b { a } else { b }),
            Binary::And => two!($ty, |a, b| a & b),
            Binary::Or => two!($ty, |a, b| a | b),
            Binary::Xor => two!($ty, |a, b| a ^ b),
            Binary::Shl => two!($ty, |a, b| a.wrapping_shl(b as u32)),
            Binary::Shr => two!($ty, |a, b| a.wrapping_shr(b as u32)),
        }
    };
}

macro_rules! float_binary {
    ($ty:ty, $op:expr) => {
        match $op {
            Binary::Add => two!($ty, |a, b| a + b),
            Binary::Sub => two!($ty, |a, b| a - b),
            Binary::Mul => two!($ty, |a, b| a * b),
            Binary::Div => two!($ty, |a, b| a / b),
            Binary::Min => two!($ty, |a, b| if a < b { a } else { b }),
            Binary::Max => two!($ty, |a, b| if a > b { a } else { b }),
            _ => None,
        }
    };
}

/// Two operands and the result of one type.
pub(super) fn binary(op: Binary, dtype: DType) -> Option<Two> {
    let logical: Option<Two> = match op {
        Binary::And => Some(|a, b| a & b),
        Binary::Or => Some(|a, b| a | b),
        Binary::Xor => Some(|a, b| a ^ b),
        _ => None,
    };
    if dtype == DType::Bool { logical } else { by_type!(dtype, int_binary, float_binary, op) }
}

macro_rules! float_extreme {
    ($ty:ty, $op:expr) => {
        match $op {
            Monoid::Max => two!($ty, |a, b| if a.is_nan() || a > b { a } else { b }),
            _ => two!($ty, |a, b| if a.is_nan() || a < b { a } else { b }),
        }
    };
}

/// Two lanes of a reduction. Of two floats that are equal, the second stays, as in `min` and `max`.
pub(super) fn fold(monoid: Monoid, dtype: DType) -> Option<Two> {
    match (monoid, dtype) {
        (Monoid::Max | Monoid::Min, DType::F64) => float_extreme!(f64, monoid),
        (Monoid::Max | Monoid::Min, DType::F32) => float_extreme!(f32, monoid),
        (Monoid::Sum, _) => binary(Binary::Add, dtype),
        (Monoid::Prod, _) => binary(Binary::Mul, dtype),
        (Monoid::Max, _) => binary(Binary::Max, dtype),
        (Monoid::Min, _) => binary(Binary::Min, dtype),
        (Monoid::And, _) => binary(Binary::And, dtype),
        (Monoid::Or, _) => binary(Binary::Or, dtype),
    }
}

macro_rules! ordered {
    ($ty:ty, $op:expr) => {{
        let f: Two = match $op {
            Compare::Eq => |a, b| (<$ty>::get(a) == <$ty>::get(b)).into(),
            Compare::Ne => |a, b| (<$ty>::get(a) != <$ty>::get(b)).into(),
            Compare::Lt => |a, b| (<$ty>::get(a) < <$ty>::get(b)).into(),
            Compare::Le => |a, b| (<$ty>::get(a) <= <$ty>::get(b)).into(),
        };
        Some(f)
    }};
}

/// Two operands of a type, a bool as the result.
pub(super) fn compare(op: Compare, dtype: DType) -> Option<Two> {
    match dtype {
        DType::Bool => ordered!(u8, op),
        _ => by_type!(dtype, ordered, ordered, op),
    }
}

macro_rules! wrapping_multiply_add {
    ($ty:ty, $op:expr) => {
        Some(|a, b, c| <$ty>::get(a).wrapping_mul(Lane::get(b)).wrapping_add(Lane::get(c)).put())
    };
}

macro_rules! fused_multiply_add {
    ($ty:ty, $op:expr) => {
        Some(|a, b, c| <$ty>::get(a).mul_add(Lane::get(b), Lane::get(c)).put())
    };
}

/// `a * b + c`, rounded once; integers wrap.
pub(super) fn multiply_add(dtype: DType) -> Option<Three> {
    by_type!(dtype, wrapping_multiply_add, fused_multiply_add, ())
}

/// The bits of a constant of a float type.
pub(super) fn from_float(dtype: DType, x: f64) -> u64 {
    match dtype {
        DType::F64 => x.put(),
        DType::F32 => (x as f32).put(),
        DType::F16 => f16::from_f64(x).to_bits().into(),
        DType::BF16 => bf16::from_f64(x).to_bits().into(),
        _ => 0,
    }
}

/// The bits of an integer, wrapped to the width of a type.
pub(super) fn from_int(dtype: DType, n: i64) -> u64 {
    match dtype.bytes() {
        8 => n as u64,
        bytes => n as u64 & ((1 << (8 * bytes)) - 1),
    }
}

/// A number on its way from one type to another.
enum Number {
    /// From integers and bools: the value, which `u64` and `i64` both fit in.
    Int(i128),
    Single(f32),
    Double(f64),
}

/// Converts one lane: ints wrap, floats to ints truncate and saturate, floats round to nearest even. Ints to half floats
/// go through `F32`.
pub(super) fn convert(from: DType, to: DType, bits: u64) -> u64 {
    let number = match from {
        DType::F64 => Number::Double(f64::get(bits)),
        DType::F32 => Number::Single(f32::get(bits)),
        DType::F16 => Number::Single(f16::from_bits(bits as u16).to_f32()),
        DType::BF16 => Number::Single(bf16::from_bits(bits as u16).to_f32()),
        DType::I64 => Number::Int(i64::get(bits).into()),
        DType::I32 => Number::Int(i32::get(bits).into()),
        DType::I16 => Number::Int(i16::get(bits).into()),
        DType::I8 => Number::Int(i8::get(bits).into()),
        DType::U64 | DType::U32 | DType::U16 | DType::U8 | DType::Bool => Number::Int(bits.into()),
    };
    match number {
        Number::Int(n) => convert_int(n, to),
        Number::Single(x) if to == DType::F32 => x.put(),
        // Every single float is a double, and rounding that to a half rounds once.
        Number::Single(x) => convert_float(x.into(), to),
        Number::Double(x) => convert_float(x, to),
    }
}

fn convert_int(n: i128, to: DType) -> u64 {
    match to {
        DType::F64 => (n as f64).put(),
        DType::F32 => (n as f32).put(),
        DType::F16 => f16::from_f32(n as f32).to_bits().into(),
        DType::BF16 => bf16::from_f32(n as f32).to_bits().into(),
        DType::Bool => (n != 0).into(),
        _ => from_int(to, n as i64),
    }
}

fn convert_float(x: f64, to: DType) -> u64 {
    match to {
        DType::F64 | DType::F32 | DType::F16 | DType::BF16 => from_float(to, x),
        DType::I64 => (x as i64).put(),
        DType::I32 => (x as i32).put(),
        DType::I16 => (x as i16).put(),
        DType::I8 => (x as i8).put(),
        DType::U64 => x as u64,
        DType::U32 => (x as u32).put(),
        DType::U16 => (x as u16).put(),
        DType::U8 => (x as u8).put(),
        DType::Bool => (x != 0.0).into(),
    }
}
