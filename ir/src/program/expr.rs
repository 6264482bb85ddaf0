//! Scalar expressions: what a stage computes at one point of its axes.
//!
//! An [`Expr`] is a shared node that knows its type; the operators of Rust build new ones. 16-bit floats only occur
//! right at a load, a constant or a cast: arithmetic is done in F32.

use crate::tensor::Scalar;
use crate::tile::{Binary, Compare, InRange, Math, Unary};
use crate::{DType, Facts, Index};
use std::ops::{Add, BitAnd, BitOr, Div, Mul, Neg, Not, Sub};
use std::sync::Arc;

/// A scalar expression. Cloning shares it.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr(Arc<Node>);

#[derive(Debug, PartialEq)]
struct Node {
    dtype: DType,
    kind: ExprKind,
}

/// What an [`Expr`] is made of. Operands have the type of the result unless said otherwise.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// A number.
    Const(Scalar),
    /// An element of a buffer.
    Load {
        /// Which buffer.
        buffer: u32,
        /// One expression for each dim, in bounds wherever this is evaluated.
        index: Vec<Index>,
    },
    /// `then` where all tests hold, else a number; `then` is only evaluated where they hold.
    Guard {
        /// All must hold.
        all: Vec<InRange>,
        /// When they do.
        then: Expr,
        /// When one does not.
        otherwise: Scalar,
    },
    /// An integer expression, as I64.
    Index(Index),
    /// The value of an earlier stage of the kernel.
    Stage(usize),
    /// One operand.
    Unary(Unary, Expr),
    /// Two operands; `Min` and `Max` as the tile's: `a < b ? a : b`.
    Binary(Binary, Expr, Expr),
    /// `Bool` from two operands of one type.
    Compare(Compare, Expr, Expr),
    /// The first operand is `Bool`.
    Select(Expr, Expr, Expr),
    /// Conversion of another type, as [`Scalar::cast`].
    Cast(Expr),
    /// The bits of another type of equal size.
    Bitcast(Expr),
    /// A transcendental function; `Pow` and `Fmod` have two operands.
    Math(Math, Vec<Expr>),
}

impl Expr {
    /// A node of a given type; the caller says the truth about the type.
    pub fn new(dtype: DType, kind: ExprKind) -> Expr {
        Expr(Arc::new(Node { dtype, kind }))
    }

    /// A number.
    pub fn constant(dtype: DType, value: Scalar) -> Expr {
        Expr::new(dtype, ExprKind::Const(value.cast(dtype)))
    }

    /// A float of a type (an integer type truncates it).
    pub fn float(dtype: DType, value: f64) -> Expr {
        Expr::constant(dtype, Scalar::Float(value))
    }

    /// An integer of a type.
    pub fn int(dtype: DType, value: i64) -> Expr {
        Expr::constant(dtype, Scalar::Int(value))
    }

    /// An integer expression, as I64.
    pub fn index(index: Index) -> Expr {
        match index.as_const() {
            Some(n) => Expr::int(DType::I64, n),
            None => Expr::new(DType::I64, ExprKind::Index(index)),
        }
    }

    /// An element of a buffer, in the buffer's type.
    pub fn load(dtype: DType, buffer: u32, index: Vec<Index>) -> Expr {
        Expr::new(dtype, ExprKind::Load { buffer, index })
    }

    /// `self` where all tests hold, else a number.
    pub fn guard(self, all: Vec<InRange>, otherwise: Scalar) -> Expr {
        if all.is_empty() {
            return self;
        }
        Expr::new(self.dtype(), ExprKind::Guard { all, otherwise: otherwise.cast(self.dtype()), then: self })
    }

    /// Its type.
    pub fn dtype(&self) -> DType {
        self.0.dtype
    }

    /// What it is.
    pub fn kind(&self) -> &ExprKind {
        &self.0.kind
    }

    /// Tells nodes apart (and shared nodes from equal ones).
    pub fn id(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }

    /// The number it is, if it is one.
    pub fn as_const(&self) -> Option<Scalar> {
        match self.kind() {
            ExprKind::Const(value) => Some(*value),
            _ => None,
        }
    }

    /// Converted to a type.
    pub fn cast(&self, to: DType) -> Expr {
        if self.dtype() == to {
            return self.clone();
        }
        match self.kind() {
            ExprKind::Const(value) => Expr::constant(to, *value),
            // Widening and back is nothing.
            ExprKind::Cast(inner) if inner.dtype() == to && widens(to, self.dtype()) => inner.clone(),
            _ => Expr::new(to, ExprKind::Cast(self.clone())),
        }
    }

    /// The same bits as another type of equal size.
    pub fn bitcast(&self, to: DType) -> Expr {
        Expr::new(to, ExprKind::Bitcast(self.clone()))
    }

    /// A function of one operand.
    pub fn unary(&self, function: Unary) -> Expr {
        Expr::new(self.dtype(), ExprKind::Unary(function, self.clone()))
    }

    /// A function of two operands of one type.
    pub fn binary(&self, function: Binary, other: &Expr) -> Expr {
        Expr::new(self.dtype(), ExprKind::Binary(function, self.clone(), other.clone()))
    }

    /// A transcendental function.
    pub fn math(&self, function: Math) -> Expr {
        Expr::new(self.dtype(), ExprKind::Math(function, vec![self.clone()]))
    }

    /// A transcendental function of two operands.
    pub fn math2(&self, function: Math, other: &Expr) -> Expr {
        Expr::new(self.dtype(), ExprKind::Math(function, vec![self.clone(), other.clone()]))
    }

    /// `exp(self)`
    pub fn exp(&self) -> Expr {
        self.math(Math::Exp)
    }

    /// `sqrt(self)`
    pub fn sqrt(&self) -> Expr {
        self.unary(Unary::Sqrt)
    }

    /// `|self|`
    pub fn abs(&self) -> Expr {
        self.unary(Unary::Abs)
    }

    /// A comparison.
    pub fn compare(&self, how: Compare, other: &Expr) -> Expr {
        Expr::new(DType::Bool, ExprKind::Compare(how, self.clone(), other.clone()))
    }

    /// `self < other`
    pub fn lt(&self, other: &Expr) -> Expr {
        self.compare(Compare::Lt, other)
    }

    /// `self <= other`
    pub fn le(&self, other: &Expr) -> Expr {
        self.compare(Compare::Le, other)
    }

    /// `self == other`
    pub fn equals(&self, other: &Expr) -> Expr {
        self.compare(Compare::Eq, other)
    }

    /// `self ? a : b` for a `Bool`.
    pub fn select(&self, a: &Expr, b: &Expr) -> Expr {
        Expr::new(a.dtype(), ExprKind::Select(self.clone(), a.clone(), b.clone()))
    }

    /// Whether it is NaN; false for integers.
    pub fn is_nan(&self) -> Expr {
        if self.dtype().is_float() { self.compare(Compare::Ne, self) } else { Expr::int(DType::Bool, 0) }
    }

    /// The larger; `other` if either is NaN and `other` is, so a NaN in `other` comes through.
    pub fn max(&self, other: &Expr) -> Expr {
        self.binary(Binary::Max, other)
    }

    /// The smaller; a NaN in `other` comes through.
    pub fn min(&self, other: &Expr) -> Expr {
        self.binary(Binary::Min, other)
    }

    /// A number of this expression's type.
    pub fn like(&self, value: f64) -> Expr {
        Expr::float(self.dtype(), value)
    }

    /// The operands.
    pub fn operands(&self) -> Vec<&Expr> {
        match self.kind() {
            ExprKind::Const(_) | ExprKind::Load { .. } | ExprKind::Index(_) | ExprKind::Stage(_) => vec![],
            ExprKind::Guard { then: a, .. } | ExprKind::Unary(_, a) | ExprKind::Cast(a) | ExprKind::Bitcast(a) => {
                vec![a]
            }
            ExprKind::Binary(_, a, b) | ExprKind::Compare(_, a, b) => vec![a, b],
            ExprKind::Select(a, b, c) => vec![a, b, c],
            ExprKind::Math(_, operands) => operands.iter().collect(),
        }
    }

    /// Calls `visit` on every node, operands first; a shared node once for each use.
    pub fn visit(&self, visit: &mut dyn FnMut(&Expr)) {
        self.operands().into_iter().for_each(|operand| operand.visit(visit));
        visit(self);
    }

    /// Calls `visit` on the index expressions of this node alone.
    pub fn visit_indices(&self, visit: &mut dyn FnMut(&Index)) {
        match self.kind() {
            ExprKind::Load { index, .. } => index.iter().for_each(visit),
            ExprKind::Index(index) => visit(index),
            ExprKind::Guard { all, .. } => all.iter().for_each(|test| {
                visit(&test.index);
                visit(&test.low);
                visit(&test.high);
            }),
            _ => {}
        }
    }

    /// The expression rebuilt from the leaves up: `leaf` may replace a node whose operands have been replaced already.
    pub fn transform(&self, replace: &mut dyn FnMut(Expr) -> Expr) -> Expr {
        let mut next = |e: &Expr| e.transform(replace);
        let kind = match self.kind() {
            leaf @ (ExprKind::Const(_) | ExprKind::Load { .. } | ExprKind::Index(_) | ExprKind::Stage(_)) => {
                leaf.clone()
            }
            ExprKind::Guard { all, then, otherwise } => {
                ExprKind::Guard { all: all.clone(), then: next(then), otherwise: *otherwise }
            }
            ExprKind::Unary(f, a) => ExprKind::Unary(*f, next(a)),
            ExprKind::Cast(a) => ExprKind::Cast(next(a)),
            ExprKind::Bitcast(a) => ExprKind::Bitcast(next(a)),
            ExprKind::Binary(f, a, b) => ExprKind::Binary(*f, next(a), next(b)),
            ExprKind::Compare(f, a, b) => ExprKind::Compare(*f, next(a), next(b)),
            ExprKind::Select(a, b, c) => ExprKind::Select(next(a), next(b), next(c)),
            ExprKind::Math(f, operands) => ExprKind::Math(*f, operands.iter().map(next).collect()),
        };
        replace(Expr::new(self.dtype(), kind))
    }

    /// The expression with every index expression rewritten.
    pub fn map_indices(&self, rewrite: &dyn Fn(&Index) -> Index) -> Expr {
        self.transform(&mut |e| match e.kind() {
            ExprKind::Load { buffer, index } => Expr::load(e.dtype(), *buffer, index.iter().map(rewrite).collect()),
            ExprKind::Index(index) => Expr::index(rewrite(index)),
            ExprKind::Guard { all, then, otherwise } => {
                let all = all.iter().map(|test| test.map(rewrite)).collect();
                Expr::new(e.dtype(), ExprKind::Guard { all, then: then.clone(), otherwise: *otherwise })
            }
            _ => e,
        })
    }
}

impl InRange {
    /// `0 <= index < extent`
    pub fn extent(index: Index, extent: Index) -> InRange {
        InRange { index, low: Index::zero(), high: extent }
    }

    /// With every expression rewritten.
    pub fn map(&self, rewrite: &dyn Fn(&Index) -> Index) -> InRange {
        InRange { index: rewrite(&self.index), low: rewrite(&self.low), high: rewrite(&self.high) }
    }

    /// Whether it always holds.
    pub fn proven(&self, facts: &Facts) -> bool {
        facts.le(&self.low, &self.index) && facts.lt(&self.index, &self.high)
    }
}

/// Whether every value of `narrow` is one of `wide`.
fn widens(narrow: DType, wide: DType) -> bool {
    match (narrow, wide) {
        (DType::F16 | DType::BF16, DType::F32 | DType::F64) | (DType::F32, DType::F64) => true,
        (DType::Bool, wide) => wide != DType::Bool,
        (narrow, wide) if narrow.is_int() && wide.is_int() => {
            narrow.bytes() < wide.bytes() && (narrow.is_unsigned_int() || wide.is_signed_int())
        }
        _ => false,
    }
}

macro_rules! operators {
    ($($trait:ident $method:ident $function:expr;)*) => {$(
        impl $trait for Expr {
            type Output = Expr;
            fn $method(self, other: Expr) -> Expr {
                self.binary($function, &other)
            }
        }
        impl $trait for &Expr {
            type Output = Expr;
            fn $method(self, other: &Expr) -> Expr {
                self.binary($function, other)
            }
        }
        impl $trait<&Expr> for Expr {
            type Output = Expr;
            fn $method(self, other: &Expr) -> Expr {
                self.binary($function, other)
            }
        }
        impl $trait<Expr> for &Expr {
            type Output = Expr;
            fn $method(self, other: Expr) -> Expr {
                self.binary($function, &other)
            }
        }
        impl $trait<f64> for &Expr {
            type Output = Expr;
            fn $method(self, other: f64) -> Expr {
                self.binary($function, &self.like(other))
            }
        }
        impl $trait<f64> for Expr {
            type Output = Expr;
            fn $method(self, other: f64) -> Expr {
                let other = self.like(other);
                self.binary($function, &other)
            }
        }
    )*};
}

operators! {
    Add add Binary::Add;
    Sub sub Binary::Sub;
    Mul mul Binary::Mul;
    Div div Binary::Div;
    BitAnd bitand Binary::And;
    BitOr bitor Binary::Or;
}

impl Neg for Expr {
    type Output = Expr;
    fn neg(self) -> Expr {
        self.unary(Unary::Neg)
    }
}

impl Not for Expr {
    type Output = Expr;
    fn not(self) -> Expr {
        self.unary(Unary::Not)
    }
}
