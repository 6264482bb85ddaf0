//! Exponentials.
//!
//! `e^x = 2^n * e^r` with `n` whole and `|r| <= ln 2 / 2`. Adding 1.5 * 2^23 (F64: 2^52) rounds to `n`, whose bits are
//! then the lowest of the sum's. The power of two is applied in two halves, so that results become subnormal gradually.

use super::Builder;
use mlc_ir::tile::Operand;

/// Taylor's coefficients from `r^2` on.
const DOUBLE: [f64; 12] = [
    1.0 / 2.0,
    1.0 / 6.0,
    1.0 / 24.0,
    1.0 / 120.0,
    1.0 / 720.0,
    1.0 / 5040.0,
    1.0 / 40320.0,
    1.0 / 362_880.0,
    1.0 / 3_628_800.0,
    1.0 / 39_916_800.0,
    1.0 / 479_001_600.0,
    1.0 / 6_227_020_800.0,
];

/// Cephes' coefficients from `r^2` on.
const SINGLE: [f64; 6] =
    [5.000_000_120_1e-1, 1.666_666_545_9e-1, 4.166_579_589_4e-2, 8.333_451_907_3e-3, 1.398_199_950_7e-3, 1.987_569_15e-4];

/// What differs between the widths.
pub(super) struct Width {
    /// Rounds to whole numbers when added.
    pub magic: f64,
    /// Its bits.
    pub magic_bits: i64,
    /// Bits of the fraction.
    pub fraction: i64,
    /// What is added to exponents.
    pub bias: i64,
}

impl Width {
    pub fn of(b: &Builder) -> Width {
        match b.is_double() {
            true => Width {
                magic: 6_755_399_441_055_744.0,
                magic_bits: 0x4338_0000_0000_0000,
                fraction: 52,
                bias: 1023,
            },
            false => Width { magic: 12_582_912.0, magic_bits: 0x4b40_0000, fraction: 23, bias: 127 },
        }
    }
}

/// `n` as bits of an int, `r` and `e^r - 1 - r` of an operand that is not too large.
struct Reduced {
    n: Operand,
    r: Operand,
    above: Operand,
}

/// `x` plus `low`, which is far smaller.
fn reduce(b: &mut Builder, x: &Operand, low: Option<&Operand>) -> Reduced {
    let width = Width::of(b);
    let sum = b.fma(x, std::f64::consts::LOG2_E, width.magic);
    let whole = b.sub(&sum, width.magic);
    let (high, rest) = match b.is_double() {
        true => (0.693_147_180_369_123_8, 1.908_214_929_270_587_7e-10),
        false => (0.693_359_375, -2.121_944_400_546_905_8e-4),
    };
    let r = b.fma(&whole, -high, x);
    let mut r = b.fma(&whole, -rest, &r);
    if let Some(low) = low {
        r = b.add(&r, low);
    }
    let coefficients: &[f64] = if b.is_double() { &DOUBLE } else { &SINGLE };
    let sum_bits = b.bits(&sum);
    let n = b.isub(&sum_bits, width.magic_bits);
    let p = b.polynomial(&r, coefficients);
    let square = b.mul(&r, &r);
    let above = b.mul(&p, &square);
    Reduced { n, r, above }
}

/// `2^n` for an exponent of the normal range.
fn power(b: &mut Builder, n: &Operand) -> Operand {
    let width = Width::of(b);
    let biased = b.iadd(n, width.bias);
    let bits = b.shl(&biased, width.fraction);
    b.of_bits(&bits)
}

/// `e^x`
pub(super) fn exp(b: &mut Builder, x: &Operand) -> Operand {
    exp_of_sum(b, x, None)
}

/// `e^(x + low)`
pub(super) fn exp_of_sum(b: &mut Builder, x: &Operand, low: Option<&Operand>) -> Operand {
    let (least, most) = if b.is_double() { (-746.0, 710.0) } else { (-104.0, 89.0) };
    let x = b.max(least, x);
    let x = b.min(most, &x);
    let Reduced { n, r, above } = reduce(b, &x, low);
    let near = b.add(&r, &above);
    let near = b.add(&near, 1.0);
    let half = b.shr(&n, 1i64);
    let other = b.isub(&n, &half);
    let (half, other) = (power(b, &half), power(b, &other));
    let scaled = b.mul(&near, &half);
    b.mul(&scaled, &other)
}

/// `e^x - 1`
pub(super) fn expm1(b: &mut Builder, x: &Operand) -> Operand {
    let (least, most) = if b.is_double() { (-40.0, 710.0) } else { (-20.0, 89.0) };
    let within = b.max(least, x);
    let within = b.min(most, &within);
    let Reduced { n, r, above } = reduce(b, &within, None);
    let near = b.add(&r, &above);
    // Half of the power, which is finite; and half of what is taken away.
    let n = b.isub(&n, 1i64);
    let half = power(b, &n);
    let less = b.sub(&half, 0.5);
    let sum = b.fma(&half, &near, &less);
    let result = b.add(&sum, &sum);
    // Keeps the sign of zeros.
    let zero = b.eq(x, 0.0);
    b.select(&zero, x, &result)
}
