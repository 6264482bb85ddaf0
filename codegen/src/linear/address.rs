//! Turns indexed accesses into cursors and numbers.
//!
//! In: a body of serial loops and branches whose names are unique.  Out: the body with cursors. See the invariants of
//! [`linear`](super).

use mlc_ir::index::Atom;
use mlc_ir::tile::{Access, InRange, Inst, Op, Tile};
use mlc_ir::{Error, Facts, Index, Name};
use std::collections::{BTreeSet, HashMap};

/// Offsets of accesses stay within this many bytes of their cursor.
const WINDOW: i64 = 1 << 30;

enum Kind {
    Task,
    Branch,
    Loop { var: Name, low: Index, step: i64 },
}

/// A body under construction.
struct Level {
    kind: Kind,
    out: Vec<Inst>,
    /// Cursors declared in it: buffer, bytes from its base, the loop that advances it.
    cursors: HashMap<(u32, Index, Option<Name>), Name>,
    facts: Facts,
}

struct Addresser<'a> {
    tile: &'a Tile,
    /// For each buffer, the bytes from one element to the next along each dimension.
    strides: Vec<Vec<Index>>,
    levels: Vec<Level>,
    taken: BTreeSet<Name>,
}

/// Rewrites the accesses of a body.
pub(super) fn address(tile: &Tile, facts: &Facts, body: Vec<Inst>) -> Result<Vec<Inst>, Error> {
    let strides = tile.params.iter().map(|param| {
        let mut stride = Index::from(param.dtype.bytes() as i64);
        let mut strides: Vec<Index> = Vec::new();
        for dim in param.dims.iter().rev() {
            strides.insert(0, stride.clone());
            stride = &stride * dim;
        }
        strides
    });
    let mut facts = facts.clone();
    facts.axis(tile.tasks.0.clone(), &tile.tasks.1);
    let mut taken = BTreeSet::new();
    names(&body, &mut taken);
    let mut addresser = Addresser { tile, strides: strides.collect(), levels: Vec::new(), taken };
    addresser.levels.push(Level { kind: Kind::Task, out: Vec::new(), cursors: HashMap::new(), facts });
    addresser.body(body)?;
    Ok(addresser.levels.remove(0).out)
}

/// Names that a cursor must not take.
fn names(body: &[Inst], taken: &mut BTreeSet<Name>) {
    for inst in body {
        match inst {
            Inst::Loop { var, body, .. } => {
                taken.insert(var.clone());
                names(body, taken);
            }
            Inst::If { then, otherwise, .. } => {
                names(then, taken);
                names(otherwise, taken);
            }
            Inst::Cell { name, .. } => drop(taken.insert(name.clone())),
            Inst::Let { dst, .. } => drop(taken.insert(dst.name.clone())),
            _ => {}
        }
    }
}

impl Addresser<'_> {
    fn body(&mut self, insts: Vec<Inst>) -> Result<(), Error> {
        for inst in insts {
            let inst = self.inst(inst)?;
            self.levels.last_mut().ok_or_else(|| Error::internal("no body"))?.out.push(inst);
        }
        Ok(())
    }

    fn nested(&mut self, kind: Kind, facts: Facts, insts: Vec<Inst>) -> Result<Vec<Inst>, Error> {
        self.levels.push(Level { kind, out: Vec::new(), cursors: HashMap::new(), facts });
        let result = self.body(insts);
        let level = self.levels.pop().ok_or_else(|| Error::internal("no body"))?;
        result.map(|()| level.out)
    }

    fn facts(&self) -> &Facts {
        &self.levels[self.levels.len() - 1].facts
    }

    fn inst(&mut self, inst: Inst) -> Result<Inst, Error> {
        Ok(match inst {
            Inst::Loop { kind, var, low, high, step, body } => {
                let mut facts = self.facts().clone();
                facts.assume(high.clone() - low.clone() - 1);
                facts.range(var.clone(), low.clone(), high.clone() - 1);
                let level = Kind::Loop { var: var.clone(), low: low.clone(), step };
                let body = self.nested(level, facts, body)?;
                Inst::Loop { kind, var, low, high, step, body }
            }
            Inst::If { all, then, otherwise } => {
                let outside = self.facts().clone();
                let mut inside = outside.clone();
                for InRange { index, low, high } in &all {
                    inside.assume(index.clone() - low.clone());
                    inside.assume(high.clone() - index.clone() - 1);
                }
                let then = self.nested(Kind::Branch, inside, then)?;
                let otherwise = self.nested(Kind::Branch, outside, otherwise)?;
                Inst::If { all, then, otherwise }
            }
            Inst::Let { dst, ty, op: Op::Load(from, first) } => {
                let from = self.access(from)?;
                Inst::Let { dst, ty, op: Op::Load(from, first) }
            }
            Inst::Let { dst, ty, op: Op::Broadcast(from) } => {
                let from = self.access(from)?;
                Inst::Let { dst, ty, op: Op::Broadcast(from) }
            }
            Inst::Store { to, value, ty, first } => Inst::Store { to: self.access(to)?, value, ty, first },
            other => other,
        })
    }

    fn access(&mut self, access: Access) -> Result<Access, Error> {
        let Access::Indexed { buffer, index } = access else { return Ok(access) };
        let strides = self.strides.get(buffer as usize).filter(|strides| strides.len() == index.len());
        let strides = strides.ok_or_else(|| Error::internal(format!("an access of @{buffer} by {index:?}")))?;
        let bytes = index.iter().zip(strides).fold(Index::zero(), |sum, (i, stride)| sum + i * stride);
        let bytes = self.simplify(bytes);
        let constant = bytes.constant();
        let offset = (constant + WINDOW / 2).rem_euclid(WINDOW) - WINDOW / 2;
        let cursor = self.cursor(buffer, bytes - offset)?;
        Ok(Access::Linear { cursor, offset, buffer })
    }

    fn simplify(&self, bytes: Index) -> Index {
        let mut folds = false;
        bytes.visit(&mut |atom| folds |= !matches!(atom, Atom::Var(_) | Atom::Sym(_) | Atom::At(..)));
        if folds { self.facts().simplify(&bytes) } else { bytes }
    }

    /// The cursor of a buffer that points so many bytes from its base where the current instruction stands.
    fn cursor(&mut self, buffer: u32, bytes: Index) -> Result<Name, Error> {
        let vars = bytes.vars();
        let varies = |level: &Level| matches!(&level.kind, Kind::Loop { var, .. } if vars.contains(var));
        let home = self.levels.iter().rposition(varies).unwrap_or(0);
        if let Kind::Loop { var, low, step } = &self.levels[home].kind
            && let Some((by, rest)) = bytes.linear_in(var)
            && self.safe(&by, home - 1)
            && self.safe(&rest, home - 1)
        {
            let (start, advance) = (rest + &by * low, Some((var.clone(), by * *step)));
            return Ok(self.declare(home - 1, buffer, start, advance));
        }
        let mut at = home;
        while at + 1 < self.levels.len() && matches!(self.levels[at + 1].kind, Kind::Branch) {
            at += 1;
        }
        while at + 1 < self.levels.len() && !self.safe(&bytes, at) {
            at += 1;
        }
        let key = (buffer, bytes, None);
        if let Some(name) = self.levels[home..=at].iter().find_map(|level| level.cursors.get(&key)) {
            return Ok(name.clone());
        }
        Ok(self.declare(at, buffer, key.1, None))
    }

    fn declare(&mut self, level: usize, buffer: u32, offset: Index, advance: Option<(Name, Index)>) -> Name {
        let over = advance.as_ref().map(|(var, _)| var.clone());
        // Two loops may advance the same start; one loop may advance it in two ways.
        let by = advance.as_ref().map_or(Index::zero(), |(_, by)| by.clone());
        let key = (buffer, offset.clone() + &by * &Index::var("\u{0}"), over);
        if let Some(name) = self.levels[level].cursors.get(&key) {
            return name.clone();
        }
        let number = self.taken.len();
        let candidates = (0..).map(|n: usize| Name::from(format!("p{}", number + n)));
        let name = candidates.filter(|name| !self.taken.contains(name)).take(1).next().unwrap_or_default();
        self.taken.insert(name.clone());
        let level = &mut self.levels[level];
        level.cursors.insert(key, name.clone());
        level.out.push(Inst::Cursor { name: name.clone(), buffer, offset, advance });
        name
    }

    /// Whether all lookups in an expression are in bounds wherever the body of a level runs.
    fn safe(&self, e: &Index, level: usize) -> bool {
        let facts = &self.levels[level].facts;
        let mut safe = true;
        e.visit(&mut |atom| {
            if let Atom::At(buffer, index) = atom {
                let dims = self.tile.params.get(*buffer as usize).map_or(&[][..], |param| &param.dims);
                safe &= dims.len() == index.len() && index.iter().zip(dims).all(|(i, dim)| facts.within(i, dim));
            }
        });
        safe
    }
}
