//! The last touch: stages read once are put into their reader, what several compute becomes one, axes and kernels get their names, unused buffers go.

use super::report::Report;
use super::rewrite::map_stage_indices;
use super::rewrite::{Substitution, replace_stages, rewrite, stage_uses, tree_size};
use super::share::share;
use super::simplify::{drop_stages, substitute_stage};
use mlc_ir::index::Atom;
use mlc_ir::program::{Expr, ExprKind, Kernel, Program, Stage, Step};
use mlc_ir::{Index, Name};
use std::collections::{HashMap, HashSet};

/// How large an expression may become by joining stages.
const SIZE: usize = 300;

/// Puts a program in its final form.
pub fn finish(program: &mut Program, report: &mut Report) {
    let facts = program.facts.clone();
    let mut names = HashMap::new();
    each_kernel(&mut program.body, &mut |kernel| {
        join_stages(kernel);
        share(kernel);
        join_stores(kernel);
        rename_axes(kernel, &facts);
        let name = unique(&kernel.name, &mut names);
        if name != kernel.name {
            report.renamed.push((name.clone(), kernel.name.clone()));
        }
        kernel.name = name;
    });
    drop_buffers(program);
}

/// Calls `change` on every kernel, in order.
pub fn each_kernel(steps: &mut [Step], change: &mut dyn FnMut(&mut Kernel)) {
    for step in steps {
        match step {
            Step::Kernel(kernel) => change(kernel),
            Step::If { then, otherwise, .. } => {
                each_kernel(then, change);
                each_kernel(otherwise, change);
            }
            Step::Loop { body, .. } => each_kernel(body, change),
            Step::Bind(..) => {}
        }
    }
}

/// A map stage that does not store and is read once becomes part of its reader. One along an inner axis does not if its
/// reader has loops besides, which would compute it again.
fn join_stages(kernel: &mut Kernel) {
    let count = kernel.stages.len();
    let outer = kernel.outer_axes();
    let again = |map: &Stage, reader: &Stage| {
        let mut nest = reader.axes.iter().chain(reader.reduce.iter().flat_map(|reduce| &reduce.axes));
        map.axes.iter().any(|axis| !outer.contains(axis)) && nest.any(|axis| !map.axes.contains(axis))
    };
    for number in 0..count {
        let stage = &kernel.stages[number];
        if stage.reduce.is_some() || stage.store.is_some() {
            continue;
        }
        let uses: Vec<usize> = kernel.stages.iter().map(|later| stage_uses(&later.value, count)[number]).collect();
        let value = stage.value.clone();
        let trivial = tree_size(&value) <= 2;
        let Some(reader) = uses.iter().position(|n| *n > 0) else { continue };
        let once = !again(stage, &kernel.stages[reader])
            && uses.iter().sum::<usize>() == 1
            && tree_size(&kernel.stages[reader].value) + tree_size(&value) < SIZE;
        if !once && !trivial {
            continue;
        }
        for later in &mut kernel.stages[reader..] {
            later.value =
                replace_stages(&later.value, &|n, node| if n == number { value.clone() } else { node.clone() });
        }
    }
    drop_stages(kernel);
}

/// A stage that only stores an earlier one's value, which does not store itself, is that one's store.
fn join_stores(kernel: &mut Kernel) {
    for number in 0..kernel.stages.len() {
        let stage = &kernel.stages[number];
        let ExprKind::Stage(source) = *stage.value.kind() else { continue };
        let earlier = &kernel.stages[source];
        if stage.reduce.is_none() && earlier.store.is_none() && earlier.axes == stage.axes {
            kernel.stages[source].store = kernel.stages[number].store.take();
            let value = kernel.stages[number].value.clone();
            for later in &mut kernel.stages[number + 1..] {
                let direct = |n: usize, node: &Expr| if n == number { value.clone() } else { node.clone() };
                later.value = replace_stages(&later.value, &direct);
            }
        }
    }
    drop_stages(kernel);
}

/// Outer axes become `o0`, `o1`, ...; the others `c0`, `c1`, ...
fn rename_axes(kernel: &mut Kernel, facts: &mlc_ir::Facts) {
    let outer = kernel.outer_axes();
    let inner = kernel.axes.iter().filter(|axis| !outer.contains(&axis.name)).map(|axis| &axis.name);
    let number = |stem: &'static str| move |(n, old): (usize, &Name)| (old.clone(), Name::from(format!("{stem}{n}")));
    let names: HashMap<Name, Name> =
        outer.iter().enumerate().map(number("o")).chain(inner.enumerate().map(number("c"))).collect();
    let order = |name: &Name| outer.iter().position(|o| o == name).unwrap_or(usize::MAX);
    kernel.axes.sort_by_key(|axis| order(&axis.name));
    kernel.axes.iter_mut().for_each(|axis| axis.name = names[&axis.name].clone());
    let axes: Substitution = names.iter().map(|(old, new)| (old.clone(), Index::var(new.clone()))).collect();
    let facts = kernel.facts(facts);
    for stage in &mut kernel.stages {
        substitute_stage(stage, &facts, &axes);
        stage.axes.iter_mut().for_each(|name| *name = names[name].clone());
        stage.reduce.iter_mut().flat_map(|reduce| &mut reduce.axes).for_each(|name| *name = names[name].clone());
    }
}

fn unique(name: &Name, used: &mut HashMap<Name, usize>) -> Name {
    let count = used.entry(name.clone()).or_insert(0);
    *count += 1;
    if *count == 1 {
        return name.clone();
    }
    let numbered: Name = format!("{name}.{count}").into();
    unique(&numbered, used)
}

/// Renumbers buffers wherever they occur in steps.
pub fn rename_buffers(steps: &mut [Step], with: &dyn Fn(u32) -> u32) {
    for step in steps {
        match step {
            Step::Kernel(kernel) => rename_in_kernel(kernel, with),
            Step::If { condition, then, otherwise } => {
                *condition = with(*condition);
                rename_buffers(then, with);
                rename_buffers(otherwise, with);
            }
            Step::Loop { trips, condition, body, .. } => {
                *trips = rename_in_index(trips, with);
                condition.iter_mut().for_each(|buffer| *buffer = with(*buffer));
                rename_buffers(body, with);
            }
            Step::Bind(_, index) => *index = rename_in_index(index, with),
        }
    }
}

fn rename_in_index(index: &Index, with: &dyn Fn(u32) -> u32) -> Index {
    index.replace(&|atom| match atom {
        Atom::At(buffer, at) => Some(Index::at(with(*buffer), at.iter().map(|i| rename_in_index(i, with)).collect())),
        _ => None,
    })
}

/// Renumbers the buffers of one kernel.
fn rename_in_kernel(kernel: &mut Kernel, with: &dyn Fn(u32) -> u32) {
    let looks_up = |index: &Index| {
        let mut found = Vec::new();
        mlc_ir::program::lookups(index, &mut found);
        !found.is_empty()
    };
    for axis in kernel.axes.iter_mut().filter(|axis| looks_up(&axis.extent)) {
        axis.extent = rename_in_index(&axis.extent, with);
    }
    for stage in &mut kernel.stages {
        let mut lookups = false;
        super::rewrite::each_index(stage, &mut |index| lookups |= looks_up(index));
        if lookups {
            *stage = map_stage_indices(stage, &|index| rename_in_index(index, with));
        }
        stage.value = rewrite(&stage.value, &mut |node| match node.kind() {
            ExprKind::Load { buffer, index } if with(*buffer) != *buffer => {
                Expr::load(node.dtype(), with(*buffer), index.clone())
            }
            _ => node,
        });
        stage.store.iter_mut().for_each(|store| store.buffer = with(store.buffer));
    }
}

/// Removes buffers that nothing mentions and numbers the rest anew.
fn drop_buffers(program: &mut Program) {
    let mut used: HashSet<u32> = program.inputs.iter().chain(&program.outputs).copied().collect();
    mentioned(&program.body, &mut used);
    for (a, b, _) in &program.asserts {
        let mut found = Vec::new();
        mlc_ir::program::lookups(a, &mut found);
        mlc_ir::program::lookups(b, &mut found);
        used.extend(found);
    }
    let mut numbers = HashMap::new();
    let mut buffers = Vec::new();
    for (number, buffer) in std::mem::take(&mut program.buffers).into_iter().enumerate() {
        if used.contains(&(number as u32)) {
            numbers.insert(number as u32, buffers.len() as u32);
            buffers.push(buffer);
        }
    }
    program.buffers = buffers;
    let with = |buffer: u32| numbers.get(&buffer).copied().unwrap_or(buffer);
    rename_buffers(&mut program.body, &with);
    program.inputs.iter_mut().chain(&mut program.outputs).for_each(|buffer| *buffer = with(*buffer));
    program.states.iter_mut().for_each(|state| *state = (with(state.0), with(state.1)));
    for (a, b, _) in &mut program.asserts {
        (*a, *b) = (rename_in_index(a, &with), rename_in_index(b, &with));
    }
}

/// Adds every buffer that steps mention.
pub fn mentioned(steps: &[Step], used: &mut HashSet<u32>) {
    let mut found = Vec::new();
    for step in steps {
        match step {
            Step::Kernel(kernel) => {
                used.extend(super::work::reads(kernel));
                used.extend(kernel.writes());
            }
            Step::If { condition, then, otherwise } => {
                used.insert(*condition);
                mentioned(then, used);
                mentioned(otherwise, used);
            }
            Step::Loop { trips, condition, body, .. } => {
                mlc_ir::program::lookups(trips, &mut found);
                used.extend(condition);
                mentioned(body, used);
            }
            Step::Bind(_, index) => mlc_ir::program::lookups(index, &mut found),
        }
    }
    used.extend(found);
}
