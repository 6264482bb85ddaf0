//! Powers and remainders.
//!
//! `x^y = e^(y * log |x|)`. F32 is computed in F64. F64 keeps the logarithm, and its product with `y`, as a sum of two
//! numbers; products are made exact by cutting factors in halves, because not every machine rounds `a * b + c` once.

use super::Builder;
use super::exp::{exp, exp_of_sum};
use super::log::{log, normal, split};
use mlc_ir::DType;
use mlc_ir::tile::Operand;

/// `x^y`, with the exceptions of C.
pub(super) fn pow(b: &mut Builder, x: &Operand, y: &Operand) -> Operand {
    let size = b.abs(x);
    let one = b.eq(&size, 1.0);
    let result = if b.is_double() {
        double(b, &size, y, &one)
    } else {
        let (wide, wide_y) = (b.widen(&size), b.widen(y));
        let mut w = b.with(DType::F64);
        let l = log(&mut w, &wide);
        let p = w.mul(&l, &wide_y);
        let p = w.select(&one, 0.0, &p);
        let e = exp(&mut w, &p);
        b.narrow(&e)
    };
    let result = signed(b, x, y, &result);
    let zero = b.eq(y, 0.0);
    let unit = b.eq(x, 1.0);
    let trivial = b.either(&zero, &unit);
    b.select(&trivial, 1.0, &result)
}

/// The sign, and NaN where a negative number has no power.
fn signed(b: &mut Builder, x: &Operand, y: &Operand, result: &Operand) -> Operand {
    let whole = b.trunc(y);
    let is_whole = b.eq(&whole, y);
    let half = b.mul(y, 0.5);
    let whole_half = b.trunc(&half);
    let is_odd = b.ne(&whole_half, &half);
    let is_odd = b.both(&is_odd, &is_whole);
    let with_sign = b.copy_sign(result, x);
    let result = b.select(&is_odd, &with_sign, result);
    let negative = b.lt(x, 0.0);
    let finite = b.lt(f64::NEG_INFINITY, x);
    let negative = b.both(&negative, &finite);
    let broken = b.ne(&whole, y);
    let undefined = b.both(&negative, &broken);
    let result = b.select(&undefined, f64::NAN, &result);
    // What is not a number stays none, but where a caller knows better.
    let sum = b.add(x, y);
    let known = b.eq(&sum, &sum);
    let infinite = b.abs(y);
    let infinite = b.eq(&infinite, f64::INFINITY);
    let size = b.abs(x);
    let infinite_x = b.eq(&size, f64::INFINITY);
    let infinite = b.either(&infinite, &infinite_x);
    let known = b.either(&known, &infinite);
    let x_known = b.eq(x, x);
    let y_known = b.eq(y, y);
    let both_known = b.both(&x_known, &y_known);
    let known = b.both(&known, &both_known);
    b.select(&known, &result, f64::NAN)
}

/// The sum of two numbers, the second far smaller.
#[derive(Clone)]
struct Pair {
    high: Operand,
    low: Operand,
}

/// The upper 26 bits, and the rest.
fn cut(b: &mut Builder, a: &Operand) -> Pair {
    let bits = b.bits(a);
    let upper = b.and(&bits, !0x7ff_ffffi64);
    let high = b.of_bits(&upper);
    let low = b.sub(a, &high);
    Pair { high, low }
}

/// The product of two numbers, exactly.
fn product(b: &mut Builder, x: &Operand, y: &Operand) -> Pair {
    let high = b.mul(x, y);
    let (x, y) = (cut(b, x), cut(b, y));
    let a = b.mul(&x.high, &y.high);
    let a = b.sub(&a, &high);
    let first = b.mul(&x.high, &y.low);
    let second = b.mul(&x.low, &y.high);
    let third = b.mul(&x.low, &y.low);
    let a = b.add(&a, &first);
    let a = b.add(&a, &second);
    let low = b.add(&a, &third);
    Pair { high, low }
}

/// A sum of numbers, the second smaller, with what it lost.
fn sum(b: &mut Builder, x: &Operand, y: &Operand) -> Pair {
    let high = b.add(x, y);
    let back = b.sub(&high, x);
    let low = b.sub(y, &back);
    Pair { high, low }
}

/// `log x` of a positive number.
fn log_pair(b: &mut Builder, x: &Operand) -> Pair {
    let (normal, more) = normal(b, x);
    let (k, m) = split(b, &normal);
    let k = b.add(&k, &more);
    let f = b.sub(&m, 1.0);
    // `s = f / (2 + f)`, with what it lost.
    let below = b.add(&f, 2.0);
    let back = b.sub(&below, 2.0);
    let below_low = b.sub(&f, &back);
    let s = b.div(&f, &below);
    let exact = product(b, &s, &below);
    let left = b.sub(&f, &exact.high);
    let left = b.sub(&left, &exact.low);
    let missed = b.mul(&s, &below_low);
    let left = b.sub(&left, &missed);
    let s_low = b.div(&left, &below);
    // `log m = 2s + s^3 * (2/3 + 2/5 s^2 + ..)`, the first two terms as pairs.
    let z = product(b, &s, &s);
    let cross = b.mul(&s, &s_low);
    let cross = b.add(&cross, &cross);
    let z_low = b.add(&z.low, &cross);
    let coefficients: Vec<f64> = (2..15).map(|n| 2.0 / f64::from(2 * n + 1)).collect();
    let p = b.polynomial(&z.high, &coefficients);
    let square = b.mul(&z.high, &z.high);
    let p = b.mul(&p, &square);
    let third = product(b, &z.high, &Operand::Float(2.0 / 3.0));
    let low = b.mul(&z_low, 2.0 / 3.0);
    let low = b.fma(&z.high, 3.700_743_415_417_188e-17, &low);
    let low = b.add(&low, &third.low);
    let low = b.add(&low, &p);
    let r = sum(b, &third.high, &low);
    let sr = product(b, &s, &r.high);
    let sr_low = b.mul(&s, &r.low);
    let sr_low = b.fma(&s_low, &r.high, &sr_low);
    let sr_low = b.add(&sr_low, &sr.low);
    let twice = b.add(&s, &s);
    let main = sum(b, &twice, &sr.high);
    let twice_low = b.add(&s_low, &s_low);
    let low = b.add(&main.low, &sr_low);
    let low = b.add(&low, &twice_low);
    // `k * log 2`: the first part has 32 bits.
    let large = b.mul(&k, 0.693_147_180_369_123_8);
    let rest = product(b, &k, &Operand::Float(1.908_214_929_270_587_7e-10));
    let total = sum(b, &large, &main.high);
    let second = sum(b, &total.high, &rest.high);
    let low = b.add(&low, &rest.low);
    let low = b.add(&low, &total.low);
    let low = b.add(&low, &second.low);
    // Where `k` is 0 the first sum would be of a smaller and a larger number.
    let none = b.eq(&k, 0.0);
    let high = b.select(&none, &main.high, &second.high);
    let low = {
        let plain = b.add(&main.low, &sr_low);
        let plain = b.add(&plain, &twice_low);
        b.select(&none, &plain, &low)
    };
    sum(b, &high, &low)
}

fn double(b: &mut Builder, size: &Operand, y: &Operand, one: &Operand) -> Operand {
    let l = log_pair(b, size);
    let p = product(b, &l.high, y);
    let low = b.fma(&l.low, y, &p.low);
    // Beyond the range of exponentials, only the sign counts; there parts may be no numbers.
    let rough = log(b, size);
    let rough = b.mul(&rough, y);
    let distance = b.abs(&rough);
    let usual = b.lt(&distance, 800.0);
    let high = b.select(&usual, &p.high, &rough);
    let low = b.select(&usual, &low, 0.0);
    let high = b.select(one, 0.0, &high);
    let low = b.select(one, 0.0, &low);
    exp_of_sum(b, &high, Some(&low))
}

/// The remainder of truncating division, with the sign of `x`.
pub(super) fn fmod(b: &mut Builder, x: &Operand, y: &Operand) -> Operand {
    if b.is_double() {
        return fmod_double(b, x, y);
    }
    let (size, by) = (b.abs(x), b.abs(y));
    let (wide, by_wide) = (b.widen(&size), b.widen(&by));
    let mut w = b.with(DType::F64);
    let mut rest = wide;
    // Quotients of 28 bits, which times 24 are exact; exponents differ by 277 at most.
    for step in (0..10).rev() {
        let scaled = w.mul(&by_wide, 2f64.powi(28 * step));
        let quotient = w.div(&rest, &scaled);
        let quotient = w.trunc(&quotient);
        let taken = w.mul(&quotient, &scaled);
        let left = w.sub(&rest, &taken);
        let over = w.lt(&left, 0.0);
        let back = w.add(&left, &scaled);
        rest = w.select(&over, &back, &left);
    }
    let rest = b.narrow(&rest);
    finish_fmod(b, x, y, &rest)
}

fn finish_fmod(b: &mut Builder, x: &Operand, y: &Operand, rest: &Operand) -> Operand {
    let (size, by) = (b.abs(x), b.abs(y));
    let small = b.lt(&size, &by);
    let rest = b.select(&small, &size, rest);
    let result = b.copy_sign(&rest, x);
    let finite = b.lt(&size, f64::INFINITY);
    let positive = b.lt(0.0, &by);
    let fine = b.both(&finite, &positive);
    b.select(&fine, &result, f64::NAN)
}

/// Exact while the quotient has fewer than 53 bits.
fn fmod_double(b: &mut Builder, x: &Operand, y: &Operand) -> Operand {
    let (size, by) = (b.abs(x), b.abs(y));
    let quotient = b.div(&size, &by);
    let quotient = b.trunc(&quotient);
    let taken = product(b, &quotient, &by);
    let left = b.sub(&size, &taken.high);
    let left = b.sub(&left, &taken.low);
    let over = b.lt(&left, 0.0);
    let back = b.add(&left, &by);
    let left = b.select(&over, &back, &left);
    let short = b.le(&by, &left);
    let back = b.sub(&left, &by);
    let left = b.select(&short, &back, &left);
    finish_fmod(b, x, y, &left)
}
