//! Arithmetic and functions of numbers.

use super::elementwise::{Formula, Out::Same, Row, Types::*, any, maximum, minimum, one, two};
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::tile::{Binary, Compare, Math, Unary};
use crate::{DType, Result};

pub(super) const TABLE: &[Row] = &[
    // Integers wrap; their division truncates, and x / 0 is 0.
    ("Add", Numbers, Same, |_| two(|a, b| a + b)),
    ("Sub", Numbers, Same, |_| two(|a, b| a - b)),
    ("Mul", Numbers, Same, |_| two(|a, b| a * b)),
    ("Div", Numbers, Same, |_| two(|a, b| a / b)),
    ("Mod", Numbers, Same, |node| if node.flag("fmod", false)? { two(fmod) } else { two(modulo) }),
    ("Pow", Mixed, Same, |_| two(pow)),
    ("Neg", Numbers, Same, |_| one(|x| x.unary(Unary::Neg))),
    ("Abs", Numbers, Same, |_| one(absolute)),
    ("Sign", Numbers, Same, |_| one(sign)),
    ("Floor", Floats, Same, |_| one(|x| x.unary(Unary::Floor))),
    ("Ceil", Floats, Same, |_| one(|x| x.unary(Unary::Ceil))),
    // Halves to even.
    ("Round", Floats, Same, |_| one(|x| x.unary(Unary::Round))),
    ("Sqrt", Floats, Same, |_| one(Expr::sqrt)),
    ("Reciprocal", Floats, Same, |_| one(|x| x.like(1.0) / x.clone())),
    ("Exp", Floats, Same, |_| one(Expr::exp)),
    ("Log", Floats, Same, |_| math(Math::Log)),
    ("Erf", Floats, Same, |_| math(Math::Erf)),
    ("Sin", Floats, Same, |_| math(Math::Sin)),
    ("Cos", Floats, Same, |_| math(Math::Cos)),
    ("Tan", Floats, Same, |_| math(Math::Tan)),
    ("Asin", Floats, Same, |_| math(Math::Asin)),
    ("Acos", Floats, Same, |_| math(Math::Acos)),
    ("Atan", Floats, Same, |_| math(Math::Atan)),
    ("Sinh", Floats, Same, |_| math(Math::Sinh)),
    ("Cosh", Floats, Same, |_| math(Math::Cosh)),
    ("Asinh", Floats, Same, |_| math(Math::Asinh)),
    ("Acosh", Floats, Same, |_| math(Math::Acosh)),
    ("Atanh", Floats, Same, |_| math(Math::Atanh)),
    ("Tanh", Floats, Same, |_| math(Math::Tanh)),
    // NaN wins.
    ("Max", Numbers, Same, |_| any(|x| fold(x, maximum))),
    ("Min", Numbers, Same, |_| any(|x| fold(x, minimum))),
    ("Sum", Floats, Same, |_| any(|x| fold(x, |a, b| a + b))),
    ("Mean", Floats, Same, |_| any(|x| fold(x, |a, b| a + b) / x.len() as f64)),
    ("BitwiseAnd", Ints, Same, |_| two(|a, b| a & b)),
    ("BitwiseOr", Ints, Same, |_| two(|a, b| a | b)),
    ("BitwiseXor", Ints, Same, |_| two(|a, b| a.binary(Binary::Xor, b))),
    ("BitwiseNot", Ints, Same, |_| one(|x| !x.clone())),
    ("BitShift", Ints, Same, bit_shift),
];

fn math(function: Math) -> Result<Formula> {
    one(move |x| x.math(function))
}

fn fold(x: &[Expr], f: impl Fn(&Expr, &Expr) -> Expr) -> Expr {
    x[1..].iter().fold(x[0].clone(), |a, b| f(&a, b))
}

fn absolute(x: &Expr) -> Expr {
    if x.dtype().is_unsigned_int() { x.clone() } else { x.abs() }
}

/// -1, 0 or 1; NaN and the sign of a zero stay.
fn sign(x: &Expr) -> Expr {
    let zero = x.like(0.0);
    let negative = if x.dtype().is_unsigned_int() { x.clone() } else { x.lt(&zero).select(&x.like(-1.0), x) };
    zero.lt(x).select(&x.like(1.0), &negative)
}

/// Remainder of truncating division: it has the sign of `a`.
fn fmod(a: &Expr, b: &Expr) -> Expr {
    if a.dtype().is_float() { a.math2(Math::Fmod, b) } else { a.binary(Binary::Rem, b) }
}

/// Remainder of flooring division: it has the sign of `b`, a zero as well. A float modulo 0 is NaN.
fn modulo(a: &Expr, b: &Expr) -> Expr {
    let rest = fmod(a, b);
    if a.dtype().is_unsigned_int() {
        return rest;
    }
    let zero = a.like(0.0);
    let signs_differ = rest.lt(&zero).binary(Binary::Xor, &b.lt(&zero));
    let moved = (signs_differ & rest.compare(Compare::Ne, &zero)).select(&(&rest + b), &rest);
    if a.dtype().is_int() {
        return moved;
    }
    let signed_zero = b.lt(&zero).select(&a.like(-0.0), &zero);
    rest.equals(&zero).select(&signed_zero, &moved)
}

/// In the type of `a`. An integer to an integer power wraps; to a float power it goes through F64 and truncates.
fn pow(a: &Expr, b: &Expr) -> Expr {
    if a.dtype().is_float() {
        return a.math2(Math::Pow, &b.cast(a.dtype()));
    }
    if b.dtype().is_float() {
        return a.cast(DType::F64).math2(Math::Pow, &b.cast(DType::F64)).cast(a.dtype());
    }
    // By squaring, one bit of the exponent after the other; exponents beyond 63 are of no use.
    let (mut result, mut square, mut left) = (a.like(1.0), a.clone(), b.clone());
    for bit in 0..6 {
        let odd = (&left & &left.like(1.0)).equals(&left.like(1.0));
        result = odd.select(&(&result * &square), &result);
        if bit < 5 {
            square = &square * &square;
            left = left.binary(Binary::Shr, &left.like(1.0));
        }
    }
    result
}

/// `direction` LEFT or RIGHT; the right shift of signed integers is arithmetic. An amount that is negative or not below
/// the width gives 0, or -1 for a negative number shifted right.
fn bit_shift(node: &OnnxNode) -> Result<Formula> {
    let left = match node.string("direction", "")?.as_str() {
        "LEFT" => true,
        "RIGHT" => false,
        other => return Err(crate::Error::invalid(format!("BitShift has direction `{other}`, not LEFT or RIGHT"))),
    };
    two(move |a, b| {
        let zero = a.like(0.0);
        let mut fits = b.lt(&b.like(8.0 * b.dtype().bytes() as f64));
        if b.dtype().is_signed_int() {
            fits = fits & zero.le(b);
        }
        let amount = fits.select(b, &zero);
        let shifted = a.binary(if left { Binary::Shl } else { Binary::Shr }, &amount);
        let negative = if left || !a.dtype().is_signed_int() { zero.clone() } else { a.like(-1.0) };
        let beyond = if a.dtype().is_signed_int() { a.lt(&zero).select(&negative, &zero) } else { zero };
        fits.select(&shifted, &beyond)
    })
}
