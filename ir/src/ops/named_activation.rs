//! Activation functions that other operators name in an attribute.

use super::elementwise::Formula;
use super::{activation, elementwise};
use crate::onnx::{Attribute, OnnxNode};
use crate::program::Expr;
use crate::tile::Math;
use crate::{Error, Result};
use std::fmt;

/// A function of one operand, by name.
pub(super) struct Activation {
    name: String,
    formula: Box<dyn Fn(&Expr) -> Expr + Send + Sync>,
}

impl fmt::Debug for Activation {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Activation {
    /// The function with a name (in any case), with its parameters where they are given.
    pub(super) fn new(name: &str, alpha: Option<f32>, beta: Option<f32>) -> Result<Activation> {
        let (a, b): (f64, f64) = (alpha.unwrap_or(1.0).into(), beta.unwrap_or(0.0).into());
        let formula: Box<dyn Fn(&Expr) -> Expr + Send + Sync> = match name.to_lowercase().as_str() {
            "" | "identity" => Box::new(|x| x.clone()),
            "tanh" => Box::new(|x| x.math(Math::Tanh)),
            "affine" => Box::new(move |x| x * a + b),
            "scaledtanh" => {
                let b: f64 = beta.unwrap_or(1.0).into();
                Box::new(move |x| (x * b).math(Math::Tanh) * a)
            }
            "clip" => {
                let (low, high): (f64, f64) =
                    (alpha.unwrap_or(f32::NEG_INFINITY).into(), beta.unwrap_or(f32::INFINITY).into());
                Box::new(move |x| elementwise::minimum(&elementwise::maximum(x, &x.like(low)), &x.like(high)))
            }
            lower => {
                let row = activation::TABLE.iter().find(|row| row.0.to_lowercase() == lower);
                let row = row.ok_or_else(|| Error::unsupported(format!("activation `{name}` is not supported")))?;
                let given = [("alpha", alpha), ("beta", beta)].into_iter().filter_map(|(k, v)| Some((k, v?)));
                let node = given.fold(OnnxNode::new(row.0), |node, (k, v)| node.with(k, Attribute::Float(v)));
                return Activation::of_node(&node);
            }
        };
        Ok(Activation { name: name.into(), formula })
    }

    /// The function that an activation of the model is.
    pub(super) fn of_node(node: &OnnxNode) -> Result<Activation> {
        let row = activation::TABLE.iter().find(|row| row.0 == node.op_type);
        let formula = row.map(|row| (row.3)(node)).transpose()?;
        match formula {
            Some(Formula::One(formula)) => Ok(Activation { name: node.op_type.clone(), formula }),
            _ => Err(Error::unsupported(format!("{} is no activation of one operand", node.op_type))),
        }
    }

    /// The functions of a list; those that have parameters take them from the lists in turn.
    pub(super) fn list(names: &[String], alphas: &[f32], betas: &[f32]) -> Result<Vec<Activation>> {
        let (mut alphas, mut betas) = (alphas.iter().copied(), betas.iter().copied());
        let one = |name: &String| {
            let lower = name.to_lowercase();
            let both = matches!(lower.as_str(), "affine" | "scaledtanh" | "hardsigmoid");
            let alpha = if both || matches!(lower.as_str(), "leakyrelu" | "thresholdedrelu" | "elu") {
                alphas.next()
            } else {
                None
            };
            Activation::new(name, alpha, if both { betas.next() } else { None })
        };
        names.iter().map(one).collect()
    }

    /// The function of an operand.
    pub(super) fn of(&self, x: &Expr) -> Expr {
        (self.formula)(x)
    }
}
