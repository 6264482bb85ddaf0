//! log, log1p and what is made of them: asinh, acosh, atanh, pow.
//!
//! `x = 2^e (1 + f)` with `1 + f` between `sqrt(1/2)` and `sqrt(2)`.

use super::builder::Builder;
use super::exponential::exp_tail;
use super::tables::{LOG_F32, LOG_S_F64};
use mlc_ir::DType;
use mlc_ir::tile::Type;
use mlc_ir::tile::{Op, Operand};

/// The numbers that differ between `F32` and `F64`.
struct Form {
    /// Bits of `sqrt(1/2)`.
    root: i64,
    mantissa: i64,
    /// The least normal number.
    least: f64,
    /// What denormals are multiplied with: `2^shift`.
    shift: i64,
    /// ln 2 in two parts; the first times `e` is exact.
    ln2: [f64; 2],
}

fn form(b: &Builder) -> Form {
    if b.is_double() {
        return Form {
            root: 0x3fe6_a09e_667f_3bcd,
            mantissa: 52,
            least: f64::MIN_POSITIVE,
            shift: 54,
            ln2: [6.931_471_803_691_238e-1, 1.908_214_929_270_587_7e-10],
        };
    }
    Form {
        root: 0x3f35_04f3,
        mantissa: 23,
        least: f64::from(f32::MIN_POSITIVE),
        shift: 25,
        ln2: [0.693_359_375, -2.121_944_4e-4],
    }
}

/// The exponent as a float, and the mantissa between `sqrt(1/2)` and `sqrt(2)`, of a positive finite number.
fn split(b: &mut Builder, form: &Form, x: &Operand) -> (Operand, Operand) {
    let small = b.lt(x, form.least);
    let larger = b.mul(x, 2f64.powi(form.shift as i32));
    let normal = b.select(&small, larger, x);
    let bits = b.bits(normal);
    let above = b.isub(bits, form.root);
    let e = b.shr(&above, form.mantissa);
    let kept = b.and(above, (1 << form.mantissa) - 1);
    let mantissa = b.iadd(kept, form.root);
    let shift = b.iselect(&small, -form.shift, 0i64);
    let e = b.iadd(e, shift);
    (int_to_float(b, &e), b.of_bits(mantissa))
}

/// Small ints as floats, through the bits of a large float: no conversion of 64-bit ints is needed.
fn int_to_float(b: &mut Builder, n: &Operand) -> Operand {
    let magic: f64 = if b.is_double() { 6755399441055744.0 } else { 12582912.0 };
    let bits = if b.is_double() { magic.to_bits() as i64 } else { i64::from((magic as f32).to_bits()) };
    let sum = b.iadd(n, bits);
    let shifted = b.of_bits(sum);
    b.sub(shifted, magic)
}

/// `log(2^e (1 + f)) + c`, for a small `c`.
fn log_parts(b: &mut Builder, form: &Form, e: &Operand, f: &Operand, c: Option<&Operand>) -> Operand {
    let square = b.mul(f, f);
    let half = b.mul(&square, 0.5);
    let low = match c {
        Some(c) => b.fma(e, form.ln2[1], c),
        None => b.mul(e, form.ln2[1]),
    };
    let rest = if b.is_double() {
        // log(1 + f) = f - (f^2/2 - s (f^2/2 + R)), s = f / (2 + f)
        let below = b.add(f, 2.0);
        let s = b.div(f, below);
        let z = b.mul(&s, &s);
        let r = b.polynomial(&z, LOG_S_F64);
        let r = b.mul(r, z);
        let r = b.add(r, &half);
        b.fma(s, r, low)
    } else {
        let q = b.polynomial(f, LOG_F32);
        let cube = b.mul(square, f);
        b.fma(cube, q, low)
    };
    let rest = b.sub(rest, half);
    let sum = b.add(rest, f);
    b.fma(e, form.ln2[0], sum)
}

/// The values of a logarithm outside the finite positive numbers: of 0, infinity, and below 0.
fn special(b: &mut Builder, x: &Operand, result: Operand) -> Operand {
    let zero = b.eq(x, 0.0);
    let result = b.select(&zero, f64::NEG_INFINITY, result);
    let finite = b.lt(x, f64::INFINITY);
    let result = b.select(&finite, result, x);
    let negative = b.lt(x, 0.0);
    b.select(&negative, f64::NAN, result)
}

pub(super) fn log(b: &mut Builder, x: &Operand) -> Operand {
    let form = form(b);
    let (e, mantissa) = split(b, &form, x);
    let f = b.sub(mantissa, 1.0);
    let result = log_parts(b, &form, &e, &f, None);
    special(b, x, result)
}

/// The logarithm of `u = 1 + x`, corrected by what the sum lost.
pub(super) fn log1p(b: &mut Builder, x: &Operand) -> Operand {
    let form = form(b);
    let u = b.add(x, 1.0);
    let (e, mantissa) = split(b, &form, &u);
    let f = b.sub(mantissa, 1.0);
    let back = b.sub(&u, 1.0);
    let lost_below = b.sub(x, back);
    let back = b.sub(&u, x);
    let lost_above = b.sub(1.0, back);
    let below = b.lt(x, 1.0);
    let lost = b.select(&below, lost_below, lost_above);
    let c = b.div(lost, &u);
    let result = log_parts(b, &form, &e, &f, Some(&c));
    // Where `u` is still 1, with -0 and denormals.
    let size = b.abs(x);
    let tiny = b.lt(size, if b.is_double() { 1e-17 } else { 1e-9 });
    let result = b.select(&tiny, x, result);
    let result = special(b, &u, result);
    // -1 exactly gives u = 0.
    let nan = b.ne(x, x);
    b.select(&nan, x, result)
}

/// Of `F64`. `log1p(a + a^2 / (1 + sqrt(a^2 + 1)))`.
pub(super) fn asinh(b: &mut Builder, x: &Operand) -> Operand {
    let a = b.abs(x);
    let square = b.mul(&a, &a);
    let sum = b.add(&square, 1.0);
    let root = b.sqrt(sum);
    let below = b.add(root, 1.0);
    let part = b.div(square, below);
    let t = b.add(&a, part);
    let small = log1p(b, &t);
    let result = large_log(b, &a, &small);
    b.copy_sign(&result, x)
}

/// Of `F64`. `log1p(t + sqrt(2 t + t^2))` with `t = x - 1`.
pub(super) fn acosh(b: &mut Builder, x: &Operand) -> Operand {
    let t = b.sub(x, 1.0);
    let twice = b.add(&t, &t);
    let square = b.fma(&t, &t, twice);
    let root = b.sqrt(square);
    let sum = b.add(t, root);
    let small = log1p(b, &sum);
    let result = large_log(b, x, &small);
    let outside = b.lt(x, 1.0);
    b.select(&outside, f64::NAN, result)
}

/// `log(2 x)` if `x` is large, else the given result.
fn large_log(b: &mut Builder, x: &Operand, small: &Operand) -> Operand {
    let log = log(b, x);
    let large = b.add(log, std::f64::consts::LN_2);
    let is_large = b.lt(1e9, x);
    b.select(&is_large, large, small)
}

/// Of `F64`. `log1p(2 a / (1 - a)) / 2`.
pub(super) fn atanh(b: &mut Builder, x: &Operand) -> Operand {
    let a = b.abs(x);
    let below = b.sub(1.0, &a);
    let twice = b.add(&a, &a);
    let t = b.div(twice, below);
    let log = log1p(b, &t);
    let result = b.mul(log, 0.5);
    b.copy_sign(&result, x)
}

/// Of `F64`. `exp(y log |x|)`, the product in two parts if `exact`, with the signs and exceptions of C's `pow`.
pub(super) fn pow(b: &mut Builder, x: &Operand, y: &Operand, exact: bool) -> Operand {
    let size = b.abs(x);
    let power = if exact {
        let (high, low) = log_two_parts(b, &size);
        // Beyond this every result is 0 or infinity; the parts stay finite.
        let within = b.min(1e300, y);
        let within = b.max(-1e300, within);
        let (high, low) = product(b, (&high, &low), &within);
        exp_tail(b, &high, Some(&low))
    } else {
        let log = log(b, &size);
        let product = b.mul(y, log);
        exp_tail(b, &product, None)
    };
    exceptions(b, x, y, &size, power)
}

fn exceptions(b: &mut Builder, x: &Operand, y: &Operand, size: &Operand, power: Operand) -> Operand {
    let one = b.eq(size, 1.0);
    let power = b.select(&one, 1.0, power);
    let whole = b.trunc(y);
    let is_whole = b.eq(&whole, y);
    let half = b.mul(y, 0.5);
    let half_whole = b.trunc(&half);
    let even = b.eq(half_whole, half);
    // An infinity is even: its half is whole.
    let odd_sign = b.select(&even, 0.0, x);
    let odd_sign = b.select(&is_whole, odd_sign, 0.0);
    let power = b.copy_sign(&power, &odd_sign);
    let negative = b.lt(x, 0.0);
    let finite = b.lt(f64::NEG_INFINITY, x);
    let real = b.select(&is_whole, power.clone(), f64::NAN);
    let real = b.select(&finite, real, &power);
    let power = b.select(&negative, real, power);
    let power = nan_from(b, x, power);
    let power = nan_from(b, y, power);
    let base_one = b.eq(x, 1.0);
    let zeroth = b.eq(y, 0.0);
    let always = b.either(base_one, zeroth);
    b.select(&always, 1.0, power)
}

fn nan_from(b: &mut Builder, from: &Operand, result: Operand) -> Operand {
    let nan = b.ne(from, from);
    b.select(&nan, from, result)
}

/// The upper 26 bits of a mantissa, and the rest: products of such halves are exact.
fn halves(b: &mut Builder, x: &Operand) -> (Operand, Operand) {
    let bits = b.bits(x);
    let kept = b.and(bits, !0x7ff_ffff);
    let high = b.of_bits(kept);
    let low = b.sub(x, &high);
    (high, low)
}

/// `a * b` as a sum of two, without relying on a fused multiply-add.
fn exact_product(b: &mut Builder, x: &Operand, y: &Operand) -> (Operand, Operand) {
    let product = b.mul(x, y);
    let ((xh, xl), (yh, yl)) = (halves(b, x), halves(b, y));
    let negated = b.neg(&product);
    let error = b.fma(&xh, &yh, negated);
    let error = b.fma(&xh, &yl, error);
    let error = b.fma(&xl, &yh, error);
    (product, b.fma(xl, yl, error))
}

fn product(b: &mut Builder, (high, low): (&Operand, &Operand), y: &Operand) -> (Operand, Operand) {
    let (first, error) = exact_product(b, high, y);
    let error = b.fma(low, y, error);
    // Where the product overflows there is no error; what is infinite less infinite would be none.
    let size = b.abs(&first);
    let usual = b.lt(size, 1e4);
    let error = b.select(&usual, error, 0.0);
    (first, error)
}

/// `log x` as a sum of two, to about 2^-66: `log(1 + f) = 2 s + s^3 R(s^2)` with `s = f / (2 + f)` in two parts.
fn log_two_parts(b: &mut Builder, x: &Operand) -> (Operand, Operand) {
    let form = form(b);
    let (e, mantissa) = split(b, &form, x);
    let f = b.sub(&mantissa, 1.0);
    let below = b.add(&mantissa, 1.0);
    // What the sum `2 + f` lost.
    let back = b.sub(&below, 1.0);
    let below_low = b.sub(&mantissa, back);
    let s = b.div(&f, &below);
    let (p, p_low) = exact_product(b, &s, &below);
    let rest = b.sub(&f, p);
    let rest = b.sub(rest, p_low);
    let lost = b.mul(&s, below_low);
    let rest = b.sub(rest, lost);
    let s_low = b.div(rest, &below);
    let z = b.mul(&s, &s);
    let r = b.polynomial(&z, &LOG_S_F64[1..]);
    let r = b.mul(r, &z);
    // The first coefficient is 2/3; its cube term needs two parts as well.
    let (zh, zl) = exact_product(b, &s, &s);
    let (ch, cl) = exact_product(b, &zh, &s);
    let cl = b.fma(zl, &s, cl);
    let two_thirds = 2.0 / 3.0;
    let (th, tl) = exact_product(b, &ch, &Operand::Float(two_thirds));
    let tl = b.fma(cl, two_thirds, tl);
    let tl = b.fma(&ch, 3.700_743_415_417_188e-17, tl);
    let first = LOG_S_F64[0] - two_thirds;
    let r = b.add(r, first);
    let tl = b.fma(ch, r, tl);
    let twice = b.add(&s, &s);
    // `2 s (1 + z)`: the error of s scaled by the derivative of the function.
    let slope = b.add(z, 1.0);
    let slope = b.mul(slope, 2.0);
    let tl = b.fma(s_low, slope, tl);
    let (sum, low) = two_sum(b, &twice, &th);
    let low = b.add(low, tl);
    let main = b.mul(&e, form.ln2[0]);
    let (high, error) = two_sum(b, &main, &sum);
    let low = b.add(low, error);
    let low = b.fma(e, form.ln2[1], low);
    let (high, low) = two_sum(b, &high, &low);
    let plain = special(b, x, high.clone());
    let usual = b.eq(&plain, &high);
    let low = b.select(&usual, low, 0.0);
    (plain, low)
}

/// `a + b` as a sum of two, whatever their sizes.
fn two_sum(b: &mut Builder, x: &Operand, y: &Operand) -> (Operand, Operand) {
    let sum = b.add(x, y);
    let second = b.sub(&sum, x);
    let first = b.sub(&sum, &second);
    let a = b.sub(x, first);
    let c = b.sub(y, second);
    (sum, b.add(a, c))
}

/// Of `F64` that hold `F32`, or of any: the exact remainder, by taking away multiples of `|y| 2^(step k)`, `k` from
/// `steps` down to 0. Quotients have few bits, so each product is exact.
pub(super) fn fmod(b: &mut Builder, x: &Operand, y: &Operand, steps: u32, step: i32) -> Operand {
    let (size, by) = (b.abs(x), b.abs(y));
    let mut rest = size.clone();
    for k in (0..=steps).rev() {
        // In several steps: each factor is finite.
        let (mut scaled, mut bits) = (by.clone(), step * k as i32);
        while bits > 0 {
            scaled = b.mul(scaled, 2f64.powi(bits.min(1000)));
            bits -= bits.min(1000);
        }
        let quotient = b.div(&rest, &scaled);
        let quotient = b.trunc(quotient);
        let (high, low) = halves(b, &scaled);
        let negated = b.neg(&quotient);
        let less = b.fma(&negated, high, &rest);
        let less = b.fma(negated, low, less);
        // The quotient may have been rounded up to the next integer.
        let back = b.add(&less, &scaled);
        let negative = b.lt(&less, 0.0);
        let less = b.select(&negative, back, less);
        // Nothing to take away, perhaps of an infinite multiple.
        let smaller = b.lt(&rest, &scaled);
        rest = b.select(&smaller, &rest, less);
    }
    let result = b.copy_sign(&rest, x);
    let finite = b.lt(&size, f64::INFINITY);
    let result = b.select(&finite, result, f64::NAN);
    let zero = b.eq(&by, 0.0);
    let result = b.select(&zero, f64::NAN, result);
    let result = nan_from(b, y, result);
    nan_from(b, x, result)
}

/// Ints of 64 bits as ints of 32.
pub(super) fn low_bits(b: &mut Builder, n: &Operand) -> Operand {
    let from = Type { dtype: DType::I64, ..b.float() };
    b.define(Type { dtype: DType::I32, ..from }, Op::Convert(from, n.clone()))
}
