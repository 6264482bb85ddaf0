//! Operators that compute each element from the elements at the same place: one row of a table each.

use super::{OpDef, activation, arithmetic, logic};
use crate::compute::{Compute, T};
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::{DType, Error, Index, Result};
use std::fmt;
use std::sync::Arc;

/// The element of the result from those of the operands, which broadcast against each other.
///
/// 16-bit floats arrive as F32, in which they are computed.
pub(super) enum Formula {
    One(Box<dyn Fn(&Expr) -> Expr + Send + Sync>),
    Two(Box<dyn Fn(&Expr, &Expr) -> Expr + Send + Sync>),
    Three(Box<dyn Fn(&Expr, &Expr, &Expr) -> Expr + Send + Sync>),
    /// Any number of operands, at least one.
    Any(Box<dyn Fn(&[Expr]) -> Expr + Send + Sync>),
}

/// Which types the operands may have; they all have one type, except where said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Types {
    Floats,
    Ints,
    /// Floats and integers.
    Numbers,
    Bools,
    All,
    /// Numbers that may differ.
    Mixed,
    /// A `Bool`, then two of one type, which is the result's.
    Choice,
}

/// The type of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Out {
    /// That of the first operand (of the second for [`Types::Choice`]).
    Same,
    /// `Bool`
    Truth,
}

/// ONNX name, types, and a function that reads attributes and gives the formula.
pub(super) type Row = (&'static str, Types, Out, fn(&OnnxNode) -> Result<Formula>);

pub(super) fn one(f: impl Fn(&Expr) -> Expr + Send + Sync + 'static) -> Result<Formula> {
    Ok(Formula::One(Box::new(f)))
}

pub(super) fn two(f: impl Fn(&Expr, &Expr) -> Expr + Send + Sync + 'static) -> Result<Formula> {
    Ok(Formula::Two(Box::new(f)))
}

pub(super) fn three(f: impl Fn(&Expr, &Expr, &Expr) -> Expr + Send + Sync + 'static) -> Result<Formula> {
    Ok(Formula::Three(Box::new(f)))
}

pub(super) fn any(f: impl Fn(&[Expr]) -> Expr + Send + Sync + 'static) -> Result<Formula> {
    Ok(Formula::Any(Box::new(f)))
}

/// The larger; NaN if either is.
pub(super) fn maximum(a: &Expr, b: &Expr) -> Expr {
    let larger = a.max(b);
    if a.dtype().is_float() { a.is_nan().select(a, &larger) } else { larger }
}

/// The smaller; NaN if either is.
pub(super) fn minimum(a: &Expr, b: &Expr) -> Expr {
    let smaller = a.min(b);
    if a.dtype().is_float() { a.is_nan().select(a, &smaller) } else { smaller }
}

/// An elementwise operator.
struct Elementwise {
    name: &'static str,
    types: Types,
    out: Out,
    formula: Formula,
    /// Before opset 7: the axis of the first operand at which the first axis of the second lies.
    align: Option<i64>,
}

impl fmt::Debug for Elementwise {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Elementwise {
    fn check(&self, operands: &[T]) -> Result<()> {
        let want = match self.formula {
            Formula::One(_) => 1,
            Formula::Two(_) => 2,
            Formula::Three(_) => 3,
            Formula::Any(_) => operands.len().max(1),
        };
        if operands.len() != want {
            return Err(Error::invalid(format!("{} has {} inputs, not {want}", self.name, operands.len())));
        }
        let choice = usize::from(self.types == Types::Choice);
        let same = &operands[choice..];
        let accepts = |t: &T| match self.types {
            Types::Floats => t.dtype.is_float(),
            Types::Ints => t.dtype.is_int(),
            Types::Numbers | Types::Mixed => t.dtype != DType::Bool,
            Types::Bools => t.dtype == DType::Bool,
            Types::All | Types::Choice => true,
        };
        let equal = self.types == Types::Mixed || same.iter().all(|t| t.dtype == same[0].dtype);
        if equal && same.iter().all(accepts) && operands[..choice].iter().all(|t| t.dtype == DType::Bool) {
            return Ok(());
        }
        let types: Vec<&str> = operands.iter().map(|t| t.dtype.name()).collect();
        Err(Error::invalid(format!("{} does not take operands of type {}", self.name, types.join(" and "))))
    }

    /// The shape with which an operand takes part in broadcasting.
    fn aligned(&self, place: usize, operands: &[T]) -> Result<Vec<Index>> {
        let mut shape = operands[place].shape.clone();
        if let (1, Some(axis)) = (place, self.align) {
            let axis = if axis < 0 { operands[0].rank() - shape.len().min(operands[0].rank()) } else { axis as usize };
            let rank = operands[0].rank();
            if axis + shape.len() > rank {
                return Err(Error::invalid(format!("axis {axis} leaves no room for rank {} in {rank}", shape.len())));
            }
            shape.resize(rank - axis, Index::from(1));
        }
        Ok(shape)
    }
}

impl OpDef for Elementwise {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let operands = (0..c.input_count()).map(|place| c.input(place)).collect::<Result<Vec<_>>>()?;
        self.check(&operands)?;
        let shapes = (0..operands.len()).map(|place| self.aligned(place, &operands)).collect::<Result<Vec<_>>>()?;
        let shape = c.broadcast_shape(&shapes.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
        let dtype = match self.out {
            Out::Same if self.types == Types::Choice => operands[1].dtype,
            Out::Same => operands[0].dtype,
            Out::Truth => DType::Bool,
        };
        let y = c.map(dtype, &shape, |i| {
            let element = |(t, shape): (&T, &Vec<Index>)| {
                let at = T { shape: shape.clone(), ..t.clone() }.broadcast_index(i);
                t.at(at[..t.rank()].to_vec())
            };
            let elements: Vec<Expr> = operands.iter().zip(&shapes).map(element).collect();
            match (&self.formula, elements.as_slice()) {
                (Formula::One(f), [a]) => f(a),
                (Formula::Two(f), [a, b]) => f(a, b),
                (Formula::Three(f), [a, b, c]) => f(a, b, c),
                (Formula::Any(f), all) => f(all),
                _ => unreachable!("the number of operands is checked"),
            }
        });
        c.output(0, y);
        Ok(())
    }
}

fn rows() -> impl Iterator<Item = &'static Row> {
    arithmetic::TABLE.iter().chain(logic::TABLE).chain(activation::TABLE)
}

/// The operator of a row, if the node's is one.
pub(super) fn parse(domain: &str, node: &OnnxNode) -> Result<Option<Arc<dyn OpDef>>> {
    let Some((name, types, out, formula)) = rows().find(|row| domain.is_empty() && row.0 == node.op_type) else {
        return Ok(None);
    };
    let align = match *name {
        _ if node.opset >= 7 => None,
        // A slope for each channel.
        "PRelu" => Some(1),
        _ => node.optional_int("axis")?,
    };
    Ok(Some(Arc::new(Elementwise { name, types: *types, out: *out, formula: formula(node)?, align })))
}

/// All rows.
pub(super) fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
    rows().map(|row| ("", row.0))
}
