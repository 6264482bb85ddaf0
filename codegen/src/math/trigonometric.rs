//! sin, cos, tan and their inverses.
//!
//! `x = n pi/2 + r` with `|r| <= pi/4`, reduced in `F64` by three parts of pi/2, the first two with 33 bits: products
//! with `n` are exact up to `2^20` (`|x|` up to 1.6 million) without, and to about `2^40` with a fused multiply-add.
//! Far beyond, `r` is nonsense but bounded, so results stay within -1 and 1.

use super::builder::Builder;
use super::logarithm::low_bits;
use super::tables::{ASIN_F64, ATAN_F64, COS_F32, COS_F64, SIN_F32, SIN_F64};
use mlc_ir::DType;
use mlc_ir::tile::Operand;
use std::f64::consts::{FRAC_2_PI, FRAC_PI_2, FRAC_PI_4};

const PARTS: [f64; 3] = [1.570_796_326_734_125_6, 6.077_100_506_303_966e-11, 2.022_266_248_795_950_6e-21];
const MAGIC: f64 = 6755399441055744.0;

/// The quadrant as an int, and `r`; by a builder of `F64`.
fn reduce(b: &mut Builder, x: &Operand) -> (Operand, Operand) {
    let shifted = b.fma(x, FRAC_2_PI, MAGIC);
    let quadrant = b.bits(&shifted);
    let n = b.sub(shifted, MAGIC);
    let r = PARTS.iter().fold(x.clone(), |r, part| b.fma(&n, -part, r));
    let r = b.min(0.8, &r);
    (quadrant, b.max(-0.8, r))
}

/// sin and cos of `r`.
fn both(b: &mut Builder, r: &Operand) -> (Operand, Operand) {
    let (sin, cos) = if b.is_double() { (SIN_F64, COS_F64) } else { (SIN_F32, COS_F32) };
    let z = b.mul(r, r);
    let p = b.polynomial(&z, sin);
    let cube = b.mul(&z, r);
    let sine = b.fma(p, cube, r);
    let q = b.polynomial(&z, cos);
    let square = b.mul(&z, &z);
    // 1 - z/2 and what that lost.
    let half = b.mul(z, 0.5);
    let most = b.sub(1.0, &half);
    let back = b.sub(1.0, &most);
    let lost = b.sub(back, half);
    let rest = b.fma(q, square, lost);
    (sine, b.add(most, rest))
}

/// sin for `shift` 0, cos for 1.
pub(super) fn sin_or_cos(b: &mut Builder, x: &Operand, shift: i64) -> Operand {
    let (quadrant, r) = if b.is_double() {
        reduce(b, x)
    } else {
        let wide = b.widen(x);
        let (quadrant, r) = reduce(&mut b.with(DType::F64), &wide);
        (low_bits(b, &quadrant), b.narrow(r))
    };
    let (sine, cosine) = both(b, &r);
    let quadrant = b.iadd(quadrant, shift);
    let odd = b.and(&quadrant, 1i64);
    let odd = b.ieq(odd, 1i64);
    let result = b.select(&odd, cosine, sine);
    let negative = b.and(quadrant, 2i64);
    let sign = b.shl(negative, if b.is_double() { 62 } else { 30 });
    let bits = b.bits(result);
    let bits = b.xor(bits, sign);
    let result = b.of_bits(bits);
    let result = finite_only(b, x, result);
    if shift == 1 {
        return result;
    }
    // -0 and what has no cube.
    let size = b.abs(x);
    let tiny = b.lt(size, if b.is_double() { 1e-150 } else { 1e-12 });
    b.select(&tiny, x, result)
}

/// NaN for infinities and NaN.
fn finite_only(b: &mut Builder, x: &Operand, result: Operand) -> Operand {
    let size = b.abs(x);
    let finite = b.lt(size, f64::INFINITY);
    b.select(&finite, result, f64::NAN)
}

/// Of `F64`.
pub(super) fn tan(b: &mut Builder, x: &Operand) -> Operand {
    let (quadrant, r) = reduce(b, x);
    let (sine, cosine) = both(b, &r);
    let odd = b.and(quadrant, 1i64);
    let odd = b.ieq(odd, 1i64);
    let negative = b.neg(&cosine);
    let above = b.select(&odd, negative, &sine);
    let below = b.select(&odd, sine, cosine);
    let result = b.div(above, below);
    let result = finite_only(b, x, result);
    let size = b.abs(x);
    let tiny = b.lt(size, 1e-150);
    b.select(&tiny, x, result)
}

/// Of `F64`. By `atan(a) = pi/4 + atan((a - 1) / (a + 1)) = pi/2 - atan(1 / a)`.
pub(super) fn atan(b: &mut Builder, x: &Operand) -> Operand {
    let a = b.abs(x);
    let (large, middle) = (b.lt(2.414_213_562, &a), b.lt(0.414_213_562, &a));
    let (less, more) = (b.sub(&a, 1.0), b.add(&a, 1.0));
    let above = b.select(&middle, less, &a);
    let above = b.select(&large, -1.0, above);
    let below = b.select(&middle, more, 1.0);
    let below = b.select(&large, &a, below);
    let t = b.div(above, below);
    let base = b.select(&middle, FRAC_PI_4, 0.0);
    let base = b.select(&large, FRAC_PI_2, base);
    let low = b.select(&middle, 3.061_616_997_868_383e-17, 0.0);
    let low = b.select(&large, 6.123_233_995_736_766e-17, low);
    let z = b.mul(&t, &t);
    let p = b.polynomial(&z, ATAN_F64);
    let cube = b.mul(z, &t);
    let rest = b.fma(p, cube, low);
    let rest = b.add(rest, t);
    let result = b.add(base, rest);
    b.copy_sign(&result, x)
}

/// `asin(s) - s` for `|s| <= 1/2`, with `z = s^2`.
fn asin_rest(b: &mut Builder, s: &Operand, z: &Operand) -> Operand {
    let p = b.polynomial(z, ASIN_F64);
    let cube = b.mul(s, z);
    b.mul(p, cube)
}

/// `asin(a)` near 0, and half of `acos(a)` near 1, of `a` in `0..=1`; and which of them it is.
fn asin_parts(b: &mut Builder, a: &Operand) -> (Operand, Operand, Operand) {
    let near = b.le(a, 0.5);
    let square = b.mul(a, a);
    let less = b.sub(1.0, a);
    let half = b.mul(less, 0.5);
    let z = b.select(&near, square, half);
    let root = b.sqrt(&z);
    let s = b.select(&near, a, root);
    let rest = asin_rest(b, &s, &z);
    (near, s, rest)
}

/// Of `F64`.
pub(super) fn asin(b: &mut Builder, x: &Operand) -> Operand {
    let a = b.abs(x);
    let (near, s, rest) = asin_parts(b, &a);
    let small = b.add(&s, &rest);
    let twice = b.add(&small, &small);
    let rest = b.sub(6.123_233_995_736_766e-17, twice);
    let large = b.add(rest, FRAC_PI_2);
    let result = b.select(&near, small, large);
    b.copy_sign(&result, x)
}

/// Of `F64`.
pub(super) fn acos(b: &mut Builder, x: &Operand) -> Operand {
    let a = b.abs(x);
    let (near, s, rest) = asin_parts(b, &a);
    let part = b.add(s, rest);
    let negative = b.lt(x, 0.0);
    let signed = b.neg(&part);
    let signed = b.select(&negative, signed, &part);
    // pi/2 - asin(x), or 2 part, or pi - 2 part.
    let rest = b.sub(6.123_233_995_736_766e-17, signed);
    let middle = b.add(rest, FRAC_PI_2);
    let twice = b.add(&part, &part);
    let rest = b.sub(1.224_646_799_147_353_2e-16, &twice);
    let other = b.add(rest, std::f64::consts::PI);
    let outer = b.select(&negative, other, twice);
    b.select(&near, middle, outer)
}
