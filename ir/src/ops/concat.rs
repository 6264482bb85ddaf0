use super::OpDef;
use crate::compute::{Compute, T};
use crate::onnx::OnnxNode;
use crate::program::StoreMode;
use crate::{Error, Index, Result};

/// Joins tensors along `axis` (ONNX `Concat`): each is written into its range of the result.
#[derive(Debug)]
pub struct Concat {
    axis: i64,
}

impl Concat {
    pub(super) fn parse(node: &OnnxNode) -> Result<Concat> {
        match (node.optional_int("axis")?, node.opset) {
            (Some(axis), _) => Ok(Concat { axis }),
            (None, ..4) => Ok(Concat { axis: 1 }),
            (None, _) => Err(Error::invalid("attribute `axis` of Concat is missing")),
        }
    }
}

impl OpDef for Concat {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let parts = (0..c.input_count()).map(|place| c.input(place)).collect::<Result<Vec<_>>>()?;
        let y = concat(c, parts, self.axis)?;
        c.output(0, y);
        Ok(())
    }
}

/// The tensors joined along an axis.
pub(super) fn concat(c: &mut Compute, parts: Vec<T>, axis: i64) -> Result<T> {
    let first = parts.first().ok_or_else(|| Error::invalid("Concat has no inputs"))?.clone();
    let axis = first.axis(axis)?;
    let mut shape = first.shape.clone();
    let mut starts = vec![Index::zero()];
    for part in &parts {
        if part.rank() != first.rank() || part.dtype != first.dtype {
            return Err(Error::invalid("the inputs of Concat differ in rank or type"));
        }
        for d in (0..shape.len()).filter(|&d| d != axis) {
            shape[d] = c.same_dim(&shape[d], &part.shape[d])?;
        }
        starts.push(starts[starts.len() - 1].clone() + part.shape[axis].clone());
    }
    shape[axis] = starts[parts.len()].clone();
    let y = c.buffer(first.dtype, &shape);
    for (part, start) in parts.iter().zip(&starts) {
        c.store(&y, &part.shape, StoreMode::Set, |i| {
            let mut target = i.to_vec();
            target[axis] = target[axis].clone() + start.clone();
            (target, part.raw(i.to_vec()))
        });
    }
    if shape.len() != 1 {
        return Ok(y);
    }
    let known: Option<Vec<_>> = parts.into_iter().map(|part| part.known).collect();
    Ok(c.with_known(y, known.map(|parts| parts.concat())))
}
