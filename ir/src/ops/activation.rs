//! Activation functions. Constants are attributes, whose defaults are ONNX's.

use super::elementwise::{Formula, Out::Same, Row, Types::*, one, two};
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::tile::Math;
use crate::{DType, Result};
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI};

pub(super) const TABLE: &[Row] = &[
    ("Relu", Numbers, Same, |_| one(relu)),
    ("LeakyRelu", Floats, Same, |node| {
        let alpha = number(node, "alpha", 0.01)?;
        one(move |x| x.lt(&x.like(0.0)).select(&(x.clone() * alpha), x))
    }),
    // `slope` broadcasts to `x`; before opset 7 it lies on axis 1.
    ("PRelu", Numbers, Same, |_| two(|x, slope| x.lt(&x.like(0.0)).select(&(x * slope), x))),
    ("ThresholdedRelu", Floats, Same, |node| {
        let alpha = number(node, "alpha", 1.0)?;
        one(move |x| x.like(alpha).lt(x).select(x, &x.like(0.0)))
    }),
    ("Elu", Floats, Same, |node| {
        let alpha = number(node, "alpha", 1.0)?;
        one(move |x| elu(x, alpha))
    }),
    ("Celu", Floats, Same, |node| {
        let alpha = number(node, "alpha", 1.0)?;
        one(move |x| relu(x) + x.like(0.0).min(&((x.clone() / alpha).math(Math::Expm1) * alpha)))
    }),
    ("Selu", Floats, Same, |node| {
        let old = node.opset < 6;
        let alpha = number(node, "alpha", if old { 1.6732 } else { 1.673_263_2 })?;
        let gamma = number(node, "gamma", if old { 1.0507 } else { 1.050_701 })?;
        one(move |x| elu(x, alpha) * gamma)
    }),
    ("Sigmoid", Floats, Same, |_| one(sigmoid)),
    ("HardSigmoid", Floats, Same, |node| {
        let (alpha, beta) = (number(node, "alpha", 0.2)?, number(node, "beta", 0.5)?);
        one(move |x| unit(&(x.clone() * alpha + beta)))
    }),
    ("HardSwish", Floats, Same, |_| one(|x| x * &unit(&(x.clone() * (1.0 / 6.0) + 0.5)))),
    ("Softplus", Floats, Same, |_| one(softplus)),
    ("Softsign", Floats, Same, |_| one(|x| x / &(x.abs() + 1.0))),
    ("Mish", Floats, Same, |_| one(|x| x * &softplus(x).math(Math::Tanh))),
    ("Swish", Floats, Same, |node| {
        let alpha = number(node, "alpha", 1.0)?;
        one(move |x| x * &sigmoid(&(x.clone() * alpha)))
    }),
    ("SwiGLU", Floats, Same, |node| {
        let alpha = number(node, "alpha", 1.0)?;
        two(move |a, b| &(a * &sigmoid(&(a.clone() * alpha))) * b)
    }),
    ("Gelu", Floats, Same, |node| match node.string("approximate", "none")?.as_str() {
        "tanh" => one(gelu_tanh),
        _ => one(|x| x.clone() * 0.5 * ((x.clone() * FRAC_1_SQRT_2).math(Math::Erf) + 1.0)),
    }),
    ("Shrink", Numbers, Same, shrink),
];

fn number(node: &OnnxNode, name: &str, default: f32) -> Result<f64> {
    Ok(node.float(name, default)?.into())
}

/// `max(x, 0)`; NaN comes through, since `0 > NaN` is false.
pub(super) fn relu(x: &Expr) -> Expr {
    x.like(0.0).max(x)
}

/// `1 / (1 + exp(-x))`, 0 where `exp(-x)` overflows.
pub(super) fn sigmoid(x: &Expr) -> Expr {
    x.like(1.0) / ((-x.clone()).exp() + 1.0)
}

/// `log(1 + exp(x))`, without overflow.
fn softplus(x: &Expr) -> Expr {
    relu(x) + (-x.abs()).exp().math(Math::Log1p)
}

fn elu(x: &Expr, alpha: f64) -> Expr {
    x.lt(&x.like(0.0)).select(&(x.math(Math::Expm1) * alpha), x)
}

/// Clamped to `0..=1`; NaN comes through.
fn unit(x: &Expr) -> Expr {
    x.like(0.0).max(&x.like(1.0).min(x))
}

fn gelu_tanh(x: &Expr) -> Expr {
    let cube = &(x * x) * x;
    let inner = (x + &(cube * 0.044715)) * FRAC_2_PI.sqrt();
    x.clone() * 0.5 * (inner.math(Math::Tanh) + 1.0)
}

/// `x < -lambd ? x + bias : x > lambd ? x - bias : 0`; integers are computed in F64.
fn shrink(node: &OnnxNode) -> Result<Formula> {
    let (bias, lambda) = (number(node, "bias", 0.0)?, number(node, "lambd", 0.5)?);
    one(move |x| {
        let x = if x.dtype().is_float() { x.clone() } else { x.cast(DType::F64) };
        let above = x.like(lambda).lt(&x).select(&(x.clone() - bias), &x.like(0.0));
        x.lt(&x.like(-lambda)).select(&(x.clone() + bias), &above)
    })
}
