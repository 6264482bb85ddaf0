//! What a kernel costs if its lanes run along an axis: a rough count, good enough to compare candidates.

use super::{Plan, inner_axes};
use crate::layout::Layout;
use mlc_ir::program::{Expr, ExprKind, Kernel, Program, Stage};
use mlc_ir::tile::{InRange, Math, Monoid};
use mlc_ir::{DType, Facts, Index, Name};

/// The extent a symbolic axis is taken to have.
const SYMBOLIC: i64 = 64;
/// The part of a load that a product pays where lanes run beside the fold: a block of rows and columns shares them.
const SHARED: f64 = 0.4;

/// What a kernel is judged by.
pub(super) struct Judge<'a> {
    pub kernel: &'a Kernel,
    pub program: &'a Program,
    pub layouts: &'a [Layout],
    pub facts: Facts,
}

impl Judge<'_> {
    /// The number of points of an axis, or what it is taken to be.
    pub fn points(&self, axis: &str) -> f64 {
        let extent = self.kernel.extent(axis).and_then(Index::as_const).unwrap_or(SYMBOLIC);
        extent.max(1) as f64
    }

    /// Whether the number of points of an axis is known.
    pub fn is_known(&self, axis: &str) -> bool {
        self.kernel.extent(axis).and_then(Index::as_const).is_some()
    }

    /// Whether all that stages read and write along an axis lies in one place or one after the other, and no test depends
    /// on it.
    pub fn lies_in_rows(&self, stages: &[Stage], axis: &Name, lanes: u16) -> bool {
        let lies = |buffer: u32, index: &[Index]| {
            index.iter().all(|i| !i.mentions(axis)) || self.consecutive(buffer, index, axis, i64::from(lanes))
        };
        let own =
            |stage: &&Stage| stage.axes.contains(axis) || stage.reduce.iter().any(|reduce| reduce.axes.contains(axis));
        stages.iter().filter(own).all(|stage| {
            let mut all = stage.store.iter().all(|store| lies(store.buffer, &store.index));
            stage.value.visit(&mut |e| match e.kind() {
                ExprKind::Load { buffer, index } => all &= lies(*buffer, index),
                ExprKind::Guard { all: tests, .. } => all &= tests.iter().all(|test| !test.index.mentions(axis)),
                ExprKind::Index(index) => all &= !index.mentions(axis),
                _ => {}
            });
            all
        })
    }

    /// Cost of the whole kernel with so many lanes along an axis of each stage (`None`: scalar).
    pub fn kernel_cost(&self, outer: &[Name], vector: &dyn Fn(&Stage) -> Option<(Name, u16)>) -> f64 {
        self.kernel.stages.iter().map(|stage| self.stage_cost(stage, outer, vector(stage))).sum()
    }

    /// Cost of a stage with so many lanes along an axis.
    pub fn stage_cost(&self, stage: &Stage, outer: &[Name], vector: Option<(Name, u16)>) -> f64 {
        let axes = outer.iter().chain(inner_axes(stage, outer));
        // A vector that is not full costs as much as one that is.
        let all = |axis: &Name| match &vector {
            Some((own, lanes)) if own == axis => (self.points(axis) / f64::from(*lanes)).ceil() * f64::from(*lanes),
            _ => self.points(axis),
        };
        let points: f64 = axes.map(all).product();
        let lanes = vector.as_ref().map_or(1.0, |vector| f64::from(vector.1));
        let axis = vector.map(|vector| vector.0);
        let folded = stage.reduce.iter().flat_map(|r| &r.axes).map(|axis| self.points(axis)).product::<f64>();
        let across = stage.reduce.as_ref().is_some_and(|r| axis.as_ref().is_some_and(|a| r.axes.contains(a)));
        let load = if stage.reduce.is_some() && !across { SHARED } else { 1.0 };
        let mut cost = points / lanes * self.expr_cost(&stage.value, axis.as_deref(), lanes, load);
        if let Some(store) = &stage.store {
            let along = self.access_cost(store.buffer, &store.index, axis.as_deref(), lanes, 1.0);
            cost += points / folded / lanes * along;
        }
        cost + if across { points / folded * 4.0 } else { 0.0 }
    }

    /// About how many operations lowering writes out for a plan: those of every point of every block, and of what is left
    /// of each axis.
    pub fn written(&self, plan: &Plan) -> f64 {
        let stages = self.kernel.stages.iter().enumerate();
        stages.map(|(number, stage)| self.stage_written(plan, plan.nest_of(number).start, stage)).sum()
    }

    fn stage_written(&self, plan: &Plan, nest: usize, stage: &Stage) -> f64 {
        let axis_points = |axis: &Name| {
            let looped = plan.is_single(nest) && plan.outer.contains(axis);
            let block = if looped { 1.0 } else { f64::from(plan.block(nest, axis)) };
            let extent = self.kernel.extent(axis).and_then(Index::as_const);
            let all = extent.map_or(f64::INFINITY, |n| n.max(1) as f64);
            (2.0 * block + f64::from(plan.lanes(nest, axis)).log2()).min(all)
        };
        let axes: Vec<&Name> = plan.outer.iter().chain(inner_axes(stage, &plan.outer)).collect();
        let wide = axes.iter().find(|axis| plan.lanes(nest, axis) > 1);
        let (axis, lanes) = (wide.map(|axis| &***axis), wide.map_or(1, |axis| plan.lanes(nest, axis)));
        let mut cost = self.expr_cost(&stage.value, axis, f64::from(lanes), 1.0);
        if let Some(store) = &stage.store {
            cost += self.access_cost(store.buffer, &store.index, axis, f64::from(lanes), 1.0);
        }
        cost * axes.into_iter().map(axis_points).product::<f64>()
    }

    /// About how many values a plan keeps in scratch memory.
    pub fn kept(&self, plan: &Plan) -> f64 {
        let values = |stage: &usize| {
            let nest = plan.nest_of(*stage).start;
            let width = |axis: &Name| f64::from(plan.block(nest, axis)) * f64::from(plan.lanes(nest, axis));
            let own = self.kernel.stages[*stage].axes.iter().filter(|axis| !plan.outer.contains(axis));
            plan.outer.iter().map(width).chain(own.map(|axis| self.points(axis))).product::<f64>()
        };
        plan.kept.iter().map(values).sum()
    }

    /// Cost of an expression at a point of so many lanes.
    pub fn expr_cost(&self, expr: &Expr, axis: Option<&str>, lanes: f64, load: f64) -> f64 {
        let own = match expr.kind() {
            ExprKind::Const(_) => 0.0,
            ExprKind::Stage(stage) => load * self.stage_read(&self.kernel.stages[*stage], axis),
            ExprKind::Load { buffer, index } => self.access_cost(*buffer, index, axis, lanes, load),
            ExprKind::Guard { all, .. } => {
                let apart = axis.is_some_and(|axis| all.iter().any(|t| t.index.mentions(axis)));
                if apart { 6.0 * lanes } else { 2.0 }
            }
            ExprKind::Index(index) => match axis {
                Some(axis) if index.mentions(axis) => 2.0 * lanes,
                _ => 1.0,
            },
            ExprKind::Math(Math::Pow, _) => 60.0,
            ExprKind::Math(..) => 20.0,
            _ => 1.0,
        };
        own + expr.operands().into_iter().map(|e| self.expr_cost(e, axis, lanes, load)).sum::<f64>()
    }

    /// Cost of a stage's value: of one along inner axes, which lies in memory, that of a load.
    fn stage_read(&self, stage: &Stage, axis: Option<&str>) -> f64 {
        let outer = self.kernel.outer_axes();
        match axis {
            _ if stage.axes.iter().all(|own| outer.contains(own)) => 0.0,
            Some(axis) if stage.axes.iter().all(|own| **own != *axis) => 0.7,
            _ => 1.0,
        }
    }

    /// Cost of reaching the lanes: one load, a broadcast (which a block shares), or one by one.
    pub fn access_cost(&self, buffer: u32, index: &[Index], axis: Option<&str>, lanes: f64, load: f64) -> f64 {
        match axis {
            None => 1.0,
            Some(axis) if index.iter().all(|i| !i.mentions(axis)) => 0.7 * load,
            Some(axis) if self.consecutive(buffer, index, axis, lanes as i64) => load,
            Some(_) => 2.0 * lanes,
        }
    }

    /// Whether so many neighbours along an axis are neighbours in memory.
    fn consecutive(&self, buffer: u32, index: &[Index], axis: &str, lanes: i64) -> bool {
        let layout = &self.layouts[buffer as usize];
        // A weight without a layout yet will be given the best one.
        let dims = index.iter().enumerate().filter(|(_, i)| i.mentions(axis));
        let dims: Vec<usize> = dims.map(|(d, _)| d).collect();
        if self.packable(buffer) && dims.len() == 1 && index[dims[0]].as_var().is_some() {
            return true;
        }
        let memory = layout.index(index, &self.facts);
        let Some((inner, outer)) = memory.split_last() else { return false };
        // The first and the last of a vector that begins at a multiple of its lanes.
        let at = |n: i64| {
            let move_to = |i: &Index| {
                i.rebuild(&self.facts, &|atom| match atom {
                    mlc_ir::index::Atom::Var(name) if &**name == axis => Some(Index::atom(atom.clone()) * lanes + n),
                    _ => None,
                })
            };
            (outer.iter().map(move_to).collect::<Vec<_>>(), move_to(inner))
        };
        let (first_outer, first) = at(0);
        let (last_outer, last) = at(lanes - 1);
        first_outer == last_outer && last == first + (lanes - 1)
    }

    /// Whether a buffer's layout is still free to choose: a constant of more than one dim that a fold reads.
    pub fn packable(&self, buffer: u32) -> bool {
        let definition = self.program.buffer(buffer);
        let free = definition.constant.is_some()
            && definition.shape.len() > 1
            && self.layouts[buffer as usize].is_row_major(&definition.shape);
        let folds = self.kernel.stages.iter().filter(|stage| stage.reduce.is_some());
        free && folds.into_iter().any(|stage| super::loads(&stage.value).iter().any(|load| load.0 == buffer))
    }

    /// Whether everything a kernel computes fits lanes of 32 bits.
    pub fn has_lanes(&self) -> bool {
        self.lanes_fit(&self.kernel.stages)
    }

    /// Whether a stage's lanes along an axis are all stored or none of them.
    pub fn stores_alike(&self, stage: &Stage, axis: &Name) -> bool {
        let apart = |index: &Index| index.mentions(axis) || index.looks_up();
        let alike = |test: &InRange| ![&test.index, &test.low, &test.high].into_iter().any(apart);
        stage.store.iter().flat_map(|store| &store.only).all(alike)
    }

    /// Whether everything some stages compute fits lanes of 32 bits.
    pub fn lanes_fit(&self, stages: &[Stage]) -> bool {
        stages.iter().all(|stage| {
            let stored = stage.store.iter().all(|store| narrow_or_32(self.program.buffer(store.buffer).dtype));
            stored && lanes_fit(&stage.value, false) && !is_logical(stage)
        })
    }
}

fn is_logical(stage: &Stage) -> bool {
    stage.reduce.as_ref().is_some_and(|r| matches!(r.monoid, Monoid::And | Monoid::Or))
}

fn narrow_or_32(dtype: DType) -> bool {
    !matches!(dtype, DType::F64 | DType::I64 | DType::U64)
}

/// Whether an expression's nodes are 32 bits wide, narrower ones being converted right after a load, or what floats are
/// rounded to.
fn lanes_fit(expr: &Expr, converted: bool) -> bool {
    let own = match expr.dtype() {
        DType::F32 | DType::I32 | DType::U32 | DType::Bool => true,
        DType::F16 | DType::BF16 | DType::I8 | DType::U8 if matches!(expr.kind(), ExprKind::Cast(of) if of.dtype() == DType::F32) => {
            true
        }
        dtype if narrow_or_32(dtype) => converted && matches!(expr.kind(), ExprKind::Load { .. }),
        _ => false,
    };
    let same_in_all = |e: &Expr| matches!(e.kind(), ExprKind::Index(index) if index.vars().is_empty());
    if matches!(expr.kind(), ExprKind::Cast(of) if same_in_all(of)) {
        return own;
    }
    let cast = matches!(expr.kind(), ExprKind::Cast(_)) && matches!(expr.dtype(), DType::F32 | DType::I32);
    let loads_bool = expr.dtype() == DType::Bool && matches!(expr.kind(), ExprKind::Load { .. });
    own && (!loads_bool || converted) && expr.operands().into_iter().all(|e| lanes_fit(e, cast))
}
