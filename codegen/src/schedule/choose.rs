//! Chooses the steps of a kernel for a target.

use super::cost::Judge;
use super::nests::kept;
use super::tasks::parallel;
use super::{NARROWEST, Plan, Step, crew, inner_axes, is_serial, nests, panels, rows};
use crate::layout::Layout;
use crate::lower::product;
use mlc_ir::program::{Expr, ExprKind, Kernel, Program, Stage};
use mlc_ir::target::Target;
use mlc_ir::{Index, Name};

/// The best known schedule of a kernel.
pub fn choose(kernel: &Kernel, program: &Program, layouts: &[Layout], target: &Target) -> Vec<Step> {
    let kept: Vec<Step> = kept(kernel, &|_| false).into_iter().map(Step::Keep).collect();
    // What could be computed again is, where tasks run abreast: their own memory is far.
    let near = target.abreast.is_none();
    if is_serial(kernel) {
        return kept.into_iter().filter(|_| near).collect();
    }
    let judge = Judge { kernel, program, layouts, facts: kernel.facts(&program.facts) };
    let outer = kernel.outer_axes();
    if let Some(steps) = panels::steps(&judge, &outer, target) {
        return with_tasks(steps, &judge, 0.0, target);
    }
    let (cost, steps) = if rows::has_nests(kernel) {
        rows::steps(&judge, &outer, target)
    } else {
        common_steps(&judge, &outer, target)
    };
    let (mut steps, shared) = crew::deal(&judge, &outer, steps, target);
    if !rows::has_nests(kernel) && (near || shared && crew::has_room(&judge, &steps, &kept, target)) {
        steps.extend(kept);
    }
    with_tasks(steps, &judge, cost, target)
}

/// Deals a kernel of a cost out to tasks.
pub(super) fn with_tasks(mut steps: Vec<Step>, judge: &Judge, cost: f64, target: &Target) -> Vec<Step> {
    if let Ok(plan) = Plan::new(judge.kernel, &steps) {
        let block = |axis: &Name| f64::from(plan.block(0, axis)) * f64::from(plan.lanes(0, axis));
        let width = |axis: &Name| block(axis) * f64::from(plan.crew(0, axis));
        steps.extend(parallel(judge, &plan.outer, &width, cost, target));
    }
    steps
}

/// Steps where all stages have their lanes along one outer axis, or along the innermost axis of each.
fn common_steps(judge: &Judge, outer: &[Name], target: &Target) -> (f64, Vec<Step>) {
    let (cost, lanes) = best_vector(judge, outer, target);
    let steps = match lanes {
        Lanes::None => order_steps(judge, outer, None),
        Lanes::Outer(axis) => outer_steps(judge, outer, &axis, target),
        Lanes::Inner => inner_steps(judge, outer, target),
    };
    (cost, steps)
}

/// Lanes along an axis: as many as a register has, or the part of it that the axis fills; `None` if it fills not even
/// 128 bits. Where there are masks, a known axis of two points or more may leave the last lanes of a register unused.
pub(super) fn lanes(judge: &Judge, axis: &Name, target: &Target) -> Option<u16> {
    let points = judge.points(axis);
    let widest = (target.vector_bytes / 4) as u16;
    let mut widths = (2..).map(|n| widest >> (n - 2)).take_while(|&n| n >= NARROWEST);
    if target.masks && judge.is_known(axis) {
        let holds_all = |n: &u16| f64::from(*n) >= points;
        return (points >= 2.0).then(|| widths.take_while(holds_all).last().unwrap_or(widest));
    }
    widths.find(|&n| points >= f64::from(n))
}

/// Lanes of stages along an axis, masked where they have to be and can be.
pub(super) fn vector_steps(
    judge: &Judge,
    stages: &[Stage],
    axis: &Name,
    lanes: u16,
    target: &Target,
) -> impl Iterator<Item = Step> {
    let whole = judge.is_known(axis) && (judge.points(axis) % f64::from(lanes)) == 0.0;
    let masked = target.masks && !whole && (judge.is_known(axis) || judge.lies_in_rows(stages, axis, lanes));
    [Some(Step::Vector(axis.clone(), lanes)), masked.then(|| Step::Mask(axis.clone()))].into_iter().flatten()
}

/// Vectors that hold the points of an axis; without masks, those that are full.
pub(super) fn vectors(judge: &Judge, axis: &Name, lanes: u16, target: &Target) -> u32 {
    let vectors = judge.points(axis) / f64::from(lanes);
    let vectors = if target.masks { vectors.ceil() } else { vectors.floor() };
    vectors.max(1.0) as u32
}

/// Where the lanes run.
pub(super) enum Lanes {
    None,
    Outer(Name),
    /// Along the innermost axis of every stage's own nest.
    Inner,
}

pub(super) fn innermost(stage: &Stage, outer: &[Name]) -> Option<Name> {
    inner_axes(stage, outer).last().cloned()
}

/// Where the lanes run best, and the cost of the kernel then.
pub(super) fn best_vector(judge: &Judge, outer: &[Name], target: &Target) -> (f64, Lanes) {
    let along = |axis: Name| lanes(judge, &axis, target).map(|lanes| (axis, lanes));
    let mut best = (judge.kernel_cost(outer, &|_| None), Lanes::None);
    if !judge.has_lanes() {
        return best;
    }
    for axis in outer {
        let alike = judge.kernel.stages.iter().all(|stage| judge.stores_alike(stage, axis));
        let Some(vector) = along(axis.clone()).filter(|_| alike) else { continue };
        let cost = judge.kernel_cost(outer, &|_| Some(vector.clone()));
        if cost < best.0 {
            best = (cost, Lanes::Outer(axis.clone()));
        }
    }
    let inner = |stage: &Stage| innermost(stage, outer).filter(|axis| judge.stores_alike(stage, axis)).and_then(along);
    if judge.kernel.stages.iter().any(|stage| inner(stage).is_some()) {
        let cost = judge.kernel_cost(outer, &inner);
        if cost < best.0 {
            best = (cost, Lanes::Inner);
        }
    }
    best
}

/// Outer axes in the order of the last store's memory, so that neighbours are written one after the other.
pub(super) fn order_steps(judge: &Judge, outer: &[Name], last: Option<&Name>) -> Vec<Step> {
    let store = judge.kernel.stages.iter().rev().find_map(|stage| stage.store.as_ref());
    let Some(store) = store else { return vec![] };
    let layout = &judge.layouts[store.buffer as usize];
    let mut order: Vec<Name> = Vec::new();
    for &dim in &layout.order {
        let mentioned = store.index[dim].vars();
        order.extend(
            outer
                .iter()
                .filter(|axis| mentioned.contains(*axis) && !order.contains(*axis))
                .cloned()
                .collect::<Vec<_>>(),
        );
    }
    order.extend(outer.iter().filter(|axis| !order.contains(*axis)).cloned().collect::<Vec<_>>());
    if let Some(last) = last {
        order.retain(|axis| axis != last);
        order.push(last.clone());
    }
    vec![Step::Order(order)]
}

fn outer_steps(judge: &Judge, outer: &[Name], axis: &Name, target: &Target) -> Vec<Step> {
    let lanes = lanes(judge, axis, target).unwrap_or(NARROWEST);
    let vectors = vectors(judge, axis, lanes, target);
    let Some(rows) = row_axis(judge, outer, axis) else {
        let mut steps = order_steps(judge, outer, Some(axis));
        steps.extend(vector_steps(judge, &judge.kernel.stages, axis, lanes, target));
        let wide = match judge.kernel.stages.len() {
            _ if target.abreast.is_some() => 1,
            // So many stages have enough to do that does not wait for each other.
            MANY.. => 1,
            _ if judge.kernel.stages.iter().any(|s| s.reduce.is_some()) => 4,
            _ => 2,
        };
        steps.push(Step::Block(axis.clone(), wide.min(vectors)));
        return steps;
    };
    let (height, columns) = match target.abreast {
        Some(busy) => (block_abreast(judge, outer, &rows, lanes, busy), 1),
        None => register_block(judge, &rows, vectors, target),
    };
    // Across some axes nothing is used again. Within them panels of columns come first: a panel of weights is used for all
    // rows while it is near.
    let mut order: Vec<Name> = Vec::new();
    if target.abreast.is_none() && weights_follow(judge, axis) {
        order.extend(outer.iter().filter(|other| *other != axis && *other != &rows && shared(judge, other)).cloned());
        order.push(axis.clone());
    }
    let others = order_steps(judge, outer, None);
    if let Some(Step::Order(others)) = others.first() {
        let rest =
            others.iter().filter(|a| *a != axis && **a != rows && !order.contains(*a)).cloned().collect::<Vec<_>>();
        order.extend(rest);
    }
    if target.abreast.is_some() {
        order.push(rows.clone());
    }
    if !order.contains(axis) {
        order.push(axis.clone());
    }
    if !order.contains(&rows) {
        order.push(rows.clone());
    }
    let mut steps = vec![Step::Order(order)];
    steps.extend(vector_steps(judge, &judge.kernel.stages, axis, lanes, target));
    steps.extend([Step::Block(axis.clone(), columns), Step::Block(rows, height.max(1))]);
    steps.extend(folded_block(judge, height * columns));
    // What runs abreast has registers of its own, and no memory as near.
    if height * columns >= LOOPED && target.abreast.is_none() {
        steps.extend(epilogue_steps(judge));
    }
    steps
}

/// With fewer points in a block, its epilogue is written out.
const LOOPED: u32 = 4;

/// So many operations of an epilogue outweigh that its points are written to memory and read again.
const DEAR: usize = 5;

/// A long epilogue is a loop over the points of a block, which wait for it in scratch memory: it would be written out for
/// each of them, many times as long as the fold. One behind several folds always is, for registers hold the sums of one.
pub(super) fn epilogue_steps(judge: &Judge) -> Vec<Step> {
    let maps = nests::epilogue(judge.kernel);
    let folds = judge.kernel.stages.len() - maps.len();
    let long = maps.iter().any(|stage| nests::is_dear(&stage.value)) || operations(maps) >= DEAR;
    let looped = long || !maps.is_empty() && folds > 1;
    if looped { (0..folds).map(Step::Keep).chain([Step::Single(folds)]).collect() } else { vec![] }
}

/// The number of operations of some stages.
fn operations(stages: &[Stage]) -> usize {
    let mut count = 0;
    let leaf = |e: &Expr| matches!(e.kind(), ExprKind::Const(_) | ExprKind::Stage(_) | ExprKind::Load { .. });
    stages.iter().for_each(|stage| stage.value.visit(&mut |e| count += usize::from(!leaf(e))));
    count
}

/// Stages of a kernel that computes much of little, as the transform of a tile does.
const MANY: usize = 16;

/// Rows, and vectors of columns, of a register block.
pub(super) fn register_block(judge: &Judge, rows: &Name, vectors: u32, target: &Target) -> (u32, u32) {
    let height = |columns: u32| block_rows(judge, rows, most_rows(target, columns)).max(1);
    // Cycles of a step along a row of all the vectors: two multiply-adds or loads start in one, and so many pass before an
    // accumulator can be added to again.
    let block = |height: u32, columns: u32| f64::from((height * columns).max(height + columns).max(2 * LATENCY)) / 2.0;
    let cycles = |columns: u32| {
        let (height, left) = (height(columns), vectors % columns);
        let rest = if left > 0 { block(height, left) } else { 0.0 };
        (f64::from(vectors / columns) * block(height, columns) + rest) / f64::from(height)
    };
    let best = columns(target).iter().map(|n| *n.min(&vectors)).min_by(|a, b| cycles(*a).total_cmp(&cycles(*b)));
    best.map_or((1, 1), |columns| (height(columns), columns))
}

/// Rows of a register block where tasks run abreast: as many as leave enough tasks.
fn block_abreast(judge: &Judge, outer: &[Name], rows: &Name, lanes: u16, busy: u32) -> u32 {
    let points: f64 = outer.iter().map(|axis| judge.points(axis)).product();
    let tasks = points / f64::from(lanes) / f64::from(busy);
    let most = (tasks as u32).clamp(1, MOST_ROWS);
    block_rows(judge, rows, most)
}

/// Rows of a register block, where there are tasks enough: more would wait for memory no less.
const MOST_ROWS: u32 = 8;

/// Cycles of a multiply-add, the slower processors' counted.
pub(super) const LATENCY: u32 = 5;

/// Rows of accumulators that registers have room for, beside the columns and one factor; or, where a multiply-add
/// overwrites a factor, one more register a row.
pub(super) fn most_rows(target: &Target, columns: u32) -> u32 {
    if target.adds_in_place {
        (target.vector_regs - columns - 1) / columns
    } else {
        (target.vector_regs - 4) / (columns + 1)
    }
}

/// Steps of the innermost folded axis that are written out, so that loop control weighs little beside so many multiply-adds
/// in each.
fn folded_block(judge: &Judge, each: u32) -> Option<Step> {
    let steps = unrolled(each);
    let stage = judge.kernel.stages.iter().find(|stage| stage.reduce.is_some())?;
    let axis = stage.reduce.as_ref()?.axes.last()?;
    let enough = judge.points(axis) >= f64::from((steps * 2).max(LONG)) && product(&stage.value).is_some();
    enough.then(|| Step::Block(axis.clone(), steps))
}

/// A shorter fold is not written out, for it is written once more for what is left.
const LONG: u32 = 8;

/// Steps of a fold that are written out where each has so many multiply-adds.
pub(super) fn unrolled(each: u32) -> u32 {
    const ENOUGH: u32 = 48;
    ENOUGH.div_ceil(each.max(1)).next_power_of_two().min(4)
}

/// Vectors of columns that a register block may have: what leaves room for more than as many rows.
fn columns(target: &Target) -> &'static [u32] {
    match target.vector_regs {
        32.. => &[3],
        16.. if target.adds_in_place => &[3, 2],
        _ => &[2],
    }
}

/// Rows of a register block: as many as fit, or fewer if they leave no rest, or else blocks of about one size.
pub(super) fn block_rows(judge: &Judge, rows: &Name, most: u32) -> u32 {
    // Lengths tend to be even; and what is left of a power of two is proved to stay in bounds.
    let Some(extent) = judge.kernel.extent(rows).and_then(Index::as_const) else { return 1 << most.max(1).ilog2() };
    let extent = extent.max(1) as u32;
    let exact = (1..=most).rev().find(|n| extent.is_multiple_of(*n)).unwrap_or(1);
    if exact * 3 >= most * 2 { exact } else { extent.div_ceil(extent.div_ceil(most)) }
}

/// An outer axis along which one operand of a fold is used again: the one that lies closest to the lanes in what is
/// written, because symbolic outer axes (a batch) are often 1; a short one gives way to a longer one.
fn row_axis(judge: &Judge, outer: &[Name], vector: &Name) -> Option<Name> {
    long_first(judge, &row_axes(judge, outer, vector))
}

/// All such axes, the closest first.
pub(super) fn row_axes(judge: &Judge, outer: &[Name], vector: &Name) -> Vec<Name> {
    let Some(stage) = judge.kernel.stages.iter().find(|stage| stage.reduce.is_some()) else { return vec![] };
    let loads = loads(&stage.value);
    let reused = |axis: &Name| {
        let uses = |index: &Vec<Index>| index.iter().any(|i| i.mentions(axis));
        loads.iter().any(|l| !uses(&l.1)) && loads.iter().any(|l| uses(&l.1))
    };
    rows_where(judge, outer, &|axis| axis != vector && reused(axis))
}

/// The best of the outer axes that may be rows.
pub(super) fn pick_rows(judge: &Judge, outer: &[Name], may: &dyn Fn(&Name) -> bool) -> Option<Name> {
    long_first(judge, &rows_where(judge, outer, may))
}

fn long_first(judge: &Judge, candidates: &[Name]) -> Option<Name> {
    let long = candidates.iter().find(|axis| judge.points(axis) >= SHORT);
    long.or(candidates.first()).cloned()
}

/// The outer axes that may be rows, the one closest to the lanes in what is written first.
fn rows_where(judge: &Judge, outer: &[Name], may: &dyn Fn(&Name) -> bool) -> Vec<Name> {
    let Some(Step::Order(order)) = order_steps(judge, outer, None).pop() else { return vec![] };
    order.into_iter().rev().filter(|axis| judge.points(axis) > 1.0 && may(axis)).collect()
}

/// An axis with fewer points does not fill a block of rows.
const SHORT: f64 = 4.0;

/// Whether the operand with lanes along an axis is a weight.
fn weights_follow(judge: &Judge, axis: &Name) -> bool {
    let constant = |(buffer, index): &(u32, Vec<Index>)| {
        judge.program.buffer(*buffer).constant.is_some() && index.iter().any(|i| i.mentions(axis))
    };
    judge.kernel.stages.iter().filter(|s| s.reduce.is_some()).any(|s| loads(&s.value).iter().any(constant))
}

/// Whether all operands of a contraction lie elsewhere at each point of an axis.
fn shared(judge: &Judge, axis: &Name) -> bool {
    let mut folds = judge.kernel.stages.iter().filter(|stage| stage.reduce.is_some());
    folds.all(|stage| loads(&stage.value).iter().all(|(_, index)| index.iter().any(|i| i.mentions(axis))))
}

/// Every load of an expression.
pub(crate) fn loads(expr: &Expr) -> Vec<(u32, Vec<Index>)> {
    let mut loads = Vec::new();
    expr.visit(&mut |e| {
        if let ExprKind::Load { buffer, index } = e.kind() {
            loads.push((*buffer, index.clone()));
        }
    });
    loads
}

pub(super) fn inner_steps(judge: &Judge, outer: &[Name], target: &Target) -> Vec<Step> {
    let mut steps = order_steps(judge, outer, None);
    let mut seen: Vec<Name> = Vec::new();
    for stage in &judge.kernel.stages {
        let Some(axis) = innermost(stage, outer).filter(|axis| !seen.contains(axis)) else { continue };
        let Some(lanes) = lanes(judge, &axis, target) else { continue };
        let vectors = vectors(judge, &axis, lanes, target);
        steps.extend(vector_steps(judge, &judge.kernel.stages, &axis, lanes, target));
        let contraction = stage.reduce.is_some() && product(&stage.value).is_some() && judge.kernel.stages.len() == 1;
        steps.push(Step::Block(axis.clone(), if contraction { 2 } else { 4 }.min(vectors)));
        seen.push(axis);
    }
    steps
}
