//! Steps of kernels with nests of their own: contractions whose results stay in scratch memory, and what is made of them.
//!
//! Each nest has its lanes where they are cheapest. A block of rows is common to all: a contraction has its accumulators for
//! all of them, any other nest takes one row after the other.

use super::choose::{lanes, order_steps, pick_rows, register_block, vector_steps, vectors};
use super::cost::Judge;
use super::nests::{filled_by, kept, nests};
use super::{Step, inner_axes};
use crate::lower::product;
use mlc_ir::Name;
use mlc_ir::program::{Expr, ExprKind, Kernel, Stage};
use mlc_ir::target::Target;
use mlc_ir::tile::Monoid;
use std::ops::Range;

/// Where the lanes of a nest run.
struct Lanes {
    nest: Range<usize>,
    cost: f64,
    vector: Option<(Name, u16)>,
}

/// Whether a fold along inner axes is read after its nest.
pub(super) fn has_nests(kernel: &Kernel) -> bool {
    let outer = kernel.outer_axes();
    let folds = |stage: &Stage| stage.reduce.is_some() && stage.axes.iter().any(|axis| !outer.contains(axis));
    let begins =
        |stage: usize| nests(kernel).iter().any(|nest| nest.contains(&stage) && folds(&kernel.stages[nest.start]));
    kept(kernel, &|_| false).into_iter().any(begins)
}

/// The cost of such a kernel and its steps, but for tasks.
pub(super) fn steps(judge: &Judge, outer: &[Name], target: &Target) -> (f64, Vec<Step>) {
    let kernel = judge.kernel;
    let found: Vec<Lanes> = nests(kernel).into_iter().map(|nest| best(judge, outer, nest, target)).collect();
    let mut steps = order_steps(judge, outer, None);
    let reused = |axis: &Name| kernel.stages.iter().any(|stage| is_reused(kernel, stage, axis));
    let rows = pick_rows(judge, outer, &reused);
    let widest = found.iter().map(|lanes| columns(judge, lanes, target)).max().unwrap_or(0).max(1);
    let (height, most) = match &rows {
        // A task more for each row, and what it keeps small.
        Some(_) if target.abreast.is_some() => (1, 1),
        Some(rows) => register_block(judge, rows, widest, target),
        None => (1, 4),
    };
    // Lanes along what is folded have accumulators for each row, and a sum of lanes for each.
    let across = found.iter().any(|lanes| folds_lanes(judge, lanes));
    let height = if across { height.min(target.vector_regs / 2 / VECTORS).max(1) } else { height };
    if let Some(rows) = rows.filter(|_| height > 1) {
        if let Some(Step::Order(order)) = steps.first_mut() {
            order.retain(|axis| *axis != rows);
            order.push(rows.clone());
        }
        steps.push(Step::Block(rows, height));
    }
    let single = |nest: usize| height > 1 && !is_contraction(kernel, nest);
    for lanes in &found {
        let start = lanes.nest.start;
        let own = nest_steps(judge, lanes, most, target);
        steps.extend(own.into_iter().map(|step| Step::Within(start, Box::new(step))));
        if single(start) {
            steps.push(Step::Single(start));
        }
    }
    steps.extend(kept(kernel, &single).into_iter().map(Step::Keep));
    (found.iter().map(|lanes| lanes.cost).sum(), steps)
}

/// The cheapest lanes of a nest: along an axis of its own, or the innermost one that it folds.
fn best(judge: &Judge, outer: &[Name], nest: Range<usize>, target: &Target) -> Lanes {
    let cost = |vector: Option<(Name, u16)>| {
        let stages = &judge.kernel.stages[nest.clone()];
        let cost = stages.iter().map(|stage| judge.stage_cost(stage, outer, vector.clone())).sum();
        Lanes { nest: nest.clone(), cost, vector }
    };
    let first = &judge.kernel.stages[nest.start];
    let folded = first.reduce.iter().flat_map(|reduce| reduce.axes.split_last()).flat_map(|(_, others)| others);
    let others: Vec<&Name> = folded.collect();
    let fits = judge.lanes_fit(&computed(judge.kernel, nest.clone()));
    let alike = |axis: &Name| judge.kernel.stages[nest.clone()].iter().all(|stage| judge.stores_alike(stage, axis));
    let axes = inner_axes(first, outer).filter(|axis| fits && !others.contains(axis) && alike(axis));
    let vectors = axes.filter_map(|axis| Some((axis.clone(), lanes(judge, axis, target)?)));
    vectors.map(|vector| cost(Some(vector))).fold(cost(None), |a, b| if b.cost < a.cost { b } else { a })
}

/// The stages of a nest, and those that are computed again where it reads them.
fn computed(kernel: &Kernel, nest: Range<usize>) -> Vec<Stage> {
    let mut kept = kept(kernel, &|_| false);
    kept.retain(|stage| filled_by(kernel, &nests(kernel), *stage) != Some(nest.start));
    let mut numbers: Vec<usize> = nest.clone().collect();
    let mut next = 0;
    while let Some(number) = numbers.get(next).copied() {
        next += 1;
        kernel.stages[number].value.visit(&mut |e| {
            if let ExprKind::Stage(read) = e.kind()
                && !kept.contains(read)
                && kernel.stages[*read].reduce.is_none()
                && !numbers.contains(read)
            {
                numbers.push(*read);
            }
        });
    }
    numbers.into_iter().map(|number| kernel.stages[number].clone()).collect()
}

/// Vectors along an axis of a contraction's result.
fn columns(judge: &Judge, lanes: &Lanes, target: &Target) -> u32 {
    let stage = &judge.kernel.stages[lanes.nest.start];
    match &lanes.vector {
        Some((axis, width)) if is_contraction(judge.kernel, lanes.nest.start) && stage.axes.contains(axis) => {
            vectors(judge, axis, *width, target)
        }
        _ => 0,
    }
}

/// Whether a contraction has its lanes along an axis that it folds.
fn folds_lanes(judge: &Judge, lanes: &Lanes) -> bool {
    let stage = &judge.kernel.stages[lanes.nest.start];
    let own = |vector: &(Name, u16)| stage.axes.contains(&vector.0);
    is_contraction(judge.kernel, lanes.nest.start) && lanes.vector.as_ref().is_some_and(|vector| !own(vector))
}

fn nest_steps(judge: &Judge, lanes: &Lanes, most: u32, target: &Target) -> Vec<Step> {
    let stage = &judge.kernel.stages[lanes.nest.start];
    let mut steps = Vec::new();
    let contraction = is_contraction(judge.kernel, lanes.nest.start);
    if let Some((axis, width)) = &lanes.vector {
        let all = vectors(judge, axis, *width, target);
        let block = match contraction {
            // Blocks of about one size.
            true if stage.axes.contains(axis) => all.div_ceil(all.div_ceil(most.max(1))),
            _ => VECTORS.min(all),
        };
        steps.extend(vector_steps(judge, &computed(judge.kernel, lanes.nest.clone()), axis, *width, target));
        steps.push(Step::Block(axis.clone(), block));
    }
    let folded = stage.reduce.iter().flat_map(|reduce| reduce.axes.last());
    let across = |axis: &&Name| lanes.vector.as_ref().is_some_and(|vector| vector.0 == **axis);
    let unrolled = folded.filter(|axis| contraction && !across(axis) && judge.points(axis) >= f64::from(UNROLLED * 2));
    steps.extend(unrolled.map(|axis| Step::Block(axis.clone(), UNROLLED)));
    steps
}

/// Vectors of an axis that are written out where they share nothing.
const VECTORS: u32 = 4;

/// Steps of a fold that are written out.
const UNROLLED: u32 = 4;

fn is_contraction(kernel: &Kernel, stage: usize) -> bool {
    factors(&kernel.stages[stage]).is_some()
}

fn factors(stage: &Stage) -> Option<(Expr, Expr)> {
    stage.reduce.as_ref().filter(|reduce| reduce.monoid == Monoid::Sum).and_then(|_| product(&stage.value))
}

/// Whether one factor of a contraction is the same all along an axis, and the other is not.
fn is_reused(kernel: &Kernel, stage: &Stage, axis: &Name) -> bool {
    factors(stage).is_some_and(|(a, b)| mentions(kernel, &a, axis) != mentions(kernel, &b, axis))
}

fn mentions(kernel: &Kernel, expr: &Expr, axis: &Name) -> bool {
    let mut found = false;
    expr.visit(&mut |e| {
        if let ExprKind::Stage(stage) = e.kind() {
            found |= kernel.stages[*stage].axes.contains(axis);
        }
        e.visit_indices(&mut |index| found |= index.mentions(axis));
    });
    found
}
