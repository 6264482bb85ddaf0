//! Logarithms.
//!
//! `x = 2^k * m` with `m` between the roots of 1/2 and 2, `f = m - 1`, `s = f / (2 + f)`:
//! `log m = log((1 + s) / (1 - s)) = f - f*f/2 + s * (f*f/2 + R(s*s))`, with `R` as in FreeBSD's `msun`.

use super::Builder;
use super::exp::Width;
use mlc_ir::tile::Operand;

const DOUBLE: [f64; 7] = [
    6.666_666_666_666_735_130e-1,
    3.999_999_999_940_941_908e-1,
    2.857_142_874_366_239_149e-1,
    2.222_219_843_214_978_396e-1,
    1.818_357_216_161_805_012e-1,
    1.531_383_769_920_937_332e-1,
    1.479_819_860_511_658_591e-1,
];
const SINGLE: [f64; 4] = [0.666_666_626_93, 0.400_009_721_52, 0.284_987_866_88, 0.242_790_788_41];

/// `k` as a float, and `m`, of a positive normal number.
pub(super) fn split(b: &mut Builder, x: &Operand) -> (Operand, Operand) {
    let width = Width::of(b);
    let root = if b.is_double() { 0x3fe6_a09e_667f_3bcd } else { 0x3f35_04f3 };
    let bits = b.bits(x);
    let above = b.isub(&bits, root);
    let k = b.shr(&above, width.fraction);
    let shifted = b.shl(&k, width.fraction);
    let m = b.isub(&bits, &shifted);
    let m = b.of_bits(&m);
    // A small int is a float after its bits are added to those of a large one.
    let k = b.iadd(&k, width.magic_bits);
    let k = b.of_bits(&k);
    (b.sub(&k, width.magic), m)
}

/// A number made normal if it is not, and what its logarithm to base 2 has become too large by, negative.
pub(super) fn normal(b: &mut Builder, x: &Operand) -> (Operand, Operand) {
    let (least, up, by) = match b.is_double() {
        true => (f64::MIN_POSITIVE, 18_014_398_509_481_984.0, -54.0),
        false => (f64::from(f32::MIN_POSITIVE), 33_554_432.0, -25.0),
    };
    let tiny = b.lt(x, least);
    let scaled = b.mul(x, up);
    (b.select(&tiny, &scaled, x), b.select(&tiny, by, 0.0))
}

/// `k * log 2 + low + log(1 + f)`
fn assemble(b: &mut Builder, k: &Operand, f: &Operand, low: Option<&Operand>) -> Operand {
    let (coefficients, high, rest): (&[f64], f64, f64) = match b.is_double() {
        true => (&DOUBLE, 6.931_471_803_691_238_164_90e-1, 1.908_214_929_270_587_700_02e-10),
        false => (&SINGLE, 6.931_381_225_6e-1, 9.058_000_614_5e-6),
    };
    let below = b.add(f, 2.0);
    let s = b.div(f, &below);
    let z = b.mul(&s, &s);
    let p = b.polynomial(&z, coefficients);
    let r = b.mul(&p, &z);
    let square = b.mul(f, f);
    let half = b.mul(&square, 0.5);
    let sum = b.add(&half, &r);
    let mut small = b.mul(k, rest);
    if let Some(low) = low {
        small = b.add(&small, low);
    }
    let sum = b.fma(&s, &sum, &small);
    let under = b.sub(&half, &sum);
    let under = b.sub(&under, f);
    let large = b.mul(k, high);
    b.sub(&large, &under)
}

/// Logarithms of 0, infinity, negative numbers and NaN put in; all of `arg`.
fn special(b: &mut Builder, arg: &Operand, zero: f64, result: &Operand) -> Operand {
    let infinite = b.eq(arg, f64::INFINITY);
    let result = b.select(&infinite, f64::INFINITY, result);
    let fine = b.le(zero, arg);
    let result = b.select(&fine, &result, f64::NAN);
    let nothing = b.eq(arg, zero);
    b.select(&nothing, f64::NEG_INFINITY, &result)
}

/// `log x`
pub(super) fn log(b: &mut Builder, x: &Operand) -> Operand {
    let (normal, more) = normal(b, x);
    let (k, m) = split(b, &normal);
    let k = b.add(&k, &more);
    let f = b.sub(&m, 1.0);
    let result = assemble(b, &k, &f, None);
    special(b, x, 0.0, &result)
}

/// `log(1 + x)`
pub(super) fn log1p(b: &mut Builder, x: &Operand) -> Operand {
    let u = b.add(x, 1.0);
    let (k, m) = split(b, &u);
    let f = b.sub(&m, 1.0);
    // What rounding took from `u`, relative to it.
    let large = b.lt(1.0, x);
    let back = b.sub(&u, x);
    let of_large = b.sub(1.0, &back);
    let back = b.sub(&u, 1.0);
    let of_small = b.sub(x, &back);
    let lost = b.select(&large, &of_large, &of_small);
    let lost = b.div(&lost, &u);
    // Where `k` is 0, `x` is exact.
    let exact = b.eq(&k, 0.0);
    let f = b.select(&exact, x, &f);
    let lost = b.select(&exact, 0.0, &lost);
    let result = assemble(b, &k, &f, Some(&lost));
    let result = special(b, x, -1.0, &result);
    let zero = b.eq(x, 0.0);
    b.select(&zero, x, &result)
}
