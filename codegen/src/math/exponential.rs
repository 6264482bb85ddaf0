//! exp, expm1 and what is made of them: sinh, cosh, tanh.
//!
//! `x = n ln 2 + r` with `|r| <= ln 2 / 2`, `exp(x) = 2^n (1 + r + r^2 P(r))`.

use super::builder::Builder;
use super::tables::{EXP_F32, EXP_F64, TANH_F32};
use mlc_ir::tile::Operand;

/// The numbers that differ between `F32` and `F64`.
struct Form {
    polynomial: &'static [f64],
    /// Adding it rounds to an integer, which then stands in the lowest bits.
    magic: f64,
    magic_bits: i64,
    /// ln 2 in two parts; the first has trailing zeros, so that a product with `n` is exact.
    ln2: [f64; 2],
    mantissa: i64,
    bias: i64,
    /// Below and above these, results are 0 and infinity.
    range: [f64; 2],
    /// Below this, `expm1` is -1.
    minus_one: f64,
}

fn form(b: &Builder) -> Form {
    if b.is_double() {
        return Form {
            polynomial: EXP_F64,
            magic: 6755399441055744.0,
            magic_bits: 6755399441055744f64.to_bits() as i64,
            ln2: [6.931_471_803_691_238e-1, 1.908_214_929_270_587_7e-10],
            mantissa: 52,
            bias: 1023,
            range: [-746.0, 710.0],
            minus_one: -38.0,
        };
    }
    Form {
        polynomial: EXP_F32,
        magic: 12582912.0,
        magic_bits: i64::from(12582912f32.to_bits()),
        ln2: [0.693_359_375, -2.121_944_4e-4],
        mantissa: 23,
        bias: 127,
        range: [-104.0, 89.0],
        minus_one: -18.0,
    }
}

/// `n` as an int, and `exp(r) - 1`.
struct Reduced {
    n: Operand,
    less_one: Operand,
}

fn reduce(b: &mut Builder, form: &Form, x: &Operand, tail: Option<&Operand>) -> Reduced {
    let shifted = b.fma(x, std::f64::consts::LOG2_E, form.magic);
    let bits = b.bits(&shifted);
    let n = b.isub(bits, form.magic_bits);
    let whole = b.sub(shifted, form.magic);
    let r = b.fma(&whole, -form.ln2[0], x);
    let r = b.fma(&whole, -form.ln2[1], r);
    let r = match tail {
        Some(tail) => b.add(r, tail),
        None => r,
    };
    let p = b.polynomial(&r, form.polynomial);
    let square = b.mul(&r, &r);
    Reduced { n, less_one: b.fma(square, p, r) }
}

/// `2^n`, of ints within the exponent's range.
fn power_of_two(b: &mut Builder, form: &Form, n: &Operand) -> Operand {
    let biased = b.iadd(n, form.bias);
    let bits = b.shl(biased, form.mantissa);
    b.of_bits(bits)
}

/// Into a range where nothing overflows; NaN stays.
fn clamp(b: &mut Builder, x: &Operand, [low, high]: [f64; 2]) -> Operand {
    let x = b.min(high, x);
    b.max(low, x)
}

pub(super) fn exp(b: &mut Builder, x: &Operand) -> Operand {
    exp_tail(b, x, None)
}

/// `exp(x)` where it is neither infinite nor less than the least normal number.
pub(super) fn exp_normal(b: &mut Builder, x: &Operand) -> Operand {
    let form = form(b);
    let Reduced { n, less_one } = reduce(b, &form, x, None);
    let p = b.add(less_one, 1.0);
    let power = power_of_two(b, &form, &n);
    b.mul(p, power)
}

/// `exp(x + tail)` for a tail far smaller than `x`.
pub(super) fn exp_tail(b: &mut Builder, x: &Operand, tail: Option<&Operand>) -> Operand {
    let form = form(b);
    let x = clamp(b, x, form.range);
    let Reduced { n, less_one } = reduce(b, &form, &x, tail);
    let p = b.add(less_one, 1.0);
    // In two steps, because `2^n` itself may be out of range where the result is not.
    let half = b.shr(&n, 1);
    let rest = b.isub(n, &half);
    let (first, second) = (power_of_two(b, &form, &half), power_of_two(b, &form, &rest));
    let scaled = b.mul(p, first);
    b.mul(scaled, second)
}

/// `2^n (exp(r) - 1) + (2^n - 1)`, halved until the end so that `2^n` is finite.
pub(super) fn expm1(b: &mut Builder, x: &Operand) -> Operand {
    let form = form(b);
    let inside = clamp(b, x, [form.minus_one, form.range[1]]);
    let Reduced { n, less_one } = reduce(b, &form, &inside, None);
    let below = b.isub(n, 1i64);
    let half = power_of_two(b, &form, &below);
    let rest = b.sub(&half, 0.5);
    let result = b.fma(half, less_one, rest);
    let result = b.mul(result, 2.0);
    // What is too small to have a square is its own result; so -0 stays.
    let size = b.abs(x);
    let tiny = b.lt(size, if b.is_double() { 1e-160 } else { 1e-20 });
    b.select(&tiny, x, result)
}

/// `t / (t + 2)` with `t = expm1(2 |x|)`; for `F32`, a polynomial near 0.
pub(super) fn tanh(b: &mut Builder, x: &Operand) -> Operand {
    let size = b.abs(x);
    // From here on it is 1.
    let inside = b.min(if b.is_double() { 20.0 } else { 10.0 }, &size);
    let twice = b.add(&inside, &inside);
    if b.is_double() {
        let t = expm1(b, &twice);
        let below = b.add(&t, 2.0);
        let result = b.div(t, below);
        return b.copy_sign(&result, x);
    }
    let e = exp(b, &twice);
    let below = b.add(e, 1.0);
    let part = b.div(2.0, below);
    let large = b.sub(1.0, part);
    let square = b.mul(x, x);
    let p = b.polynomial(&square, TANH_F32);
    let p = b.mul(p, square);
    let small = b.fma(p, &size, &size);
    let near = b.lt(size, 0.625);
    let result = b.select(&near, small, large);
    b.copy_sign(&result, x)
}

/// Of `F64`. `(t + t / (t + 1)) / 2` with `t = expm1(|x|)`; where that overflows early, by halves.
pub(super) fn sinh(b: &mut Builder, x: &Operand) -> Operand {
    let size = b.abs(x);
    let t = expm1(b, &size);
    let above = b.add(&t, 1.0);
    let part = b.div(&t, above);
    let sum = b.add(t, part);
    let small = b.mul(sum, 0.5);
    let result = large_half_exp(b, &size, &small);
    b.copy_sign(&result, x)
}

/// Of `F64`. `(e + 1 / e) / 2`.
pub(super) fn cosh(b: &mut Builder, x: &Operand) -> Operand {
    let size = b.abs(x);
    let e = exp(b, &size);
    let inverse = b.div(1.0, &e);
    let sum = b.add(e, inverse);
    let small = b.mul(sum, 0.5);
    large_half_exp(b, &size, &small)
}

/// `exp(size) / 2` if `size` is large, else the given result.
fn large_half_exp(b: &mut Builder, size: &Operand, small: &Operand) -> Operand {
    let half = b.mul(size, 0.5);
    let e = exp(b, &half);
    let first = b.mul(&e, 0.5);
    let large = b.mul(first, e);
    let is_small = b.lt(size, 40.0);
    let result = b.select(&is_small, small, large);
    let nan = b.ne(size, size);
    b.select(&nan, size, result)
}
