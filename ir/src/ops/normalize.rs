//! Normalization by the mean and variance over some axes, which several operators share.

use crate::compute::{Compute, T};
use crate::program::Expr;
use crate::tile::Monoid;
use crate::{DType, Index};

/// `mean` and `1 / sqrt(variance + epsilon)` over some axes, which stay with extent 1; in two passes, in type `wide`.
pub(super) fn statistics(c: &mut Compute, x: &T, axes: &[usize], wide: DType, epsilon: f64) -> (T, T) {
    let count = Expr::index(Index::product(axes.iter().map(|&a| &x.shape[a]))).cast(wide);
    let sum = c.fold(Monoid::Sum, wide, x, axes, |x| x.cast(wide));
    let mean = c.map(wide, &sum.shape, |i| &sum.at(i.to_vec()) / &count);
    let squares = c.fold_at(Monoid::Sum, wide, &x.shape, axes, |i| {
        let centered = x.at(i.to_vec()).cast(wide) - mean.broadcast(i);
        &centered * &centered
    });
    let inverse = c.map(wide, &squares.shape, |i| {
        let variance = &squares.at(i.to_vec()) / &count;
        variance.like(1.0) / (variance + epsilon).sqrt()
    });
    (mean, inverse)
}

/// `1 / sqrt(mean(x * x) + epsilon)` over some axes, which stay with extent 1.
pub(super) fn inverse_rms(c: &mut Compute, x: &T, axes: &[usize], wide: DType, epsilon: f64) -> T {
    let count = Expr::index(Index::product(axes.iter().map(|&a| &x.shape[a]))).cast(wide);
    let squares = c.fold(Monoid::Sum, wide, x, axes, |x| {
        let x = x.cast(wide);
        &x * &x
    });
    c.map(wide, &squares.shape, |i| {
        let mean = &squares.at(i.to_vec()) / &count;
        mean.like(1.0) / (mean + epsilon).sqrt()
    })
}
