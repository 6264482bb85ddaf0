//! Shape arithmetic: evaluates small integer stages over expressions instead of numbers.
//!
//! Exporters compute shapes with ordinary operators (`Shape`, `Gather`, `Add`, `Concat`, `Cast`). Evaluating the same
//! kernels over [`Index`] gives the result as expressions of the symbols, for every op at once.

use super::{Expr, ExprKind};
use crate::index::Atom;
use crate::tensor::Scalar;
use crate::tile::{Binary, Compare, Math, Unary};
use crate::{DType, Facts, Index};

/// The value of an expression at one point, or `None` if it is not known while building.
///
/// `axes` gives the value of an axis; `load` the known element of a buffer at known indices.
pub fn evaluate(
    expr: &Expr,
    facts: &Facts,
    axes: &dyn Fn(&str) -> Option<i64>,
    load: &dyn Fn(u32, &[i64]) -> Option<Known>,
) -> Option<Known> {
    Evaluator { facts, axes, load }.expr(expr)
}

/// A known element.
#[derive(Clone, Debug, PartialEq)]
pub enum Known {
    /// An integer (or `Bool`) expression over symbols.
    Index(Index),
    /// A float.
    Float(f64),
}

struct Evaluator<'a> {
    facts: &'a Facts,
    axes: &'a dyn Fn(&str) -> Option<i64>,
    load: &'a dyn Fn(u32, &[i64]) -> Option<Known>,
}

impl Evaluator<'_> {
    fn index(&self, index: &Index) -> Option<Index> {
        let replaced = index.rebuild(self.facts, &|atom| match atom {
            Atom::Var(name) => (self.axes)(name).map(Index::from),
            Atom::At(buffer, at) => {
                let at: Option<Vec<i64>> = at.iter().map(|i| self.index(i)?.as_const()).collect();
                match (self.load)(*buffer, &at?)? {
                    Known::Index(index) => Some(index),
                    Known::Float(_) => None,
                }
            }
            _ => None,
        });
        let mut known = true;
        replaced.visit(&mut |atom| known &= !matches!(atom, Atom::Var(_) | Atom::At(..)));
        known.then_some(replaced)
    }

    fn expr(&self, expr: &Expr) -> Option<Known> {
        let dtype = expr.dtype();
        match expr.kind() {
            ExprKind::Const(Scalar::Int(n)) => Some(Known::Index((*n).into())),
            ExprKind::Const(Scalar::Float(x)) => Some(Known::Float(*x)),
            ExprKind::Index(index) => self.index(index).map(Known::Index),
            ExprKind::Load { buffer, index } => {
                let index: Option<Vec<i64>> = index.iter().map(|i| self.index(i)?.as_const()).collect();
                (self.load)(*buffer, &index?)
            }
            ExprKind::Guard { all, then, otherwise } => {
                let mut holds = true;
                for test in all {
                    let (low, high) = (self.index(&test.low)?, self.index(&test.high)?);
                    let index = self.index(&test.index)?;
                    let inside = self.facts.le(&low, &index) && self.facts.lt(&index, &high);
                    let outside = self.facts.lt(&index, &low) || self.facts.le(&high, &index);
                    if !inside && !outside {
                        return None;
                    }
                    holds &= inside;
                }
                if holds { self.expr(then) } else { self.expr(&Expr::constant(dtype, *otherwise)) }
            }
            ExprKind::Select(condition, a, b) => match self.expr(condition)? {
                Known::Index(index) if index.is(0) => self.expr(b),
                Known::Index(index) if index.as_const().is_some() => self.expr(a),
                _ => None,
            },
            ExprKind::Compare(how, a, b) => self.compare(*how, &self.expr(a)?, &self.expr(b)?),
            ExprKind::Cast(inner) => cast(self.expr(inner)?, dtype),
            ExprKind::Unary(f, a) => unary(*f, self.expr(a)?, dtype),
            ExprKind::Binary(Binary::And, a, b) if dtype == DType::Bool => self.logic(a, b, 0),
            ExprKind::Binary(Binary::Or, a, b) if dtype == DType::Bool => self.logic(a, b, 1),
            ExprKind::Binary(f, a, b) => self.binary(*f, self.expr(a)?, self.expr(b)?, dtype),
            ExprKind::Math(f, operands) => {
                let operands: Option<Vec<Known>> = operands.iter().map(|operand| self.expr(operand)).collect();
                math(*f, &operands?, dtype)
            }
            ExprKind::Stage(_) | ExprKind::Bitcast(_) => None,
        }
    }

    /// Logical and (or), decided by one operand alone if that is 0 (1).
    fn logic(&self, a: &Expr, b: &Expr, decides: i64) -> Option<Known> {
        let operands = [self.expr(a), self.expr(b)];
        let number = |known: &Option<Known>| match known {
            Some(Known::Index(index)) => index.as_const(),
            _ => None,
        };
        if operands.iter().any(|known| number(known) == Some(decides)) {
            return Some(Known::Index(decides.into()));
        }
        operands.iter().all(|known| number(known).is_some()).then(|| Known::Index((1 - decides).into()))
    }

    fn compare(&self, how: Compare, a: &Known, b: &Known) -> Option<Known> {
        let truth = match (a, b) {
            (Known::Float(a), Known::Float(b)) => match how {
                Compare::Eq => a == b,
                Compare::Ne => a != b,
                Compare::Lt => a < b,
                Compare::Le => a <= b,
            },
            (Known::Index(a), Known::Index(b)) => self.compare_indices(how, a, b)?,
            _ => return None,
        };
        Some(Known::Index(i64::from(truth).into()))
    }

    fn compare_indices(&self, how: Compare, a: &Index, b: &Index) -> Option<bool> {
        let (less, greater) = (self.facts.lt(a, b), self.facts.lt(b, a));
        match how {
            Compare::Eq if a == b => Some(true),
            Compare::Eq => (less || greater).then_some(false),
            Compare::Ne => self.compare_indices(Compare::Eq, a, b).map(|equal| !equal),
            Compare::Lt if less => Some(true),
            Compare::Lt => self.facts.le(b, a).then_some(false),
            Compare::Le => self.compare_indices(Compare::Lt, b, a).map(|greater| !greater),
        }
    }

    fn binary(&self, f: Binary, a: Known, b: Known, dtype: DType) -> Option<Known> {
        let (a, b) = match (a, b) {
            (Known::Float(a), Known::Float(b)) => return float_binary(f, a, b, dtype),
            (Known::Index(a), Known::Index(b)) => (a, b),
            _ => return None,
        };
        let positive = |x: &Index| self.facts.lt(&Index::zero(), x);
        Some(Known::Index(match f {
            Binary::Add => a + b,
            Binary::Sub => a - b,
            Binary::Mul => a * b,
            Binary::Div => match (a.as_const(), b.as_const()) {
                (Some(a), Some(b)) => Index::from(a.checked_div(b).unwrap_or(0)),
                (None, Some(1)) => a,
                // Truncation is floor where nothing is negative.
                _ if self.facts.nonneg(&a) && positive(&b) => self.facts.div(&a, &b),
                // A constant denominator settles the sign of `b`; `-x / n` is `-(x / n)`.
                _ if self.facts.nonneg(&-a.clone()) && positive(&b) => -self.facts.div(&-a, &b),
                _ if b.as_const().is_none() && self.facts.nonneg(&a) && self.facts.nonneg(&b) => self.facts.div(&a, &b),
                _ => return None,
            },
            Binary::Rem if self.facts.nonneg(&a) && positive(&b) => self.facts.rem(&a, &b),
            Binary::Rem => Index::from(a.as_const()?.checked_rem(b.as_const()?).unwrap_or(0)),
            Binary::Min => self.facts.min(&a, &b),
            Binary::Max => self.facts.max(&a, &b),
            Binary::And => Index::from(a.as_const()? & b.as_const()?),
            Binary::Or => Index::from(a.as_const()? | b.as_const()?),
            Binary::Xor => Index::from(a.as_const()? ^ b.as_const()?),
            Binary::Shl | Binary::Shr => return None,
        }))
    }
}

fn float_binary(f: Binary, a: f64, b: f64, dtype: DType) -> Option<Known> {
    let value = match f {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div => a / b,
        Binary::Min => {
            if a < b {
                a
            } else {
                b
            }
        }
        Binary::Max => {
            if a > b {
                a
            } else {
                b
            }
        }
        _ => return None,
    };
    Some(Known::Float(Scalar::Float(value).cast(dtype).float()))
}

fn unary(f: Unary, a: Known, dtype: DType) -> Option<Known> {
    match a {
        Known::Index(index) => match f {
            Unary::Neg => Some(Known::Index(-index)),
            Unary::Not if dtype == DType::Bool => Some(Known::Index(Index::from(1) - index)),
            Unary::Abs => index.as_const().map(|n| Known::Index(n.wrapping_abs().into())),
            _ => None,
        },
        Known::Float(x) => {
            let value = match f {
                Unary::Neg => -x,
                Unary::Abs => x.abs(),
                Unary::Sqrt => x.sqrt(),
                Unary::Floor => x.floor(),
                Unary::Ceil => x.ceil(),
                Unary::Trunc => x.trunc(),
                Unary::Round => x.round_ties_even(),
                Unary::Not => return None,
            };
            Some(Known::Float(Scalar::Float(value).cast(dtype).float()))
        }
    }
}

fn math(f: Math, operands: &[Known], dtype: DType) -> Option<Known> {
    let (a, b) = match operands {
        [Known::Float(a)] => (*a, 0.0),
        [Known::Float(a), Known::Float(b)] => (*a, *b),
        _ => return None,
    };
    Some(Known::Float(Scalar::Float(crate::tile::interp::math(f, a, b)).cast(dtype).float()))
}

fn cast(known: Known, to: DType) -> Option<Known> {
    match known {
        Known::Index(index) => match index.as_const() {
            Some(n) => Some(match Scalar::Int(n).cast(to) {
                Scalar::Int(n) => Known::Index(n.into()),
                Scalar::Float(x) => Known::Float(x),
            }),
            // Dims are taken to fit 32 bits.
            None if matches!(to, DType::I64 | DType::I32) => Some(Known::Index(index)),
            None => None,
        },
        Known::Float(x) => Some(match Scalar::Float(x).cast(to) {
            Scalar::Int(n) => Known::Index(n.into()),
            Scalar::Float(x) => Known::Float(x),
        }),
    }
}
