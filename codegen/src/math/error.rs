//! erf.

use super::builder::Builder;
use super::exponential::exp_normal;
use super::tables::{ERF_F32, ERF_F64, ERFC_F32, ERFC_F64};
use mlc_ir::tile::Operand;

/// `x + x P(x^2)` near 0; `1 - exp(-t + t Q(t))` beyond.
pub(super) fn erf(b: &mut Builder, x: &Operand) -> Operand {
    let (near, far, limit, end) =
        if b.is_double() { (ERF_F64, ERFC_F64, 1.0, 6.0) } else { (ERF_F32, ERFC_F32, 0.93, 4.0) };
    let size = b.abs(x);
    let square = b.mul(&size, &size);
    let p = b.polynomial(&square, near);
    let small = b.fma(p, &size, &size);
    // Beyond the end it is 1; NaN stays.
    let t = b.min(end, &size);
    let q = b.polynomial(&t, far);
    let q = b.sub(q, 1.0);
    let log = b.mul(q, t);
    let tail = exp_normal(b, &log);
    let large = b.sub(1.0, tail);
    let is_small = b.lt(size, limit);
    let result = b.select(&is_small, small, large);
    b.copy_sign(&result, x)
}
