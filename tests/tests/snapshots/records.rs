//! Random and mutated records: whatever steps a tuning file gives a kernel, results stay what they are, or the record is
//! left out.

use crate::case::Case;
use crate::results::{agree, inputs};
use mlc::engine::{compile_for, run_session};
use mlc::targets::{Target, find};
use mlc_codegen::kernels::candidates;
use mlc_codegen::schedule::Step;
use mlc_codegen::tuning::Tuning;
use mlc_ir::program::{self, Kernel, Program, interp};
use mlc_ir::{Name, Tensor};
use mlc_passes::{Options, optimize};
use std::collections::HashMap;

/// Records of each kernel that are tried; `ROUNDS` in the environment says otherwise.
const ROUNDS: u64 = 3;
/// Candidates of a kernel that are mutated.
const MOST: usize = 40;

/// What became of the records.
#[derive(Default)]
pub struct Counts {
    pub used: usize,
    pub ignored: usize,
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n.max(1)
    }

    fn of<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())].clone()
    }

    fn number(&mut self) -> u32 {
        self.of(&[0, 1, 1, 2, 2, 3, 4, 4, 5, 6, 7, 8, 12, 16, 31, 63, 64, 65, 1000, u32::MAX])
    }

    fn step(&mut self, kernel: &Kernel, axes: &[Name], outer: &[Name]) -> Step {
        let axis = self.of(axes);
        let stage = self.below(kernel.stages.len() + 1);
        match self.below(8) {
            0 => Step::Order(self.shuffled(outer)),
            1 => Step::Vector(axis, self.of(&[0, 1, 2, 3, 4, 4, 8, 8, 16, 16, 32, u16::MAX])),
            2 => Step::Block(axis, self.number()),
            3 => Step::Mask(axis),
            4 => Step::Keep(stage),
            5 => Step::Single(stage),
            6 => Step::Within(stage, Box::new(Step::Block(axis, self.number()))),
            _ => Step::Parallel(if self.below(8) == 0 { axis } else { self.of(outer) }, self.number()),
        }
    }

    fn shuffled(&mut self, axes: &[Name]) -> Vec<Name> {
        let mut axes = axes.to_vec();
        for place in (1..axes.len()).rev() {
            axes.swap(place, self.below(place + 1));
        }
        axes
    }

    /// Steps that nobody thought of, or a candidate with a change or two.
    fn steps(&mut self, kernel: &Kernel, candidates: &[Vec<Step>]) -> Vec<Step> {
        let mut outer = kernel.outer_axes();
        let mut axes: Vec<Name> = kernel.axes.iter().map(|axis| axis.name.clone()).collect();
        if outer.is_empty() || self.below(20) == 0 {
            outer.push("nobody".into());
        }
        axes.push(self.of(&outer));
        if self.below(4) == 0 {
            let count = self.below(7);
            return (0..count).map(|_| self.step(kernel, &axes, &outer)).collect();
        }
        let mut steps = self.of(candidates);
        for _ in 0..self.below(3) {
            let place = self.below(steps.len());
            match self.below(5) {
                0 if !steps.is_empty() => drop(steps.remove(place)),
                1 => steps.push(self.step(kernel, &axes, &outer)),
                2 => steps.insert(place, self.step(kernel, &axes, &outer)),
                3 => turn_epilogue(&mut steps),
                _ => match steps.get_mut(place) {
                    Some(Step::Order(order)) => *order = self.shuffled(order),
                    Some(Step::Block(_, n) | Step::Parallel(_, n) | Step::Crew(_, n) | Step::Panel(_, n, _)) => {
                        *n = self.number()
                    }
                    Some(Step::Vector(axis, _) | Step::Mask(axis) | Step::Matrix(axis, ..)) => *axis = self.of(&axes),
                    Some(Step::Keep(stage) | Step::Single(stage) | Step::Within(stage, _)) => {
                        *stage = self.below(kernel.stages.len() + 1);
                    }
                    None => {}
                },
            }
        }
        steps
    }
}

/// An epilogue that is a loop is written out, and one that is not is made a loop.
fn turn_epilogue(steps: &mut Vec<Step>) {
    let looped = [Step::Keep(0), Step::Single(1)];
    let before = steps.len();
    steps.retain(|step| !looped.contains(step));
    if steps.len() == before {
        steps.extend(looped);
    }
}

/// Runs a case by random records on every kind of target that this machine can be.
///
/// # Errors
/// Names the case and the records.
pub fn check(case: &Case, number: u64, counts: &mut Counts) -> Result<(), String> {
    let failed = |e: &dyn std::fmt::Display| format!("{}: {e}", case.name);
    let reference = case.graph.to_program().map_err(|e| failed(&e))?;
    let (fused, _) = optimize(case.graph.clone(), Options::default()).map_err(|e| failed(&e))?;
    let mut runs = Vec::new();
    for sizes in &case.runs {
        let inputs = inputs(case, &reference, sizes).map_err(|e| failed(&e))?;
        let expected = interp::run(&reference, &inputs).map_err(|e| failed(&e))?;
        runs.push((inputs, expected));
    }
    let rounds = std::env::var("ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    for (place, target) in targets().iter().enumerate() {
        for round in 0..rounds {
            let mut random = Random(number << 40 | (place as u64) << 32 | round);
            let tuning = records(&fused, target, &mut random);
            let threads = 1 + (round % 2) as usize * 2;
            agrees(&fused, target, threads, &tuning, &runs, counts)
                .map_err(|e| failed(&format!("{} round {round}, {tuning:?}: {e}", target.features.len())))?;
        }
    }
    Ok(())
}

fn agrees(
    fused: &Program,
    target: &Target,
    threads: usize,
    tuning: &Tuning,
    runs: &[(Vec<Tensor>, Vec<Tensor>)],
    counts: &mut Counts,
) -> Result<(), String> {
    let made = compile_for(fused.clone(), target.clone(), threads, tuning.clone()).map_err(|e| e.to_string())?;
    counts.used += made.tuned.used;
    counts.ignored += made.tuned.ignored.len();
    let mut session = made.session;
    for (inputs, expected) in runs {
        let got = run_session(&mut session, inputs).map_err(|e| e.to_string())?;
        agree(&got, expected)?;
    }
    Ok(())
}

/// A record for every kernel.
fn records(program: &Program, target: &Target, random: &mut Random) -> Tuning {
    let mut kernels: HashMap<&str, &Kernel> = HashMap::new();
    program::Step::visit_kernels(&program.body, &mut |kernel| {
        kernels.insert(&kernel.name, kernel);
    });
    let mut tuning = Tuning::default();
    for form in candidates(program, &target.machine(), MOST) {
        let Some(kernel) = kernels.get(form.kernels[0].as_str()) else { continue };
        let steps = random.steps(kernel, &form.list);
        // Through their text, as they come from a file.
        let steps = steps.iter().map(|step| step.to_string().parse().expect("steps read back")).collect();
        tuning.add(form.key, form.kernels[0].clone(), steps);
    }
    tuning
}

/// This machine, and as if it had less.
fn targets() -> Vec<Target> {
    let host = find("host", None).expect("this machine is known");
    let mut targets = vec![host.clone()];
    for name in ["x86-64-v3", "x86-64-v2"] {
        let less = find(name, None).expect("a processor the command knows");
        let same = less.triple.architecture == host.triple.architecture;
        if same && less.features.iter().all(|feature| host.features.contains(feature)) {
            targets.push(Target { triple: host.triple.clone(), ..less });
        }
    }
    targets
}
