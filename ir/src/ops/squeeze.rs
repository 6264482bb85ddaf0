use super::OpDef;
use crate::compute::{Compute, normalize_axis};
use crate::onnx::OnnxNode;
use crate::{Error, Index, Result};

/// Drops axes of extent 1 (ONNX `Squeeze`): those given, else all that are known to be 1.
///
/// The axes are an attribute before opset 13, then an input.
#[derive(Debug)]
pub struct Squeeze {
    axes: Option<Vec<i64>>,
}

impl Squeeze {
    pub(super) fn parse(node: &OnnxNode) -> Result<Squeeze> {
        Ok(Squeeze { axes: node.ints("axes")? })
    }
}

impl OpDef for Squeeze {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        let given = match c.optional(1) {
            Some(t) => Some(c.ints(&t, "the axes of Squeeze")?),
            None => self.axes.clone(),
        };
        let axes: Vec<usize> = match given {
            Some(axes) => axes.into_iter().map(|a| x.axis(a)).collect::<Result<_>>()?,
            None => (0..x.rank()).filter(|&a| x.shape[a].is(1)).collect(),
        };
        for &axis in &axes {
            c.same_dim(&x.shape[axis], &Index::from(1))?;
        }
        let kept = (0..x.rank()).filter(|a| !axes.contains(a));
        let shape: Vec<Index> = kept.clone().map(|a| x.shape[a].clone()).collect();
        let y = c.gather(&x, &shape, |_, i| {
            let mut index = vec![Index::zero(); x.rank()];
            kept.zip(i).for_each(|(a, i)| index[a] = i.clone());
            index
        });
        c.output(0, y);
        Ok(())
    }
}

/// Adds axes of extent 1 (ONNX `Unsqueeze`); the axes count in the result.
///
/// They are an attribute before opset 13, then an input.
#[derive(Debug)]
pub struct Unsqueeze {
    axes: Option<Vec<i64>>,
}

impl Unsqueeze {
    pub(super) fn parse(node: &OnnxNode) -> Result<Unsqueeze> {
        Ok(Unsqueeze { axes: node.ints("axes")? })
    }
}

impl OpDef for Unsqueeze {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        let axes = match &self.axes {
            Some(axes) => axes.clone(),
            None => c.ints(&c.input(1)?, "the axes of Unsqueeze")?,
        };
        let rank = x.rank() + axes.len();
        let mut added = vec![false; rank];
        for axis in axes {
            let axis = normalize_axis(axis, rank)?;
            if std::mem::replace(&mut added[axis], true) {
                return Err(Error::invalid(format!("Unsqueeze adds axis {axis} twice")));
            }
        }
        let mut old = x.shape.iter().cloned();
        let shape = added.iter().map(|&new| if new { Some(Index::from(1)) } else { old.next() });
        let shape: Vec<Index> = shape.collect::<Option<_>>().unwrap_or_default();
        let y = c.gather(&x, &shape, |_, i| {
            i.iter().zip(&added).filter(|(_, new)| !**new).map(|(i, _)| i.clone()).collect()
        });
        c.output(0, y);
        Ok(())
    }
}
