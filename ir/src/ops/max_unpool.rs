use super::OpDef;
use super::window::WindowAttributes;
use crate::compute::{Compute, compute_type, inside};
use crate::onnx::OnnxNode;
use crate::program::{Expr, StoreMode};
use crate::tensor::Scalar;
use crate::{Error, Index, Result};

/// Puts the elements of a pooled tensor back at the positions that `MaxPool` gave, 0 elsewhere (ONNX `MaxUnpool`).
///
/// Positions refer to the size that kernel, strides and pads imply; a larger `output_shape` pads that at the end.
#[derive(Debug)]
pub struct MaxUnpool {
    windows: WindowAttributes,
}

impl MaxUnpool {
    pub(super) fn parse(node: &OnnxNode) -> Result<MaxUnpool> {
        Ok(MaxUnpool { windows: WindowAttributes::parse(node)? })
    }
}

impl OpDef for MaxUnpool {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (x, positions, wanted) = (c.input(0)?, c.input(1)?, c.optional(2));
        if x.rank() < 3 {
            return Err(Error::invalid(format!("MaxUnpool of a rank-{} tensor", x.rank())));
        }
        c.demand(&positions, "the positions given to MaxUnpool", &x.shape)?;
        let n = x.rank() - 2;
        let (kernel, strides, (low, high)) = (self.windows.kernel()?, self.windows.strides(n)?, self.windows.pads(n)?);
        if kernel.len() != n {
            return Err(Error::invalid(format!("a kernel of rank {} on {n} spatial axes", kernel.len())));
        }
        let mut shape = x.shape[..2].to_vec();
        for a in 0..n {
            let reached = (x.shape[2 + a].clone() - 1) * strides[a] + kernel[a].clone();
            shape.push(reached - low[a].clone() - high[a].clone());
        }
        let size = Index::product(&shape);
        let flat = c.buffer(x.dtype, std::slice::from_ref(&size));
        let zero = Expr::float(compute_type(x.dtype), 0.0);
        c.store(&flat, std::slice::from_ref(&size), StoreMode::Set, |i| (i.to_vec(), zero));
        c.store(&flat, &x.shape, StoreMode::Scatter, |i| {
            (vec![positions.lookup(i.to_vec(), &size)], x.raw(i.to_vec()))
        });
        let mut y = c.reshape(&flat, &shape);
        if let Some(wanted) = wanted {
            let wanted = c.dims(&wanted, "the shape given to MaxUnpool")?;
            if wanted.len() != shape.len() {
                return Err(Error::invalid("the shape given to MaxUnpool has another rank"));
            }
            let inner = y;
            let facts = c.scope(&wanted, &[]);
            y = c.map(x.dtype, &wanted, |i| {
                let tests = inside(&facts, i.iter().cloned().zip(shape.iter().cloned()));
                inner.raw(i.to_vec()).guard(tests, Scalar::Int(0))
            });
        }
        c.output(0, y);
        Ok(())
    }
}
