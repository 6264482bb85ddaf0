use super::OpDef;
use crate::compute::{Compute, T, compute_type, inside};
use crate::onnx::OnnxNode;
use crate::program::{Expr, StoreMode};
use crate::tile::Monoid;
use crate::{Error, Index, Result};

/// A copy of `x` in which `y[i, but indices[i] on axis] = updates[i]` (ONNX `ScatterElements`, `Scatter`).
///
/// `reduction` add, mul, max or min combines instead. Updates of one element apply in row-major order. Negative indices
/// count from the end.
#[derive(Debug)]
pub struct ScatterElements {
    axis: i64,
    reduction: Option<Monoid>,
}

impl ScatterElements {
    pub(super) fn parse(node: &OnnxNode) -> Result<ScatterElements> {
        Ok(ScatterElements { axis: node.int("axis", 0)?, reduction: reduction(node)? })
    }
}

impl OpDef for ScatterElements {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (x, indices, updates) = (c.input(0)?, c.input(1)?, c.input(2)?);
        let axis = x.axis(self.axis)?;
        if indices.rank() != x.rank() || updates.rank() != x.rank() || !indices.dtype.is_int() {
            return Err(Error::invalid("ScatterElements needs integer indices and updates of the rank of the data"));
        }
        let mut shape = indices.shape.clone();
        for (dim, update) in shape.iter_mut().zip(&updates.shape) {
            *dim = c.same_dim(dim, update)?;
        }
        let y = scatter(c, &x, &updates, &shape, self.reduction, |c, i| {
            let mut target = i.to_vec();
            target[axis] = c.lookup(&indices, i.to_vec(), &x.shape[axis]);
            target
        })?;
        c.output(0, y);
        Ok(())
    }
}

/// The attribute `reduction`.
pub(super) fn reduction(node: &OnnxNode) -> Result<Option<Monoid>> {
    match node.string("reduction", "none")?.as_str() {
        "none" => Ok(None),
        "add" => Ok(Some(Monoid::Sum)),
        "mul" => Ok(Some(Monoid::Prod)),
        "max" => Ok(Some(Monoid::Max)),
        "min" => Ok(Some(Monoid::Min)),
        other => Err(Error::invalid(format!("{} has no reduction `{other}`", node.op_type))),
    }
}

/// A copy of `x` into which `updates[i]` is written, or combined, at `target(i)`. 16-bit floats combine in F32.
pub(super) fn scatter(
    c: &mut Compute,
    x: &T,
    updates: &T,
    domain: &[Index],
    reduction: Option<Monoid>,
    target: impl FnOnce(&Compute, &[Index]) -> Vec<Index>,
) -> Result<T> {
    if updates.dtype != x.dtype {
        return Err(Error::invalid(format!("updates of type {} for elements of type {}", updates.dtype, x.dtype)));
    }
    let i: Vec<Index> = (0..domain.len()).map(|place| Index::var(format!("i{place}"))).collect();
    let target = target(c, &i);
    let (dtype, mode) = match reduction {
        None => (x.dtype, StoreMode::Scatter),
        Some(monoid) => (compute_type(x.dtype), StoreMode::Combine(monoid)),
    };
    let y = c.map(dtype, &x.shape, |i| x.raw(i.to_vec()));
    let y = c.with_known(y, None);
    let element: Expr = updates.raw(i).cast(dtype);
    let facts = c.facts_at(domain);
    let within = inside(&facts, target.iter().cloned().zip(x.shape.iter().cloned()));
    c.store_where(&y, domain, mode, |_| (within, target, element));
    Ok(if dtype == x.dtype { y } else { c.map(x.dtype, &x.shape, |i| y.raw(i.to_vec())) })
}
