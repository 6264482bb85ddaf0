//! The program's results are copies of inner buffers: lets the inner buffer be the result itself.

use super::report::{Report, Rule};
use mlc_ir::program::{ExprKind, Kernel, Program, Stage, Step, StoreMode};
use mlc_ir::{Index, Name};
use std::collections::{HashMap, HashSet};

/// Renames every buffer that is copied whole to one result, and drops the copy. Results that are inputs or constants, and
/// all but the first copy of a buffer, stay copies.
pub fn alias(program: &mut Program, report: &mut Report) {
    let mut names: HashMap<u32, u32> = HashMap::new();
    let mut writers: HashMap<u32, Vec<Name>> = HashMap::new();
    Step::visit_kernels(&program.body, &mut |kernel| {
        kernel.writes().into_iter().for_each(|buffer| writers.entry(buffer).or_default().push(kernel.name.clone()));
    });
    let mut dropped = HashSet::new();
    for (place, step) in program.body.iter().enumerate() {
        let Step::Kernel(kernel) = step else { continue };
        let Some((from, to)) = copy(program, kernel) else { continue };
        let result = program.outputs.contains(&to) && !program.inputs.contains(&from) && !program.outputs.contains(&from);
        let alone = writers[&to].len() == 1 && writers.contains_key(&from) && !names.contains_key(&from);
        if result && alone && !touched_later(program, place, from, to) {
            names.insert(from, to);
            dropped.insert(place);
            writers[&from].iter().for_each(|producer| report.fused(Rule::Output, &kernel.name, producer));
        }
    }
    let mut place = 0..program.body.len();
    program.body.retain(|_| place.next().is_some_and(|place| !dropped.contains(&place)));
    super::finish::rename_buffers(&mut program.body, &|buffer| names.get(&buffer).copied().unwrap_or(buffer));
}

/// Whether the copied buffer changes after the copy.
fn touched_later(program: &Program, place: usize, from: u32, to: u32) -> bool {
    let mut changed = false;
    Step::visit_kernels(&program.body[place + 1..], &mut |kernel| {
        let writes = kernel.writes();
        changed |= writes.contains(&from) || writes.contains(&to);
    });
    changed
}

/// The buffers of a kernel that copies one to another of the same shape and type.
fn copy(program: &Program, kernel: &Kernel) -> Option<(u32, u32)> {
    let [Stage { reduce: None, value, store: Some(store), .. }] = kernel.stages.as_slice() else { return None };
    let ExprKind::Load { buffer, index } = value.kind() else { return None };
    let (from, to) = (program.buffer(*buffer), program.buffer(store.buffer));
    let same = from.dtype == to.dtype && from.shape == to.shape && from.constant.is_none();
    let zero = |i: &Index, extent: &Index| extent.is(1) && (i.is(0) || i.as_var().is_some());
    let in_place = index.iter().zip(&store.index).zip(&from.shape).all(|((a, b), extent)| {
        a == b && a.as_var().is_some() || zero(a, extent) && zero(b, extent)
    });
    (same && in_place && store.mode == StoreMode::Set && store.only.is_empty()).then_some((*buffer, store.buffer))
}
