use super::OpDef;
use super::matmul::matmul;
use crate::compute::{Compute, T};
use crate::onnx::OnnxNode;
use crate::{Error, Result};

/// `alpha * A * B` of matrices in the last two axes (ONNX Runtime `FusedMatMul`, `TransposeMatMul`): `transA` and `transB`
/// transpose them, `transBatchA` and `transBatchB` first move axis 0 behind the other batch axes.
#[derive(Debug)]
pub struct FusedMatMul {
    alpha: f64,
    transposed: [bool; 2],
    moved: [bool; 2],
}

impl FusedMatMul {
    pub(super) fn parse(node: &OnnxNode) -> Result<FusedMatMul> {
        Ok(FusedMatMul {
            alpha: node.float("alpha", 1.0)?.into(),
            transposed: [node.flag("transA", false)?, node.flag("transB", false)?],
            moved: [node.flag("transBatchA", false)?, node.flag("transBatchB", false)?],
        })
    }

    fn operand(&self, c: &mut Compute, t: T, which: usize) -> Result<T> {
        let rank = t.rank();
        let mut perm: Vec<usize> = (0..rank).collect();
        if self.moved[which] {
            if rank < 3 {
                return Err(Error::invalid("FusedMatMul moves a batch axis that is not there"));
            }
            perm[..rank - 1].rotate_left(1);
        }
        if self.transposed[which] && rank > 1 {
            perm.swap(rank - 2, rank - 1);
        }
        Ok(if perm.is_sorted() { t } else { c.transpose(&t, &perm) })
    }
}

impl OpDef for FusedMatMul {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (a, b) = (c.input(0)?, c.input(1)?);
        let (a, b) = (self.operand(c, a, 0)?, self.operand(c, b, 1)?);
        let mut y = matmul(c, &a, &b)?;
        if self.alpha != 1.0 {
            y = c.map(y.dtype, &y.shape, |i| y.at(i.to_vec()) * self.alpha);
        }
        c.output(0, y);
        Ok(())
    }
}
