//! Recognises the convolutions that can be rewritten, by their form.

use crate::fuse::work::Work;
use mlc_ir::program::{Expr, ExprKind, Kernel, Stage};
use mlc_ir::tile::{Binary, Monoid};
use mlc_ir::{DType, Index, Name, Tensor};

/// `sum[ic, kh, kw] x[.., ic, oh + kh + c, ow + kw + d] * w[oc, ic, kh, kw]` in F32, with a constant `w` of 3 by 3 taps.
pub struct Convolution {
    /// What is read, and where: at tap 0.
    pub input: u32,
    pub index: Vec<Index>,
    pub weight: Tensor,
    /// Axes of channels, in and out.
    pub ic: Name,
    pub oc: Name,
    /// For height and width.
    pub space: [Direction; 2],
    /// The other axes: the batch.
    pub batch: Vec<Name>,
    /// Dims of the weight, in the order `oc, ic, kh, kw`.
    pub dims: [usize; 4],
}

/// One of the two axes along which a filter slides.
pub struct Direction {
    /// Dim of the input.
    pub dim: usize,
    /// Where windows lie.
    pub axis: Name,
    /// The first element of the first window.
    pub start: i64,
}

impl Convolution {
    /// The convolution that a kernel's first stage is.
    pub fn find(work: &Work, kernel: &Kernel) -> Option<Convolution> {
        let stage = kernel.stages.first()?;
        let reduce = stage.reduce.as_ref().filter(|reduce| reduce.monoid == Monoid::Sum)?;
        let ExprKind::Binary(Binary::Mul, a, b) = stage.value.kind() else { return None };
        let constant = |e: &Expr| load(e).and_then(|(buffer, _)| work.buffers[buffer as usize].constant.clone());
        let (x, w, weight) = match (constant(a), constant(b)) {
            (None, Some(weight)) => (a, b, weight),
            (Some(weight), None) => (b, a, weight),
            _ => return None,
        };
        let ((input, index), (_, filter)) = (load(x)?, load(w)?);
        let single = |index: &Index| index.as_var().cloned();
        let taps = |axis: &Name| kernel.extent(axis).is_some_and(|extent| extent.is(3));
        let of_filter: Vec<Name> = filter.iter().map(single).collect::<Option<_>>()?;
        let dim_of = |axis: &Name| of_filter.iter().position(|name| name == axis);
        let mut directions: Vec<(usize, Direction)> = Vec::new();
        let mut plain: Vec<(usize, Name)> = Vec::new();
        for axis in &reduce.axes {
            let at = dim_of(axis)?;
            let mut dims = index.iter().enumerate().filter(|(_, i)| i.mentions(axis));
            let ((dim, i), None) = (dims.next()?, dims.next()) else { return None };
            match i.as_var() {
                Some(_) => plain.push((at, axis.clone())),
                None if taps(axis) => directions.push((at, direction(stage, dim, i, axis)?)),
                None => return None,
            }
        }
        directions.sort_by_key(|(_, direction)| direction.dim);
        let ([(ic_at, ic)], [(kh, _), (kw, _)]) = (plain.as_slice(), directions.as_slice()) else { return None };
        let rest: Vec<usize> = (0..of_filter.len()).filter(|d| ![*ic_at, *kh, *kw].contains(d)).collect();
        let [oc_at] = rest.as_slice() else { return None };
        let (dims, ic, oc) = ([*oc_at, *ic_at, *kh, *kw], ic.clone(), of_filter[*oc_at].clone());
        let space: [Direction; 2] = directions.into_iter().map(|(_, d)| d).collect::<Vec<_>>().try_into().ok()?;
        let own = |axis: &Name| *axis == oc || space.iter().any(|direction| direction.axis == *axis);
        let once = |axis: &Name| index.iter().filter(|i| i.mentions(axis)).count() == 1;
        let fits = stage.axes.contains(&oc)
            && !index.iter().any(|i| i.mentions(&oc) || i.looks_up())
            && space.iter().all(|direction| once(&direction.axis))
            && space[0].axis != space[1].axis
            && stage.value.dtype() == DType::F32
            && work.buffers[input as usize].dtype == DType::F32
            && weight.dtype() == DType::F32;
        let batch = stage.axes.iter().filter(|axis| !own(axis)).cloned().collect();
        fits.then_some(Convolution { input, index, weight, ic, oc, space, batch, dims })
    }
}

fn load(expr: &Expr) -> Option<(u32, Vec<Index>)> {
    match expr.kind() {
        ExprKind::Load { buffer, index } => Some((*buffer, index.clone())),
        _ => None,
    }
}

/// `axis + tap + start`, without strides and dilations.
fn direction(stage: &Stage, dim: usize, index: &Index, tap: &Name) -> Option<Direction> {
    let (one, rest) = index.linear_in(tap)?;
    let vars = rest.vars();
    let axis = vars.first().filter(|axis| vars.len() == 1 && stage.axes.contains(axis))?;
    let (step, start) = rest.linear_in(axis)?;
    let start = start.as_const().filter(|start| one.is(1) && step.is(1) && *start >= 0)?;
    Some(Direction { dim, axis: axis.clone(), start })
}
