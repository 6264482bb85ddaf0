//! Operators that compute each element from the elements at the same place: one row of a table each.

use super::OpDef;
use crate::compute::{Compute, compute_type};
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::tile::{Binary, Compare, Math, Unary};
use crate::{DType, Result};
use std::fmt;
use std::sync::Arc;

/// The element of the result from those of the operands, which broadcast against each other.
type Formula = Arc<dyn Fn(&[Expr]) -> Expr + Send + Sync>;

/// The type of the result.
#[derive(Clone, Copy, Debug)]
enum Out {
    /// That of the first operand.
    Same,
    /// `Bool`
    Truth,
}

/// An elementwise operator.
struct Elementwise {
    name: &'static str,
    out: Out,
    formula: Formula,
}

impl fmt::Debug for Elementwise {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl OpDef for Elementwise {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let operands = (0..c.input_count()).map(|place| c.input(place)).collect::<Result<Vec<_>>>()?;
        let shapes: Vec<_> = operands.iter().map(|t| t.shape.as_slice()).collect();
        let shape = c.broadcast_shape(&shapes)?;
        let dtype = match self.out {
            Out::Same => operands[0].dtype,
            Out::Truth => DType::Bool,
        };
        let y = c.map(dtype, &shape, |i| {
            let elements: Vec<Expr> = operands.iter().map(|t| t.broadcast(i)).collect();
            (self.formula)(&elements)
        });
        c.output(0, y);
        Ok(())
    }
}

/// Reads attributes and gives the formula.
type Row = (&'static str, Out, fn(&OnnxNode) -> Result<Formula>);

macro_rules! formula {
    ($f:expr) => {
        |_| Ok(Arc::new($f))
    };
}

const TABLE: &[Row] = &[
    ("Add", Out::Same, formula!(|x| &x[0] + &x[1])),
    ("Sub", Out::Same, formula!(|x| &x[0] - &x[1])),
    ("Mul", Out::Same, formula!(|x| &x[0] * &x[1])),
    ("Div", Out::Same, formula!(|x| &x[0] / &x[1])),
    ("Erf", Out::Same, formula!(|x| x[0].math(Math::Erf))),
    ("Exp", Out::Same, formula!(|x| x[0].exp())),
    ("Tanh", Out::Same, formula!(|x| x[0].math(Math::Tanh))),
    ("Sqrt", Out::Same, formula!(|x| x[0].sqrt())),
    ("Neg", Out::Same, formula!(|x| x[0].unary(Unary::Neg))),
    // `0 < x` is false for NaN, which so comes through.
    ("Relu", Out::Same, formula!(|x| x[0].like(0.0).max(&x[0]))),
    ("Less", Out::Truth, formula!(|x| x[0].compare(Compare::Lt, &x[1]))),
    ("And", Out::Truth, formula!(|x| x[0].binary(Binary::And, &x[1]))),
];

/// The operator of a row, if the node's is one.
pub(super) fn parse(domain: &str, node: &OnnxNode) -> Result<Option<Arc<dyn OpDef>>> {
    let Some((name, out, formula)) = TABLE.iter().find(|row| domain.is_empty() && row.0 == node.op_type) else {
        return Ok(None);
    };
    Ok(Some(Arc::new(Elementwise { name, out: *out, formula: formula(node)? })))
}

/// All rows.
pub(super) fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
    TABLE.iter().map(|row| ("", row.0))
}
