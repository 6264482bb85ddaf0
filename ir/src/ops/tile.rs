use super::OpDef;
use crate::compute::Compute;
use crate::onnx::OnnxNode;
use crate::{Error, Index, Result};

/// Repeats a tensor along every axis: `y[i] = x[i mod extent]` (ONNX `Tile`).
///
/// Before opset 6 a number of repetitions and one axis are given as scalars.
#[derive(Debug)]
pub struct Tile {
    single: bool,
}

impl Tile {
    pub(super) fn parse(node: &OnnxNode) -> Result<Tile> {
        Ok(Tile { single: node.opset < 6 })
    }
}

impl OpDef for Tile {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (x, repeats) = (c.input(0)?, c.input(1)?);
        let repeats = if self.single {
            let axis = c.ints(&c.input(2)?, "the axis of Tile")?;
            let axis = x.axis(*axis.first().ok_or_else(|| Error::invalid("Tile has no axis"))?)?;
            let count = c.dims(&repeats, "the repeats of Tile")?.into_iter().next();
            let mut all = vec![Index::from(1); x.rank()];
            all[axis] = count.ok_or_else(|| Error::invalid("Tile has no number of repetitions"))?;
            all
        } else {
            c.extents(&repeats, "the repeats of Tile")?
        };
        if repeats.len() != x.rank() {
            return Err(Error::invalid(format!("Tile has {} repeats for rank {}", repeats.len(), x.rank())));
        }
        let shape: Vec<Index> = x.shape.iter().zip(&repeats).map(|(dim, repeat)| dim * repeat).collect();
        let y = c.gather(&x, &shape, |_, i| {
            let wrap =
                |((i, dim), repeat): ((&Index, &Index), &Index)| if repeat.is(1) { i.clone() } else { i.rem(dim) };
            i.iter().zip(&x.shape).zip(&repeats).map(wrap).collect()
        });
        c.output(0, y);
        Ok(())
    }
}
