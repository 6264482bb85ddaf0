//! R3: kernels over the same rows become one: statistics of a row, then what uses them.
//!
//! The consumer's axes take the names of the producer's where it reads what the producer wrote; the axes that all of the
//! producer's stages have must be such axes.
//!
//! A contraction may be merged with what folds its rows, and with a contraction that reads them: scores, their softmax and
//! the mean of the values are one kernel, whose rows stay in the memory of a task. Of its columns' axes the result is then
//! an inner loop. That a row is too long to stay near is no reason against it, for it would be written to memory and read
//! again if it were a buffer. What the rows are multiplied with may be one: a kernel of its own reads it a panel at a time
//! for all rows, a merged one all of it for each block of rows. So it must be no weight, and stay near ([`NEAR`], a symbol
//! counting as [`SYMBOLIC`]), or have rows so short ([`SHORT`]) that the row between the two contractions costs more.

use super::cost::{factors, has_contraction, load_vars, points};
use super::epilogue::name;
use super::rewrite::{Substitution, each, loads, looks_up, rewrite, stage_uses};
use super::simplify::{simplify, substitute_stage};
use super::work::{Place, Work};
use mlc_ir::program::{Expr, ExprKind, Kernel, Stage, StoreMode};
use mlc_ir::{Index, Name};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// So many rows keep every core busy.
const ROWS: i64 = 16;
/// Fewer rows are fine if there are no more points than this.
const POINTS: i64 = 1 << 16;

/// Bytes that a task finds near when it reads them again.
const NEAR: i64 = 256 << 10;
/// Elements of an operand's row that are read about as fast as one of the result is written and read a few times.
const SHORT: i64 = 256;
/// What a symbolic extent is taken to be.
const SYMBOLIC: i64 = 64;

/// Both kernels as one, or why that cannot be.
pub fn rows(work: &Work, from: Place, to: Place) -> Result<Kernel, &'static str> {
    let (Some(producer), Some(consumer)) = (work.kernel(from), work.kernel(to)) else { return Err("it is no kernel") };
    if from.block != to.block {
        return Err("control flow lies between them");
    }
    if !producer.stages.iter().any(|stage| stage.reduce.is_some()) {
        return Err("the producer folds nothing");
    }
    if reads_weights(work, producer) || reads_weights(work, consumer) {
        return Err("a contraction reads its weights for all rows at once");
    }
    let ordered = |kernel: &Kernel| kernel.stages.iter().flat_map(|s| &s.store).any(|s| s.mode != StoreMode::Set);
    if ordered(producer) || ordered(consumer) {
        return Err("a store is ordered");
    }
    if let Some(reason) = work.cannot_move(from, to).or_else(|| work.cannot_move_stores(from, to)) {
        return Err(reason);
    }
    let names = unify(work, producer, consumer)?;
    let rows = rows_of(producer, consumer, &names);
    let own: Vec<Name> = names.iter().filter(|(_, of)| rows.contains(of)).map(|(own, _)| own.clone()).collect();
    if is_far(producer, &rows) || is_far(consumer, &own) {
        return Err("a contraction's operand is too large to be read again for each block of rows");
    }
    profitable(producer, &rows, consumer)?;
    merge(work, producer, consumer, &names, from, to)
}

/// Whether a contraction of a kernel has a constant factor.
fn reads_weights(work: &Work, kernel: &Kernel) -> bool {
    let constant = |(buffer, _): &(u32, Vec<Index>)| work.buffers[*buffer as usize].constant.is_some();
    let factors = kernel.stages.iter().filter_map(factors);
    factors.flat_map(|(a, b)| [a, b]).any(|factor| loads(&factor).iter().any(constant))
}

/// Whether what a kernel multiplies its rows with is too large to be read again for each block of them.
fn is_far(kernel: &Kernel, rows: &[Name]) -> bool {
    let extent = |name: &Name| kernel.extent(name).and_then(Index::as_const).unwrap_or(SYMBOLIC).max(1);
    let far = |stage: &Stage| {
        let Some((a, b)) = factors(stage) else { return false };
        let (a, b) = (load_vars(&a), load_vars(&b));
        let has_rows =
            |of: &BTreeSet<Name>, other: &BTreeSet<Name>| of.difference(other).any(|axis| rows.contains(axis));
        let depth = stage.reduce.iter().flat_map(|reduce| &reduce.axes).map(extent).fold(1, i64::saturating_mul);
        [(&a, &b), (&b, &a)].into_iter().filter(|(again, other)| has_rows(other, again)).any(|(again, other)| {
            let columns = again.difference(other).map(extent).fold(1, i64::saturating_mul);
            let bytes = columns.saturating_mul(depth).saturating_mul(stage.value.dtype().bytes() as i64);
            columns.min(depth) > SHORT && bytes > NEAR
        })
    };
    kernel.stages.iter().any(far)
}

/// The outer axes of the producer that all stages of the consumer have.
fn rows_of(producer: &Kernel, consumer: &Kernel, names: &BTreeMap<Name, Name>) -> Vec<Name> {
    let mut rows = producer.outer_axes();
    let has = |stage: &Stage, axis: &Name| stage.axes.iter().any(|own| names.get(own) == Some(axis));
    rows.retain(|axis| consumer.stages.iter().all(|stage| has(stage, axis)));
    rows
}

/// Which axis of the producer each axis of the consumer is.
pub(super) fn unify(work: &Work, producer: &Kernel, consumer: &Kernel) -> Result<BTreeMap<Name, Name>, &'static str> {
    let mut names: BTreeMap<Name, Name> = BTreeMap::new();
    for written in producer.stages.iter().flat_map(|stage| &stage.store) {
        if looks_up(consumer, written.buffer) {
            return Err("an index looks it up");
        }
        let read = super::work::reads(consumer).contains(&written.buffer);
        if read && work.whole_writer(written.buffer).is_none() {
            return Err("several kernels write it");
        }
        for stage in &consumer.stages {
            let mut result = Ok(());
            each(&stage.value, &mut |node| match node.kind() {
                ExprKind::Load { buffer, index } if *buffer == written.buffer && result.is_ok() => {
                    result = unify_index(&written.index, index, producer, consumer, &mut names);
                }
                _ => {}
            });
            result?;
        }
    }
    let outer = producer.outer_axes();
    let rows = rows_of(producer, consumer, &names);
    let inner = has_contraction(producer) && !rows.is_empty();
    if rows.len() < outer.len() && !inner {
        return Err("the consumer's rows are not the producer's");
    }
    // A contraction may lose columns to inner loops if it folds the rows that it reads.
    let folds_rows = |stage: &Stage| stage.reduce.iter().flat_map(|r| &r.axes).any(|axis| names.contains_key(axis));
    let loses = |stage: &Stage| stage.axes.iter().any(|axis| names.get(axis).is_none_or(|of| !rows.contains(of)));
    if consumer.stages.iter().any(|stage| factors(stage).is_some() && loses(stage) && !folds_rows(stage)) {
        return Err("a contraction would become an inner loop of the producer's rows");
    }
    share_inner(producer, consumer, &outer, &mut names);
    Ok(names)
}

fn unify_index(
    written: &[Index],
    read: &[Index],
    producer: &Kernel,
    consumer: &Kernel,
    names: &mut BTreeMap<Name, Name>,
) -> Result<(), &'static str> {
    for (to, from) in written.iter().zip(read) {
        if to == from && to.vars().is_empty() {
            continue;
        }
        let (Some(to), Some(from)) = (to.as_var(), from.as_var()) else {
            return Err("the consumer reads it at other places than its own");
        };
        if producer.extent(to) != consumer.extent(from) {
            return Err("the consumer reads only a part of it");
        }
        if names.insert(from.clone(), to.clone()).is_some_and(|before| before != *to) {
            return Err("one axis of the consumer would be two of the producer");
        }
    }
    // Two axes of one nest must not become one.
    for stage in &consumer.stages {
        let nest = stage.axes.iter().chain(stage.reduce.iter().flat_map(|reduce| &reduce.axes));
        let mut images: Vec<&Name> = nest.filter_map(|name| names.get(name)).collect();
        let count = images.len();
        images.sort_unstable();
        images.dedup();
        if images.len() != count {
            return Err("two axes of the consumer would be one of the producer");
        }
    }
    Ok(())
}

/// Inner axes of equal extent become one where nothing speaks against it.
fn share_inner(producer: &Kernel, consumer: &Kernel, outer: &[Name], names: &mut BTreeMap<Name, Name>) {
    for axis in &consumer.axes {
        if names.contains_key(&axis.name) {
            continue;
        }
        let free = producer.axes.iter().find(|own| {
            own.extent == axis.extent && !outer.contains(&own.name) && !names.values().any(|name| *name == own.name)
        });
        if let Some(own) = free {
            names.insert(axis.name.clone(), own.name.clone());
        }
    }
}

fn profitable(producer: &Kernel, rows: &[Name], consumer: &Kernel) -> Result<(), &'static str> {
    let Some(rows) = points(producer, rows) else { return Ok(()) };
    let all = |kernel: &Kernel| {
        let nest = |s: &Stage| points(kernel, s.axes.iter().chain(s.reduce.iter().flat_map(|r| &r.axes)));
        kernel.stages.iter().map(nest).try_fold(0i64, |most, n| Some(most.max(n?)))
    };
    let few = |kernel: &Kernel| all(kernel).is_some_and(|n| n <= POINTS);
    if rows >= ROWS || few(producer) && few(consumer) { Ok(()) } else { Err("too few rows to share among cores") }
}

/// The stages of both, the consumer's over the producer's axes.
pub(super) fn merge(
    work: &Work,
    producer: &Kernel,
    consumer: &Kernel,
    names: &BTreeMap<Name, Name>,
    from: Place,
    to: Place,
) -> Result<Kernel, &'static str> {
    let mut kernel = producer.clone();
    let mut renamed: HashMap<Name, Name> = HashMap::new();
    for axis in &consumer.axes {
        let name = names.get(&axis.name).cloned().unwrap_or_else(|| {
            let mut fresh = axis.name.clone();
            while kernel.extent(&fresh).is_some() {
                fresh = format!("{fresh}.").into();
            }
            kernel.axes.push(mlc_ir::program::Axis { name: fresh.clone(), extent: axis.extent.clone() });
            fresh
        });
        renamed.insert(axis.name.clone(), name);
    }
    let axes: Substitution = renamed.iter().map(|(a, b)| (a.clone(), Index::var(b.clone()))).collect();
    let facts = kernel.facts(&work.facts);
    let shift = producer.stages.len();
    for stage in &consumer.stages {
        let mut stage = stage.clone();
        substitute_stage(&mut stage, &facts, &axes);
        let rename = |list: &mut Vec<Name>| list.iter_mut().for_each(|name| *name = renamed[name].clone());
        rename(&mut stage.axes);
        stage.reduce.iter_mut().for_each(|reduce| rename(&mut reduce.axes));
        stage.value = rewrite(&stage.value, &mut |node| match node.kind() {
            ExprKind::Stage(number) => Expr::new(node.dtype(), ExprKind::Stage(number + shift)),
            ExprKind::Load { buffer, .. } => written_by(work, producer, *buffer).unwrap_or(node),
            _ => node,
        });
        kernel.stages.push(stage);
    }
    let read_elsewhere = |buffer: u32| {
        work.outputs.contains(&buffer) || work.readers(buffer).iter().any(|place| *place != from && *place != to)
    };
    for stage in &mut kernel.stages[..shift] {
        if stage.store.as_ref().is_some_and(|store| !read_elsewhere(store.buffer)) {
            stage.store = None;
        }
    }
    kernel.name = name(producer, consumer);
    let kernel = simplify(&kernel, &work.facts, &work.buffers);
    if loses_fold(&kernel) {
        return Err("a fold of one is an inner loop of the other");
    }
    Ok(kernel)
}

/// Whether a fold that is no contraction has axes besides the outer ones, and is read by a later stage.
fn loses_fold(kernel: &Kernel) -> bool {
    let outer = kernel.outer_axes();
    let count = kernel.stages.len();
    let lost = |(number, stage): (usize, &Stage)| {
        let inner = stage.axes.iter().any(|axis| !outer.contains(axis));
        let read = || kernel.stages[number + 1..].iter().any(|later| stage_uses(&later.value, count)[number] > 0);
        stage.reduce.is_some() && factors(stage).is_none() && inner && read()
    };
    kernel.stages.iter().enumerate().any(lost)
}

/// The stage of the producer that writes a buffer, as an expression in the buffer's type.
fn written_by(work: &Work, producer: &Kernel, buffer: u32) -> Option<Expr> {
    let writes = |stage: &Stage| stage.store.iter().any(|store| store.buffer == buffer);
    let number = producer.stages.iter().position(writes)?;
    let value = Expr::new(producer.stages[number].value.dtype(), ExprKind::Stage(number));
    Some(value.cast(work.buffers[buffer as usize].dtype))
}
