use super::OpDef;
use crate::compute::Compute;
use crate::onnx::OnnxNode;
use crate::{Error, Result};

/// Reorders axes: axis `d` of the result is axis `perm[d]` of `x` (ONNX `Transpose`); reverses them by default.
#[derive(Debug)]
pub struct Transpose {
    perm: Option<Vec<i64>>,
}

impl Transpose {
    pub(super) fn parse(node: &OnnxNode) -> Result<Transpose> {
        Ok(Transpose { perm: node.ints("perm")? })
    }
}

impl OpDef for Transpose {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        let perm: Vec<usize> = match &self.perm {
            None => (0..x.rank()).rev().collect(),
            Some(perm) => perm.iter().map(|&p| x.axis(p)).collect::<Result<_>>()?,
        };
        let mut sorted = perm.clone();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(0..x.rank()) {
            return Err(Error::invalid(format!("perm {perm:?} is no permutation of {} axes", x.rank())));
        }
        let y = c.transpose(&x, &perm);
        c.output(0, y);
        Ok(())
    }
}
