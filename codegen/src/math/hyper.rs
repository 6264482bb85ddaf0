//! Hyperbolic functions and their inverses, by exponentials and logarithms.

use super::Builder;
use super::exp::{exp, expm1};
use super::log::{log, log1p};
use mlc_ir::tile::Operand;

/// `t / (t + 2)` with `t = e^(2|x|) - 1`
pub(super) fn tanh(b: &mut Builder, x: &Operand) -> Operand {
    let size = b.abs(x);
    let size = b.min(if b.is_double() { 22.0 } else { 10.0 }, &size);
    let twice = b.add(&size, &size);
    let t = expm1(b, &twice);
    let below = b.add(&t, 2.0);
    let result = b.div(&t, &below);
    b.copy_sign(&result, x)
}

/// `e^(size / 2)`, twice to be multiplied by: for sizes whose exponential may not be finite.
fn large(b: &mut Builder, size: &Operand) -> Operand {
    let half = b.mul(size, 0.5);
    let root = exp(b, &half);
    let product = b.mul(&root, 0.5);
    b.mul(&product, &root)
}

/// `(t + t / (t + 1)) / 2` with `t = e^|x| - 1`
pub(super) fn sinh(b: &mut Builder, x: &Operand) -> Operand {
    let size = b.abs(x);
    let t = expm1(b, &size);
    let below = b.add(&t, 1.0);
    let quotient = b.div(&t, &below);
    let sum = b.add(&t, &quotient);
    let result = b.mul(&sum, 0.5);
    let large = large(b, &size);
    let small = b.lt(&size, if b.is_double() { 700.0 } else { 85.0 });
    let result = b.select(&small, &result, &large);
    b.copy_sign(&result, x)
}

/// `(e^|x| + e^-|x|) / 2`
pub(super) fn cosh(b: &mut Builder, x: &Operand) -> Operand {
    let size = b.abs(x);
    let e = exp(b, &size);
    let below = b.div(1.0, &e);
    let sum = b.add(&e, &below);
    let result = b.mul(&sum, 0.5);
    let large = large(b, &size);
    let small = b.lt(&size, if b.is_double() { 700.0 } else { 85.0 });
    b.select(&small, &result, &large)
}

/// Where the square of a number hides all that is added to it.
fn huge(b: &Builder) -> f64 {
    if b.is_double() { 268_435_456.0 } else { 8192.0 }
}

/// `log1p(|x| + x^2 / (1 + sqrt(x^2 + 1)))`
pub(super) fn asinh(b: &mut Builder, x: &Operand) -> Operand {
    let size = b.abs(x);
    let is_huge = b.lt(huge(b), &size);
    let some = b.select(&is_huge, 1.0, &size);
    let square = b.mul(&some, &some);
    let more = b.add(&square, 1.0);
    let root = b.sqrt(&more);
    let below = b.add(&root, 1.0);
    let quotient = b.div(&square, &below);
    let sum = b.add(&some, &quotient);
    let result = log1p(b, &sum);
    let large = log(b, &size);
    let large = b.add(&large, std::f64::consts::LN_2);
    let result = b.select(&is_huge, &large, &result);
    b.copy_sign(&result, x)
}

/// `log1p(t + sqrt(2t + t^2))` with `t = x - 1`
pub(super) fn acosh(b: &mut Builder, x: &Operand) -> Operand {
    let is_huge = b.lt(huge(b), x);
    let some = b.select(&is_huge, 1.0, x);
    let t = b.sub(&some, 1.0);
    let twice = b.add(&t, &t);
    let square = b.fma(&t, &t, &twice);
    let root = b.sqrt(&square);
    let sum = b.add(&t, &root);
    let result = log1p(b, &sum);
    let large = log(b, x);
    let large = b.add(&large, std::f64::consts::LN_2);
    let result = b.select(&is_huge, &large, &result);
    let known = b.le(1.0, x);
    b.select(&known, &result, f64::NAN)
}

/// `log1p(2|x| / (1 - |x|)) / 2`
pub(super) fn atanh(b: &mut Builder, x: &Operand) -> Operand {
    let size = b.abs(x);
    let twice = b.add(&size, &size);
    let below = b.sub(1.0, &size);
    let quotient = b.div(&twice, &below);
    let result = log1p(b, &quotient);
    let result = b.mul(&result, 0.5);
    b.copy_sign(&result, x)
}
