//! The nests of a kernel: which stages share loops, and which values have to outlive them.
//!
//! A nest is a stage and the maps after it on the same axes. What a nest computes along inner axes is gone when its loops
//! end, unless it is *kept* in scratch memory, or is a map, which can be computed again where it is read.

use super::inner_axes;
use mlc_ir::program::{Expr, ExprKind, Kernel, Stage};
use mlc_ir::tile::{Binary, Unary};
use std::ops::Range;

/// Nests that follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Whether the points of a block come one after the other, all nests for each.
    pub single: bool,
    /// By their stages.
    pub nests: Vec<Range<usize>>,
}

/// The nests of a kernel, in order.
pub fn nests(kernel: &Kernel) -> Vec<Range<usize>> {
    let written = kernel.writes();
    let mut nests: Vec<Range<usize>> = Vec::new();
    for (number, stage) in kernel.stages.iter().enumerate() {
        // What a nest stores is read by others only when all of it is there.
        let apart = super::loads(&stage.value).iter().any(|(buffer, _)| written.contains(buffer));
        match nests.last_mut() {
            Some(nest) if stage.reduce.is_none() && !apart && same_axes(&kernel.stages[nest.start], stage) => {
                nest.end += 1
            }
            _ => nests.push(number..number + 1),
        }
    }
    nests
}

fn same_axes(a: &Stage, b: &Stage) -> bool {
    a.axes.len() == b.axes.len() && a.axes.iter().all(|axis| b.axes.contains(axis))
}

/// Puts nests together whose points come one by one, and those whose points do not.
pub fn runs(nests: Vec<Range<usize>>, single: &dyn Fn(usize) -> bool) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for nest in nests {
        let single = single(nest.start);
        match runs.last_mut() {
            Some(run) if run.single == single => run.nests.push(nest),
            _ => runs.push(Run { single, nests: vec![nest] }),
        }
    }
    runs
}

/// The stages whose values lie in scratch memory, if the points of a block come one by one in some nests.
pub fn kept(kernel: &Kernel, single: &dyn Fn(usize) -> bool) -> Vec<usize> {
    let outer = kernel.outer_axes();
    let runs = runs(nests(kernel), single);
    let run_of = |stage: usize| runs.iter().position(|run| run.nests.iter().any(|nest| nest.contains(&stage)));
    let nest_of = |stage: usize| runs.iter().flat_map(|run| &run.nests).find(|nest| nest.contains(&stage));
    let keep = |&number: &usize| {
        let stage = &kernel.stages[number];
        let inner = inner_axes(stage, &outer).any(|axis| stage.axes.contains(axis));
        // Within a run, a value that all its points know stays in a register.
        let outside = |reader: &usize| match inner {
            true => nest_of(*reader) != nest_of(number),
            false => run_of(*reader) != run_of(number),
        };
        let readers: Vec<usize> = readers(kernel, number).into_iter().filter(outside).collect();
        let folds = nest_of(number).is_some_and(|nest| kernel.stages[nest.start].reduce.is_some());
        !readers.is_empty() && (folds || inner && pays(kernel, stage, &readers))
    };
    (0..kernel.stages.len()).filter(keep).collect()
}

/// The maps behind a fold, or behind several, where a kernel is no more than these, all along its outer axes; else none.
pub fn epilogue(kernel: &Kernel) -> &[Stage] {
    let outer = kernel.outer_axes().len();
    let fold = |stage: &Stage| stage.reduce.is_some() && stage.store.is_none();
    let count = kernel.stages.iter().take_while(|stage| fold(stage)).count();
    let (folds, maps) = kernel.stages.split_at(count);
    let plain = maps.iter().all(|map| map.reduce.is_none()) && folds.iter().all(|fold| fold.axes.len() == outer);
    if count > 0 && plain && nests(kernel).len() == count { maps } else { &[] }
}

/// The nest that computes a kept map where it reads it first, if that is the one behind the map's own: a fold over all its
/// points. The map then needs no loops of its own.
pub fn filled_by(kernel: &Kernel, nests: &[Range<usize>], number: usize) -> Option<usize> {
    let map = kernel.stages.get(number).filter(|map| map.reduce.is_none() && map.store.is_none())?;
    let place = nests.iter().position(|nest| *nest == (number..number + 1))?;
    let next = nests.get(place + 1)?.start;
    let fold = kernel.stages.get(next).filter(|fold| fold.reduce.is_some())?;
    let nest = || fold.axes.iter().chain(fold.reduce.iter().flat_map(|reduce| &reduce.axes));
    let same = nest().count() == map.axes.len() && nest().all(|axis| map.axes.contains(axis));
    (same && always_reads(&fold.value, number)).then_some(next)
}

/// Whether an expression reads a stage whatever tests say.
fn always_reads(expr: &Expr, number: usize) -> bool {
    match expr.kind() {
        ExprKind::Stage(read) => *read == number,
        ExprKind::Guard { .. } => false,
        _ => expr.operands().into_iter().any(|operand| always_reads(operand, number)),
    }
}

/// Whether keeping a map is cheaper than to compute it again where it is read.
fn pays(kernel: &Kernel, map: &Stage, readers: &[usize]) -> bool {
    let repeats = |reader: &usize| kernel.stages[*reader].axes.iter().any(|axis| !map.axes.contains(axis));
    readers.iter().any(repeats) || readers.len() > 1 && is_dear(&map.value)
}

/// Whether an expression has functions or divisions.
pub(super) fn is_dear(expr: &Expr) -> bool {
    let mut dear = false;
    expr.visit(&mut |e| {
        dear |= matches!(
            e.kind(),
            ExprKind::Math(..) | ExprKind::Unary(Unary::Sqrt, _) | ExprKind::Binary(Binary::Div | Binary::Rem, ..)
        );
    });
    dear
}

/// The stages that read one.
fn readers(kernel: &Kernel, number: usize) -> Vec<usize> {
    let reads = |stage: &Stage| {
        let mut found = false;
        stage.value.visit(&mut |e| found |= matches!(e.kind(), ExprKind::Stage(n) if *n == number));
        found
    };
    (number + 1..kernel.stages.len()).filter(|later| reads(&kernel.stages[*later])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlc_ir::program::{Program, Step};

    /// The kernel of an attention of one head.
    fn attention() -> Kernel {
        let text = "
program p {
  symbol n: 0..
  buffer @0 q: f32[n, 8]
  buffer @1 k: f32[n, 8]
  buffer @2 v: f32[n, 8]
  buffer @3 y: f32[n, 8]
  inputs @0, @1, @2
  outputs @3
  kernel y [%o0: n, %c0: n, %c1: 8] {
    %0 [%o0, %c0] = sum[%c1] @0[%o0, %c1] * @1[%c0, %c1]
    %1 [%o0, %c0] = %0 * 0.5
    %2 [%o0] = max[%c0] %1
    %3 [%o0, %c0] = exp(%1 - %2)
    %4 [%o0] = sum[%c0] %3
    %5 [%o0, %c0] = %3 / %4
    %6 [%o0, %c1] = sum[%c0] %5 * @2[%c0, %c1] -> @3[%o0, %c1]
  }
}";
        let program = Program::parse(text, &|_| None).unwrap();
        match program.body.into_iter().next() {
            Some(Step::Kernel(kernel)) => kernel,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_fold_and_the_maps_on_its_axes_are_one_nest() {
        assert_eq!(nests(&attention()), [0..2, 2..3, 3..4, 4..5, 5..6, 6..7]);
    }

    #[test]
    fn what_later_nests_read_is_kept() {
        // Of the first nest its last value; what is read again for each column; what two nests read and is dear.
        assert_eq!(kept(&attention(), &|_| false), [1, 3, 5]);
        // The largest and the sum are known to the points that come one by one; to all others if one of the two is apart.
        let single = |nest: usize| (2..6).contains(&nest);
        assert_eq!(kept(&attention(), &single), [1, 3, 5]);
        assert_eq!(kept(&attention(), &|nest| nest == 2), [1, 2, 3, 5]);
    }

    #[test]
    fn a_sum_keeps_what_it_reads_first() {
        let kernel = attention();
        assert_eq!(filled_by(&kernel, &nests(&kernel), 3), Some(4));
        assert_eq!(filled_by(&kernel, &nests(&kernel), 5), None);
    }
}
