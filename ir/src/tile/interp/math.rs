//! Functions that the indexed phase has as `math`: computed in `f64`, then rounded.

use super::code::{One, Two};
use crate::DType;
use crate::tile::Math;

/// The value of a function; `b` is the second operand of those that have one.
pub fn math(function: Math, a: f64, b: f64) -> f64 {
    match function {
        Math::Exp => a.exp(),
        Math::Expm1 => a.exp_m1(),
        Math::Log => a.ln(),
        Math::Log1p => a.ln_1p(),
        Math::Sin => a.sin(),
        Math::Cos => a.cos(),
        Math::Tan => a.tan(),
        Math::Asin => a.asin(),
        Math::Acos => a.acos(),
        Math::Atan => a.atan(),
        Math::Sinh => a.sinh(),
        Math::Cosh => a.cosh(),
        Math::Tanh => a.tanh(),
        Math::Asinh => libm::asinh(a),
        Math::Acosh => libm::acosh(a),
        Math::Atanh => libm::atanh(a),
        Math::Erf => libm::erf(a),
        Math::Pow => a.powf(b),
        Math::Fmod => a % b,
    }
}

macro_rules! functions {
    ($function:expr, $dtype:expr, [$($name:ident)+], $single:ident, $double:ident) => {
        match ($function, $dtype) {
            $(
                (Math::$name, DType::F32) => $single!($name),
                (Math::$name, DType::F64) => $double!($name),
            )+
            _ => None,
        }
    };
}

fn single(a: u64) -> f64 {
    f32::from_bits(a as u32).into()
}

fn round(x: f64) -> u64 {
    (x as f32).to_bits().into()
}

macro_rules! single_unary {
    ($name:ident) => {
        Some(|a| round(math(Math::$name, single(a), 0.0)))
    };
}

macro_rules! double_unary {
    ($name:ident) => {
        Some(|a| math(Math::$name, f64::from_bits(a), 0.0).to_bits())
    };
}

macro_rules! single_binary {
    ($name:ident) => {
        Some(|a, b| round(math(Math::$name, single(a), single(b))))
    };
}

macro_rules! double_binary {
    ($name:ident) => {
        Some(|a, b| math(Math::$name, f64::from_bits(a), f64::from_bits(b)).to_bits())
    };
}

/// A function of one operand, on lanes.
pub(super) fn unary(function: Math, dtype: DType) -> Option<One> {
    functions!(
        function,
        dtype,
        [Exp Expm1 Log Log1p Sin Cos Tan Asin Acos Atan Sinh Cosh Tanh Asinh Acosh Atanh Erf],
        single_unary,
        double_unary
    )
}

/// A function of two operands, on lanes.
pub(super) fn binary(function: Math, dtype: DType) -> Option<Two> {
    functions!(function, dtype, [Pow Fmod], single_binary, double_binary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_has_lanes() {
        for function in Math::ALL {
            for dtype in [DType::F32, DType::F64] {
                assert_eq!(unary(*function, dtype).is_some(), function.arity() == 1, "{}", function.name());
                assert_eq!(binary(*function, dtype).is_some(), function.arity() == 2, "{}", function.name());
            }
        }
        assert_eq!(math(Math::Erf, 0.5, 0.0), 0.520_499_877_813_046_5);
    }
}
