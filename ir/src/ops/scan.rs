use super::OpDef;
use super::body::{bound, copy, inline, invariant, overwrite};
use super::loop_op::captures;
use crate::compute::{Compute, T, normalize_axis};
use crate::graph::Graph;
use crate::onnx::OnnxNode;
use crate::program::{Expr, Step, StoreMode};
use crate::{Error, Index, Name, Result, Scalar};
use std::collections::BTreeSet;

/// Runs a body once for each slice of its scanned inputs (ONNX `Scan`), with a state that is carried along; other results
/// of the body are stacked. Axes and directions of inputs and stacks are attributes.
///
/// Version 8 does so for each element of a batch on axis 0, scans axis 1, and may have a length for each; what lies beyond
/// a length is 0.
#[derive(Debug)]
pub struct Scan {
    body: Graph,
    captures: usize,
    scanned: usize,
    inputs: Sides,
    outputs: Sides,
    batched: bool,
}

/// Axes and directions, in order; 0 if there are fewer.
#[derive(Debug)]
struct Sides {
    axes: Vec<i64>,
    reversed: Vec<i64>,
}

impl Sides {
    fn axis(&self, place: usize, rank: usize) -> Result<usize> {
        normalize_axis(self.axes.get(place).copied().unwrap_or(0), rank)
    }

    /// The place on an axis of the slice with a number.
    fn place(&self, place: usize, number: &Index, extent: &Index) -> Index {
        match self.reversed.get(place) {
            Some(1) => extent.clone() - number.clone() - 1,
            _ => number.clone(),
        }
    }
}

impl Scan {
    pub(super) fn parse(node: &OnnxNode) -> Result<Scan> {
        let batched = node.opset < 9;
        let list = |name: &str| Ok(node.ints(name)?.unwrap_or_default());
        let scanned = usize::try_from(node.int("num_scan_inputs", 0)?).ok().filter(|n| *n > 0);
        let (inputs, outputs) = if batched {
            (Sides { axes: vec![], reversed: list("directions")? }, Sides { axes: vec![], reversed: vec![] })
        } else {
            (
                Sides { axes: list("scan_input_axes")?, reversed: list("scan_input_directions")? },
                Sides { axes: list("scan_output_axes")?, reversed: list("scan_output_directions")? },
            )
        };
        let scanned = scanned.ok_or_else(|| Error::invalid("Scan must have an input that is scanned"))?;
        Ok(Scan { body: node.graph("body")?.clone(), captures: captures(node)?, scanned, inputs, outputs, batched })
    }
}

/// What is built of a scan: counters, how often it runs, and the tensors that live longer than an iteration.
struct Nest {
    /// The place in the batch.
    batch: Option<(Name, Index)>,
    counter: Name,
    extent: Index,
    state: Vec<T>,
    scanned: Vec<T>,
    captured: Vec<Option<T>>,
}

impl OpDef for Scan {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let first = usize::from(self.batched);
        let states = c.input_count().checked_sub(first + self.scanned + self.captures);
        let states = states.filter(|n| self.body.outputs().len() >= *n);
        let states = states.ok_or_else(|| Error::invalid("the inputs of Scan do not fit its body"))?;
        let initial = (first..first + states).map(|place| c.input(place)).collect::<Result<Vec<_>>>()?;
        let scanned = first + states..first + states + self.scanned;
        let scanned = scanned.map(|place| c.input(place)).collect::<Result<Vec<_>>>()?;
        let captured = (first + states + self.scanned..c.input_count()).map(|place| c.optional(place)).collect();
        if self.batched && initial.iter().chain(&scanned).any(|t| t.rank() < 1) {
            return Err(Error::invalid("Scan of version 8 needs a batch axis"));
        }
        let mut extent: Option<Index> = None;
        for (place, t) in scanned.iter().enumerate() {
            let axis = first + self.inputs.axis(place, t.rank() - first.min(t.rank()))?;
            extent = Some(match extent {
                Some(extent) => c.same_dim(&extent, &t.shape[axis])?,
                None => t.shape[axis].clone(),
            });
        }
        let extent = extent.unwrap_or_default();
        let batch = self.batched.then(|| (c.fresh("batch"), scanned[0].shape[0].clone()));
        let counter = c.fresh("slice");
        let numbers = batch.iter().map(|(name, extent)| (name, extent)).chain([(&counter, &extent)]);
        for (name, extent) in numbers {
            let last = c.facts().high_number(extent).map(|n| (n - 1).max(0));
            c.program().facts.symbol(name.clone(), 0, last);
        }
        let state = initial.iter().map(|t| c.buffer(t.dtype, &t.shape[first..])).collect();
        let nest = Nest { batch, counter, extent, state, scanned, captured };
        self.repeat(c, &nest, &initial)
    }
}

impl Scan {
    fn repeat(&self, c: &mut Compute, nest: &Nest, initial: &[T]) -> Result<()> {
        let at_batch = |i: &[Index]| match &nest.batch {
            Some((name, _)) => [&[Index::sym(name.clone())], i].concat(),
            None => i.to_vec(),
        };
        let (inner, stacks) = c.nested(|c| self.iteration(c, nest))?;
        let mut changing = BTreeSet::from([nest.counter.clone()]);
        changing.extend(nest.batch.iter().map(|batch| batch.0.clone()));
        bound(&inner, &mut changing);
        for stack in &stacks {
            invariant(&stack.shape, &changing, "what a Scan stacks")?;
            if nest.batch.is_some() {
                c.store(stack, &stack.shape, StoreMode::Set, |i| {
                    (i.to_vec(), Expr::constant(stack.dtype, Scalar::Int(0)))
                });
            }
        }
        let trips = match (c.optional(0), &nest.batch) {
            (Some(lengths), Some((name, _))) => Index::at(lengths.buffer, vec![Index::sym(name.clone())]),
            _ => nest.extent.clone(),
        };
        let trips = c.facts().min(&trips, &nest.extent);
        let start = |c: &mut Compute| {
            for (state, initial) in nest.state.iter().zip(initial) {
                c.store(state, &state.shape, StoreMode::Set, |i| (i.to_vec(), initial.raw(at_batch(i))));
            }
            c.step(Step::Loop { counter: nest.counter.clone(), trips, condition: None, ran: None, body: inner });
        };
        let results = match &nest.batch {
            None => {
                start(c);
                nest.state.clone()
            }
            Some((name, extent)) => {
                let whole = |t: &T| [&[extent.clone()], t.shape.as_slice()].concat();
                let all: Vec<T> = nest.state.iter().map(|t| c.buffer(t.dtype, &whole(t))).collect();
                let (body, ()) = c.nested(|c| {
                    start(c);
                    for (all, state) in all.iter().zip(&nest.state) {
                        c.store(all, &state.shape, StoreMode::Set, |i| (at_batch(i), state.raw(i.to_vec())));
                    }
                    Ok(())
                })?;
                c.step(Step::Loop { counter: name.clone(), trips: extent.clone(), condition: None, ran: None, body });
                all
            }
        };
        results.into_iter().chain(stacks).enumerate().for_each(|(place, t)| c.output(place, t));
        Ok(())
    }

    /// One iteration; the buffers that its other results are stacked in.
    fn iteration(&self, c: &mut Compute, nest: &Nest) -> Result<Vec<T>> {
        let now = Index::sym(nest.counter.clone());
        let batch: Vec<Index> = nest.batch.iter().map(|(name, _)| Index::sym(name.clone())).collect();
        let mut inputs: Vec<Option<T>> = nest.state.iter().cloned().map(Some).collect();
        for (place, t) in nest.scanned.iter().enumerate() {
            let mut shape = t.shape[batch.len()..].to_vec();
            let axis = self.inputs.axis(place, shape.len())?;
            shape.remove(axis);
            let at = self.inputs.place(place, &now, &nest.extent);
            let slice = c.map(t.dtype, &shape, |i| t.raw([&batch, &i[..axis], &[at], &i[axis..]].concat()));
            inputs.push(Some(c.with_known(slice, None)));
        }
        inputs.extend(nest.captured.iter().cloned());
        let results = inline(c, &self.body, &inputs)?;
        let (next, stacked) = results.split_at(nest.state.len());
        let mut stacks = vec![];
        for (place, t) in stacked.iter().enumerate() {
            let axis = self.outputs.axis(place, t.rank() + 1)?;
            let whole = nest.batch.iter().map(|batch| batch.1.clone());
            let mut shape: Vec<Index> = whole.chain(t.shape.iter().cloned()).collect();
            shape.insert(batch.len() + axis, nest.extent.clone());
            let y = c.buffer(t.dtype, &shape);
            let at = self.outputs.place(place, &now, &nest.extent);
            c.store(&y, &t.shape, StoreMode::Set, |i| {
                ([&batch, &i[..axis], &[at], &i[axis..]].concat(), t.raw(i.to_vec()))
            });
            stacks.push(y);
        }
        let mut moved = vec![];
        for (state, next) in nest.state.iter().zip(next) {
            if state.dtype != next.dtype || state.rank() != next.rank() {
                return Err(Error::invalid("the state of a Scan changes its type or rank"));
            }
            for (a, b) in state.shape.iter().zip(&next.shape) {
                c.same_dim(a, b)?;
            }
            let is_state = nest.state.iter().any(|other| other.buffer == next.buffer);
            moved.push(if is_state && next.buffer != state.buffer { copy(c, next) } else { next.clone() });
        }
        for (state, next) in nest.state.iter().zip(&moved).filter(|(state, next)| state.buffer != next.buffer) {
            overwrite(c, state, &T { shape: state.shape.clone(), ..next.clone() });
        }
        Ok(stacks)
    }
}
