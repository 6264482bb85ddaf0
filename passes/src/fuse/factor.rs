//! Constants that all products of a sum share stand behind the sum: `sum[k] a[m, k] * (q[k, n] * s[n])` multiplies with
//! `s[n]` once. Weights that are unfolded where they are read so cost no multiplication of their own.
//!
//! In: kernels after fusion.  Out: the same with shorter products.
//! Invariant: what stands behind the sum is a constant or a weight; a sum is rounded otherwise, but no more often.

use super::cost::load_vars;
use super::rewrite::{each, insert_stage};
use super::simplify::simplify;
use super::work::{Item, Work};
use mlc_ir::program::{Expr, ExprKind, Kernel, Stage};
use mlc_ir::tile::{Binary, Monoid};

/// Moves factors behind sums.
pub fn shorten(work: &mut Work) {
    for place in work.places() {
        while let Some(kernel) = work.kernel(place) {
            let found = kernel.stages.iter().enumerate().find_map(|(n, stage)| Some((n, split(work, stage)?)));
            let Some((number, (inside, behind))) = found else { break };
            let kernel = moved(kernel, number, inside, &behind);
            work.set(place, Item::Kernel(simplify(&kernel, &work.facts, &work.buffers)));
        }
    }
}

/// The product that is left in a sum, and the factors that move behind it.
fn split(work: &Work, stage: &Stage) -> Option<(Expr, Vec<Expr>)> {
    let reduce = stage.reduce.as_ref().filter(|r| r.monoid == Monoid::Sum && stage.value.dtype().is_float())?;
    let constant = |factor: &Expr| {
        let mut made = true;
        each(factor, &mut |node| made &= !matches!(node.kind(), ExprKind::Stage(_) | ExprKind::Index(_)));
        let folded = load_vars(factor);
        made && work.is_constant(factor) && reduce.axes.iter().all(|axis| !folded.contains(axis))
    };
    let mut behind = Vec::new();
    let inside = without(&stage.value, &constant, &mut behind)?;
    (!behind.is_empty()).then_some((inside, behind))
}

/// A product without those of its factors; nothing if none is left.
fn without(product: &Expr, out: &dyn Fn(&Expr) -> bool, taken: &mut Vec<Expr>) -> Option<Expr> {
    if out(product) {
        taken.push(product.clone());
        return None;
    }
    let ExprKind::Binary(Binary::Mul, a, b) = product.kind() else { return Some(product.clone()) };
    match (without(a, out, taken), without(b, out, taken)) {
        (Some(a), Some(b)) => Some(a.binary(Binary::Mul, &b)),
        (one, other) => one.or(other),
    }
}

/// The kernel with one stage more: the sum, before the map that multiplies and stores.
fn moved(kernel: &Kernel, number: usize, inside: Expr, behind: &[Expr]) -> Kernel {
    let mut kernel = kernel.clone();
    let sum = Stage { value: inside, store: None, ..kernel.stages[number].clone() };
    let result = Expr::new(sum.value.dtype(), ExprKind::Stage(number));
    insert_stage(&mut kernel, number, sum);
    let map = &mut kernel.stages[number + 1];
    map.reduce = None;
    map.value = behind.iter().fold(result, |product, factor| product.binary(Binary::Mul, factor));
    kernel
}
