use super::OpDef;
use crate::compute::Compute;
use crate::onnx::OnnxNode;
use crate::tile::InRange;
use crate::{Error, Index, Result, Scalar};

/// The upper or lower triangle of matrices, the rest 0 (ONNX `Trilu`): upper keeps `i + k <= j`, lower `j <= i + k`.
#[derive(Debug)]
pub struct Trilu {
    upper: bool,
}

impl Trilu {
    pub(super) fn parse(node: &OnnxNode) -> Result<Trilu> {
        Ok(Trilu { upper: node.flag("upper", true)? })
    }
}

impl OpDef for Trilu {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        let rank = x.rank();
        if rank < 2 {
            return Err(Error::invalid("Trilu needs matrices"));
        }
        let k = c.optional(1).map_or(Ok(Index::zero()), |k| c.scalar_index(&k, "the diagonal of Trilu"))?;
        let (rows, columns) = (x.shape[rank - 2].clone(), x.shape[rank - 1].clone());
        let y = c.map(x.dtype, &x.shape, |i| {
            let index = i[rank - 1].clone() - i[rank - 2].clone();
            let kept = if self.upper {
                InRange { index, low: k, high: columns }
            } else {
                InRange { index, low: -rows, high: k + 1 }
            };
            x.raw(i.to_vec()).guard(vec![kept], Scalar::Int(0))
        });
        c.output(0, y);
        Ok(())
    }
}
