//! R2: a consumer that visits a producer's elements once each, in whatever order, becomes a stage after it.
//!
//! The producer's axes stay. The consumer's become what the inverse of its index map says, so a transposition or reshape
//! between the two ends in the index of the write.

use super::invert::{invert, place_var};
use super::rewrite::{Substitution, loads, looks_up, rewrite};
use super::simplify::{simplify, substitute_stage};
use super::work::{Place, Work};
use mlc_ir::program::{Expr, ExprKind, Kernel, Stage, StoreMode};
use mlc_ir::{Index, Name};

/// The producer with the consumer as its last stage, or why that cannot be.
pub fn epilogue(work: &Work, from: Place, to: Place, buffer: u32) -> Result<Kernel, &'static str> {
    let (number, inverse) = plan(work, from, to, buffer)?;
    let (Some(producer), Some(consumer)) = (work.kernel(from), work.kernel(to)) else { return Err("it is no kernel") };
    append(work, producer, consumer, number, &inverse)
}

/// Whether a consumer could become a stage after a producer.
pub fn fits(work: &Work, from: Place, to: Place, buffer: u32) -> bool {
    plan(work, from, to, buffer).is_ok()
}

/// The stage that writes the buffer, and the consumer's axes over places in it.
fn plan(work: &Work, from: Place, to: Place, buffer: u32) -> Result<(usize, Substitution), &'static str> {
    let (Some(producer), Some(consumer)) = (work.kernel(from), work.kernel(to)) else { return Err("it is no kernel") };
    check(work, from, to, buffer)?;
    let [Stage { reduce: None, store: Some(store), value, .. }] = consumer.stages.as_slice() else {
        return Err("the consumer folds");
    };
    if store.mode != StoreMode::Set || producer.stages.iter().flat_map(|s| &s.store).any(|s| s.mode != StoreMode::Set) {
        return Err("a store is ordered");
    }
    if looks_up(consumer, buffer) {
        return Err("an index looks it up");
    }
    let own: Vec<Vec<Index>> = loads(value).into_iter().filter(|load| load.0 == buffer).map(|load| load.1).collect();
    let [map] = own.as_slice() else { return Err("the consumer reads it at more than one place") };
    let shape = &work.buffers[buffer as usize].shape;
    let inverse = invert(map, &consumer.axes, shape, &work.facts);
    let inverse = inverse.ok_or("the consumer does not visit every element once")?;
    let number = producer.stages.iter().position(|s| s.store.iter().any(|s| s.buffer == buffer));
    Ok((number.ok_or("it is not written")?, inverse))
}

fn check(work: &Work, from: Place, to: Place, buffer: u32) -> Result<(), &'static str> {
    if from.block != to.block {
        return Err("control flow lies between them");
    }
    if work.outputs.contains(&buffer) || work.readers(buffer).len() > 1 {
        return Err("others read what the producer writes");
    }
    work.cannot_move(from, to).or_else(|| work.cannot_move_stores(from, to)).map_or(Ok(()), Err)
}

/// The producer's stages, then the consumer's on the axes of stage `number`, which no longer stores.
fn append(
    work: &Work,
    producer: &Kernel,
    consumer: &Kernel,
    number: usize,
    inverse: &Substitution,
) -> Result<Kernel, &'static str> {
    let facts = producer.facts(&work.facts);
    let mut kernel = producer.clone();
    let old = kernel.stages[number].store.take().ok_or("it is not written")?;
    let places: Substitution = old.index.iter().enumerate().map(|(dim, i)| (place_var(dim), i.clone())).collect();
    let axes: Substitution = inverse
        .iter()
        .map(|(name, value)| (name.clone(), super::rewrite::substitute_index(value, &facts, &places)))
        .collect();
    let mut stage = consumer.stages[0].clone();
    substitute_stage(&mut stage, &facts, &axes);
    stage.axes = kernel.stages[number].axes.clone();
    let dtype = work.buffers[old.buffer as usize].dtype;
    let value = Expr::new(kernel.stages[number].value.dtype(), ExprKind::Stage(number)).cast(dtype);
    stage.value = rewrite(&stage.value, &mut |node| match node.kind() {
        ExprKind::Load { buffer, .. } if *buffer == old.buffer => value.clone(),
        _ => node,
    });
    stage.value = own_stages(work, producer, &stage)?;
    kernel.stages.push(stage);
    kernel.name = name(producer, consumer);
    Ok(simplify(&kernel, &work.facts, &work.buffers))
}

/// Reads of other buffers that the producer writes become reads of its stages; `stage` is over the producer's axes.
fn own_stages(work: &Work, producer: &Kernel, stage: &Stage) -> Result<Expr, &'static str> {
    let mut wrong = None;
    let value = rewrite(&stage.value, &mut |node| {
        let ExprKind::Load { buffer, index } = node.kind() else { return node };
        let written = |(_, s): &(usize, &Stage)| s.store.iter().any(|store| store.buffer == *buffer);
        let Some((number, own)) = producer.stages.iter().enumerate().find(written) else { return node };
        if own.store.iter().any(|store| store.index != *index) || !own.axes.iter().all(|a| stage.axes.contains(a)) {
            wrong = Some("the consumer reads other elements of the producer than its own");
            return node;
        }
        let dtype = work.buffers[*buffer as usize].dtype;
        Expr::new(own.value.dtype(), ExprKind::Stage(number)).cast(dtype)
    });
    wrong.map_or(Ok(value), Err)
}

/// A fused kernel is named by what folds, else by what comes last.
pub fn name(producer: &Kernel, consumer: &Kernel) -> Name {
    let folds = |kernel: &Kernel| kernel.stages.iter().any(|stage| stage.reduce.is_some());
    if folds(producer) && !folds(consumer) || super::cost::has_contraction(producer) {
        return producer.name.clone();
    }
    consumer.name.clone()
}
