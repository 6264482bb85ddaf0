//! Index expressions.
//!
//! An expression is a sum over the bodies around it: the terms that mention only what is known further out are
//! evaluated there, before the loop is entered, and looked up inside. Lookups `at(@b, ..)` are evaluated where they
//! stand.

use super::body::{Binding, Emitter};
use super::value::element;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value, types};
use mlc_ir::index::Atom;
use mlc_ir::tile::{Inst, visit_indices};
use mlc_ir::{DType, Error, Index, Name, Result};
use std::collections::{BTreeSet, HashMap};

/// What is known in one body, beyond those around it.
#[derive(Default)]
pub(super) struct Level {
    var: Option<Name>,
    known: HashMap<Index, Value>,
}

impl Level {
    pub fn of(var: &Name) -> Level {
        Level { var: Some(var.clone()), known: HashMap::new() }
    }
}

impl Emitter<'_> {
    /// Evaluates what a body's expressions have that does not vary inside it. To be called where the body is entered.
    pub(super) fn hoist(&mut self, body: &[Inst]) -> Result<()> {
        let mut found = BTreeSet::new();
        visit_indices(body, &mut |e| self.invariants(e, &mut found));
        for e in found {
            self.eval(&e)?;
        }
        Ok(())
    }

    /// Adds the parts of an expression that can be evaluated here and are more than a number or a name.
    fn invariants(&self, e: &Index, found: &mut BTreeSet<Index>) {
        let (here, inside): (Vec<_>, Vec<_>) =
            e.terms().iter().filter(|term| !term.0.is_empty()).cloned().partition(|term| self.is_known(&term.0));
        let sum = Index::from_terms(here);
        if worth_it(&sum) {
            found.insert(sum);
        }
        for (atoms, _) in inside {
            let (known, unknown): (Vec<_>, Vec<_>) =
                atoms.into_iter().partition(|atom| self.is_known(std::slice::from_ref(atom)));
            let product = Index::from_terms([(known, 1)]);
            if worth_it(&product) {
                found.insert(product);
            }
            for atom in unknown {
                operands(&atom).into_iter().for_each(|operand| self.invariants(operand, found));
            }
        }
    }

    fn is_known(&self, atoms: &[Atom]) -> bool {
        let e = Index::from_terms([(atoms.to_vec(), 1)]);
        !e.looks_up() && e.vars().iter().all(|var| self.depth(var).is_some())
    }

    /// The level that declares a variable.
    fn depth(&self, var: &Name) -> Option<usize> {
        self.levels.iter().position(|level| level.var.as_ref() == Some(var))
    }

    /// The innermost level that some atoms depend on.
    fn level(&self, atoms: &[Atom]) -> usize {
        let e = Index::from_terms([(atoms.to_vec(), 1)]);
        if e.looks_up() {
            return usize::MAX;
        }
        e.vars().iter().filter_map(|var| self.depth(var)).max().unwrap_or(0)
    }

    /// The value of an expression, as an `i64`.
    pub(super) fn eval(&mut self, e: &Index) -> Result<Value> {
        let constant = e.constant();
        let sum = e.clone() - constant;
        if sum.terms().is_empty() {
            return Ok(self.b.ins().iconst(types::I64, constant));
        }
        let sum = self.sum(&sum)?;
        Ok(if constant == 0 { sum } else { self.b.ins().iadd_imm_s(sum, constant) })
    }

    /// The value of an expression without a constant term.
    fn sum(&mut self, e: &Index) -> Result<Value> {
        if let Some(value) = self.levels.iter().rev().find_map(|level| level.known.get(e)) {
            return Ok(*value);
        }
        let innermost = e.terms().iter().map(|term| self.level(&term.0)).max().unwrap_or(0);
        let (own, outer): (Vec<_>, Vec<_>) =
            e.terms().iter().cloned().partition(|term| self.level(&term.0) == innermost);
        let mut sum = if outer.is_empty() { None } else { Some(self.sum(&Index::from_terms(outer))?) };
        for (atoms, coefficient) in own {
            let term = self.term(&atoms, coefficient)?;
            sum = Some(match sum {
                Some(sum) => self.b.ins().iadd(sum, term),
                None => term,
            });
        }
        let value = sum.ok_or_else(|| Error::internal("an empty sum"))?;
        if let Some(level) = self.levels.last_mut().filter(|_| !e.looks_up()) {
            level.known.insert(e.clone(), value);
        }
        Ok(value)
    }

    fn term(&mut self, atoms: &[Atom], coefficient: i64) -> Result<Value> {
        let innermost = atoms.iter().map(|atom| self.level(std::slice::from_ref(atom))).max().unwrap_or(0);
        let (own, outer): (Vec<_>, Vec<_>) =
            atoms.iter().cloned().partition(|atom| self.level(std::slice::from_ref(atom)) == innermost);
        let mut product = None;
        if !outer.is_empty() {
            product = Some(self.sum(&Index::from_terms([(outer, 1)]))?);
        }
        for atom in own {
            let factor = self.atom(&atom)?;
            product = Some(match product {
                Some(product) => self.b.ins().imul(product, factor),
                None => factor,
            });
        }
        let product = product.ok_or_else(|| Error::internal("an empty term"))?;
        Ok(self.times(product, coefficient))
    }

    fn times(&mut self, value: Value, by: i64) -> Value {
        match by {
            1 => value,
            -1 => self.b.ins().ineg(value),
            _ if by > 0 && by.count_ones() == 1 => self.b.ins().ishl_imm_u(value, i64::from(by.trailing_zeros())),
            _ => self.b.ins().imul_imm_s(value, by),
        }
    }

    fn atom(&mut self, atom: &Atom) -> Result<Value> {
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
                let cc = if matches!(atom, Atom::Min(_)) { IntCC::SignedLessThan } else { IntCC::SignedGreaterThan };
                let first = self.b.ins().icmp(cc, a, b);
                Ok(self.b.ins().select(first, a, b))
            }
            Atom::Div(pair) => self.quotient(&pair.0, &pair.1),
            Atom::Mod(pair) => {
                if let Some(by) = pair.1.as_const().filter(|by| *by > 0 && by.count_ones() == 1) {
                    let a = self.eval(&pair.0)?;
                    return Ok(self.b.ins().band_imm_s(a, by - 1));
                }
                let quotient = match Index::atom(Atom::Div(pair.clone())) {
                    e if e.looks_up() => self.quotient(&pair.0, &pair.1)?,
                    e => self.sum(&e)?,
                };
                let a = self.eval(&pair.0)?;
                let whole = match pair.1.as_const() {
                    Some(by) => self.times(quotient, by),
                    None => {
                        let by = self.divisor(&pair.1)?;
                        self.b.ins().imul(quotient, by)
                    }
                };
                Ok(self.b.ins().isub(a, whole))
            }
            Atom::At(buffer, index) => self.lookup(*buffer, index),
        }
    }

    /// Floor division. For negative `a` it is `!(!a / by)`, so one unsigned division does.
    fn quotient(&mut self, a: &Index, by: &Index) -> Result<Value> {
        let value = self.eval(a)?;
        if let Some(n) = by.as_const().filter(|n| *n > 0) {
            if n.count_ones() == 1 {
                return Ok(self.b.ins().sshr_imm_u(value, i64::from(n.trailing_zeros())));
            }
            let sign = self.b.ins().sshr_imm_u(value, 63);
            let size = self.b.ins().bxor(value, sign);
            let quotient = self.divide_by(size, n as u64);
            return Ok(self.b.ins().bxor(quotient, sign));
        }
        let by = self.divisor(by)?;
        let sign = self.b.ins().sshr_imm_u(value, 63);
        let size = self.b.ins().bxor(value, sign);
        let quotient = self.b.ins().udiv(size, by);
        Ok(self.b.ins().bxor(quotient, sign))
    }

    /// A divisor is positive; one that is not counts as 1, so that nothing traps and a remainder is 0.
    fn divisor(&mut self, by: &Index) -> Result<Value> {
        let by = self.eval(by)?;
        let one = self.b.ins().iconst(types::I64, 1);
        let positive = self.b.ins().icmp(IntCC::SignedGreaterThan, by, one);
        Ok(self.b.ins().select(positive, by, one))
    }

    /// Divides a number below `2^63` by multiplying with `ceil(2^s / n)`: exact, because the error of the factor times
    /// the number stays below `2^s` for `s = 63 + ceil(log2 n)`.
    fn divide_by(&mut self, value: Value, n: u64) -> Value {
        let log = 64 - (n - 1).leading_zeros();
        let factor = ((1u128 << (63 + log)) / u128::from(n) + 1) as u64;
        let factor = self.b.ins().iconst(types::I64, factor as i64);
        let high = self.b.ins().umulhi(value, factor);
        self.b.ins().ushr_imm_u(high, i64::from(log) - 1)
    }

    fn lookup(&mut self, buffer: u32, index: &[Index]) -> Result<Value> {
        let tile = self.tile;
        let param = tile.params.get(buffer as usize);
        let param = param.ok_or_else(|| Error::internal(format!("there is no buffer @{buffer}")))?;
        let mut place = Index::zero();
        for (i, dim) in index.iter().zip(&param.dims) {
            place = &place * dim + i.clone();
        }
        let offset = self.eval(&(place * param.dtype.bytes() as i64))?;
        let pointer = self.b.ins().iadd(self.bases[buffer as usize], offset);
        let value = self.b.ins().load(element(param.dtype), self.flags, pointer, 0);
        match param.dtype {
            DType::I64 | DType::U64 => Ok(value),
            dtype if dtype.is_signed_int() => Ok(self.b.ins().sextend(types::I64, value)),
            dtype if dtype.is_unsigned_int() => Ok(self.b.ins().uextend(types::I64, value)),
            dtype => Err(Error::internal(format!("a lookup in a buffer of {dtype}"))),
        }
    }
}

/// Whether an expression costs anything.
fn worth_it(e: &Index) -> bool {
    match e.terms() {
        [] => false,
        [(atoms, 1)] => !matches!(atoms.as_slice(), [] | [Atom::Var(_) | Atom::Sym(_)]),
        _ => true,
    }
}

fn operands(atom: &Atom) -> Vec<&Index> {
    match atom {
        Atom::Var(_) | Atom::Sym(_) => vec![],
        Atom::Div(pair) | Atom::Mod(pair) | Atom::Min(pair) | Atom::Max(pair) => vec![&pair.0, &pair.1],
        Atom::At(_, index) => index.iter().collect(),
    }
}
