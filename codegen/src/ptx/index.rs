//! Index expressions.
//!
//! An expression is a sum of products. Quotients, remainders and other products that mention only what is known further out are
//! evaluated there, before the loop is entered, and looked up inside; sums are one instruction a term away, and would
//! take a register each for as long as the loop runs. Lookups `at(@b, ..)` are evaluated where they stand.

use super::body::{Binding, Emitter};
use super::register::{Class, Reg, stored};
use mlc_ir::index::Atom;
use mlc_ir::tile::{Inst, visit_indices};
use mlc_ir::{DType, Error, Index, Name, Result};
use std::collections::{BTreeSet, HashMap};

/// What is known in one body, beyond those around it.
#[derive(Default)]
pub(super) struct Level {
    var: Option<Name>,
    known: HashMap<Index, Reg>,
}

impl Level {
    pub fn of(var: &Name) -> Level {
        Level { var: Some(var.clone()), known: HashMap::new() }
    }
}

impl Emitter<'_> {
    /// Evaluates what a body's expressions have that does not vary inside it, and is more than a sum. To be called where the
    /// body is entered.
    pub(super) fn hoist(&mut self, body: &[Inst]) -> Result<()> {
        let mut found = BTreeSet::new();
        visit_indices(body, &mut |e| self.invariants(e, &mut found));
        found.iter().try_for_each(|e| self.eval(e).map(drop))
    }

    /// Adds the products in an expression that can be evaluated here, and are more than a name.
    fn invariants(&self, e: &Index, found: &mut BTreeSet<Index>) {
        for (atoms, _) in e.terms() {
            match &atoms[..] {
                [] | [Atom::Var(_) | Atom::Sym(_)] => {}
                atoms if self.is_known(atoms) => drop(found.insert(product_of(atoms))),
                atoms => atoms.iter().for_each(|atom| self.invariants_of(atom, found)),
            }
        }
    }

    fn invariants_of(&self, atom: &Atom, found: &mut BTreeSet<Index>) {
        match atom {
            Atom::Var(_) | Atom::Sym(_) => {}
            Atom::Div(pair) | Atom::Mod(pair) | Atom::Min(pair) | Atom::Max(pair) => {
                self.invariants(&pair.0, found);
                self.invariants(&pair.1, found);
            }
            Atom::At(_, index) => index.iter().for_each(|e| self.invariants(e, found)),
        }
    }

    fn is_known(&self, atoms: &[Atom]) -> bool {
        let e = product_of(atoms);
        !e.looks_up() && e.vars().iter().all(|var| self.depth(var).is_some())
    }

    /// The level that declares a variable.
    fn depth(&self, var: &Name) -> Option<usize> {
        self.levels.iter().position(|level| level.var.as_ref() == Some(var))
    }

    /// The innermost level that some atoms depend on.
    fn level(&self, atoms: &[Atom]) -> usize {
        let e = product_of(atoms);
        if e.looks_up() {
            return usize::MAX;
        }
        e.vars().iter().filter_map(|var| self.depth(var)).max().unwrap_or(0)
    }

    pub(super) fn number(&mut self, n: i64) -> Reg {
        self.let_(Class::Double, "mov.b64", &[&n])
    }

    /// The value of an expression.
    pub(super) fn eval(&mut self, e: &Index) -> Result<Reg> {
        let constant = e.constant();
        let sum = e.clone() - constant;
        if sum.terms().is_empty() {
            return Ok(self.number(constant));
        }
        let sum = self.sum(&sum)?;
        Ok(if constant == 0 { sum } else { self.let_(Class::Double, "add.s64", &[&sum, &constant]) })
    }

    /// An expression as the last operand of an instruction: a number is its own.
    pub(super) fn immediate(&mut self, e: &Index) -> Result<String> {
        Ok(match e.as_const() {
            Some(n) => n.to_string(),
            None => self.eval(e)?.to_string(),
        })
    }

    /// The value of an expression without a constant term.
    fn sum(&mut self, e: &Index) -> Result<Reg> {
        if let Some(value) = self.levels.iter().rev().find_map(|level| level.known.get(e)) {
            return Ok(*value);
        }
        let innermost = e.terms().iter().map(|term| self.level(&term.0)).max().unwrap_or(0);
        let (own, outer): (Vec<_>, Vec<_>) =
            e.terms().iter().cloned().partition(|term| self.level(&term.0) == innermost);
        let mut sum = if outer.is_empty() { None } else { Some(self.sum(&Index::from_terms(outer))?) };
        for (atoms, coefficient) in own {
            sum = Some(self.term(&atoms, coefficient, sum)?);
        }
        let value = sum.ok_or_else(|| Error::internal("an empty sum"))?;
        if let Some(level) = self.levels.last_mut().filter(|_| !e.looks_up()) {
            level.known.insert(e.clone(), value);
        }
        Ok(value)
    }

    /// Adds a term to a sum.
    fn term(&mut self, atoms: &[Atom], coefficient: i64, sum: Option<Reg>) -> Result<Reg> {
        let product = self.product(atoms)?;
        Ok(match (coefficient, sum) {
            (1, None) => product,
            (1, Some(sum)) => self.let_(Class::Double, "add.s64", &[&sum, &product]),
            (-1, Some(sum)) => self.let_(Class::Double, "sub.s64", &[&sum, &product]),
            (by, Some(sum)) => self.let_(Class::Double, "mad.lo.s64", &[&product, &by, &sum]),
            (by, None) => self.let_(Class::Double, "mul.lo.s64", &[&product, &by]),
        })
    }

    /// The value of a product, which is remembered.
    fn product(&mut self, atoms: &[Atom]) -> Result<Reg> {
        let e = product_of(atoms);
        if let Some(value) = self.levels.iter().rev().find_map(|level| level.known.get(&e)) {
            return Ok(*value);
        }
        let value = match atoms {
            [] => return Err(Error::internal("an empty term")),
            [atom] => self.atom(atom)?,
            [rest @ .., last] => {
                let (rest, last) = (self.product(rest)?, self.product(std::slice::from_ref(last))?);
                self.let_(Class::Double, "mul.lo.s64", &[&rest, &last])
            }
        };
        if let Some(level) = self.levels.last_mut().filter(|_| !e.looks_up()) {
            level.known.insert(e, value);
        }
        Ok(value)
    }

    fn atom(&mut self, atom: &Atom) -> Result<Reg> {
        match atom {
            Atom::Var(name) => match self.names.get(name) {
                Some(Binding::Number(value)) => Ok(*value),
                _ => Err(Error::internal(format!("variable %{name} is not declared"))),
            },
            Atom::Sym(name) => {
                let value = self.symbols.get(name).copied();
                value.ok_or_else(|| Error::internal(format!("symbol `{name}` is not declared")))
            }
            Atom::Min(pair) | Atom::Max(pair) => {
                let (a, b) = (self.eval(&pair.0)?, self.eval(&pair.1)?);
                let op = if matches!(atom, Atom::Min(_)) { "min.s64" } else { "max.s64" };
                Ok(self.let_(Class::Double, op, &[&a, &b]))
            }
            Atom::Div(pair) => self.quotient(&pair.0, &pair.1),
            Atom::Mod(pair) => {
                let quotient = match Index::atom(Atom::Div(pair.clone())) {
                    e if e.looks_up() => self.quotient(&pair.0, &pair.1)?,
                    e => self.sum(&e)?,
                };
                let (a, by) = (self.eval(&pair.0)?, self.divisor(&pair.1)?);
                let whole = self.let_(Class::Double, "mul.lo.s64", &[&quotient, &by]);
                Ok(self.let_(Class::Double, "sub.s64", &[&a, &whole]))
            }
            Atom::At(buffer, index) => self.lookup(*buffer, index),
        }
    }

    /// Floor division. For negative `a` it is `!(!a / by)`, so one unsigned division does.
    fn quotient(&mut self, a: &Index, by: &Index) -> Result<Reg> {
        let value = self.eval(a)?;
        if let Some(n) = by.as_const().filter(|n| *n > 0 && n.count_ones() == 1) {
            return Ok(self.let_(Class::Double, "shr.s64", &[&value, &n.trailing_zeros()]));
        }
        let by = self.divisor(by)?;
        let sign = self.let_(Class::Double, "shr.s64", &[&value, &63]);
        let size = self.let_(Class::Double, "xor.b64", &[&value, &sign]);
        let quotient = self.let_(Class::Double, "div.u64", &[&size, &by]);
        Ok(self.let_(Class::Double, "xor.b64", &[&quotient, &sign]))
    }

    /// A divisor is positive; one that is not counts as 1, so that a remainder is 0.
    fn divisor(&mut self, by: &Index) -> Result<Reg> {
        if let Some(n) = by.as_const() {
            return Ok(self.number(n.max(1)));
        }
        let by = self.eval(by)?;
        Ok(self.let_(Class::Double, "max.s64", &[&by, &1]))
    }

    fn lookup(&mut self, buffer: u32, index: &[Index]) -> Result<Reg> {
        let tile = self.tile;
        let param = tile.params.get(buffer as usize);
        let param = param.ok_or_else(|| Error::internal(format!("there is no buffer @{buffer}")))?;
        let mut place = Index::zero();
        for (i, dim) in index.iter().zip(&param.dims) {
            place = &place * dim + i.clone();
        }
        let offset = self.eval(&(place * param.dtype.bytes() as i64))?;
        let base = self.bases[buffer as usize];
        let pointer = self.let_(Class::Double, "add.s64", &[&base, &offset]);
        let class = if param.dtype.is_int() { Class::of(param.dtype) } else { Class::Word };
        let value = self.let_(class, &format!("ld.global.{}", stored(param.dtype)), &[&format!("[{pointer}]")]);
        match param.dtype {
            DType::I64 | DType::U64 => Ok(value),
            dtype if dtype.is_signed_int() => Ok(self.let_(Class::Double, "cvt.s64.s32", &[&value])),
            dtype if dtype.is_unsigned_int() => Ok(self.let_(Class::Double, "cvt.u64.u32", &[&value])),
            dtype => Err(Error::internal(format!("a lookup in a buffer of {dtype}"))),
        }
    }
}

fn product_of(atoms: &[Atom]) -> Index {
    Index::from_terms([(atoms.to_vec(), 1)])
}
