use super::OpDef;
use crate::compute::Compute;
use crate::onnx::OnnxNode;
use crate::{Error, Result};

/// `y[b, i, ..] = x[b, indices[b, i, 0], indices[b, i, 1], .., ..]` (ONNX `GatherND`), with `batch_dims` axes in `b`. The
/// last axis of `indices` holds places on the leading axes of `x`; the other axes of `x` are copied.
#[derive(Debug)]
pub struct GatherNd {
    batch: usize,
}

impl GatherNd {
    pub(super) fn parse(node: &OnnxNode) -> Result<GatherNd> {
        let batch = usize::try_from(node.int("batch_dims", 0)?);
        Ok(GatherNd { batch: batch.map_err(|_| Error::invalid("batch_dims is negative"))? })
    }
}

impl OpDef for GatherNd {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (x, indices) = (c.input(0)?, c.input(1)?);
        let (batch, outer) = (self.batch, indices.rank().saturating_sub(1));
        let places = indices.shape.last().and_then(|dim| dim.as_const()).filter(|_| indices.dtype.is_int());
        let places = places.ok_or_else(|| Error::invalid("GatherND needs integer indices with a fixed last dim"))?;
        let inner = batch.saturating_add(places as usize);
        if batch > outer || inner > x.rank() {
            return Err(Error::invalid(format!("GatherND reaches axis {inner} of a rank-{} tensor", x.rank())));
        }
        for d in 0..batch {
            c.same_dim(&x.shape[d], &indices.shape[d])?;
        }
        let shape = [&indices.shape[..outer], &x.shape[inner..]].concat();
        let y = c.gather(&x, &shape, |c, i| {
            let place = |k: i64| {
                let at = [&i[..outer], &[k.into()]].concat();
                c.lookup(&indices, at, &x.shape[batch + k as usize])
            };
            let places: Vec<_> = (0..places).map(place).collect();
            [&i[..batch], &places, &i[outer..]].concat()
        });
        c.output(0, y);
        Ok(())
    }
}
