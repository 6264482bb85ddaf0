//! Borders in place: what a kernel writes lies in the bordered buffer from the start, so that only the border is left
//! of the copy that [`super::halo`] made.
//!
//! In: kernels after fusion.  Out: each kernel that only copies a tensor into a larger one, and fills the rest, becomes
//! one that fills the rest; whoever touched the tensor touches the larger one's middle.
//! Invariant: the border and the middle together are the whole buffer, and nobody reads it before both are written.

use super::report::{Report, Rule};
use super::rewrite::{looks_up, rewrite};
use super::work::{Item, Place, Work};
use mlc_ir::program::{Axis, Expr, ExprKind, Kernel, Stage, Store, StoreMode};
use mlc_ir::tile::InRange;
use mlc_ir::{Index, Name, Scalar};

/// Replaces copies with a border.
pub fn in_place(work: &mut Work, report: &mut Report) {
    for place in work.places() {
        let Some(copy) = bordered(work, place) else { continue };
        let around: Vec<Place> =
            work.writers(copy.from).iter().chain(work.readers(copy.from)).copied().filter(|p| *p != place).collect();
        let name = work.kernel(place).map(|kernel| kernel.name.clone()).unwrap_or_default();
        for other in around {
            let Some(kernel) = work.kernel(other) else { continue };
            report.fused(Rule::Halo, &name, &kernel.name);
            let kernel = moved(kernel, &copy);
            work.set(other, Item::Kernel(kernel));
        }
        let kernel = fill(work, &name, &copy);
        work.set(place, Item::Kernel(kernel));
    }
}

/// A copy into the middle of a larger buffer.
struct Copy {
    from: u32,
    to: u32,
    fill: Scalar,
    /// For each dim the width of the border before and after.
    widths: Vec<(Index, Index)>,
}

/// What a kernel copies, if that is all it does, and all who touch the source can be changed.
fn bordered(work: &Work, place: Place) -> Option<Copy> {
    let kernel = work.kernel(place)?;
    let [Stage { reduce: None, value, store: Some(store), .. }] = kernel.stages.as_slice() else { return None };
    let ExprKind::Guard { all, then, otherwise } = value.kind() else { return None };
    let ExprKind::Load { buffer: from, index } = then.kind() else { return None };
    let (from, to) = (*from, store.buffer);
    let fixed = |buffer: u32| {
        work.inputs.contains(&buffer)
            || work.outputs.contains(&buffer)
            || work.buffers[buffer as usize].constant.is_some()
    };
    if from == to || fixed(from) || fixed(to) || work.whole_writer(to) != Some(place) {
        return None;
    }
    let inside = |test: &InRange| {
        let mut dims = index.iter().zip(&work.buffers[from as usize].shape);
        dims.any(|(i, extent)| *test == InRange::extent(i.clone(), extent.clone()))
    };
    let around = || work.writers(from).iter().chain(work.readers(from)).filter(|p| **p != place);
    let kernels = || around().map(|p| work.kernel(*p).filter(|_| p.block == place.block));
    let can_move = |kernel: Option<&Kernel>| kernel.is_some_and(|kernel| !looks_up(kernel, from));
    if !all.iter().all(inside) || work.writers(from).is_empty() || !kernels().all(can_move) {
        return None;
    }
    let shapes = work.buffers[from as usize].shape.iter().zip(&work.buffers[to as usize].shape);
    let widths = index.iter().zip(&store.index).zip(shapes).map(|((from, to), (inner, outer))| {
        let before = to.clone() - from.clone();
        let after = outer.clone() - inner.clone() - before.clone();
        let known = before.vars().is_empty() && work.facts.nonneg(&before) && work.facts.nonneg(&after);
        known.then_some((before, after))
    });
    let widths = widths.collect::<Option<Vec<_>>>()?;
    Some(Copy { from, to, fill: *otherwise, widths })
}

/// A kernel that touches the middle of the bordered buffer instead of the source.
fn moved(kernel: &Kernel, copy: &Copy) -> Kernel {
    let shift =
        |index: &[Index]| index.iter().zip(&copy.widths).map(|(i, width)| i.clone() + width.0.clone()).collect();
    let mut kernel = kernel.clone();
    for stage in &mut kernel.stages {
        stage.value = rewrite(&stage.value, &mut |node| match node.kind() {
            ExprKind::Load { buffer, index } if *buffer == copy.from => Expr::load(node.dtype(), copy.to, shift(index)),
            _ => node,
        });
        if let Some(store) = stage.store.as_mut().filter(|store| store.buffer == copy.from) {
            store.buffer = copy.to;
            store.index = shift(&store.index);
        }
    }
    kernel
}

/// Fills the border: a stage for each side of each dim, the dims before it in the middle only, those after it whole.
fn fill(work: &Work, name: &Name, copy: &Copy) -> Kernel {
    let buffer = &work.buffers[copy.to as usize];
    let middle = &work.buffers[copy.from as usize].shape;
    let mut kernel = Kernel { name: name.clone(), axes: vec![], stages: vec![] };
    for (dim, (before, after)) in copy.widths.iter().enumerate() {
        let sides = [(Index::zero(), before), (before.clone() + middle[dim].clone(), after)];
        for (low, width) in sides.into_iter().filter(|side| !side.1.is(0)) {
            let side = kernel.stages.len();
            let (mut axes, mut index) = (Vec::new(), Vec::new());
            for (d, extent) in buffer.shape.iter().enumerate() {
                let bordered = !copy.widths[d].0.is(0) || !copy.widths[d].1.is(0);
                let axis: Name = if bordered { format!("s{side}.{d}").into() } else { format!("i{d}").into() };
                let (low, extent) = match d.cmp(&dim) {
                    std::cmp::Ordering::Less => (copy.widths[d].0.clone(), &middle[d]),
                    std::cmp::Ordering::Equal => (low.clone(), width),
                    std::cmp::Ordering::Greater => (Index::zero(), extent),
                };
                if !kernel.axes.iter().any(|known| known.name == axis) {
                    kernel.axes.push(Axis { name: axis.clone(), extent: extent.clone() });
                }
                index.push(low + Index::var(axis.clone()));
                axes.push(axis);
            }
            let value = Expr::constant(buffer.dtype, copy.fill);
            let store = Some(Store { buffer: copy.to, index, mode: StoreMode::Set, only: vec![] });
            kernel.stages.push(Stage { axes, reduce: None, value, store });
        }
    }
    super::simplify::simplify(&kernel, &work.facts, &work.buffers)
}
