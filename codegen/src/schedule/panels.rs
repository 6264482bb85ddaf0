//! Products by panels, where threads can run a task together.
//!
//! In: a kernel that is one product, summed, and what becomes of each sum.  Out: the block of a task, how a crew shares it, and how
//! much of the folded axis it brings near at a time.

use super::choose::order_steps;
use super::cost::Judge;
use super::{Step, inner_axes};
use crate::lower::{factors, product};
use mlc_ir::program::{Expr, Stage};
use mlc_ir::target::{Crew, Target, WARP};
use mlc_ir::tile::{Monoid, Row};
use mlc_ir::{DType, Name};
use std::collections::BTreeSet;

/// The block of a task, and that of each member, or warp.
struct Shape {
    rows: u32,
    columns: u32,
    /// Of one member or warp.
    high: u32,
    wide: u32,
    /// What part of the multiply-adds a machine can do it does, if it has members enough.
    rate: f64,
}

impl Shape {
    /// Members, or warps, that share the rows, and that share the columns.
    fn down(&self) -> u32 {
        self.rows / self.high
    }

    fn across(&self) -> u32 {
        self.columns / self.wide
    }

    /// Threads of a crew.
    fn members(&self, matrices: bool) -> u32 {
        self.down() * self.across() * if matrices { WARP } else { 1 }
    }
}

const fn shape(rows: u32, columns: u32, high: u32, wide: u32, rate: f64) -> Shape {
    Shape { rows, columns, high, wide, rate }
}

/// Blocks of warps that multiply matrices.
const MATRICES: [Shape; 7] = [
    shape(128, 128, 32, 64, 1.0),
    shape(128, 64, 32, 32, 0.9),
    shape(64, 128, 32, 32, 0.9),
    shape(64, 64, 32, 32, 0.8),
    shape(32, 64, 16, 32, 0.6),
    shape(32, 32, 16, 16, 0.4),
    shape(16, 64, 16, 16, 0.4),
];

/// Blocks of members that multiply points. Larger ones read less for each product, smaller ones are more tasks.
const POINTS: [Shape; 8] = [
    shape(128, 128, 8, 8, 1.0),
    shape(128, 64, 8, 8, 0.95),
    shape(64, 128, 8, 8, 0.95),
    shape(64, 64, 4, 8, 0.85),
    shape(64, 32, 4, 4, 0.65),
    shape(32, 64, 4, 4, 0.65),
    shape(32, 32, 2, 4, 0.45),
    shape(16, 64, 2, 4, 0.45),
];

/// Members that keep a core busy.
const BUSY: f64 = 256.0;

/// Rows and columns of results below which nothing is worth bringing near.
const FEW: f64 = 8.0;

/// Points of the folded axis in a panel, at least: fewer are not worth the members' waiting for each other.
const SHALLOW: u32 = 8;

/// Such points at most, and bytes of a panel that each member brings: the more are on their way at once, the less it waits.
const DEEP: u32 = 64;
const BROUGHT: u32 = 128;

/// The part of all panels that is better not less than what there is to multiply.
const FULL: f64 = 7.0 / 8.0;

/// Panels that are there or on their way, at most.
const SLOTS: u32 = 4;

/// Points of the folded axis that are worth having on their way at once.
const AHEAD: u32 = 96;

/// What an axis of unknown length that is neither rows nor columns, a batch mostly, is taken to have: where it has more, small
/// blocks cost less than large ones do where it has not.
const UNKNOWN: f64 = 1.0;

/// Elements that are moved at once.
const LANES: u16 = 4;

/// What a product's outer axes are to it.
struct Roles {
    /// All, as the result lies.
    order: Vec<Name>,
    column: Name,
    /// The innermost one first.
    rows: Vec<Name>,
}

/// A product that is large enough.
struct Product<'a> {
    judge: &'a Judge<'a>,
    /// The innermost axis that is folded, and its points.
    folded: Name,
    deep: f64,
    roles: Roles,
    /// Points of the axes that are neither rows nor columns.
    others: f64,
    /// The row of matrices that it is computed by, if there is one, and the points of the folded axis that it takes.
    row: Option<&'static str>,
    step: u32,
    /// Of an element of the wider factor.
    bytes: u32,
}

/// The steps of such a product, if it is large enough.
pub(super) fn steps(judge: &Judge, outer: &[Name], target: &Target) -> Option<Vec<Step>> {
    let crew = target.crew?;
    let product = Product::of(judge, outer, target)?;
    let shape = product.shape(target, crew)?;
    let mut steps = vec![Step::Order(product.roles.order.clone())];
    steps.extend(product.sides(shape));
    let (depth, slots) = product.panel(shape, crew);
    steps.push(Step::Panel(product.folded.clone(), depth, slots));
    steps.extend(product.row.map(|row| Step::Matrix(row.into(), shape.down(), shape.across())));
    Some(steps)
}

impl<'a> Product<'a> {
    fn of(judge: &'a Judge, outer: &[Name], target: &Target) -> Option<Product<'a>> {
        let (stage, maps) = judge.kernel.stages.split_first()?;
        let alone = maps.iter().all(|map| map.reduce.is_none());
        let flat = judge.kernel.stages.iter().all(|stage| stage.axes.len() == outer.len());
        let reduce = stage.reduce.as_ref().filter(|reduce| reduce.monoid == Monoid::Sum && alone && flat)?;
        let folded = reduce.axes.last()?.clone();
        let roles = roles(judge, stage, outer)?;
        let rows: f64 = roles.rows.iter().map(|axis| judge.points(axis)).product();
        let deep = judge.points(&folded);
        if judge.points(&roles.column) < FEW || rows < FEW || deep < f64::from(SHALLOW) {
            return None;
        }
        let others = outer.iter().filter(|axis| **axis != roles.column && !roles.rows.contains(axis));
        let others = others.map(|axis| counted(judge, axis)).product();
        let row = matrix_row(stage, deep, target);
        let step = row.and_then(|row| Row::from_name(row)?.shape()).map_or(1, |shape| u32::from(shape.k));
        let bytes = factors(&stage.value).iter().map(|factor| factor.dtype().bytes() as u32).max().unwrap_or(1);
        Some(Product { judge, folded, deep, roles, others, row, step, bytes })
    }

    /// The fastest of the blocks whose members there are, with registers for their sums.
    fn shape(&self, target: &Target, crew: Crew) -> Option<&'static Shape> {
        let shapes: &[Shape] = if self.row.is_some() { &MATRICES } else { &POINTS };
        // Where a matrix is of floats, each is two words.
        let words = if self.row.is_some() { self.bytes.div_ceil(2) } else { 1 };
        let fits = |shape: &&Shape| {
            let members = shape.members(self.row.is_some());
            members <= crew.most && shape.rows * shape.columns / members * words <= 2 * target.vector_regs
        };
        shapes.iter().filter(fits).min_by(|a, b| self.cost(a, crew).total_cmp(&self.cost(b, crew)))
    }

    /// How a block is shared along the outer axes. Warps share it by matrices, whatever axes these are of.
    fn sides(&self, shape: &Shape) -> Vec<Step> {
        let lanes = lanes(self.judge, &self.roles.column);
        let alone = |members: u32| if self.row.is_some() { 1 } else { members };
        let mut steps = Vec::new();
        let mut side = |axis: &Name, points: u32, members: u32, lanes: u32| {
            steps.push(Step::Block(axis.clone(), points / members / lanes));
            steps.push(Step::Crew(axis.clone(), members));
        };
        side(&self.roles.column, shape.columns, alone(shape.across()), u32::from(lanes));
        let mut members = alone(shape.down());
        for (axis, points) in split(self.judge, &self.roles.rows, shape.rows) {
            let share = points.min(members);
            members /= share;
            side(&axis, points, share, 1);
        }
        if lanes > 1 {
            steps.push(Step::Vector(self.roles.column.clone(), lanes));
        }
        steps
    }

    /// How many points of the folded axis a panel has, and how many panels there are: as much on its way at once as is worth it,
    /// in panels as deep as they may be, of which the last is not too empty.
    fn panel(&self, shape: &Shape, crew: Crew) -> (u32, u32) {
        let brought = |depth: u32| (shape.rows + shape.columns) * depth * self.bytes;
        let most = BROUGHT * shape.members(self.row.is_some());
        let fits =
            |depth: &u32| brought(*depth) <= most && f64::from(*depth) <= self.deep && depth.is_multiple_of(self.step);
        // Rows are longer than what is in them, by more where words are read across them.
        let longer =
            |depth: u32| (shape.rows.max(depth) + shape.columns.max(depth)) * if self.bytes == 4 { 32 } else { 16 };
        let near = |(depth, slots): &(u32, u32)| (brought(*depth) + longer(*depth)) * slots <= crew.bytes;
        let depths = (0..=(DEEP / SHALLOW).ilog2()).map(|n| DEEP >> n).filter(fits);
        let pairs = depths.flat_map(|depth| (1..=SLOTS.ilog2()).map(move |n| (depth, 1 << n)));
        let known = self.judge.is_known(&self.folded);
        let full = |depth: u32| {
            let part = self.deep / ((self.deep / f64::from(depth)).ceil() * f64::from(depth));
            depth >= 2 * SHALLOW && (!known || part >= FULL)
        };
        let best = |(depth, slots): &(u32, u32)| (full(*depth), (depth * (slots - 1)).min(AHEAD), *depth);
        pairs.filter(near).max_by_key(best).unwrap_or((SHALLOW.max(self.step), 1))
    }

    /// The time that it takes in blocks of a shape.
    fn cost(&self, shape: &Shape, crew: Crew) -> f64 {
        let blocks = |axis: &Name, n: u32| (self.judge.points(axis) / f64::from(n)).ceil();
        let sides = split(self.judge, &self.roles.rows, shape.rows);
        let blocked: f64 = sides.iter().map(|(axis, n)| blocks(axis, *n)).product();
        let alone = self.roles.rows.iter().filter(|axis| !sides.iter().any(|side| side.0 == **axis));
        let rows = blocked * alone.map(|axis| counted(self.judge, axis)).product::<f64>();
        let tasks = rows * blocks(&self.roles.column, shape.columns) * self.others;
        let each = (tasks / f64::from(crew.cores)).ceil();
        let busy = (f64::from(shape.members(self.row.is_some())) * each / BUSY).min(1.0);
        each * f64::from(shape.rows * shape.columns) / shape.rate / busy
    }
}

/// The points of an axis that is cut into no blocks.
fn counted(judge: &Judge, axis: &Name) -> f64 {
    if judge.is_known(axis) { judge.points(axis) } else { UNKNOWN }
}

/// The row of matrices that a product can be computed by, if it folds so many points.
fn matrix_row(stage: &Stage, deep: f64, target: &Target) -> Option<&'static str> {
    let types: Vec<DType> = factors(&stage.value).iter().map(Expr::dtype).collect();
    let fits = |name: &&&str| {
        let row = Row::from_name(name).and_then(|row| Some((row, row.shape()?)));
        row.is_some_and(|(row, shape)| {
            let same = row.cell.dtype == stage.value.dtype() && types == [row.a.dtype, row.b.dtype];
            same && deep >= f64::from(shape.k)
        })
    };
    target.matrices.iter().find(fits).copied()
}

/// Rows are what one factor alone depends on, columns what the other does: that which lies innermost in the result and is
/// not too short.
fn roles(judge: &Judge, stage: &Stage, outer: &[Name]) -> Option<Roles> {
    let (a, b) = product(&stage.value)?;
    let (a, b) = (axes(&a), axes(&b));
    let folded: Vec<Name> = inner_axes(stage, outer).cloned().collect();
    if ![&a, &b].iter().all(|factor| folded.last().is_some_and(|axis| factor.contains(axis))) {
        return None;
    }
    let Some(Step::Order(order)) = order_steps(judge, outer, None).pop() else { return None };
    // An axis of one point, by a size that only a run tells, may be none of the result's.
    let is_stored = |axis: &Name| {
        let mut stores = judge.kernel.stages.iter().filter_map(|stage| stage.store.as_ref());
        stores.all(|store| store.index.iter().any(|index| index.mentions(axis)))
    };
    let alone = |axis: &&Name| a.contains(*axis) != b.contains(*axis) && is_stored(axis);
    let column = order.iter().rev().filter(alone).find(|axis| judge.points(axis) >= FEW)?.clone();
    let (own, other) = if a.contains(&column) { (&a, &b) } else { (&b, &a) };
    let is_row = |axis: &&Name| other.contains(*axis) && !own.contains(*axis) && judge.points(axis) > 1.0;
    let rows: Vec<Name> = order.iter().rev().filter(is_row).cloned().collect();
    let mut order = order;
    order.retain(|axis| *axis != column);
    order.push(column.clone());
    Some(Roles { order, column, rows })
}

/// The axes that what an expression reads depends on.
fn axes(expr: &Expr) -> BTreeSet<Name> {
    let mut axes = BTreeSet::new();
    expr.visit(&mut |e| e.visit_indices(&mut |index| axes.extend(index.vars())));
    axes
}

/// Lanes run along columns where all of it can be moved in vectors.
fn lanes(judge: &Judge, column: &Name) -> u16 {
    let whole = judge.is_known(column) && judge.points(column) % f64::from(LANES) == 0.0;
    let maps = &judge.kernel.stages[1..];
    let stores = judge.kernel.stages.iter().all(|stage| judge.stores_alike(stage, column));
    let rows = whole || judge.lies_in_rows(maps, column, LANES) && judge.lies_in_rows(&result(judge), column, LANES);
    if judge.has_lanes() && stores && rows { LANES } else { 1 }
}

/// The product as a stage that does nothing but store.
fn result(judge: &Judge) -> Vec<Stage> {
    let mut stage = judge.kernel.stages[0].clone();
    stage.value = Expr::constant(stage.value.dtype(), mlc_ir::Scalar::Int(0));
    stage.reduce = None;
    vec![stage]
}

/// Rows of a block along at most two axes, as many powers of two as leave least of them empty; those that lie innermost first.
fn split(judge: &Judge, axes: &[Name], rows: u32) -> Vec<(Name, u32)> {
    let [inner, others @ ..] = axes else { return vec![] };
    let Some(outer) = others.iter().find(|axis| judge.is_known(axis)).filter(|_| judge.is_known(inner)) else {
        let long = axes.iter().find(|axis| judge.points(axis) >= FEW).unwrap_or(inner);
        return vec![(long.clone(), rows)];
    };
    let used = |axis: &Name, n: u32| judge.points(axis) / ((judge.points(axis) / f64::from(n)).ceil() * f64::from(n));
    let part = |n: &u32| used(inner, *n) * used(outer, rows / n);
    let sizes = (0..=rows.ilog2()).map(|n| rows >> n);
    let best = sizes.reduce(|best, n| if part(&n) > part(&best) { n } else { best }).unwrap_or(rows);
    [(inner.clone(), best), (outer.clone(), rows / best)].into_iter().filter(|it| it.1 > 1).collect()
}
