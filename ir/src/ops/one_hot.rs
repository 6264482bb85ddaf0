use super::OpDef;
use crate::compute::{Compute, normalize_axis};
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::{DType, Error, Index, Result};

/// `y[.., j, ..] = indices[..] == j ? on : off` with a new axis of extent `depth` (ONNX `OneHot`).
///
/// Negative indices count from the end; one out of range gives `off` everywhere. `values` is `[off, on]`.
#[derive(Debug)]
pub struct OneHot {
    axis: i64,
}

impl OneHot {
    pub(super) fn parse(node: &OnnxNode) -> Result<OneHot> {
        Ok(OneHot { axis: node.int("axis", -1)? })
    }
}

impl OpDef for OneHot {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (indices, depth, values) = (c.input(0)?, c.input(1)?, c.input(2)?);
        let axis = normalize_axis(self.axis, indices.rank() + 1)?;
        if values.rank() != 1 {
            return Err(Error::invalid("OneHot needs two values"));
        }
        c.same_dim(&values.shape[0], &Index::from(2))?;
        let depth = c.one(&depth, "the depth of OneHot")?.cast(DType::I64);
        let depth = c.value("depth", &depth, None);
        let shape = [&indices.shape[..axis], &[depth.clone()], &indices.shape[axis..]].concat();
        let y = c.map(values.dtype, &shape, |i| {
            let index = indices.at([&i[..axis], &i[axis + 1..]].concat()).cast(DType::I64);
            let wrapped = index.lt(&index.like(0.0)).select(&(&index + &Expr::index(depth)), &index);
            let value = |place: i64| values.at(vec![place.into()]);
            wrapped.equals(&Expr::index(i[axis].clone())).select(&value(1), &value(0))
        });
        c.output(0, y);
        Ok(())
    }
}
