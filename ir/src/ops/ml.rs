//! What the classifiers and regressors of `ai.onnx.ml` share.

use super::activation::sigmoid;
use super::softmax::softmax;
use crate::compute::{Compute, T};
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::tensor::Scalar;
use crate::tile::{Math, Monoid};
use crate::{DType, Error, Index, Result, Tensor};

/// What is done to scores at last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Post {
    None,
    Softmax,
    Logistic,
    SoftmaxZero,
    Probit,
}

impl Post {
    pub(super) fn parse(node: &OnnxNode) -> Result<Post> {
        Ok(match node.string("post_transform", "NONE")?.as_str() {
            "NONE" => Post::None,
            "SOFTMAX" => Post::Softmax,
            "LOGISTIC" => Post::Logistic,
            "SOFTMAX_ZERO" => Post::SoftmaxZero,
            "PROBIT" => Post::Probit,
            other => return Err(Error::invalid(format!("attribute `post_transform` is `{other}`"))),
        })
    }

    /// Applied to rows of scores.
    pub(super) fn apply(self, c: &mut Compute, scores: &T) -> T {
        let each = |c: &mut Compute, f: &dyn Fn(&Expr) -> Expr| {
            c.map(scores.dtype, &scores.shape, |i| f(&scores.at(i.to_vec())))
        };
        match self {
            Post::None => scores.clone(),
            Post::Softmax => softmax(c, scores, &[1]),
            Post::Logistic => each(c, &sigmoid),
            Post::SoftmaxZero => softmax_zero(c, scores),
            Post::Probit => each(c, &probit),
        }
    }
}

/// Softmax in which a score of 0 stays 0.
fn softmax_zero(c: &mut Compute, x: &T) -> T {
    let max = c.fold(Monoid::Max, x.dtype, x, &[1], |x| x);
    let power = |i: &[Index]| {
        let (x, max) = (x.at(i.to_vec()), max.broadcast(i));
        let zero = x.abs().le(&x.like(1e-7));
        zero.select(&(&x * (-max.clone()).exp()), &(&x - &max).exp())
    };
    let sum = c.fold_at(Monoid::Sum, x.dtype, &x.shape, &[1], power);
    c.map(x.dtype, &x.shape, |i| {
        let sum = sum.broadcast(i);
        sum.equals(&sum.like(0.0)).select(&sum.like(0.5), &(power(i) / &sum))
    })
}

/// An approximation of the inverse of the normal distribution.
fn probit(x: &Expr) -> Expr {
    let x = x * 2.0 - 1.0;
    let log = ((x.like(1.0) - &x) * (&x + 1.0)).math(Math::Log);
    let v = &log * 0.5 + 2.0 / (std::f64::consts::PI * 0.147);
    let root = ((&v * &v - &log / 0.147).sqrt() - v).sqrt() * std::f64::consts::SQRT_2;
    x.lt(&x.like(0.0)).select(&-root.clone(), &root)
}

/// The place of the first maximum of each row.
pub(super) fn first_maximum(c: &mut Compute, x: &T) -> T {
    let max = c.fold(Monoid::Max, x.dtype, x, &[1], |x| x);
    let rows = std::slice::from_ref(&x.shape[0]);
    let columns = std::slice::from_ref(&x.shape[1]);
    c.reduce(Monoid::Min, DType::I64, rows, columns, |i, r| {
        let wins = x.at(vec![i[0].clone(), r[0].clone()]).equals(&max.at(vec![i[0].clone(), Index::zero()]));
        wins.select(&Expr::index(r[0].clone()), &Expr::index(x.shape[1].clone() - 1))
    })
}

/// The classes of a classifier, which must be integers.
pub(super) fn classes(node: &OnnxNode, name: &str) -> Result<Vec<i64>> {
    if node.has("classlabels_strings") && node.strings("classlabels_strings")?.is_some_and(|names| !names.is_empty()) {
        return Err(Error::unsupported("classes that are strings are not supported"));
    }
    Ok(node.ints(name)?.unwrap_or_default())
}

/// The class with a place.
pub(super) fn labels(c: &mut Compute, classes: &[i64], place: &T) -> T {
    if classes.is_empty() {
        return place.clone();
    }
    let table = c.constant(Tensor::from_i64s(classes));
    let count = Index::from(classes.len() as i64);
    c.map(DType::I64, &place.shape, |i| table.at(vec![place.lookup(i.to_vec(), &count)]))
}

/// A constant table of numbers.
pub(super) fn numbers(c: &mut Compute, dtype: DType, shape: &[usize], numbers: &[f64]) -> Result<T> {
    if shape.iter().product::<usize>() != numbers.len() {
        return Err(Error::invalid(format!("{} numbers where {shape:?} are needed", numbers.len())));
    }
    let scalars: Vec<Scalar> = numbers.iter().map(|&x| Scalar::Float(x)).collect();
    Ok(c.constant(Tensor::from_scalars(dtype, shape.to_vec(), &scalars)?))
}

/// A list of floats as wider ones.
pub(super) fn floats(node: &OnnxNode, name: &str) -> Result<Vec<f64>> {
    Ok(node.floats(name)?.unwrap_or_default().into_iter().map(f64::from).collect())
}

/// Features as rows: a vector is one row.
pub(super) fn rows(c: &mut Compute, x: &T) -> Result<T> {
    match x.rank() {
        2 => Ok(x.clone()),
        1 => Ok(c.reshape(x, &[1.into(), x.shape[0].clone()])),
        rank => Err(Error::invalid(format!("features of rank {rank}, not 1 or 2"))),
    }
}

/// The type in which features are computed.
pub(super) fn feature_type(x: &T) -> DType {
    if x.dtype == DType::F64 { DType::F64 } else { DType::F32 }
}
