//! Windows without tests: a fold that reads outside of a tensor gets a copy with a border instead.
//!
//! `sum x[oh + kh - 1]` where that is inside, else 0, becomes a copy `p[i] = x[i - 1]` where inside, else 0, and
//! `sum p[oh + kh]`. The copy is a kernel like any other; what comes before it may be joined to it.

use super::report::{Report, Rule};
use super::rewrite::{each, rewrite};
use super::work::{Item, Place, Work};
use mlc_ir::program::{Axis, Buffer, Expr, ExprKind, Kernel, Stage, Store, StoreMode};
use mlc_ir::tile::InRange;
use mlc_ir::{Facts, Index, Name, Scalar};

/// A load inside of tests, in a fold.
struct Window {
    guard: Expr,
    all: Vec<InRange>,
    buffer: u32,
    index: Vec<Index>,
    /// In the buffer's type.
    fill: Scalar,
}

/// Gives every windowed fold a buffer with a border.
pub fn pad(work: &mut Work, report: &mut Report) {
    let mut places = work.places();
    places.reverse();
    for place in places {
        let Some((window, stage)) = find(work, place) else { continue };
        let Some((copy, kernel)) = padded(work, place, &window, stage) else { continue };
        report.fused(Rule::Halo, &kernel.name, &copy.name);
        work.set(place, Item::Kernel(kernel));
        work.insert(place, copy);
    }
}

/// The first guarded load of a folding stage whose tests depend on what is folded and on what is not.
fn find(work: &Work, place: Place) -> Option<(Window, usize)> {
    let kernel = work.kernel(place)?;
    for (number, stage) in kernel.stages.iter().enumerate() {
        let Some(reduce) = &stage.reduce else { continue };
        let mut found = None;
        each(&stage.value, &mut |node| {
            let ExprKind::Guard { all, then, otherwise } = node.kind() else { return };
            let mixed = all.iter().any(|test| {
                let has = |names: &[Name]| names.iter().any(|name| test.index.mentions(name));
                has(&stage.axes) && has(&reduce.axes)
            });
            if let (true, Some((buffer, index, fill))) = (mixed, plain(then, *otherwise)) {
                found = Some(Window { guard: node.clone(), all: all.clone(), buffer, index, fill });
            }
        });
        if let Some(window) = found {
            return Some((window, number));
        }
    }
    None
}

/// A load, perhaps converted, and the fill before the conversion.
fn plain(then: &Expr, otherwise: Scalar) -> Option<(u32, Vec<Index>, Scalar)> {
    match then.kind() {
        ExprKind::Load { buffer, index } => Some((*buffer, index.clone(), otherwise)),
        ExprKind::Cast(inner) => {
            let fill = otherwise.cast(inner.dtype());
            let (buffer, index, fill) = plain(inner, fill)?;
            fill.cast(then.dtype()).same(otherwise).then_some((buffer, index, fill))
        }
        _ => None,
    }
}

/// The kernel that copies with a border, and the fold that reads the copy.
fn padded(work: &mut Work, place: Place, window: &Window, stage: usize) -> Option<(Kernel, Kernel)> {
    let mut kernel = work.kernel(place)?.clone();
    let facts = kernel.facts(&work.facts);
    let source = work.buffers[window.buffer as usize].clone();
    let lows = borders(window, &source, &facts)?;
    let shape: Vec<Index> = source.shape.iter().zip(&lows).map(|(extent, border)| border.extent(extent)).collect();
    let name: Name = format!("{}.padded", kernel.name).into();
    let buffer = Buffer { name: name.clone(), dtype: source.dtype, shape: shape.clone(), constant: None };
    let target = work.add_buffer(buffer);
    let axes: Vec<Axis> = shape
        .iter()
        .enumerate()
        .map(|(d, extent)| Axis { name: format!("i{d}").into(), extent: extent.clone() })
        .collect();
    let own: Vec<Index> = axes.iter().map(|axis| Index::var(axis.name.clone())).collect();
    let from: Vec<Index> = own.iter().zip(&lows).map(|(i, border)| i.clone() + border.low.clone()).collect();
    let tested = |(i, (border, extent)): (&Index, (&Border, &Index))| {
        border.high.is_some().then(|| InRange::extent(i.clone(), extent.clone()))
    };
    let tests = from.iter().zip(lows.iter().zip(&source.shape)).filter_map(tested).collect();
    let value = Expr::load(source.dtype, window.buffer, from).guard(tests, window.fill);
    let store = Store { buffer: target, index: own, mode: StoreMode::Set, only: vec![] };
    let names = axes.iter().map(|axis| axis.name.clone()).collect();
    let copy = Kernel { name, axes, stages: vec![Stage { axes: names, reduce: None, value, store: Some(store) }] };
    let copy = super::simplify::simplify(&copy, &work.facts, &work.buffers);
    let index = window.index.iter().zip(&lows).map(|(i, border)| i.clone() - border.low.clone()).collect();
    let read = Expr::load(source.dtype, target, index).cast(window.guard.dtype());
    kernel.stages[stage].value = rewrite(&kernel.stages[stage].value, &mut |node| {
        if node == window.guard { read.clone() } else { node }
    });
    let kernel = super::simplify::simplify(&kernel, &work.facts, &work.buffers);
    Some((copy, kernel))
}

/// How far a dim is read: from `low` to `high`, if tests say it is left; else as it is.
struct Border {
    low: Index,
    high: Option<Index>,
}

impl Border {
    fn extent(&self, extent: &Index) -> Index {
        match &self.high {
            Some(high) => high.clone() - self.low.clone() + 1,
            None => extent.clone(),
        }
    }
}

/// The range of each dim's index; `None` if a test is not simply that the index is inside.
fn borders(window: &Window, source: &Buffer, facts: &Facts) -> Option<Vec<Border>> {
    let mut borders: Vec<Border> = source.shape.iter().map(|_| Border { low: Index::zero(), high: None }).collect();
    for test in &window.all {
        let mut dims = window.index.iter().zip(&source.shape);
        let dim = dims.position(|(i, extent)| *i == test.index && test.low.is(0) && test.high == *extent)?;
        let (low, high) = (facts.low(&test.index)?, facts.high(&test.index)?);
        // Elements that no window reads are not copied, but the copy is never narrower than what is inside.
        borders[dim] = Border { low: facts.min(&low, &Index::zero()), high: Some(high) };
    }
    Some(borders)
}
