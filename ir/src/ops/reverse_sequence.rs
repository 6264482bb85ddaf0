use super::OpDef;
use crate::compute::Compute;
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::{DType, Error, Result, Scalar};

/// Reverses the first `lengths[b]` elements along the time axis, for each `b` on the batch axis (ONNX `ReverseSequence`).
#[derive(Debug)]
pub struct ReverseSequence {
    batch: i64,
    time: i64,
}

impl ReverseSequence {
    pub(super) fn parse(node: &OnnxNode) -> Result<ReverseSequence> {
        Ok(ReverseSequence { batch: node.int("batch_axis", 1)?, time: node.int("time_axis", 0)? })
    }
}

impl OpDef for ReverseSequence {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (x, lengths) = (c.input(0)?, c.input(1)?);
        let (batch, time) = (x.axis(self.batch)?, x.axis(self.time)?);
        if batch == time || lengths.rank() != 1 || !lengths.dtype.is_int() {
            return Err(Error::invalid("ReverseSequence needs two axes and a vector of integer lengths"));
        }
        c.same_dim(&x.shape[batch], &lengths.shape[0])?;
        let facts = c.facts_at(&x.shape);
        let y = c.map(x.dtype, &x.shape, |i| {
            let length = crate::Index::at(lengths.buffer, vec![i[batch].clone()]);
            let mut mirrored = i.to_vec();
            mirrored[time] = length - i[time].clone() - 1;
            let reversed = lengths.at(vec![i[batch].clone()]).cast(DType::I64);
            let inside = Expr::index(i[time].clone()).lt(&reversed);
            inside.select(&x.raw_or(&facts, mirrored, Scalar::Int(0)), &x.raw(i.to_vec()))
        });
        c.output(0, y);
        Ok(())
    }
}
