use super::OpDef;
use crate::Result;
use crate::compute::Compute;
use crate::onnx::OnnxNode;

/// `y[.., j.., ..] = x[.., indices[j..], ..]` (ONNX `Gather`). Negative indices count from the end.
#[derive(Debug)]
pub struct Gather {
    axis: i64,
}

impl Gather {
    pub(super) fn parse(node: &OnnxNode) -> Result<Gather> {
        Ok(Gather { axis: node.int("axis", 0)? })
    }
}

impl OpDef for Gather {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (x, indices) = (c.input(0)?, c.input(1)?);
        let axis = x.axis(self.axis)?;
        let (before, after) = (&x.shape[..axis], &x.shape[axis + 1..]);
        let shape = [before, &indices.shape, after].concat();
        let y = c.gather(&x, &shape, |c, i| {
            let at = i[axis..axis + indices.rank()].to_vec();
            let row = c.lookup(&indices, at, &x.shape[axis]);
            [&i[..axis], &[row], &i[axis + indices.rank()..]].concat()
        });
        c.output(0, y);
        Ok(())
    }
}
