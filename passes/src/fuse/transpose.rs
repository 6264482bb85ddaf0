//! R6: operands that lie across. `sum[c] A[m, c] * B[n, c]`, the scores of an attention, has no operand whose columns lie
//! one after the other, and sums across the lanes of each product would take longer than the products. B is copied to
//! `T[c, n]` first.
//!
//! In: kernels after fusion.  Out: a copy before each such contraction.
//! Invariant: only where there are at least as many rows as columns, so that the copy is small beside what it serves; with
//! few rows, as when a decoder makes one token, B is read as it lies.

use super::report::{Report, Rule};
use super::work::{Item, Work};
use mlc_ir::program::{Axis, Buffer, Expr, ExprKind, Kernel, Stage, Store, StoreMode};
use mlc_ir::tile::{Binary, Monoid};
use mlc_ir::{Facts, Index, Name};

/// Copies operands that lie across.
pub fn turn(work: &mut Work, report: &mut Report) {
    let mut places = work.places();
    places.reverse();
    for place in places {
        let Some(kernel) = work.kernel(place) else { continue };
        let facts = kernel.facts(&work.facts);
        let Some((number, across)) =
            kernel.stages.iter().enumerate().find_map(|(n, s)| Some((n, find(work, &facts, kernel, s)?)))
        else {
            continue;
        };
        let (copy, kernel) = turned(work, kernel.clone(), number, &across);
        report.fused(Rule::Transpose, &kernel.name, &copy.name);
        work.set(place, Item::Kernel(kernel));
        work.insert(place, copy);
    }
}

/// A contraction's operand that lies across.
struct Across {
    operand: Expr,
    other: Expr,
    /// Its axes, the folded one and the columns last.
    axes: Vec<Axis>,
}

fn find(work: &Work, facts: &Facts, kernel: &Kernel, stage: &Stage) -> Option<Across> {
    let reduce = stage.reduce.as_ref().filter(|reduce| reduce.monoid == Monoid::Sum)?;
    let [folded] = reduce.axes.as_slice() else { return None };
    let ExprKind::Binary(Binary::Mul, a, b) = stage.value.kind() else { return None };
    let stored = kernel.stages.iter().rev().find_map(|stage| stage.store.as_ref())?;
    let outer = kernel.outer_axes();
    let columns = stage.axes.iter().rev().find(|axis| !outer.contains(axis)).or(stored.index.last()?.as_var())?;
    let side = |operand: &Expr| match converted(operand).kind() {
        ExprKind::Load { buffer, index } if work.buffers[*buffer as usize].constant.is_none() => {
            index.last().is_some_and(|last| last.mentions(folded)).then(|| index.clone())
        }
        _ => None,
    };
    let uses = |index: &[Index], axis: &Name| index.iter().any(|i| i.mentions(axis));
    let (left, right) = (side(a)?, side(b)?);
    let (operand, other, index, rows) = match (uses(&left, columns), uses(&right, columns)) {
        (false, true) => (b, a, right, left),
        (true, false) => (a, b, left, right),
        _ => return None,
    };
    if index.last()?.mentions(columns) || index.iter().any(Index::looks_up) {
        return None;
    }
    let extent = |axis: &Name| kernel.extent(axis).cloned();
    let enough = |axis: &&Name| {
        let own = uses(&rows, axis) && !uses(&index, axis);
        own && extent(axis).zip(extent(columns)).is_some_and(|(rows, columns)| facts.le(&columns, &rows))
    };
    stage.axes.iter().find(enough)?;
    let outer = stage.axes.iter().filter(|axis| *axis != columns && uses(&index, axis));
    let axes = outer.chain([folded, columns]).map(|name| Some(Axis { name: name.clone(), extent: extent(name)? }));
    let axes = axes.collect::<Option<Vec<_>>>()?;
    Some(Across { operand: operand.clone(), other: other.clone(), axes })
}

/// What an expression converts.
fn converted(expr: &Expr) -> &Expr {
    match expr.kind() {
        ExprKind::Cast(inner) => converted(inner),
        _ => expr,
    }
}

/// The copy, and the kernel that reads it.
fn turned(work: &mut Work, mut kernel: Kernel, stage: usize, across: &Across) -> (Kernel, Kernel) {
    let name: Name = format!("{}.turned", kernel.name).into();
    let dtype = across.operand.dtype();
    let shape = across.axes.iter().map(|axis| axis.extent.clone()).collect();
    let target = work.add_buffer(Buffer { name: name.clone(), dtype, shape, constant: None });
    let axes: Vec<Name> = across.axes.iter().map(|axis| axis.name.clone()).collect();
    let index: Vec<Index> = axes.iter().map(|axis| Index::var(axis.clone())).collect();
    let read = Expr::load(dtype, target, index.clone());
    let changed = &mut kernel.stages[stage];
    changed.value = across.other.binary(Binary::Mul, &read);
    let value = across.operand.clone();
    let store = Some(Store { buffer: target, index, mode: StoreMode::Set, only: vec![] });
    let copy = Kernel { name, axes: across.axes.clone(), stages: vec![Stage { axes, reduce: None, value, store }] };
    (copy, kernel)
}
