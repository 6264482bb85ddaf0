//! Copies of a whole buffer to another: the first buffer becomes the second, and the copy vanishes.
//!
//! The program's results are such copies, and what branches and loops hand out. Results that are inputs or constants,
//! and all but the first copy of a buffer, stay copies.

use super::finish::rename_buffers;
use super::report::{Report, Rule};
use super::work::{reads, writes};
use mlc_ir::program::{ExprKind, Kernel, Program, Stage, Step, StoreMode};
use mlc_ir::{Index, Name};
use std::collections::{HashMap, HashSet};

/// Makes copied buffers one where nothing tells them apart.
pub fn alias(program: &mut Program, report: &mut Report) {
    let mut fixed: HashSet<u32> = program.inputs.iter().chain(&program.outputs).copied().collect();
    fixed.extend((0..program.buffers.len() as u32).filter(|b| program.buffer(*b).constant.is_some()));
    let mut body = std::mem::take(&mut program.body);
    let mut total = HashMap::new();
    count(&body, &mut total);
    alias_in(program, &mut body, &fixed, &total, report);
    program.body = body;
}

fn alias_in(
    program: &Program,
    steps: &mut Vec<Step>,
    fixed: &HashSet<u32>,
    total: &HashMap<u32, usize>,
    report: &mut Report,
) {
    for step in steps.iter_mut() {
        match step {
            Step::If { then, otherwise, .. } => {
                alias_in(program, then, fixed, total, report);
                alias_in(program, otherwise, fixed, total, report);
            }
            Step::Loop { body, .. } => alias_in(program, body, fixed, total, report),
            Step::Kernel(_) | Step::Bind(..) => {}
        }
    }
    let mut dropped = HashSet::new();
    let mut names: HashMap<u32, u32> = HashMap::new();
    let touches: Vec<Touch> = steps.iter().map(Touch::new).collect();
    for (place, step) in steps.iter().enumerate() {
        let Step::Kernel(kernel) = step else { continue };
        let Some((from, to)) = copy(program, kernel) else { continue };
        let free =
            !fixed.contains(&from) && !names.contains_key(&from) && !names.values().any(|b| *b == to || *b == from);
        if free && !names.contains_key(&to) && indistinct(&touches, place, from, to, total) {
            names.insert(from, to);
            dropped.insert(place);
            report.fused(Rule::Output, &kernel.name, &writer(steps, from).unwrap_or_else(|| kernel.name.clone()));
        }
    }
    if names.is_empty() {
        return;
    }
    let mut place = 0..steps.len();
    steps.retain(|_| place.next().is_some_and(|place| !dropped.contains(&place)));
    rename_buffers(steps, &|buffer| names.get(&buffer).copied().unwrap_or(buffer));
}

/// The buffers a step reads and writes, bodies included.
struct Touch {
    reads: HashSet<u32>,
    writes: HashSet<u32>,
}

impl Touch {
    fn new(step: &Step) -> Touch {
        let mut touch = Touch { reads: HashSet::new(), writes: HashSet::new() };
        let step = std::slice::from_ref(step);
        super::finish::mentioned(step, &mut touch.reads);
        Step::visit_kernels(step, &mut |kernel| touch.writes.extend(writes(kernel)));
        if let [Step::Kernel(kernel)] = step {
            touch.reads = reads(kernel).into_iter().collect();
        }
        touch
    }

    fn any(&self, buffer: u32) -> bool {
        self.reads.contains(&buffer) || self.writes.contains(&buffer)
    }
}

/// Whether a list of steps that copies `from` to `to` at `place` does the same with one buffer: `from` lives in this list
/// only, is written before the copy and not after, and `to` is not touched in the meantime nor changed afterwards.
fn indistinct(touches: &[Touch], place: usize, from: u32, to: u32, total: &HashMap<u32, usize>) -> bool {
    let Some(first) = touches.iter().position(|touch| touch.any(from)) else { return false };
    let here = touches.iter().filter(|touch| touch.any(from)).count();
    let last = touches.iter().rposition(|touch| touch.any(from)).unwrap_or(place);
    let written = first < place && touches[first].writes.contains(&from) && !touches[first].reads.contains(&from);
    let inside = total.get(&from) == Some(&here);
    let unchanged = touches[place + 1..].iter().all(|touch| !touch.writes.contains(&from));
    let untouched = touches[first..place].iter().all(|touch| !touch.any(to));
    let kept = touches[place + 1..=last.max(place)].iter().all(|touch| !touch.writes.contains(&to));
    written && inside && unchanged && untouched && kept
}

/// In how many steps of all lists each buffer occurs; a step with a body counts its body's steps instead.
fn count(steps: &[Step], total: &mut HashMap<u32, usize>) {
    for step in steps {
        match step {
            Step::If { condition, then, otherwise } => {
                *total.entry(*condition).or_default() += 1;
                count(then, total);
                count(otherwise, total);
            }
            Step::Loop { condition, body, .. } => {
                condition.iter().for_each(|buffer| *total.entry(*buffer).or_default() += 1);
                count(body, total);
            }
            Step::Kernel(_) | Step::Bind(..) => {
                let touch = Touch::new(step);
                touch.reads.union(&touch.writes).for_each(|buffer| *total.entry(*buffer).or_default() += 1);
            }
        }
    }
}

/// The name of a kernel of the list that writes a buffer.
fn writer(steps: &[Step], buffer: u32) -> Option<Name> {
    steps.iter().find_map(|step| match step {
        Step::Kernel(kernel) if kernel.writes().contains(&buffer) => Some(kernel.name.clone()),
        _ => None,
    })
}

/// The buffers of a kernel that copies one to another of the same shape and type.
fn copy(program: &Program, kernel: &Kernel) -> Option<(u32, u32)> {
    carried(program, kernel).filter(|(from, to)| program.buffer(*from).shape == program.buffer(*to).shape)
}

/// The buffers of a kernel that copies all of one to the same places of another, of the same type.
pub fn carried(program: &Program, kernel: &Kernel) -> Option<(u32, u32)> {
    let [Stage { reduce: None, value, store: Some(store), .. }] = kernel.stages.as_slice() else { return None };
    let ExprKind::Load { buffer, index } = value.kind() else { return None };
    let (from, to) = (program.buffer(*buffer), program.buffer(store.buffer));
    let same = from.dtype == to.dtype;
    let zero = |i: &Index, extent: &Index| extent.is(1) && (i.is(0) || i.as_var().is_some());
    let in_place = index.iter().zip(&store.index).zip(&from.shape).all(|((a, b), extent)| {
        a == b && a.as_var().is_some_and(|axis| kernel.extent(axis) == Some(extent))
            || zero(a, extent) && zero(b, extent)
    });
    (same && in_place && store.mode == StoreMode::Set && store.only.is_empty()).then_some((*buffer, store.buffer))
}
