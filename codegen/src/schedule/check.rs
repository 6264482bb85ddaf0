//! Checks steps that come from a file.
//!
//! What [`choose`](super::choose) chooses has more properties than [`Plan::new`] asks for, and lowering relies on them.
//! Steps that anybody may have written are held to all of them here.
//!
//! In: a kernel and steps.  Out: a [`Plan`], or why there is none.
//! Invariants: a stage has lanes along one axis, the innermost of its fold if it folds it, and no more of them than the
//! target has; a stage is kept in scratch memory where the compiler keeps it, and where it has to be because its kernel's
//! epilogue is a loop; what lowering writes out and what it keeps are bounded, and with them code, the time to make it, and
//! memory.

use super::cost::Judge;
use super::rows::has_nests;
use super::{NARROWEST, Plan, Step, inner_axes, nests};
use crate::layout::Layout;
use mlc_ir::Name;
use mlc_ir::program::{Kernel, Program, Stage};
use mlc_ir::target::Target;
use std::collections::BTreeSet;

/// Points of an axis, or vectors, in one block.
const MOST_BLOCK: u32 = 64;

/// So many times the code of the chosen schedule is always granted, and so many operations to every kernel.
const MOST_GROWTH: f64 = 4.0;
const MOST_WRITTEN: f64 = 4000.0;
/// So many values may be kept, or so many times as many as the chosen schedule keeps.
const MOST_KEPT: f64 = 16384.0;

/// Puts steps together if they are legal for a kernel.
///
/// # Errors
/// Says which rule they break.
pub fn check(
    steps: &[Step],
    kernel: &Kernel,
    program: &Program,
    layouts: &[Layout],
    target: &Target,
) -> Result<Plan, String> {
    kept_as_usual(steps, kernel)?;
    each_once(steps)?;
    let plan = Plan::new(kernel, steps).map_err(|error| error.message)?;
    let judge = Judge { kernel, program, layouts, facts: kernel.facts(&program.facts) };
    for step in steps {
        match step {
            Step::Vector(_, lanes) => lanes_exist(*lanes, &judge, target)?,
            Step::Mask(_) if !target.masks => return Err("there are no masks here".into()),
            Step::Crew(_, n) if target.crew.is_none_or(|crew| *n > crew.most) => {
                return Err("there are no crews of so many here".into());
            }
            Step::Panel(..) | Step::Matrix(..) => return Err("only the compiler chooses panels".into()),
            Step::Block(axis, _) if kernel.extent(axis).is_none() => return Err(format!("there is no axis `{axis}`")),
            Step::Block(_, n) if *n > MOST_BLOCK => return Err(format!("a block has at most {MOST_BLOCK} points")),
            _ => {}
        }
    }
    let mut stages = kernel.stages.iter().enumerate();
    stages.try_for_each(|(number, stage)| one_vector(plan.nest_of(number).start, stage, &plan, &judge))?;
    let usual = Plan::new(kernel, &super::choose(kernel, program, layouts, target)).map_err(|error| error.message)?;
    let most = (MOST_GROWTH * judge.written(&usual)).max(MOST_WRITTEN);
    if judge.written(&plan) > most {
        return Err("it writes out too much code".into());
    }
    if judge.kept(&plan) > (MOST_GROWTH * judge.kept(&usual)).max(MOST_KEPT) {
        return Err("it keeps too much in scratch memory".into());
    }
    Ok(plan)
}

/// Whether steps keep what is read after its nest has ended, and cut no nest but that of an epilogue.
fn kept_as_usual(steps: &[Step], kernel: &Kernel) -> Result<(), String> {
    if has_nests(kernel) {
        return Err("later nests read what its contractions keep: only the compiler schedules such a kernel".into());
    }
    if let Some(step) = steps.iter().find(|step| matches!(step, Step::Within(..))) {
        return Err(format!("{step} is for kernels whose nests have lanes of their own"));
    }
    let all = |of: &dyn Fn(&Step) -> Option<usize>| steps.iter().filter_map(of).collect::<BTreeSet<usize>>();
    let single = all(&|step| if let Step::Single(stage) = step { Some(*stage) } else { None });
    let kept = all(&|step| if let Step::Keep(stage) = step { Some(*stage) } else { None });
    if single.is_empty() {
        let usual = BTreeSet::from_iter(nests::kept(kernel, &|_| false));
        return if kept == usual { Ok(()) } else { Err(format!("it has to keep {usual:?} in scratch memory alone")) };
    }
    let blocked = |step: &Step| matches!(step, Step::Block(axis, n) if *n > 1 && kernel.outer_axes().contains(axis));
    let folds = kernel.stages.len() - nests::epilogue(kernel).len();
    if folds == kernel.stages.len() || single != BTreeSet::from([folds]) || kept != BTreeSet::from_iter(0..folds) {
        return Err("only the epilogue of folds is a loop, and it reads these alone from scratch memory".into());
    }
    if !steps.iter().any(blocked) {
        return Err("its epilogue is a loop over a block, and there is none".into());
    }
    Ok(())
}

fn each_once(steps: &[Step]) -> Result<(), String> {
    let subject = |step: &Step| match step {
        Step::Order(_) => ("order", None),
        Step::Vector(axis, _) => ("vector", Some(axis.clone())),
        Step::Block(axis, _) => ("block", Some(axis.clone())),
        Step::Mask(axis) => ("mask", Some(axis.clone())),
        Step::Parallel(axis, _) => ("parallel", Some(axis.clone())),
        Step::Crew(axis, _) => ("crew", Some(axis.clone())),
        Step::Panel(..) => ("panel", None),
        Step::Matrix(..) => ("matrix", None),
        Step::Within(stage, _) => ("within", Some(stage.to_string().into())),
        Step::Single(stage) => ("single", Some(stage.to_string().into())),
        Step::Keep(stage) => ("keep", Some(stage.to_string().into())),
    };
    for (place, step) in steps.iter().enumerate() {
        if steps[..place].iter().any(|before| subject(before) == subject(step)) {
            return Err(format!("{step} says again what a step before it said"));
        }
    }
    Ok(())
}

fn lanes_exist(lanes: u16, judge: &Judge, target: &Target) -> Result<(), String> {
    let most = (target.vector_bytes / 4) as u16;
    if !lanes.is_power_of_two() || !(NARROWEST..=most).contains(&lanes) {
        return Err(format!("lanes are a power of two from {NARROWEST} to {most} here"));
    }
    if !judge.has_lanes() {
        return Err("what the kernel computes does not fit lanes of 32 bits".into());
    }
    Ok(())
}

/// A point has lanes along one axis; a fold along its innermost axis has an accumulator for each vector.
fn one_vector(nest: usize, stage: &Stage, plan: &Plan, judge: &Judge) -> Result<(), String> {
    let axes: Vec<&Name> = plan.outer.iter().chain(inner_axes(stage, &plan.outer)).collect();
    let mut wide = axes.iter().filter(|axis| plan.lanes(nest, axis) > 1);
    let (first, second) = (wide.next(), wide.next());
    if second.is_some() {
        return Err("a stage has lanes along two axes".into());
    }
    let Some(axis) = first else { return Ok(()) };
    if !judge.stores_alike(stage, axis) {
        return Err(format!("lanes run along `{axis}`, on which it depends what is stored"));
    }
    let folded = stage.reduce.as_ref().is_some_and(|reduce| reduce.axes.contains(axis));
    if folded && axes.last() != Some(axis) {
        return Err(format!("lanes run along `{axis}`, which is not the innermost axis of its fold"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A product of two matrices, and what becomes of it.
    const PRODUCT: &str = "
        kernel product [%ROW: m, %COLUMN: 32, %c0: 64] {
          %0 [%ROW, %COLUMN] = sum[%c0] @0[%ROW, %c0] * @1[%c0, %COLUMN] -> @2[%ROW, %COLUMN]
        }";
    const WITH_EPILOGUE: &str = "
        kernel product [%ROW: m, %COLUMN: 32, %c0: 64] {
          %0 [%ROW, %COLUMN] = sum[%c0] @0[%ROW, %c0] * @1[%c0, %COLUMN]
          %1 [%ROW, %COLUMN] = tanh(%0) -> @2[%ROW, %COLUMN]
        }";
    const SOFTMAX: &str = "
        kernel softmax [%ROW: m, %c0: 32] {
          %0 [%ROW] = max[%c0] @2[%ROW, %c0]
          %1 [%ROW, %c0] = exp(@2[%ROW, %c0] - %0)
          %2 [%ROW] = sum[%c0] %1
          %3 [%ROW, %c0] = %1 / %2 -> @3[%ROW, %c0]
        }";
    const DIVIDED: &str = "
        kernel divided [%ROW: m, %c0: 32, %c1: 64] {
          %0 [%ROW, %c0] = sum[%c1] @0[%ROW, %c1] * @1[%c1, %c0]
          %1 [%ROW] = max[%c0] %0
          %2 [%ROW, %c0] = %0 / %1 -> @2[%ROW, %c0]
        }";

    /// What [`check`] says of steps for a kernel.
    fn said(kernel: &str, steps: &[&str]) -> Result<(), String> {
        let output = if kernel == SOFTMAX { (2, 3) } else { (0, 2) };
        let text = format!(
            "program p {{
              symbol m: 0..
              buffer @0 a: f32[m, 64]
              buffer @1 b: f32[64, 32]
              buffer @2 c: f32[m, 32]
              buffer @3 d: f32[m, 32]
              inputs @{}, @1
              outputs @{}
              {kernel}
            }}",
            output.0, output.1
        );
        let program = Program::parse(&text, &|_| None).unwrap();
        let layouts: Vec<Layout> = program.buffers.iter().map(|buffer| Layout::row_major(&buffer.shape)).collect();
        let mut kernels = Vec::new();
        mlc_ir::program::Step::visit_kernels(&program.body, &mut |kernel| kernels.push(kernel));
        let steps: Vec<Step> = steps.iter().map(|step| step.parse().unwrap()).collect();
        check(&steps, kernels[0], &program, &layouts, &Target::avx2()).map(drop)
    }

    #[test]
    fn every_rule_has_steps_that_break_it() {
        let good = ["order(ROW, COLUMN)", "vector(COLUMN, 8)", "block(COLUMN, 2)", "block(ROW, 6)", "parallel(ROW, 4)"];
        assert_eq!(said(PRODUCT, &good), Ok(()));
        assert_eq!(said(PRODUCT, &[]), Ok(()));
        let bad: [(&[&str], &str); 14] = [
            (&["mask(COLUMN)"], "has no lanes"),
            (&["vector(COLUMN, 8)", "mask(COLUMN)"], "no masks"),
            (&["order(COLUMN)"], "does not name the outer axes"),
            (&["vector(COLUMN, 16)"], "a power of two from 4 to 8"),
            (&["vector(COLUMN, 6)"], "a power of two"),
            (&["vector(COLUMN, 2)"], "a power of two"),
            (&["vector(x, 8)"], "no such axis"),
            (&["vector(ROW, 8)", "vector(COLUMN, 8)"], "two axes"),
            (&["block(x, 4)"], "no axis `x`"),
            (&["block(ROW, 0)"], "the block is empty"),
            (&["block(ROW, 65)"], "at most 64"),
            (&["block(ROW, 4)", "block(ROW, 4)"], "says again"),
            (&["block(ROW, 64)", "block(COLUMN, 64)"], "too much code"),
            (&["parallel(ROW, 0)"], "a task does nothing"),
        ];
        for (steps, why) in bad {
            let said = said(PRODUCT, steps).expect_err(why);
            assert!(said.contains(why), "{steps:?}: {said}");
        }
    }

    #[test]
    fn what_is_kept_is_what_is_read_later() {
        let block = ["vector(COLUMN, 8)", "block(ROW, 4)"];
        let with = |steps: &[&'static str]| [&block[..], steps].concat();
        assert_eq!(said(WITH_EPILOGUE, &block), Ok(()));
        assert_eq!(said(WITH_EPILOGUE, &with(&["keep(%0)", "single(%1)"])), Ok(()));
        assert_eq!(said(SOFTMAX, &["keep(%1)", "vector(c0, 8)"]), Ok(()));
        let bad: [(&str, &[&str], &str); 11] = [
            (WITH_EPILOGUE, &["keep(%0)", "single(%1)"], "there is none"),
            (WITH_EPILOGUE, &with(&["keep(%0)"]), "has to keep {}"),
            (WITH_EPILOGUE, &with(&["single(%1)"]), "only the epilogue"),
            (WITH_EPILOGUE, &with(&["keep(%0)", "single(%0)"]), "only the epilogue"),
            (WITH_EPILOGUE, &with(&["keep(%0)", "keep(%0)", "single(%1)"]), "says again"),
            (WITH_EPILOGUE, &with(&["%0 block(c0, 4)"]), "lanes of their own"),
            (PRODUCT, &with(&["keep(%0)", "single(%1)"]), "only the epilogue"),
            (SOFTMAX, &["vector(c0, 8)"], "has to keep {1}"),
            (SOFTMAX, &["keep(%1)", "keep(%3)"], "has to keep {1}"),
            (SOFTMAX, &["keep(%1)", "block(ROW, 64)", "vector(ROW, 8)"], "too much"),
            (DIVIDED, &[], "only the compiler"),
        ];
        for (kernel, steps, why) in bad {
            let said = said(kernel, steps).expect_err(why);
            assert!(said.contains(why), "{steps:?}: {said}");
        }
    }
}
