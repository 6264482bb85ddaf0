use super::OpDef;
use crate::compute::{Compute, compute_type};
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::tile::Monoid;
use crate::{Error, Index, Result};

/// `y = alpha * A * B + beta * C` for matrices (ONNX `Gemm`); `transA` and `transB` transpose first. `C` broadcasts to the
/// result; it may be absent since opset 11.
#[derive(Debug)]
pub struct Gemm {
    alpha: f64,
    beta: f64,
    transposed: [bool; 2],
}

impl Gemm {
    pub(super) fn parse(node: &OnnxNode) -> Result<Gemm> {
        let transposed = [node.flag("transA", false)?, node.flag("transB", false)?];
        Ok(Gemm { alpha: node.float("alpha", 1.0)?.into(), beta: node.float("beta", 1.0)?.into(), transposed })
    }
}

impl OpDef for Gemm {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (a, b, bias) = (c.input(0)?, c.input(1)?, c.optional(2));
        if a.rank() != 2 || b.rank() != 2 || a.dtype != b.dtype || bias.as_ref().is_some_and(|t| t.dtype != a.dtype) {
            return Err(Error::invalid("Gemm needs two matrices and a bias of one type"));
        }
        let [ta, tb] = self.transposed;
        let order = |row: &Index, column: &Index, transposed: bool| {
            if transposed { vec![column.clone(), row.clone()] } else { vec![row.clone(), column.clone()] }
        };
        let k = c.same_dim(&a.shape[usize::from(!ta)], &b.shape[usize::from(tb)])?;
        let shape = [a.shape[usize::from(ta)].clone(), b.shape[usize::from(!tb)].clone()];
        let wide = compute_type(a.dtype);
        let plain = self.alpha == 1.0 && bias.is_none();
        let product = c.reduce(Monoid::Sum, if plain { a.dtype } else { wide }, &shape, &[k], |i, r| {
            a.at(order(&i[0], &r[0], ta)) * b.at(order(&r[0], &i[1], tb))
        });
        if plain {
            c.output(0, product);
            return Ok(());
        }
        if bias.as_ref().is_some_and(|t| t.rank() > 2) {
            return Err(Error::invalid("the bias of Gemm has more than two axes"));
        }
        let scale = |x: Expr, by: f64| if by == 1.0 { x } else { x * by };
        let y = c.map(a.dtype, &shape, |i| {
            let y = scale(product.at(i.to_vec()), self.alpha);
            bias.iter().fold(y, |y, bias| y + scale(bias.broadcast(i), self.beta))
        });
        c.output(0, y);
        Ok(())
    }
}
