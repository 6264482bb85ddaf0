//! Circular functions and their inverses.
//!
//! Angles are reduced by multiples of a quarter turn, given in parts so that the products are exact: F32 as F64, up to
//! about 10^9; F64 up to about 10^6. Beyond, results lose accuracy. The kernels for F64 are those of FreeBSD's `msun`, for
//! F32 those of Cephes.

use super::Builder;
use super::exp::Width;
use mlc_ir::DType;
use mlc_ir::tile::Operand;

const SIN: [f64; 6] = [
    -1.666_666_666_666_663_243_48e-1,
    8.333_333_333_322_489_461_24e-3,
    -1.984_126_982_985_794_931_34e-4,
    2.755_731_370_707_006_767_89e-6,
    -2.505_076_025_340_686_341_95e-8,
    1.589_690_995_211_550_102_21e-10,
];
const COS: [f64; 6] = [
    4.166_666_666_666_660_190_37e-2,
    -1.388_888_888_887_410_957_49e-3,
    2.480_158_728_947_672_941_78e-5,
    -2.755_731_435_139_066_330_35e-7,
    2.087_572_321_298_174_827_90e-9,
    -1.135_964_755_778_819_482_65e-11,
];
const SINGLE_SIN: [f64; 3] = [-1.666_665_461_1e-1, 8.332_160_873_6e-3, -1.951_529_589_1e-4];
const SINGLE_COS: [f64; 3] = [4.166_664_568_298_827e-2, -1.388_731_625_493_765e-3, 2.443_315_711_809_948e-5];
const ATAN: [f64; 11] = [
    -3.333_333_333_333_293_180_27e-1,
    1.999_999_999_987_648_324_76e-1,
    -1.428_571_427_250_346_637_11e-1,
    1.111_111_040_546_235_578_80e-1,
    -9.090_887_133_436_506_561_96e-2,
    7.691_876_205_044_829_994_95e-2,
    -6.661_073_137_387_531_206_69e-2,
    5.833_570_133_790_573_486_45e-2,
    -4.976_877_994_615_932_360_17e-2,
    3.653_157_274_421_691_552_70e-2,
    -1.628_582_011_536_578_236_23e-2,
];
const SINGLE_ATAN: [f64; 4] =
    [-3.333_294_915_39e-1, 1.997_771_064_78e-1, -1.387_768_560_32e-1, 8.053_744_495_38e-2];
const ASIN_P: [f64; 6] = [
    1.666_666_666_666_666_574_15e-1,
    -3.255_658_186_224_009_154_05e-1,
    2.012_125_321_348_629_258_81e-1,
    -4.005_553_450_067_941_140_27e-2,
    7.915_349_942_898_145_321_76e-4,
    3.479_331_075_960_211_675_70e-5,
];
const ASIN_Q: [f64; 5] = [
    1.0,
    -2.403_394_911_734_414_218_78,
    2.020_945_760_233_505_694_71,
    -6.882_839_716_054_532_930_30e-1,
    7.703_815_055_590_193_527_91e-2,
];
const SINGLE_ASIN: [f64; 5] =
    [1.666_675_242_2e-1, 7.495_300_268_6e-2, 4.547_002_599_8e-2, 2.418_131_104_9e-2, 4.216_319_904_8e-2];

/// Which quarter an angle lies in, as masks, and its distance from the middle of that quarter.
struct Turned {
    /// Sine and cosine change places.
    swapped: Operand,
    /// The sine changes sign.
    half: Operand,
    /// The cosine does.
    cos_negative: Operand,
    angle: Operand,
    /// What is lost in `angle`; F64 only.
    low: Option<Operand>,
}

fn quarters(b: &mut Builder, n: &Operand) -> (Operand, Operand, Operand) {
    let first = b.and(n, 1i64);
    let second = b.and(n, 2i64);
    let next = b.iadd(n, 1i64);
    let cosine = b.and(&next, 2i64);
    let swapped = b.ieq(&first, 1i64);
    let half = b.ieq(&second, 2i64);
    let cos_negative = b.ieq(&cosine, 2i64);
    (swapped, half, cos_negative)
}

/// Whole quarters in an F64 angle, as bits and as a float.
fn count(b: &mut Builder, x: &Operand) -> (Operand, Operand) {
    let width = Width::of(b);
    let product = b.mul(x, std::f64::consts::FRAC_2_PI);
    let sum = b.add(&product, width.magic);
    (b.bits(&sum), b.sub(&sum, width.magic))
}

fn turn(b: &mut Builder, x: &Operand) -> Turned {
    if b.is_double() {
        return turn_double(b, x);
    }
    let wide = b.widen(x);
    let mut w = b.with(DType::F64);
    let (bits, n) = count(&mut w, &wide);
    let mut angle = wide;
    // Parts of 22 bits.
    for part in [1.570_796_012_878_418, 3.139_164_164_167_596e-7, 6.223_371_969_669_989e-14] {
        angle = w.fma(&n, -part, &angle);
    }
    let (swapped, half, cos_negative) = quarters(&mut w, &bits);
    // What is too far to be counted must not become infinite.
    let angle = w.max(-1.0, &angle);
    let angle = w.min(1.0, &angle);
    let angle = b.narrow(&angle);
    Turned { swapped, half, cos_negative, angle, low: None }
}

fn turn_double(b: &mut Builder, x: &Operand) -> Turned {
    let (bits, n) = count(b, x);
    // Parts of 33 bits, and all the rest.
    let a = b.fma(&n, -1.570_796_326_734_125_614_17, x);
    let second = b.mul(&n, 6.077_100_506_303_965_976_60e-11);
    let c = b.sub(&a, &second);
    let back = b.sub(&a, &c);
    let lost = b.sub(&back, &second);
    let rest = b.fma(&n, -2.022_266_248_795_950_631_54e-21, &lost);
    let angle = b.add(&c, &rest);
    let back = b.sub(&c, &angle);
    let low = b.add(&back, &rest);
    let (swapped, half, cos_negative) = quarters(b, &bits);
    let angle = b.max(-1.0, &angle);
    let angle = b.min(1.0, &angle);
    Turned { swapped, half, cos_negative, angle, low: Some(low) }
}

/// Sine and cosine of a small angle.
fn kernels(b: &mut Builder, turned: &Turned) -> (Operand, Operand) {
    let x = &turned.angle;
    let z = b.mul(x, x);
    let cube = b.mul(&z, x);
    let half = b.mul(&z, 0.5);
    let Some(low) = &turned.low else {
        let (p, q) = (b.polynomial(&z, &SINGLE_SIN), b.polynomial(&z, &SINGLE_COS));
        let sin = b.fma(&p, &cube, x);
        let square = b.mul(&z, &z);
        let cos = b.mul(&q, &square);
        let cos = b.sub(&cos, &half);
        return (sin, b.add(&cos, 1.0));
    };
    let p = b.polynomial(&z, &SIN);
    let minus = b.mul(&half, low);
    let low_part = b.sub(low, &minus);
    let sin = b.fma(&p, &cube, &low_part);
    let sin = b.add(x, &sin);
    let q = b.polynomial(&z, &COS);
    let square = b.mul(&z, &z);
    let one = b.sub(1.0, &half);
    let back = b.sub(1.0, &one);
    let lost = b.sub(&back, &half);
    let product = b.mul(x, low);
    let lost = b.sub(&lost, &product);
    let cos = b.fma(&q, &square, &lost);
    (sin, b.add(&one, &cos))
}

fn negate_if(b: &mut Builder, mask: &Operand, x: &Operand) -> Operand {
    let negated = b.neg(x);
    b.select(mask, &negated, x)
}

/// `sin x`
pub(super) fn sin(b: &mut Builder, x: &Operand) -> Operand {
    let turned = turn(b, x);
    let (sin, cos) = kernels(b, &turned);
    let result = b.select(&turned.swapped, &cos, &sin);
    let result = negate_if(b, &turned.half, &result);
    let result = undefined(b, x, &result);
    let zero = b.eq(x, 0.0);
    b.select(&zero, x, &result)
}

/// `cos x`
pub(super) fn cos(b: &mut Builder, x: &Operand) -> Operand {
    let turned = turn(b, x);
    let (sin, cos) = kernels(b, &turned);
    let result = b.select(&turned.swapped, &sin, &cos);
    let result = negate_if(b, &turned.cos_negative, &result);
    undefined(b, x, &result)
}

/// `tan x`
pub(super) fn tan(b: &mut Builder, x: &Operand) -> Operand {
    let turned = turn(b, x);
    let (sin, cos) = kernels(b, &turned);
    let above = b.select(&turned.swapped, &cos, &sin);
    let below = b.select(&turned.swapped, &sin, &cos);
    let result = b.div(&above, &below);
    let result = negate_if(b, &turned.swapped, &result);
    let result = undefined(b, x, &result);
    let zero = b.eq(x, 0.0);
    b.select(&zero, x, &result)
}

/// NaN for what has no angle.
fn undefined(b: &mut Builder, x: &Operand, result: &Operand) -> Operand {
    let size = b.abs(x);
    let finite = b.lt(&size, f64::INFINITY);
    b.select(&finite, result, f64::NAN)
}

/// `atan x`
pub(super) fn atan(b: &mut Builder, x: &Operand) -> Operand {
    let size = b.abs(x);
    let large = b.lt(2.414_213_562_373_095, &size);
    let middle = b.lt(0.414_213_562_373_095_03, &size);
    let inverse = b.div(-1.0, &size);
    let (less, more) = (b.sub(&size, 1.0), b.add(&size, 1.0));
    let quotient = b.div(&less, &more);
    let angle = b.select(&middle, &quotient, &size);
    let angle = b.select(&large, &inverse, &angle);
    let high = b.select(&middle, std::f64::consts::FRAC_PI_4, 0.0);
    let high = b.select(&large, std::f64::consts::FRAC_PI_2, &high);
    let z = b.mul(&angle, &angle);
    let coefficients: &[f64] = if b.is_double() { &ATAN } else { &SINGLE_ATAN };
    let p = b.polynomial(&z, coefficients);
    let cube = b.mul(&z, &angle);
    let mut small = b.mul(&p, &cube);
    if b.is_double() {
        let low = b.select(&middle, 3.061_616_997_868_383_017_93e-17, 0.0);
        let low = b.select(&large, 6.123_233_995_736_766_035_87e-17, &low);
        small = b.add(&small, &low);
    }
    let near = b.add(&angle, &small);
    let result = b.add(&high, &near);
    b.copy_sign(&result, x)
}

/// `asin x - x` for sizes up to 1/2, over `x^3`.
fn asin_rest(b: &mut Builder, z: &Operand) -> Operand {
    if !b.is_double() {
        return b.polynomial(z, &SINGLE_ASIN);
    }
    let (p, q) = (b.polynomial(z, &ASIN_P), b.polynomial(z, &ASIN_Q));
    b.div(&p, &q)
}

/// `asin` of `x`, or of the root of `(1 - |x|) / 2` where that is smaller; and whether it is.
fn half_asin(b: &mut Builder, x: &Operand, size: &Operand) -> (Operand, Operand) {
    let is_large = b.lt(0.5, size);
    let below = b.sub(1.0, size);
    let half = b.mul(&below, 0.5);
    let root = b.sqrt(&half);
    let square = b.mul(x, x);
    let z = b.select(&is_large, &half, &square);
    let s = b.select(&is_large, &root, x);
    let rest = asin_rest(b, &z);
    let cube = b.mul(&s, &z);
    (b.fma(&rest, &cube, &s), is_large)
}

/// `asin x`
pub(super) fn asin(b: &mut Builder, x: &Operand) -> Operand {
    let size = b.abs(x);
    let (part, is_large) = half_asin(b, &size, &size);
    let twice = b.add(&part, &part);
    let low = b.sub(6.123_233_995_736_766_035_87e-17, &twice);
    let large = b.add(&low, std::f64::consts::FRAC_PI_2);
    let result = b.select(&is_large, &large, &part);
    b.copy_sign(&result, x)
}

/// `acos x`
pub(super) fn acos(b: &mut Builder, x: &Operand) -> Operand {
    let size = b.abs(x);
    let (part, is_large) = half_asin(b, x, &size);
    let twice = b.add(&part, &part);
    let low = b.sub(6.123_233_995_736_766_035_87e-17, &part);
    let small = b.add(&low, std::f64::consts::FRAC_PI_2);
    let back = b.sub(1.224_646_799_147_353_2e-16, &twice);
    let back = b.add(&back, std::f64::consts::PI);
    let negative = b.lt(x, 0.0);
    let large = b.select(&negative, &back, &twice);
    b.select(&is_large, &large, &small)
}
