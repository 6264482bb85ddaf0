//! The error function.
//!
//! F32: a polynomial near 0, else `1 - e^p` with another (both by N. Juffa). F64: rational functions on four intervals, as
//! in FreeBSD's `msun`.

use super::Builder;
use super::exp::exp;
use mlc_ir::tile::Operand;

/// Of `x^2`, near 0.
const SINGLE: [f64; 6] = [
    1.283_791_66e-1,
    -3.761_253_36e-1,
    1.128_199_25e-1,
    -2.676_813_49e-2,
    4.991_194_23e-3,
    -5.967_617_03e-4,
];

const P: [f64; 5] = [
    0.12837916709551256,
    -0.3250421072470015,
    -0.02848174957559851,
    -0.005770270296489442,
    -2.3763016656650163e-05,
];
const Q: [f64; 6] = [
    1.0,
    0.39791722395915535,
    0.0650222499887673,
    0.005081306281875766,
    0.00013249473800432164,
    -3.960228278775368e-06,
];
const NEAR_P: [f64; 7] = [
    -0.0023621185607526594,
    0.41485611868374833,
    -0.3722078760357013,
    0.31834661990116175,
    -0.11089469428239668,
    0.035478304325618236,
    -0.002166375594868791,
];
const NEAR_Q: [f64; 7] = [
    1.0,
    0.10642088040084423,
    0.540397917702171,
    0.07182865441419627,
    0.12617121980876164,
    0.01363708391202905,
    0.011984499846799107,
];
const MIDDLE_P: [f64; 8] = [
    -0.009864944034847148,
    -0.6938585727071818,
    -10.558626225323291,
    -62.375332450326006,
    -162.39666946257347,
    -184.60509290671104,
    -81.2874355063066,
    -9.814329344169145,
];
const MIDDLE_Q: [f64; 9] = [
    1.0,
    19.651271667439257,
    137.65775414351904,
    434.56587747522923,
    645.3872717332679,
    429.00814002756783,
    108.63500554177944,
    6.570249770319282,
    -0.0604244152148581,
];
const FAR_P: [f64; 7] = [
    -0.0098649429247001,
    -0.799283237680523,
    -17.757954917754752,
    -160.63638485582192,
    -637.5664433683896,
    -1025.0951316110772,
    -483.5191916086514,
];
const FAR_Q: [f64; 8] = [
    1.0,
    30.33806074348246,
    325.7925129965739,
    1536.729586084437,
    3199.8582195085955,
    2553.0504064331644,
    474.52854120695537,
    -22.44095244658582,
];

/// `erf x`
pub(super) fn erf(b: &mut Builder, x: &Operand) -> Operand {
    if b.is_double() { double(b, x) } else { single(b, x) }
}

fn single(b: &mut Builder, x: &Operand) -> Operand {
    let (size, square) = (b.abs(x), b.mul(x, x));
    let first = b.fma(&size, -1.728_534_70e-5, 3.831_971_26e-4);
    let second = b.fma(&size, -3.883_964_38e-3, 2.425_462_19e-2);
    let mut p = b.fma(&first, &square, &second);
    for c in [-1.067_778_77e-1, -6.348_466_87e-1, -1.287_175_12e-1] {
        p = b.fma(&p, &size, c);
    }
    let minus = b.neg(&size);
    let p = b.fma(&p, &size, &minus);
    let e = exp(b, &p);
    let far = b.sub(1.0, &e);
    let far = b.copy_sign(&far, x);
    let p = b.polynomial(&square, &SINGLE);
    let near = b.fma(&p, x, x);
    let is_far = b.lt(0.927_734_375, &size);
    b.select(&is_far, &far, &near)
}

fn rational(b: &mut Builder, x: &Operand, p: &[f64], q: &[f64]) -> Operand {
    let (p, q) = (b.polynomial(x, p), b.polynomial(x, q));
    b.div(&p, &q)
}

fn double(b: &mut Builder, x: &Operand) -> Operand {
    let size = b.abs(x);
    // NaN stays; beyond 6 the result is 1.
    let size = b.min(6.0, &size);
    let square = b.mul(&size, &size);
    let small = rational(b, &square, &P, &Q);
    let small = b.fma(&small, &size, &size);
    let from_one = b.sub(&size, 1.0);
    let near = rational(b, &from_one, &NEAR_P, &NEAR_Q);
    let near = b.add(&near, 8.450_629_115_104_675e-1);
    // `e^(-x^2) = e^(-z^2 - 9/16) * e^((z - x)(z + x) + p/q)` with `z` the upper half of `x`, whose square is exact.
    let bits = b.bits(&size);
    let upper = b.and(&bits, !0xffff_ffffi64);
    let z = b.of_bits(&upper);
    let away = b.max(1.0, &size);
    let away = b.mul(&away, &away);
    let inverse = b.div(1.0, &away);
    let middle = rational(b, &inverse, &MIDDLE_P, &MIDDLE_Q);
    let far = rational(b, &inverse, &FAR_P, &FAR_Q);
    let is_middle = b.lt(&size, 1.0 / 0.35);
    let ratio = b.select(&is_middle, &middle, &far);
    let (difference, sum) = (b.sub(&z, &size), b.add(&z, &size));
    let rest = b.mul(&difference, &sum);
    let rest = b.add(&rest, &ratio);
    let main = b.mul(&z, &z);
    let main = b.sub(-0.5625, &main);
    let (main, rest) = (exp(b, &main), exp(b, &rest));
    let product = b.mul(&main, &rest);
    let tail = b.div(&product, &size);
    let tail = b.sub(1.0, &tail);
    let is_near = b.lt(&size, 1.25);
    let result = b.select(&is_near, &near, &tail);
    let is_small = b.lt(&size, 0.84375);
    let result = b.select(&is_small, &small, &result);
    b.copy_sign(&result, x)
}
