//! What a whole schedule costs, in about cycles: good enough to say which schedules are worth measuring.
//!
//! In: a kernel, a [`Plan`], a target.  Out: a number to compare with those of other plans of the same kernel.
//!
//! Of each stage it counts, for one step of a block: arithmetic and loads, two of which start in a cycle; a load that
//! several points of the block share is one; and the chain of additions into an accumulator, which more accumulators
//! hide. Then the memory that is read again because a block has passed, from the level of cache in which it is still
//! found, and what is lost where blocks do not fill an axis.

use super::choose::LATENCY;
use super::cost::Judge;
use super::{Plan, inner_axes, loads};
use mlc_ir::program::Stage;
use mlc_ir::target::Target;
use mlc_ir::{Index, Name};

/// Bytes that a cycle brings from the second level of cache, and from beyond it.
const L2_BYTES: f64 = 48.0;
const FAR_BYTES: f64 = 8.0;
/// Cycles of a loop's own counting.
const CONTROL: f64 = 1.0;

/// The cost of a kernel under a plan.
pub(super) fn estimate(judge: &Judge, plan: &Plan, target: &Target) -> f64 {
    let stages = judge.kernel.stages.iter().enumerate();
    stages.map(|(number, stage)| Nest::new(judge, plan, number, stage).cost(target)).sum()
}

/// A stage's loops.
struct Nest<'a> {
    judge: &'a Judge<'a>,
    plan: &'a Plan,
    /// The first stage of its nest.
    nest: usize,
    stage: &'a Stage,
    /// Outermost first.
    axes: Vec<&'a Name>,
    /// Along which the lanes run.
    wide: Option<&'a Name>,
}

impl<'a> Nest<'a> {
    fn new(judge: &'a Judge, plan: &'a Plan, number: usize, stage: &'a Stage) -> Nest<'a> {
        let nest = plan.nest_of(number).start;
        let axes: Vec<&Name> = plan.outer.iter().chain(inner_axes(stage, &plan.outer)).collect();
        let wide = axes.iter().copied().find(|axis| plan.lanes(nest, axis) > 1);
        Nest { judge, plan, nest, stage, axes, wide }
    }

    fn folded(&self, axis: &Name) -> bool {
        self.stage.reduce.as_ref().is_some_and(|reduce| reduce.axes.contains(axis))
    }

    fn block(&self, axis: &Name) -> f64 {
        f64::from(self.plan.block(self.nest, axis))
    }

    fn cost(&self, target: &Target) -> f64 {
        let lanes = self.wide.map_or(1.0, |axis| f64::from(self.plan.lanes(self.nest, axis)));
        let points: f64 = self.axes.iter().map(|axis| self.judge.points(axis)).product();
        let lost: f64 = self.axes.iter().map(|axis| self.unfilled(axis)).product();
        let steps = points / lanes / self.axes.iter().map(|axis| self.block(axis)).product::<f64>();
        steps * lost * self.step(lanes) + self.traffic(lanes, target)
    }

    /// What an axis takes, over what it would take if its blocks filled it.
    fn unfilled(&self, axis: &Name) -> f64 {
        let width = self.block(axis) * f64::from(self.plan.lanes(self.nest, axis));
        let points = self.judge.points(axis);
        let left = (points / width).fract();
        // What is left without masks is done by narrower vectors.
        let least = if self.plan.masked(self.nest, axis) { 1.0 / self.block(axis) } else { 0.5 };
        let rest = if left > 0.0 { left.max(least) } else { 0.0 };
        ((points / width).floor() + rest) * width / points
    }

    /// Cycles of a block.
    fn step(&self, lanes: f64) -> f64 {
        let wide = self.wide.map(|axis| &**axis);
        let kept: f64 = self.axes.iter().filter(|axis| !self.folded(axis)).map(|axis| self.block(axis)).product();
        let folded: f64 = self.axes.iter().filter(|axis| self.folded(axis)).map(|axis| self.block(axis)).product();
        let block = kept * folded;
        let (mut loaded, mut access) = (0.0, 0.0);
        for (buffer, index) in loads(&self.stage.value) {
            let cost = self.judge.access_cost(buffer, &index, wide, lanes, 1.0);
            access += cost;
            loaded += cost * block / self.shared(&index);
        }
        let arithmetic = (self.judge.expr_cost(&self.stage.value, wide, lanes, 1.0) - access).max(0.0) * block;
        let chain = match (&self.stage.reduce, self.wide.is_some_and(|axis| self.folded(axis))) {
            (None, _) => 0.0,
            (Some(_), true) => f64::from(LATENCY),
            (Some(_), false) => f64::from(LATENCY) * folded,
        };
        (arithmetic / 2.0).max(loaded / 2.0).max((arithmetic + loaded) / 4.0).max(chain) + CONTROL
    }

    /// Points of a block that share a load.
    fn shared(&self, index: &[Index]) -> f64 {
        let apart = |axis: &&&Name| index.iter().all(|i| !i.mentions(axis));
        self.axes.iter().filter(apart).map(|axis| self.block(axis)).product()
    }

    /// Cycles for what is read again.
    fn traffic(&self, lanes: f64, target: &Target) -> f64 {
        let blocks = |axis: &Name| {
            let lanes = if Some(axis) == self.wide { lanes } else { 1.0 };
            (self.judge.points(axis) / self.block(axis) / lanes).ceil()
        };
        let mut cycles = 0.0;
        for (buffer, index) in loads(&self.stage.value) {
            let bytes = self.judge.program.buffer(buffer).dtype.bytes() as f64;
            let mentions = |axis: &Name| index.iter().any(|i| i.mentions(axis));
            let whole: f64 = self.axes.iter().filter(|a| mentions(a)).map(|axis| self.judge.points(axis)).product();
            // From the inside out: what has been read when an axis moves on that the load does not depend on.
            let (mut near, mut again) = (bytes, 1.0);
            for axis in self.axes.iter().rev() {
                if mentions(axis) {
                    near *= self.judge.points(axis);
                    continue;
                }
                let rate = match near {
                    _ if near <= f64::from(target.l1_bytes) / 2.0 => f64::INFINITY,
                    _ if near <= f64::from(target.l2_bytes) / 2.0 => L2_BYTES,
                    _ => FAR_BYTES,
                };
                cycles += whole * bytes * again * (blocks(axis) - 1.0).max(0.0) / rate;
                again *= blocks(axis);
            }
        }
        cycles
    }
}
