//! Expands unrolled loops, bundles and `math`.
//!
//! In: an indexed body.  Out: an indexed body without [`LoopKind::Unroll`], bundles and [`Op::Math`], in which every
//! name is declared once. A branch that numbers decide is replaced by the side that is taken.

use crate::math;
use mlc_ir::index::Atom;
use mlc_ir::tile::{Access, Fragment, InRange, Inst, Lines, LoopKind, Op, Operand, Ref, Tile, Type};
use mlc_ir::{Error, Index, Name, Result};
use std::collections::{HashMap, HashSet};

/// More instructions than this are a mistake of the schedule.
const MOST: usize = 1 << 18;

/// Expands a tile's body; also returns the names it uses.
pub(super) fn expand(tile: &Tile) -> Result<(Vec<Inst>, Names)> {
    let mut expander = Expander { names: Names::default(), vars: HashMap::new(), places: HashMap::new(), count: 0 };
    expander.names.used.insert(tile.tasks.0.clone());
    let mut out = Vec::new();
    expander.body(&tile.body, &mut out)?;
    Ok((out, expander.names))
}

/// Gives out names that nothing else has.
#[derive(Default)]
pub(super) struct Names {
    used: HashSet<Name>,
    next: HashMap<Name, u32>,
}

impl Names {
    /// The name itself if it is free, else one that begins with it.
    pub(super) fn fresh(&mut self, base: &Name) -> Name {
        if self.used.insert(base.clone()) {
            return base.clone();
        }
        let next = self.next.entry(base.clone()).or_insert(0);
        loop {
            let name: Name = format!("{base}.{next}").into();
            *next += 1;
            if self.used.insert(name.clone()) {
                return name;
            }
        }
    }

    /// The name of a place in a bundle.
    fn place(&mut self, base: &Name, at: &[i64]) -> Name {
        let name = at.iter().fold(base.to_string(), |name, n| format!("{name}.{}", n.to_string().replace('-', "m")));
        self.fresh(&name.into())
    }
}

struct Expander {
    names: Names,
    /// What the variables of loops are now: a number or another variable.
    vars: HashMap<Name, Index>,
    /// The present name of a value, cell or place in a bundle. No name hides another, so the latest is the visible one.
    places: HashMap<(Name, Vec<i64>), Name>,
    count: usize,
}

impl Expander {
    fn body(&mut self, insts: &[Inst], out: &mut Vec<Inst>) -> Result<()> {
        for inst in insts {
            self.count += 1;
            if self.count > MOST {
                return Err(Error::unsupported("a kernel that is unrolled to too many instructions"));
            }
            self.inst(inst, out)?;
        }
        Ok(())
    }

    fn nested(&mut self, insts: &[Inst]) -> Result<Vec<Inst>> {
        let mut out = Vec::new();
        self.body(insts, &mut out)?;
        Ok(out)
    }

    fn inst(&mut self, inst: &Inst, out: &mut Vec<Inst>) -> Result<()> {
        let expanded = match inst {
            Inst::Loop { kind: LoopKind::Unroll, var, low, high, step, body } => {
                return self.unroll(var, low, high, *step, body, out);
            }
            Inst::Loop { kind, var, low, high, step, body } => {
                let (low, high) = (self.index(low), self.index(high));
                let name = self.names.fresh(var);
                self.vars.insert(var.clone(), Index::var(name.clone()));
                Inst::Loop { kind: *kind, var: name, low, high, step: *step, body: self.nested(body)? }
            }
            Inst::If { all, then, otherwise } => return self.branch(all, then, otherwise, out),
            Inst::Cell { name, ty, dims, init } => return self.cells(name, *ty, dims, init, out),
            Inst::Set { cell, value } => Inst::Set { cell: self.reference(cell)?, value: self.operand(value)? },
            Inst::Dot { row, cell, a, b } => {
                let (a, b) = (self.operand(a)?, self.operand(b)?);
                Inst::Dot { row: row.clone(), cell: self.reference(cell)?, a, b }
            }
            Inst::Let { dst, ty, op } => return self.define(dst, *ty, op, out),
            Inst::Store { to, value, ty, first } => {
                let first = first.as_ref().map(|first| self.index(first));
                Inst::Store { to: self.access(to), value: self.operand(value)?, ty: *ty, first }
            }
            Inst::StoreFragment { to, value, ty, of } => {
                let value = self.operand(value)?;
                Inst::StoreFragment { to: self.access(to), value, ty: *ty, of: self.fragment(of) }
            }
            Inst::Copy { to, from, ty, first } => {
                let first = first.as_ref().map(|first| self.index(first));
                Inst::Copy { to: self.access(to), from: self.access(from), ty: *ty, first }
            }
            Inst::Commit | Inst::Wait(_) => inst.clone(),
            Inst::Cursor { .. } => return Err(Error::internal("a cursor in the indexed phase")),
        };
        out.push(expanded);
        Ok(())
    }

    fn unroll(
        &mut self,
        var: &Name,
        low: &Index,
        high: &Index,
        step: i64,
        body: &[Inst],
        out: &mut Vec<Inst>,
    ) -> Result<()> {
        let (Some(mut value), Some(high)) = (self.index(low).as_const(), self.index(high).as_const()) else {
            return Err(Error::internal(format!("bounds of the unrolled loop over %{var} are not numbers")));
        };
        while value < high {
            self.vars.insert(var.clone(), Index::from(value));
            self.body(body, out)?;
            value += step.max(1);
        }
        Ok(())
    }

    fn branch(&mut self, all: &[InRange], then: &[Inst], otherwise: &[Inst], out: &mut Vec<Inst>) -> Result<()> {
        let mut open = Vec::new();
        for test in all {
            let test =
                InRange { index: self.index(&test.index), low: self.index(&test.low), high: self.index(&test.high) };
            let above = (test.index.clone() - test.low.clone()).as_const();
            let below = (test.high.clone() - test.index.clone() - 1).as_const();
            if above.is_some_and(|n| n < 0) || below.is_some_and(|n| n < 0) {
                return self.body(otherwise, out);
            }
            if above.is_none() || below.is_none() {
                open.push(test);
            }
        }
        if open.is_empty() {
            return self.body(then, out);
        }
        let (then, otherwise) = (self.nested(then)?, self.nested(otherwise)?);
        out.push(Inst::If { all: open, then, otherwise });
        Ok(())
    }

    fn cells(&mut self, name: &Name, ty: Type, dims: &[u32], init: &Operand, out: &mut Vec<Inst>) -> Result<()> {
        let init = self.operand(init)?;
        let count: i64 = dims.iter().map(|dim| i64::from(*dim)).product();
        for mut number in 0..count {
            let mut at = vec![0; dims.len()];
            for (place, dim) in at.iter_mut().zip(dims).rev() {
                *place = number % i64::from(*dim);
                number /= i64::from(*dim);
            }
            let own = self.declare(name, at);
            out.push(Inst::Cell { name: own, ty, dims: vec![], init: init.clone() });
        }
        Ok(())
    }

    fn define(&mut self, dst: &Ref, ty: Type, op: &Op, out: &mut Vec<Inst>) -> Result<()> {
        if let Op::Math(function, args) = op {
            let args = args.iter().map(|a| self.operand(a)).collect::<Result<Vec<_>>>()?;
            let at = self.numbers(&dst.at)?;
            let result = self.declare(&dst.name, at);
            let base = result.clone();
            let names = &mut self.names;
            return math::expand(*function, ty, &args, result, &mut || names.fresh(&base), out);
        }
        let op = self.op(op)?;
        let at = self.numbers(&dst.at)?;
        let name = self.declare(&dst.name, at);
        out.push(Inst::Let { dst: Ref { name, at: vec![] }, ty, op });
        Ok(())
    }

    fn op(&mut self, op: &Op) -> Result<Op> {
        Ok(match op {
            Op::Load(from, first) => Op::Load(self.access(from), first.as_ref().map(|first| self.index(first))),
            Op::Fragment(from, of) => Op::Fragment(self.access(from), self.fragment(of)),
            Op::Broadcast(from) => Op::Broadcast(self.access(from)),
            Op::Splat(a) => Op::Splat(self.operand(a)?),
            Op::Iota => Op::Iota,
            Op::Index(index) => Op::Index(self.index(index)),
            Op::Lane(a, lane) => Op::Lane(self.operand(a)?, *lane),
            Op::Pack(lanes) => Op::Pack(lanes.iter().map(|a| self.operand(a)).collect::<Result<_>>()?),
            Op::Reduce(monoid, a) => Op::Reduce(*monoid, self.operand(a)?),
            Op::Unary(op, a) => Op::Unary(*op, self.operand(a)?),
            Op::Binary(op, a, b) => Op::Binary(*op, self.operand(a)?, self.operand(b)?),
            Op::Fma(a, b, c) => Op::Fma(self.operand(a)?, self.operand(b)?, self.operand(c)?),
            Op::Compare(op, of, a, b) => Op::Compare(*op, *of, self.operand(a)?, self.operand(b)?),
            Op::Select(mask, a, b) => Op::Select(self.operand(mask)?, self.operand(a)?, self.operand(b)?),
            Op::Convert(from, a) => Op::Convert(*from, self.operand(a)?),
            Op::Bitcast(from, a) => Op::Bitcast(*from, self.operand(a)?),
            Op::Math(..) => return Err(Error::internal("math is expanded where it is defined")),
        })
    }

    fn declare(&mut self, name: &Name, at: Vec<i64>) -> Name {
        let own = self.names.place(name, &at);
        self.places.insert((name.clone(), at), own.clone());
        own
    }

    fn index(&self, e: &Index) -> Index {
        e.replace(&|atom| match atom {
            Atom::Var(name) => self.vars.get(name).cloned(),
            _ => None,
        })
    }

    fn access(&self, access: &Access) -> Access {
        match access {
            Access::Indexed { buffer, index } => {
                Access::Indexed { buffer: *buffer, index: index.iter().map(|e| self.index(e)).collect() }
            }
            Access::Linear { .. } => access.clone(),
        }
    }

    fn fragment(&self, of: &Fragment) -> Fragment {
        match &of.lines {
            Lines::Apart(bytes) => Fragment { lines: Lines::Apart(self.index(bytes)), ..of.clone() },
            Lines::Along(_) | Lines::Same => of.clone(),
        }
    }

    fn numbers(&self, at: &[Index]) -> Result<Vec<i64>> {
        let number = |e: &Index| {
            let place = self.index(e);
            place.as_const().ok_or_else(|| Error::internal(format!("place {place} of a bundle is no number")))
        };
        at.iter().map(number).collect()
    }

    fn reference(&self, value: &Ref) -> Result<Ref> {
        let at = self.numbers(&value.at)?;
        let name = self.places.get(&(value.name.clone(), at));
        let name = name.ok_or_else(|| Error::internal(format!("{value} is used before it is defined")))?;
        Ok(Ref { name: name.clone(), at: vec![] })
    }

    fn operand(&self, operand: &Operand) -> Result<Operand> {
        Ok(match operand {
            Operand::Ref(value) => Operand::Ref(self.reference(value)?),
            constant => constant.clone(),
        })
    }
}
