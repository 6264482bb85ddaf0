//! Names become slots and symbols become numbers, so that evaluation at a point looks nothing up by name.

use super::Data;
use crate::index::Atom;
use crate::program::{Expr, ExprKind, Kernel, Stage, StoreMode};
use crate::tensor::Scalar;
use crate::tile::{Binary, Compare, InRange, Math, Monoid, Unary};
use crate::{DType, Error, Index, Name, Result};
use std::collections::HashMap;

/// A compiled [`Index`]: `constant + sum of coefficient * product(atoms)`.
#[derive(Debug, Default)]
pub struct CIndex {
    pub constant: i64,
    pub terms: Vec<(i64, Vec<CAtom>)>,
}

#[derive(Debug)]
pub enum CAtom {
    Var(usize),
    Div(Box<(CIndex, CIndex)>),
    Mod(Box<(CIndex, CIndex)>),
    Min(Box<(CIndex, CIndex)>),
    Max(Box<(CIndex, CIndex)>),
    At(u32, Vec<CIndex>),
}

/// A compiled test.
#[derive(Debug)]
pub struct CRange {
    pub index: CIndex,
    pub low: CIndex,
    pub high: CIndex,
}

/// A compiled [`Expr`] and its type.
#[derive(Debug)]
pub struct CExpr {
    pub dtype: DType,
    pub kind: CKind,
}

#[derive(Debug)]
pub enum CKind {
    Const(Scalar),
    Load(u32, Vec<CIndex>),
    Guard(Vec<CRange>, Box<CExpr>, Scalar),
    Index(CIndex),
    Stage(usize),
    Unary(Unary, Box<CExpr>),
    Binary(Binary, Box<(CExpr, CExpr)>),
    Compare(Compare, Box<(CExpr, CExpr)>),
    Select(Box<(CExpr, CExpr, CExpr)>),
    Cast(Box<CExpr>),
    Bitcast(Box<CExpr>),
    Math(Math, Vec<CExpr>),
}

/// A compiled [`Stage`].
#[derive(Debug)]
pub struct CStage {
    pub axes: Vec<usize>,
    pub reduce: Option<(Monoid, Vec<usize>)>,
    pub value: CExpr,
    pub store: Option<CStore>,
}

#[derive(Debug)]
pub struct CStore {
    pub buffer: u32,
    pub index: Vec<CIndex>,
    pub mode: StoreMode,
    pub only: Vec<CRange>,
}

pub struct Compiler<'a> {
    symbols: &'a HashMap<Name, i64>,
    slots: HashMap<Name, usize>,
    pub extents: Vec<i64>,
    buffers: &'a [Option<Data>],
}

impl<'a> Compiler<'a> {
    pub fn new(
        kernel: &Kernel,
        symbols: &'a HashMap<Name, i64>,
        buffers: &'a [Option<Data>],
        number: impl Fn(&Index) -> Result<i64>,
    ) -> Result<Compiler<'a>> {
        let slots = kernel.axes.iter().enumerate().map(|(slot, axis)| (axis.name.clone(), slot)).collect();
        let extents = kernel.axes.iter().map(|axis| Ok(number(&axis.extent)?.max(0))).collect::<Result<_>>()?;
        Ok(Compiler { symbols, slots, extents, buffers })
    }

    fn index(&self, index: &Index) -> Result<CIndex> {
        let mut result = CIndex::default();
        for (atoms, coefficient) in index.terms() {
            let mut factor = *coefficient;
            let mut rest = Vec::new();
            for atom in atoms {
                match self.atom(atom)? {
                    Ok(number) => factor = factor.wrapping_mul(number),
                    Err(atom) => rest.push(atom),
                }
            }
            if rest.is_empty() {
                result.constant = result.constant.wrapping_add(factor);
            } else {
                result.terms.push((factor, rest));
            }
        }
        Ok(result)
    }

    /// A number, or what has to be evaluated.
    fn atom(&self, atom: &Atom) -> Result<std::result::Result<i64, CAtom>> {
        let both = |pair: &(Index, Index)| Ok::<_, Error>(Box::new((self.index(&pair.0)?, self.index(&pair.1)?)));
        Ok(Err(match atom {
            Atom::Sym(name) => {
                let value = self.symbols.get(name);
                return Ok(Ok(*value.ok_or_else(|| Error::internal(format!("symbol `{name}` has no value")))?));
            }
            Atom::Var(name) => {
                let slot = self.slots.get(name);
                CAtom::Var(*slot.ok_or_else(|| Error::internal(format!("there is no axis `%{name}`")))?)
            }
            Atom::Div(pair) => CAtom::Div(both(pair)?),
            Atom::Mod(pair) => CAtom::Mod(both(pair)?),
            Atom::Min(pair) => CAtom::Min(both(pair)?),
            Atom::Max(pair) => CAtom::Max(both(pair)?),
            Atom::At(buffer, index) => {
                self.written(*buffer)?;
                CAtom::At(*buffer, self.indices(index)?)
            }
        }))
    }

    fn written(&self, buffer: u32) -> Result<()> {
        match self.buffers.get(buffer as usize) {
            Some(Some(_)) => Ok(()),
            _ => Err(Error::internal(format!("buffer @{buffer} is read before it is written"))),
        }
    }

    fn indices(&self, index: &[Index]) -> Result<Vec<CIndex>> {
        index.iter().map(|i| self.index(i)).collect()
    }

    fn ranges(&self, tests: &[InRange]) -> Result<Vec<CRange>> {
        let range = |test: &InRange| {
            Ok(CRange { index: self.index(&test.index)?, low: self.index(&test.low)?, high: self.index(&test.high)? })
        };
        tests.iter().map(range).collect()
    }

    fn expr(&self, expr: &Expr) -> Result<CExpr> {
        let one = |e: &Expr| Ok::<_, Error>(Box::new(self.expr(e)?));
        let two = |a: &Expr, b: &Expr| Ok::<_, Error>(Box::new((self.expr(a)?, self.expr(b)?)));
        let kind = match expr.kind() {
            ExprKind::Const(value) => CKind::Const(*value),
            ExprKind::Load { buffer, index } => {
                self.written(*buffer)?;
                CKind::Load(*buffer, self.indices(index)?)
            }
            ExprKind::Guard { all, then, otherwise } => CKind::Guard(self.ranges(all)?, one(then)?, *otherwise),
            ExprKind::Index(index) => CKind::Index(self.index(index)?),
            ExprKind::Stage(number) => CKind::Stage(*number),
            ExprKind::Unary(f, a) => CKind::Unary(*f, one(a)?),
            ExprKind::Binary(f, a, b) => CKind::Binary(*f, two(a, b)?),
            ExprKind::Compare(f, a, b) => CKind::Compare(*f, two(a, b)?),
            ExprKind::Select(c, a, b) => CKind::Select(Box::new((self.expr(c)?, self.expr(a)?, self.expr(b)?))),
            ExprKind::Cast(a) => CKind::Cast(one(a)?),
            ExprKind::Bitcast(a) => CKind::Bitcast(one(a)?),
            ExprKind::Math(f, operands) => {
                CKind::Math(*f, operands.iter().map(|e| self.expr(e)).collect::<Result<_>>()?)
            }
        };
        Ok(CExpr { dtype: expr.dtype(), kind })
    }

    pub fn stage(&mut self, stage: &Stage) -> Result<CStage> {
        let slots = |names: &[Name]| {
            let slot = |name: &Name| {
                self.slots.get(name).copied().ok_or_else(|| Error::internal(format!("there is no axis `%{name}`")))
            };
            names.iter().map(slot).collect::<Result<Vec<usize>>>()
        };
        let reduce = match &stage.reduce {
            Some(reduce) => Some((reduce.monoid, slots(&reduce.axes)?)),
            None => None,
        };
        let store = match &stage.store {
            Some(store) => Some(CStore {
                buffer: store.buffer,
                index: self.indices(&store.index)?,
                mode: store.mode,
                only: self.ranges(&store.only)?,
            }),
            None => None,
        };
        Ok(CStage { axes: slots(&stage.axes)?, reduce, value: self.expr(&stage.value)?, store })
    }
}
