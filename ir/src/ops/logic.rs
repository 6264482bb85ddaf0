//! Comparisons, logic and selection.

use super::elementwise::{Formula, Out::*, Row, Types::*, one, three, two};
use crate::Result;
use crate::onnx::OnnxNode;
use crate::tile::Binary;

pub(super) const TABLE: &[Row] = &[
    ("Equal", All, Truth, |_| two(|a, b| a.equals(b))),
    // All are false where an operand is NaN, so none is the negation of another.
    ("Less", Numbers, Truth, |_| two(|a, b| a.lt(b))),
    ("LessOrEqual", Numbers, Truth, |_| two(|a, b| a.le(b))),
    ("Greater", Numbers, Truth, |_| two(|a, b| b.lt(a))),
    ("GreaterOrEqual", Numbers, Truth, |_| two(|a, b| b.le(a))),
    ("And", Bools, Truth, |_| two(|a, b| a & b)),
    ("Or", Bools, Truth, |_| two(|a, b| a | b)),
    ("Xor", Bools, Truth, |_| two(|a, b| a.binary(Binary::Xor, b))),
    ("Not", Bools, Truth, |_| one(|x| !x.clone())),
    ("IsNaN", Floats, Truth, |_| one(|x| x.is_nan())),
    ("IsInf", Floats, Truth, is_inf),
    // The branch not taken may be NaN.
    ("Where", Choice, Same, |_| three(|c, a, b| c.select(a, b))),
];

/// `detect_positive` and `detect_negative` say which infinities count; both do by default.
fn is_inf(node: &OnnxNode) -> Result<Formula> {
    let (positive, negative) = (node.flag("detect_positive", true)?, node.flag("detect_negative", true)?);
    one(move |x| match (positive, negative) {
        (true, true) => x.abs().equals(&x.like(f64::INFINITY)),
        (true, false) => x.equals(&x.like(f64::INFINITY)),
        (false, true) => x.equals(&x.like(f64::NEG_INFINITY)),
        (false, false) => crate::program::Expr::int(crate::DType::Bool, 0),
    })
}
