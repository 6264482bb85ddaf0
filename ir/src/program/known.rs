//! Shape arithmetic: evaluates small integer stages over expressions instead of numbers.
//!
//! Exporters compute shapes with ordinary operators (`Shape`, `Gather`, `Add`, `Concat`, `Cast`). Evaluating the same
//! kernels over [`Index`] gives the result as expressions of the symbols, for every op at once. Here are the rules for
//! expressions; those for numbers are the interpreter's.

use super::{Expr, ExprKind, numbers};
use crate::index::Atom;
use crate::tensor::Scalar;
use crate::tile::{Binary, Compare, Unary};
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

impl Known {
    /// Converted from one type to another; `None` if that is not known.
    pub fn cast(self, from: DType, to: DType) -> Option<Known> {
        match self.number() {
            Some(number) => Some(numbers::cast(number, from, to).into()),
            // Dims are taken to fit 32 bits.
            None if matches!(to, DType::I64 | DType::I32 | DType::U64) => Some(self),
            None => None,
        }
    }

    /// The number it is, if it holds no symbol.
    fn number(&self) -> Option<Scalar> {
        match self {
            Known::Index(index) => index.as_const().map(Scalar::Int),
            Known::Float(x) => Some(Scalar::Float(*x)),
        }
    }
}

impl From<Scalar> for Known {
    fn from(scalar: Scalar) -> Known {
        match scalar {
            Scalar::Int(n) => Known::Index(n.into()),
            Scalar::Float(x) => Known::Float(x),
        }
    }
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
            ExprKind::Const(scalar) => Some(scalar.cast(dtype).into()),
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
            ExprKind::Compare(how, a, b) => self.compare(*how, self.expr(a)?, self.expr(b)?, a.dtype()),
            ExprKind::Cast(inner) => self.expr(inner)?.cast(inner.dtype(), dtype),
            ExprKind::Unary(f, a) => unary(*f, self.expr(a)?, dtype),
            ExprKind::Binary(Binary::And, a, b) if dtype == DType::Bool => self.logic(a, b, 0),
            ExprKind::Binary(Binary::Or, a, b) if dtype == DType::Bool => self.logic(a, b, 1),
            ExprKind::Binary(f, a, b) => self.binary(*f, self.expr(a)?, self.expr(b)?, dtype),
            ExprKind::Math(f, operands) => {
                let float = |operand: &Expr| match self.expr(operand)? {
                    Known::Float(x) => Some(x),
                    Known::Index(_) => None,
                };
                let operands: Vec<f64> = operands.iter().map(float).collect::<Option<_>>()?;
                let second = operands.get(1).copied().unwrap_or_default();
                Some(numbers::math(*f, *operands.first()?, second, dtype).into())
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

    fn compare(&self, how: Compare, a: Known, b: Known, dtype: DType) -> Option<Known> {
        if let Some((a, b)) = both(&a, &b) {
            return Some(numbers::compare(how, a, b, dtype).into());
        }
        let (Known::Index(a), Known::Index(b)) = (a, b) else { return None };
        if wraps(&a, &b, dtype) {
            return None;
        }
        self.compare_indices(how, &a, &b).map(|truth| Known::Index(i64::from(truth).into()))
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
        if let Some((a, b)) = both(&a, &b) {
            return Some(numbers::binary(f, a, b, dtype).into());
        }
        let (Known::Index(a), Known::Index(b)) = (a, b) else { return None };
        if wraps(&a, &b, dtype) {
            return None;
        }
        let positive = |x: &Index| self.facts.lt(&Index::zero(), x);
        let value = match f {
            Binary::Add => a + b,
            Binary::Sub => a - b,
            Binary::Mul => a * b,
            Binary::Div if b.is(1) => a,
            // Truncation is floor where nothing is negative.
            Binary::Div if self.facts.nonneg(&a) && positive(&b) => self.facts.div(&a, &b),
            // A constant denominator settles the sign of `b`; `-x / n` is `-(x / n)`.
            Binary::Div if self.facts.nonneg(&-a.clone()) && positive(&b) => -self.facts.div(&-a, &b),
            Binary::Div if b.as_const().is_none() && self.facts.nonneg(&a) && self.facts.nonneg(&b) => {
                self.facts.div(&a, &b)
            }
            Binary::Rem if self.facts.nonneg(&a) && positive(&b) => self.facts.rem(&a, &b),
            Binary::Min => self.facts.min(&a, &b),
            Binary::Max => self.facts.max(&a, &b),
            _ => return None,
        };
        Known::Index(value).cast(dtype, dtype)
    }
}

/// Two numbers of one kind.
fn both(a: &Known, b: &Known) -> Option<(Scalar, Scalar)> {
    match (a.number()?, b.number()?) {
        (Scalar::Int(_), Scalar::Float(_)) | (Scalar::Float(_), Scalar::Int(_)) => None,
        pair => Some(pair),
    }
}

/// Whether one of two is a number in the upper half of U64, which expressions do not hold.
fn wraps(a: &Index, b: &Index, dtype: DType) -> bool {
    let negative = |index: &Index| index.as_const().is_some_and(|n| n < 0);
    dtype == DType::U64 && (negative(a) || negative(b))
}

fn unary(f: Unary, a: Known, dtype: DType) -> Option<Known> {
    if let Some(number) = a.number() {
        return Some(numbers::unary(f, number, dtype).into());
    }
    match (f, a) {
        (Unary::Neg, Known::Index(index)) => Known::Index(-index).cast(dtype, dtype),
        (Unary::Not, Known::Index(index)) if dtype == DType::Bool => Some(Known::Index(Index::from(1) - index)),
        _ => None,
    }
}
