use super::OpDef;
use super::scatter_elements::{reduction, scatter};
use crate::compute::Compute;
use crate::onnx::OnnxNode;
use crate::tile::Monoid;
use crate::{Error, Result};

/// A copy of `x` in which `y[indices[i, 0], indices[i, 1], .., ..] = updates[i, ..]` (ONNX `ScatterND`).
///
/// `reduction` add, mul, max or min combines instead. Updates of one element apply in row-major order. Negative indices
/// count from the end.
#[derive(Debug)]
pub struct ScatterNd {
    reduction: Option<Monoid>,
}

impl ScatterNd {
    pub(super) fn parse(node: &OnnxNode) -> Result<ScatterNd> {
        Ok(ScatterNd { reduction: reduction(node)? })
    }
}

impl OpDef for ScatterNd {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (x, indices, updates) = (c.input(0)?, c.input(1)?, c.input(2)?);
        let outer = indices.rank().saturating_sub(1);
        let places = indices.shape.last().and_then(|dim| dim.as_const()).filter(|_| indices.dtype.is_int());
        let places = places.ok_or_else(|| Error::invalid("ScatterND needs integer indices with a fixed last dim"))?;
        if places > x.rank() as i64 || updates.rank() != outer + x.rank() - places as usize {
            return Err(Error::invalid("the ranks of ScatterND's data, indices and updates do not fit"));
        }
        let places = places as usize;
        let mut domain = [&indices.shape[..outer], &x.shape[places..]].concat();
        for (dim, update) in domain.iter_mut().zip(&updates.shape) {
            *dim = c.same_dim(dim, update)?;
        }
        let y = scatter(c, &x, &updates, &domain, self.reduction, |c, i| {
            let place = |k: usize| {
                let at = [&i[..outer], &[(k as i64).into()]].concat();
                c.lookup(&indices, at, &x.shape[k])
            };
            let places: Vec<_> = (0..places).map(place).collect();
            [&places, &i[outer..]].concat()
        })?;
        c.output(0, y);
        Ok(())
    }
}
