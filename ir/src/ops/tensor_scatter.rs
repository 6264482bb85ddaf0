use super::OpDef;
use super::scatter_elements::scatter;
use crate::compute::Compute;
use crate::onnx::OnnxNode;
use crate::{Error, Index, Result};

/// A copy of a cache into which an update is written along `axis` from `write_indices[b]` on, for each `b` on axis 0
/// (ONNX `TensorScatter`). Without `write_indices` it starts at 0. In `mode` circular it continues at the start.
#[derive(Debug)]
pub struct TensorScatter {
    axis: i64,
}

impl TensorScatter {
    pub(super) fn parse(node: &OnnxNode) -> Result<TensorScatter> {
        match node.string("mode", "linear")?.as_str() {
            "linear" | "circular" => Ok(TensorScatter { axis: node.int("axis", -2)? }),
            other => Err(Error::invalid(format!("TensorScatter has no mode `{other}`"))),
        }
    }
}

impl OpDef for TensorScatter {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (cache, update, starts) = (c.input(0)?, c.input(1)?, c.optional(2));
        let axis = cache.axis(self.axis)?;
        let vector = |t: &crate::compute::T| t.rank() == 1 && t.dtype.is_int();
        if update.rank() != cache.rank() || axis == 0 || !starts.iter().all(vector) {
            return Err(Error::invalid("TensorScatter needs an update of the cache's rank and a vector of places"));
        }
        for d in (0..cache.rank()).filter(|&d| d != axis) {
            c.same_dim(&cache.shape[d], &update.shape[d])?;
        }
        let y = scatter(c, &cache, &update, &update.shape, None, |c, i| {
            let start =
                starts.as_ref().map_or_else(Index::zero, |t| c.lookup(t, vec![i[0].clone()], &cache.shape[axis]));
            let mut target = i.to_vec();
            // In linear mode nothing reaches beyond the end, so that both modes are one.
            target[axis] = (start + i[axis].clone()).rem(&cache.shape[axis]);
            target
        })?;
        c.output(0, y);
        Ok(())
    }
}
