//! R1: a producer that computes each element by itself vanishes into the reads of its consumers.
//!
//! Views, conversions and numbers go into every consumer that can take them; cheap arithmetic where its elements are
//! read a few times in all, expensive one where they are read once. The operands of contractions stay affine, except
//! along axes both operands have.

use super::cost::{Class, class, factors, load_vars, nonaffine_vars, rereads};
use super::epilogue::fits;
use super::report::{Report, Rule};
use super::rewrite::{Substitution, each, loads, looks_up, map_stage_indices, rewrite, substitute, tree_size};
use super::simplify::simplify;
use super::unfold;
use super::work::{Item, Place, Work, reads};
use mlc_ir::index::Atom;
use mlc_ir::program::{Axis, Buffer, Expr, ExprKind, Kernel, Stage, interp};
use mlc_ir::tile::Binary;
use mlc_ir::{DType, Facts, Index, Name, Tensor};
use std::collections::BTreeSet;

/// How often elements of cheap arithmetic may be read in all.
const CHEAP_READS: i64 = 3;
/// How large an expression may grow.
const SIZE: usize = 600;

/// A kernel that is one expression for each element of a buffer.
pub struct Pointwise<'a> {
    /// What it writes.
    pub buffer: u32,
    kernel: &'a Kernel,
    /// The element, in the buffer's type.
    value: Expr,
    class: Class,
    /// Whether it is made, cheaply, of weights that have fewer bytes.
    unfolds: bool,
}

impl<'a> Pointwise<'a> {
    /// The kernel as an expression, if it is one: a single map that stores all of a buffer in order.
    pub fn new(work: &'a Work, place: Place) -> Option<Pointwise<'a>> {
        let kernel = work.kernel(place)?;
        let [Stage { reduce: None, store: Some(store), value, .. }] = kernel.stages.as_slice() else { return None };
        work.whole_writer(store.buffer)?;
        let buffer = &work.buffers[store.buffer as usize];
        let in_order = |(index, extent): (&Index, &Index)| match index.as_var() {
            Some(name) => kernel.extent(name) == Some(&work.facts.simplify(extent)),
            None => index.is(0) && extent.is(1),
        };
        let distinct: BTreeSet<_> = store.index.iter().filter_map(Index::as_var).collect();
        let whole = store.index.iter().zip(&buffer.shape).all(in_order) && distinct.len() == kernel.axes.len();
        let value = value.cast(buffer.dtype);
        let class = class(&value);
        let unfolds = class != Class::Expensive && unfold::unfolds(work, &value);
        whole.then_some(Pointwise { buffer: store.buffer, kernel, class, value, unfolds })
    }

    /// The element at a place.
    fn at(&self, index: &[Index], facts: &Facts) -> Expr {
        substitute(&self.value, facts, &self.axes_at(index))
    }

    /// All elements, if they depend on constants alone.
    pub fn table(&self, buffers: &[Buffer]) -> Option<Tensor> {
        let store = self.kernel.stages[0].store.iter().flat_map(|store| &store.index);
        let axis = |name: &Name| self.kernel.axes.iter().find(|axis| axis.name == *name).cloned();
        let axes: Vec<Axis> = store.filter_map(Index::as_var).map(axis).collect::<Option<_>>()?;
        interp::tabulate(&self.value, &axes, buffers)
    }

    fn axes_at(&self, index: &[Index]) -> Substitution {
        let store = self.kernel.stages[0].store.iter().flat_map(|store| &store.index);
        store.zip(index).filter_map(|(axis, i)| Some((axis.as_var()?.clone(), i.clone()))).collect()
    }

    /// The element at a place as an integer expression, if it is one.
    fn index_at(&self, index: &[Index], facts: &Facts) -> Option<Index> {
        let axes = self.axes_at(index);
        as_index(&self.value).map(|value| super::rewrite::substitute_index(&value, facts, &axes))
    }
}

/// An integer expression as an index.
fn as_index(expr: &Expr) -> Option<Index> {
    let wide = expr.dtype() == DType::I64;
    match expr.kind() {
        ExprKind::Index(index) => Some(index.clone()),
        ExprKind::Const(value) if !expr.dtype().is_float() => Some(Index::from(value.int())),
        ExprKind::Load { buffer, index } if expr.dtype().is_int() => Some(Index::at(*buffer, index.clone())),
        ExprKind::Cast(inner) => {
            let (from, to) = (inner.dtype(), expr.dtype());
            let widens = from.is_int() && from != DType::U64 && from.bytes() < to.bytes() && to.is_signed_int();
            if widens { as_index(inner) } else { None }
        }
        ExprKind::Binary(Binary::Add, a, b) if wide => Some(as_index(a)? + as_index(b)?),
        ExprKind::Binary(Binary::Sub, a, b) if wide => Some(as_index(a)? - as_index(b)?),
        ExprKind::Binary(Binary::Mul, a, b) if wide => Some(&as_index(a)? * &as_index(b)?),
        _ => None,
    }
}

/// Inlines the producer in a slot where the rules allow; whether anything changed.
pub fn inline(work: &mut Work, place: Place, report: &mut Report) -> bool {
    let Some(producer) = Pointwise::new(work, place) else { return false };
    let buffer = producer.buffer;
    let readers: Vec<Place> = work.readers(buffer).iter().copied().collect();
    let mut accepted = Vec::new();
    let (mut all, mut total) = (!work.outputs.contains(&buffer), Some(0i64));
    for reader in readers {
        match verdict(work, &producer, place, reader) {
            Ok(count) => {
                total = total.zip(count).and_then(|(a, b)| a.checked_add(b));
                accepted.push(reader);
            }
            Err(reason) => {
                all = false;
                refuse(work, report, reader, place, reason);
            }
        }
    }
    let limit = match producer.class {
        Class::View => i64::MAX,
        Class::Cheap => CHEAP_READS,
        Class::Expensive => 1,
    };
    let numbers = loads(&producer.value).is_empty() && producer.class == Class::View;
    let few = producer.class == Class::View || producer.unfolds || total.is_some_and(|total| total <= limit);
    let simple = is_affine(&producer.value);
    let ok = few && (all || simple && producer.class == Class::View) || numbers;
    if !ok || (producer.class != Class::View || !simple) && belongs_to_fold(work, place) {
        let reason =
            if few { "the producer is kept for another consumer" } else { "it would be computed again too often" };
        accepted.iter().for_each(|reader| refuse(work, report, *reader, place, reason));
        return false;
    }
    let changed: Vec<(Place, Kernel)> =
        accepted.iter().filter_map(|reader| Some((*reader, inlined(work, &producer, work.kernel(*reader)?)))).collect();
    let name = producer.kernel.name.clone();
    for (reader, kernel) in &changed {
        report.fused(Rule::Inline, &kernel.name, &name);
        work.set(*reader, Item::Kernel(kernel.clone()));
    }
    if work.readers(buffer).is_empty() && !work.outputs.contains(&buffer) {
        work.set(place, Item::Empty);
    }
    !changed.is_empty()
}

fn refuse(work: &Work, report: &mut Report, reader: Place, place: Place, reason: &'static str) {
    if let (Some(consumer), Some(producer)) = (work.kernel(reader), work.kernel(place)) {
        report.refused(&consumer.name, &producer.name, reason);
    }
}

/// Whether a view only moves elements by sums of axes.
fn is_affine(value: &Expr) -> bool {
    loads(value).iter().all(|(_, index)| index.iter().all(|i| nonaffine_vars(i).is_empty())) && !has_guard(value)
}

fn has_guard(value: &Expr) -> bool {
    let mut found = false;
    each(value, &mut |node| found |= matches!(node.kind(), ExprKind::Guard { .. }));
    found
}

/// How often a consumer reads each element (if that is known), or why it cannot take the producer's expression.
fn verdict(work: &Work, producer: &Pointwise, from: Place, to: Place) -> Result<Option<i64>, &'static str> {
    let consumer = work.kernel(to).filter(|_| from.block == to.block);
    let consumer = consumer.ok_or("control flow lies between them, or it is no kernel")?;
    if let Some(reason) = work.cannot_move(from, to) {
        return Err(reason);
    }
    if looks_up(consumer, producer.buffer) && as_index(&producer.value).is_none() {
        return Err("an index looks it up, and it is no integer expression");
    }
    let mut total = Some(0i64);
    let facts = consumer.facts(&work.facts);
    for stage in &consumer.stages {
        let own: Vec<Vec<Index>> =
            loads(&stage.value).into_iter().filter(|load| load.0 == producer.buffer).map(|load| load.1).collect();
        for index in &own {
            let count = rereads(stage, &consumer.axes, index);
            total = total.zip(count).and_then(|(a, b)| a.checked_add(b));
        }
        if producer.unfolds && total.is_some_and(|total| total > unfold::ROWS) {
            return Err("its weights are read for many rows, and are unfolded once");
        }
        if stage.reduce.is_some() {
            own.iter().try_for_each(|index| fits_fold(stage, &producer.at(index, &facts)))?;
        }
        let size = tree_size(&stage.value) + own.len() * tree_size(&producer.value);
        if size > SIZE && producer.class != Class::View {
            return Err("the expression would become too large");
        }
    }
    Ok(total)
}

/// Whether an expression may stand inside a fold.
fn fits_fold(stage: &Stage, value: &Expr) -> Result<(), &'static str> {
    if has_guard(value) {
        return Err("a fold's windows are read without tests");
    }
    let Some((a, b)) = factors(stage) else { return Ok(()) };
    let (a, b) = (load_vars(&a), load_vars(&b));
    for index in loads(value).iter().flat_map(|load| &load.1) {
        if !nonaffine_vars(index).iter().all(|axis| a.contains(axis) && b.contains(axis)) {
            return Err("an operand of the contraction would no longer be affine");
        }
    }
    Ok(())
}

/// The consumer with the producer's expression in place of its reads.
fn inlined(work: &Work, producer: &Pointwise, consumer: &Kernel) -> Kernel {
    let facts = consumer.facts(&work.facts);
    let mut kernel = consumer.clone();
    for stage in &mut kernel.stages {
        if looks_up(consumer, producer.buffer) {
            *stage = map_stage_indices(stage, &|index| replace_lookups(index, producer, &facts));
        }
        stage.value = rewrite(&stage.value, &mut |node| match node.kind() {
            ExprKind::Load { buffer, index } if *buffer == producer.buffer => producer.at(index, &facts),
            _ => node,
        });
    }
    simplify(&kernel, &work.facts, &work.buffers)
}

fn replace_lookups(index: &Index, producer: &Pointwise, facts: &Facts) -> Index {
    index.rebuild(facts, &|atom| match atom {
        Atom::At(buffer, at) if *buffer == producer.buffer => {
            let at: Vec<Index> = at.iter().map(|i| replace_lookups(i, producer, facts)).collect();
            producer.index_at(&at, facts)
        }
        _ => None,
    })
}

/// Whether a producer should rather be joined to what it reads: a chain of pointwise kernels, none of them read by
/// others, leads to it from a fold.
pub fn belongs_to_fold(work: &Work, place: Place) -> bool {
    let Some(kernel) = work.kernel(place) else { return false };
    reads(kernel).into_iter().any(|buffer| {
        let Some(from) = work.whole_writer(buffer).filter(|from| fits(work, *from, place, buffer)) else {
            return false;
        };
        let folds = work.kernel(from).is_some_and(|k| k.stages.iter().any(|s| s.reduce.is_some()));
        folds || belongs_to_fold(work, from)
    })
}
