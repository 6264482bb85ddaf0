//! Chooses the layouts of a program's buffers.
//!
//! Activations between convolutions and poolings lie with their channels innermost, so that lanes run over channels
//! whatever the size of the picture is. Weights of a fold lie as the fold reads them: panels of the columns that are
//! computed at once, in the order of the loops.

use super::Layout;
use super::unfold::unfold;
use super::widen::widen;
use crate::schedule::{NARROWEST, Plan, Step as ScheduleStep, choose, loads};
use mlc_ir::program::{Expr, ExprKind, Kernel, Program, Stage, Step};
use mlc_ir::target::Target;
use mlc_ir::{Index, Name};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Layouts for all buffers, and the program with its folds in the order in which these are read fastest.
pub fn assign(program: &mut Program, target: &Target) -> Vec<Layout> {
    assign_by(program, target, &mut |kernel, program, layouts| choose(kernel, program, layouts, target))
}

/// The same with schedules that the caller chooses. A kernel is shown when its weights still lie row-major; all else it
/// reads or writes lies as it will.
pub(crate) fn assign_by(program: &mut Program, target: &Target, choose: Choose) -> Vec<Layout> {
    unfold(program, target);
    widen(program, target);
    own_weights(program);
    let mut layouts: Vec<Layout> = program.buffers.iter().map(|buffer| Layout::row_major(&buffer.shape)).collect();
    channels_last(program, &mut layouts);
    let mut body = std::mem::take(&mut program.body);
    for_kernels(&mut body, &mut |kernel| {
        order_folds(kernel, program, &layouts);
        let steps = choose(kernel, program, &layouts);
        pack_weights(kernel, program, &mut layouts, &steps, target);
    });
    program.body = body;
    layouts
}

/// Chooses the schedule of a kernel.
type Choose<'a> = &'a mut dyn FnMut(&Kernel, &Program, &[Layout]) -> Vec<ScheduleStep>;

pub(super) fn for_kernels(steps: &mut [Step], visit: &mut dyn FnMut(&mut Kernel)) {
    for step in steps {
        match step {
            Step::Kernel(kernel) => visit(kernel),
            Step::If { then, otherwise, .. } => {
                for_kernels(then, visit);
                for_kernels(otherwise, visit);
            }
            Step::Loop { body, .. } => for_kernels(body, visit),
            Step::Bind(..) => {}
        }
    }
}

/// The weights a stage folds, and where it reads them. A row that is looked up, as of an embedding, is no reason for a
/// layout: such a reader takes that of the others.
fn folded_weights(stage: &Stage, program: &Program) -> Vec<(u32, Vec<Index>)> {
    let mut weights = if stage.reduce.is_some() { loads(&stage.value) } else { vec![] };
    weights.retain(|(buffer, index)| {
        let definition = program.buffer(*buffer);
        definition.constant.is_some() && definition.shape.len() >= 2 && !index.iter().any(Index::looks_up)
    });
    weights
}

/// Gives every fold that shares a weight with another fold its own name for it, so that each can choose a layout.
/// Weights that end up with equal bytes are stored once.
fn own_weights(program: &mut Program) {
    let mut readers: HashMap<u32, usize> = HashMap::new();
    Step::visit_kernels(&program.body, &mut |kernel| {
        for stage in &kernel.stages {
            let read: BTreeSet<u32> = folded_weights(stage, program).into_iter().map(|load| load.0).collect();
            read.into_iter().for_each(|buffer| *readers.entry(buffer).or_default() += 1);
        }
    });
    let mut body = std::mem::take(&mut program.body);
    for_kernels(&mut body, &mut |kernel| {
        for stage in &mut kernel.stages {
            let read = folded_weights(stage, program).into_iter().map(|load| load.0);
            let shared: BTreeSet<u32> = read.filter(|buffer| readers.get(buffer).is_some_and(|&n| n > 1)).collect();
            for buffer in shared {
                let own = program.add_buffer(program.buffer(buffer).clone());
                stage.value = stage.value.transform(&mut |e| match e.kind() {
                    ExprKind::Load { buffer: b, index } if *b == buffer && !index.iter().any(Index::looks_up) => {
                        Expr::load(e.dtype(), own, index.clone())
                    }
                    _ => e,
                });
            }
        }
    });
    program.body = body;
}

/// The dims of a load along which a stage folds over windows that overlap, as a convolution or pooling does: there a kept
/// and a folded axis are added so that two places of one meet two of the other. Without overlap it is a dim split in
/// two, as the heads of an attention.
fn windowed(kernel: &Kernel, stage: &Stage, index: &[Index]) -> Vec<usize> {
    let Some(reduce) = &stage.reduce else { return vec![] };
    // The step of an axis in a dim, and the way all its places go.
    let reach = |index: &Index, axis: &Name| {
        let step = index.linear_in(axis)?.0.as_const().filter(|&n| n != 0)?.abs();
        let extent = kernel.extent(axis)?.as_const();
        Some((step, extent.map_or(i64::MAX, |n| n.saturating_mul(step))))
    };
    let overlaps = |index: &Index| {
        stage.axes.iter().filter_map(|axis| reach(index, axis)).any(|kept| {
            let mut folded = reduce.axes.iter().filter_map(|axis| reach(index, axis));
            folded.any(|folded| kept.0 < folded.1 && folded.0 < kept.1)
        })
    };
    index.iter().enumerate().filter(|(_, i)| overlaps(i)).map(|(dim, _)| dim).collect()
}

/// The same where the windows are written out, as the transform of a tile is: two reads of a buffer, and two places of an
/// axis, that meet.
fn written_out(kernel: &Kernel, reads: &[Vec<Index>]) -> Vec<usize> {
    let meets = |dim: usize, axis: &mlc_ir::program::Axis| {
        let first = reads.first().map(|read| &read[dim])?;
        let step = first.linear_in(&axis.name)?.0.as_const().filter(|&n| n != 0)?.abs();
        let reach = axis.extent.as_const().map_or(i64::MAX, |n| n.saturating_mul(step));
        let apart = |read: &Vec<Index>| (read[dim].clone() - first.clone()).as_const().map(i64::abs);
        Some(reads.iter().filter_map(apart).any(|n| n >= step && n < reach))
    };
    let rank = reads.first().map_or(0, Vec::len);
    (0..rank).filter(|&dim| kernel.axes.iter().any(|axis| meets(dim, axis) == Some(true))).collect()
}

/// Every access of a kernel to a buffer.
fn accesses(kernel: &Kernel) -> Vec<(u32, Vec<Index>)> {
    let stores = kernel.stages.iter().flat_map(|stage| &stage.store).map(|store| (store.buffer, store.index.clone()));
    kernel.stages.iter().flat_map(|stage| loads(&stage.value)).chain(stores).collect()
}

/// The dim that is neither the first, the batch, nor in space: the channels, if there is one.
fn channel(index: &[Index], space: &BTreeSet<Name>) -> Option<usize> {
    let free = |(dim, i): &(usize, &Index)| *dim > 0 && !i.vars().is_empty() && i.vars().is_disjoint(space);
    let mut dims = index.iter().enumerate().filter(free);
    let dim = dims.next()?.0;
    dims.next().is_none().then_some(dim)
}

/// Activations of convolutions and poolings, and of what lies between them, get their channels innermost.
fn channels_last(program: &Program, layouts: &mut [Layout]) {
    let fixed = |buffer: u32| {
        let definition = program.buffer(buffer);
        definition.constant.is_some()
            || definition.shape.len() < 3
            || program.inputs.contains(&buffer)
            || program.outputs.contains(&buffer)
    };
    let mut channels: HashMap<u32, usize> = HashMap::new();
    let spread = |kernel: &Kernel, space: &BTreeSet<Name>, channels: &mut HashMap<u32, usize>| {
        let mut changed = false;
        for (buffer, index) in accesses(kernel) {
            if !fixed(buffer)
                && !channels.contains_key(&buffer)
                && let Some(dim) = channel(&index, space)
            {
                channels.insert(buffer, dim);
                changed = true;
            }
        }
        changed
    };
    Step::visit_kernels(&program.body, &mut |kernel| {
        for stage in &kernel.stages {
            for (_, index) in loads(&stage.value) {
                let dims = windowed(kernel, stage, &index);
                if !dims.is_empty() {
                    let space = dims.iter().flat_map(|&dim| index[dim].vars()).collect();
                    spread(kernel, &space, &mut channels);
                }
            }
        }
        let mut reads: BTreeMap<u32, Vec<Vec<Index>>> = BTreeMap::new();
        for stage in kernel.stages.iter().filter(|stage| stage.reduce.is_none()) {
            loads(&stage.value).into_iter().for_each(|(buffer, index)| reads.entry(buffer).or_default().push(index));
        }
        for reads in reads.values() {
            let dims = written_out(kernel, reads);
            let space = dims.iter().flat_map(|&dim| reads[0][dim].vars()).collect();
            if !dims.is_empty() {
                spread(kernel, &space, &mut channels);
            }
        }
    });
    // Neighbours follow.
    let mut changed = true;
    while std::mem::take(&mut changed) {
        Step::visit_kernels(&program.body, &mut |kernel| {
            for (buffer, index) in accesses(kernel) {
                let Some(&dim) = channels.get(&buffer) else { continue };
                let others = index.iter().enumerate().filter(|(d, _)| *d > 0 && *d != dim);
                let space: BTreeSet<Name> = others.flat_map(|(_, i)| i.vars()).collect();
                changed |= spread(kernel, &space, &mut channels);
            }
        });
    }
    for (buffer, channel) in channels {
        let shape = &program.buffer(buffer).shape;
        // The colours of a picture fill no vector: it stays as it came.
        if shape[channel].as_const().is_some_and(|n| n < i64::from(NARROWEST)) {
            continue;
        }
        let order = (0..shape.len()).filter(|dim| *dim != channel).chain([channel]).collect();
        layouts[buffer as usize] = Layout { order, tile: None };
    }
}

/// Folds over the axis along which an activation is contiguous innermost.
fn order_folds(kernel: &mut Kernel, program: &Program, layouts: &[Layout]) {
    for stage in &mut kernel.stages {
        let all = loads(&stage.value);
        let Some(reduce) = &mut stage.reduce else { continue };
        let inner = |axis: &Name| {
            all.iter().any(|(buffer, index)| {
                let layout = &layouts[*buffer as usize];
                !layout.is_row_major(&program.buffer(*buffer).shape)
                    && layout.innermost().is_some_and(|d| index[d].mentions(axis))
            })
        };
        let (last, mut first): (Vec<Name>, Vec<Name>) = reduce.axes.iter().cloned().partition(inner);
        first.extend(last);
        reduce.axes = first;
    }
}

fn pack_weights(kernel: &Kernel, program: &Program, layouts: &mut [Layout], steps: &[ScheduleStep], target: &Target) {
    let Ok(plan) = Plan::new(kernel, steps) else { return };
    let vector = steps.iter().find_map(|step| match step {
        ScheduleStep::Vector(axis, lanes) => Some((axis.clone(), *lanes)),
        _ => None,
    });
    // What tasks read abreast lies side by side, without panels.
    let abreast = plan.outer.last().filter(|_| target.abreast.is_some());
    for stage in &kernel.stages {
        let Some(reduce) = &stage.reduce else { continue };
        for (buffer, index) in folded_weights(stage, program) {
            let definition = program.buffer(buffer);
            if !layouts[buffer as usize].is_row_major(&definition.shape) {
                continue;
            }
            let rank = |d: &usize| {
                let vars = index[*d].vars();
                if abreast.is_some_and(|axis| vars.contains(axis)) {
                    return (usize::MAX, *d);
                }
                let own = vector.as_ref().is_some_and(|v| vars.contains(&v.0));
                let folded = reduce.axes.iter().position(|axis| vars.contains(axis));
                (folded.map_or(if own { 1 } else { 0 }, |place| place + 2), *d)
            };
            let mut order: Vec<usize> = (0..definition.shape.len()).collect();
            order.sort_by_key(rank);
            let column = vector.as_ref().filter(|_| target.abreast.is_none()).and_then(|(axis, lanes)| {
                let d = index.iter().position(|i| i.as_var() == Some(axis))?;
                let outer = plan.outer.contains(axis);
                outer.then(|| (d, i64::from(*lanes) * i64::from(plan.block(0, axis))))
            });
            layouts[buffer as usize] = Layout { order, tile: column };
        }
    }
}
