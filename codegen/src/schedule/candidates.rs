//! Schedules of a kernel that are worth measuring, the likely best first.
//!
//! In: a kernel and a target.  Out: lists of steps; the first is what [`choose`] chooses, so that whoever measures
//! nothing gets that one.
//! Invariant: all but the first pass [`check`]. Kernels with nests of their own have no others.

use super::choose::{
    LATENCY, best_vector, block_rows, choose, epilogue_steps, inner_steps, lanes, most_rows, order_steps, row_axes,
    vector_steps, vectors,
};
use super::choose::{innermost, with_tasks};
use super::cost::Judge;
use super::estimate::estimate;
use super::nests::kept;
use super::rows::has_nests;
use super::{NARROWEST, Plan, Step, check, inner_axes, is_serial};
use crate::layout::Layout;
use mlc_ir::Name;
use mlc_ir::program::{Kernel, Program};
use mlc_ir::target::Target;

/// Columns of vectors in a block of rows, vectors in one without rows, steps of a fold that are written out.
const COLUMNS: std::ops::RangeInclusive<u32> = 1..=6;
const VECTORS: [u32; 6] = [1, 2, 3, 4, 6, 8];
const FOLDED: [u32; 4] = [1, 2, 4, 8];

/// At most so many schedules of a kernel.
///
/// The ones that differ from the chosen one in their tasks alone come right after it.
pub fn candidates(
    kernel: &Kernel,
    program: &Program,
    layouts: &[Layout],
    target: &Target,
    most: usize,
) -> Vec<Vec<Step>> {
    let chosen = choose(kernel, program, layouts, target);
    if is_serial(kernel) || has_nests(kernel) {
        return vec![chosen];
    }
    let search = Search {
        judge: &Judge { kernel, program, layouts, facts: kernel.facts(&program.facts) },
        outer: &kernel.outer_axes(),
        target,
    };
    let mut ranked = search.ranked();
    let mut list = vec![chosen.clone()];
    list.extend(grains(&chosen));
    list.extend(ranked.drain(..).map(|it| it.1));
    let mut kept: Vec<Vec<Step>> = Vec::new();
    for steps in list {
        if kept.len() == most {
            break;
        }
        let legal = kept.is_empty() || check(&steps, kernel, program, layouts, target).is_ok();
        if legal && !kept.contains(&steps) {
            kept.push(steps);
        }
    }
    kept
}

/// The same steps with larger and smaller tasks.
fn grains(steps: &[Step]) -> Vec<Vec<Step>> {
    let scaled = |by: &dyn Fn(u32) -> u32| {
        let step = |step: &Step| match step {
            Step::Parallel(axis, grain) => Step::Parallel(axis.clone(), by(*grain).max(1)),
            other => other.clone(),
        };
        steps.iter().map(step).collect()
    };
    vec![scaled(&|grain| grain.saturating_mul(2)), scaled(&|grain| grain / 2)]
}

struct Search<'a> {
    judge: &'a Judge<'a>,
    outer: &'a [Name],
    target: &'a Target,
}

impl Search<'_> {
    /// All schedules of the forms below with what they are estimated to cost, the cheapest first.
    fn ranked(&self) -> Vec<(f64, Vec<Step>)> {
        let (cost, _) = best_vector(self.judge, self.outer, self.target);
        let forms = if self.judge.has_lanes() { self.forms() } else { vec![order_steps(self.judge, self.outer, None)] };
        let usual: Vec<Step> = kept(self.judge.kernel, &|_| false).into_iter().map(Step::Keep).collect();
        let priced = |mut steps: Vec<Step>| {
            steps.extend_from_slice(&usual);
            let plan = Plan::new(self.judge.kernel, &steps).ok()?;
            let price = estimate(self.judge, &plan, self.target);
            Some((price, with_tasks(steps, self.judge, cost, self.target)))
        };
        let mut ranked: Vec<_> = forms.into_iter().filter_map(priced).collect();
        ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
        ranked
    }

    fn forms(&self) -> Vec<Vec<Step>> {
        let mut forms = self.inner_forms();
        for axis in self.outer {
            let Some(widest) = lanes(self.judge, axis, self.target) else { continue };
            for lanes in [widest, widest / 2].into_iter().filter(|&lanes| lanes >= NARROWEST) {
                forms.extend(self.plain_forms(axis, lanes));
                for rows in row_axes(self.judge, self.outer, axis) {
                    forms.extend(self.block_forms(axis, lanes, &rows));
                }
            }
        }
        forms
    }

    /// Vectors that hold the points of an axis.
    fn vectors(&self, axis: &Name, lanes: u16) -> u32 {
        vectors(self.judge, axis, lanes, self.target)
    }

    /// Lanes along an axis: masked where that is usual, and without masks.
    fn lane_forms(&self, axis: &Name, lanes: u16) -> Vec<Vec<Step>> {
        let usual: Vec<Step> = vector_steps(self.judge, &self.judge.kernel.stages, axis, lanes, self.target).collect();
        let plain = vec![Step::Vector(axis.clone(), lanes)];
        if usual == plain { vec![plain] } else { vec![usual, plain] }
    }

    /// Lanes along an outer axis, the innermost one, several vectors at once.
    fn plain_forms(&self, axis: &Name, lanes: u16) -> Vec<Vec<Step>> {
        let vectors = self.vectors(axis, lanes);
        let form = |block: u32| {
            let order = order_steps(self.judge, self.outer, Some(axis));
            let forms = self.lane_forms(axis, lanes).into_iter();
            forms.map(move |wide| [order.clone(), wide, vec![Step::Block(axis.clone(), block)]].concat())
        };
        let forms = VECTORS.into_iter().filter(|&block| block <= vectors).flat_map(form);
        forms.flat_map(|steps| self.with_folds(steps)).collect()
    }

    /// Blocks of rows and vectors of columns, in registers.
    fn block_forms(&self, axis: &Name, lanes: u16, rows: &Name) -> Vec<Vec<Step>> {
        let mut forms = Vec::new();
        for columns in COLUMNS.filter(|&columns| columns <= self.vectors(axis, lanes)) {
            let most = most_rows(self.target, columns).max(1);
            let mut heights = vec![block_rows(self.judge, rows, most), most, most.div_ceil(2)];
            heights.dedup();
            // Fewer accumulators than additions that are on their way at once would wait for each other.
            heights.retain(|height| height * columns >= LATENCY);
            for height in heights {
                for order in self.orders(axis, rows) {
                    let blocks = [Step::Block(axis.clone(), columns), Step::Block(rows.clone(), height)];
                    for wide in self.lane_forms(axis, lanes) {
                        let steps = [&[Step::Order(order.clone())], &wide[..], &blocks].concat();
                        let looped = |steps: Vec<Step>| [steps, epilogue_steps(self.judge)].concat();
                        forms.extend(self.with_folds(steps).into_iter().map(looped));
                    }
                }
            }
        }
        forms
    }

    /// Columns outermost, so that a panel of weights stays near; rows innermost; or columns innermost.
    fn orders(&self, axis: &Name, rows: &Name) -> Vec<Vec<Name>> {
        let Some(Step::Order(order)) = order_steps(self.judge, self.outer, None).pop() else { return vec![] };
        let rest: Vec<Name> = order.into_iter().filter(|name| name != axis && name != rows).collect();
        let (axis, rows) = (std::slice::from_ref(axis), std::slice::from_ref(rows));
        vec![[axis, &rest, rows].concat(), [&rest, axis, rows].concat(), [&rest, rows, axis].concat()]
    }

    /// The steps, with some of the innermost folded axis written out.
    fn with_folds(&self, steps: Vec<Step>) -> Vec<Vec<Step>> {
        let folds = self.judge.kernel.stages.iter().find_map(|stage| stage.reduce.as_ref()?.axes.last());
        let Some(axis) = folds else { return vec![steps] };
        let fits = |n: &u32| *n == 1 || self.judge.points(axis) >= f64::from(n * 2);
        let form = |n: u32| {
            let mut steps = steps.clone();
            steps.extend((n > 1).then(|| Step::Block(axis.clone(), n)));
            steps
        };
        FOLDED.into_iter().filter(fits).map(form).collect()
    }

    /// Lanes along the innermost axis of every stage, with more or fewer vectors, for one or several points of the last
    /// outer axis.
    fn inner_forms(&self) -> Vec<Vec<Step>> {
        let stages = &self.judge.kernel.stages;
        if stages.iter().all(|stage| innermost(stage, self.outer).is_none()) {
            return vec![];
        }
        let usual = inner_steps(self.judge, self.outer, self.target);
        let mut forms = Vec::new();
        for vectors in VECTORS {
            let step = |step: &Step| match step {
                Step::Block(axis, _) if stages.iter().any(|stage| inner_axes(stage, self.outer).any(|a| a == axis)) => {
                    Step::Block(axis.clone(), vectors.min(self.vectors(axis, NARROWEST)))
                }
                other => other.clone(),
            };
            let steps: Vec<Step> = usual.iter().map(step).collect();
            for rows in [1, 2, 4] {
                let mut steps = steps.clone();
                if let Some(axis) = self.outer.last().filter(|_| rows > 1) {
                    steps.push(Step::Block(axis.clone(), rows));
                }
                forms.push(steps);
            }
        }
        forms
    }
}
