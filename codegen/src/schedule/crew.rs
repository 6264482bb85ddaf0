//! What a crew shares of a task, where threads can run one together.
//!
//! In: the steps of a kernel as one thread would run it.  Out: the same, and which axis of each nest is dealt out to a crew: the
//! nest's own longest axis, or else the longest that it folds. Rows are shared wherever they are long; columns, whose
//! neighbours are neighbouring tasks already, where these are few.

use super::cost::Judge;
use super::{Plan, Step, inner_axes, rows};
use mlc_ir::Name;
use mlc_ir::program::Stage;
use mlc_ir::target::{Crew, Target};

/// An axis that a nest deals out.
struct Share {
    nest: usize,
    axis: Name,
    crew: u32,
    /// Whether it does so without lanes, which would leave members idle.
    narrow: bool,
}

/// Deals the nests of a kernel out to a crew, if that pays; and whether it does.
pub(super) fn deal(judge: &Judge, outer: &[Name], steps: Vec<Step>, target: &Target) -> (Vec<Step>, bool) {
    let (Some(crew), Ok(plan)) = (target.crew, Plan::new(judge.kernel, &steps)) else { return (steps, false) };
    let most = match columns(judge, outer, &plan) {
        Some(tasks) => {
            let idle = f64::from(target.abreast.unwrap_or(1)) / tasks;
            if idle < f64::from(MANY) { 1 } else { (idle as u32).clamp(crew.least, crew.most) }
        }
        None => crew.most,
    };
    let shares: Vec<Share> = shares(judge, outer, &plan, crew, most);
    if most < crew.least || shares.iter().all(|share| share.crew < crew.least / 2) {
        return (steps, false);
    }
    let own = |step: &Step, share: &Share| match step {
        Step::Within(nest, step) if *nest == share.nest => match &**step {
            Step::Block(axis, _) => *axis == share.axis,
            Step::Vector(axis, _) => *axis == share.axis && share.narrow,
            _ => false,
        },
        _ => false,
    };
    let mut dealt: Vec<Step> = steps;
    dealt.retain(|step| !shares.iter().any(|share| own(step, share)));
    for share in shares {
        let within = |step: Step| Step::Within(share.nest, Box::new(step));
        dealt.push(within(Step::Block(share.axis.clone(), 1)));
        dealt.push(within(Step::Crew(share.axis.clone(), share.crew)));
    }
    (dealt, true)
}

/// A task in so many of those that keep the machine busy is worth a crew.
const MANY: u32 = 8;

/// The number of tasks, if neighbouring ones touch neighbouring memory: lanes run along an outer axis.
fn columns(judge: &Judge, outer: &[Name], plan: &Plan) -> Option<f64> {
    let lanes = |axis: &Name| f64::from(plan.lanes(0, axis));
    let tasks = |axis: &Name| (judge.points(axis) / lanes(axis) / f64::from(plan.block(0, axis))).ceil();
    outer.iter().any(|axis| lanes(axis) > 1.0).then(|| outer.iter().map(tasks).product())
}

fn shares(judge: &Judge, outer: &[Name], plan: &Plan, crew: Crew, most: u32) -> Vec<Share> {
    let folds = judge.kernel.stages.iter().any(|stage| stage.reduce.is_some());
    let nests: Vec<usize> = plan.runs().into_iter().flat_map(|run| run.nests).map(|nest| nest.start).collect();
    let share = |nest: usize| {
        let axis = longest(judge, outer, plan, nest)?;
        let (points, lanes) = (judge.points(&axis), f64::from(plan.lanes(nest, &axis)));
        let least = f64::from(crew.least);
        // Lanes of all nests are not one's to take.
        let narrow = lanes > 1.0 && points / lanes < least && points >= least && rows::has_nests(judge.kernel);
        let blocks = (if narrow { points } else { points / lanes }) as u32;
        let members = if blocks < 2 { 1 } else { (1 << blocks.ilog2()).min(1 << most.max(1).ilog2()) };
        (members > 1).then_some(Share { nest, axis, crew: members, narrow })
    };
    nests.into_iter().filter(|_| folds).filter_map(share).collect()
}

/// Whether the memory that a crew shares has room for what some steps keep, and for what its members fold.
pub(super) fn has_room(judge: &Judge, steps: &[Step], kept: &[Step], target: &Target) -> bool {
    let all = [steps, kept].concat();
    let Some((crew, plan)) = target.crew.zip(Plan::new(judge.kernel, &all).ok()) else { return false };
    let known = |axis: &Name| plan.outer.contains(axis) || judge.is_known(axis);
    let axes = plan.kept.iter().flat_map(|stage| &judge.kernel.stages[*stage].axes);
    let widest = plan.kept.iter().map(|stage| judge.kernel.stages[*stage].value.dtype().bytes()).max().unwrap_or(0);
    axes.into_iter().all(known) && judge.kept(&plan) * widest as f64 <= f64::from(crew.bytes) / 2.0
}

/// Of the inner axes of the stage that a nest begins with, or else of those it folds, the one with most vectors or points.
fn longest(judge: &Judge, outer: &[Name], plan: &Plan, nest: usize) -> Option<Name> {
    let stage: &Stage = &judge.kernel.stages[nest];
    let blocks = |axis: &Name| judge.points(axis) / f64::from(plan.lanes(nest, axis));
    let own = stage.axes.iter().any(|axis| !outer.contains(axis));
    let may = |axis: &&Name| !own || stage.axes.contains(axis);
    let longer = |a: &Name, b: &Name| if blocks(b) >= blocks(a) { b.clone() } else { a.clone() };
    inner_axes(stage, outer).filter(may).cloned().reduce(|a, b| longer(&a, &b))
}
