//! Replaces indices by cursors.
//!
//! In: a body without unrolled loops, whose names are unique.  Out: the same with linear accesses.
//!
//! The byte an access goes to is a polynomial over loop variables. Its constant becomes the access's offset, the rest
//! decides where the cursor lives, going outward from the access:
//!
//! | the rest, in the variable of the loop around | the cursor |
//! |---|---|
//! | does not mention it | belongs further out |
//! | is linear, and the loop is serial | is declared before that loop, and advances with it |
//! | is anything else | is declared at the beginning of that loop's body, computed anew each time |
//!
//! What mentions no loop is declared at the beginning of the task. Accesses to one buffer whose rests are equal share a
//! cursor. A lookup may be out of bounds where its loop or branch does not run, so its cursor stays inside the branch,
//! and before a loop only if that loop runs at all.

use super::expand::Names;
use mlc_ir::index::Atom;
use mlc_ir::tile::{Access, Fragment, InRange, Inst, Lines, LoopKind, Op, Param, Tile};
use mlc_ir::{Error, Facts, Index, Name, Result};
use std::collections::HashMap;

/// Gives a body its cursors.
pub(super) fn cursors(tile: &Tile, facts: &Facts, body: Vec<Inst>, names: Names) -> Result<Vec<Inst>> {
    let mut walk = Walk { tile, facts, bodies: Vec::new(), names };
    walk.enter(Around::Task);
    let body = walk.insts(body)?;
    let mut out = walk.leave()?.inside;
    out.extend(body);
    Ok(out)
}

/// What a body belongs to.
enum Around {
    Task,
    Branch,
    Loop { kind: LoopKind, var: Name, low: Index, high: Index, step: i64 },
}

struct Body {
    around: Around,
    /// Cursors in front of the loop.
    before: Vec<Inst>,
    /// Cursors at the beginning of the body.
    inside: Vec<Inst>,
    known: HashMap<(u32, Index), Name>,
    /// Whether what is in front of the loop may be computed only if the loop runs.
    guarded: bool,
}

/// Where a cursor is declared.
enum Spot {
    Inside(usize),
    /// Before the loop, with what each iteration adds.
    Before(usize, Option<Index>),
}

struct Walk<'a> {
    tile: &'a Tile,
    facts: &'a Facts,
    bodies: Vec<Body>,
    names: Names,
}

impl Walk<'_> {
    fn enter(&mut self, around: Around) {
        let known = HashMap::new();
        self.bodies.push(Body { around, before: vec![], inside: vec![], known, guarded: false });
    }

    fn leave(&mut self) -> Result<Body> {
        self.bodies.pop().ok_or_else(|| Error::internal("no body is open"))
    }

    fn insts(&mut self, insts: Vec<Inst>) -> Result<Vec<Inst>> {
        let mut out = Vec::with_capacity(insts.len());
        for inst in insts {
            self.inst(inst, &mut out)?;
        }
        Ok(out)
    }

    fn inst(&mut self, inst: Inst, out: &mut Vec<Inst>) -> Result<()> {
        let linear = match inst {
            Inst::Loop { kind, var, low, high, step, body } => {
                return self.loop_(Around::Loop { kind, var, low, high, step }, body, out);
            }
            Inst::If { all, then, otherwise } => {
                Inst::If { all, then: self.branch(then)?, otherwise: self.branch(otherwise)? }
            }
            Inst::Let { dst, ty, op: Op::Load(from, first) } => {
                Inst::Let { dst, ty, op: Op::Load(self.access(from)?, first) }
            }
            Inst::Let { dst, ty, op: Op::Broadcast(from) } => {
                Inst::Let { dst, ty, op: Op::Broadcast(self.access(from)?) }
            }
            Inst::Let { dst, ty, op: Op::Fragment(from, of) } => {
                let of = self.fragment(&from, of)?;
                Inst::Let { dst, ty, op: Op::Fragment(self.access(from)?, of) }
            }
            Inst::StoreFragment { to, value, ty, of } => {
                let of = self.fragment(&to, of)?;
                Inst::StoreFragment { to: self.access(to)?, value, ty, of }
            }
            Inst::Copy { to, from, ty, first } => {
                Inst::Copy { to: self.access(to)?, from: self.access(from)?, ty, first }
            }
            Inst::Store { to, value, ty, first } => Inst::Store { to: self.access(to)?, value, ty, first },
            other => other,
        };
        out.push(linear);
        Ok(())
    }

    fn loop_(&mut self, around: Around, body: Vec<Inst>, out: &mut Vec<Inst>) -> Result<()> {
        self.enter(around);
        let insts = self.insts(body)?;
        let Body { around, mut before, inside: mut body, guarded, .. } = self.leave()?;
        let Around::Loop { kind, var, low, high, step } = around else {
            return Err(Error::internal("the loop that was entered is not the one that is left"));
        };
        body.extend(insts);
        let test = InRange { index: low.clone(), low: low.clone(), high: high.clone() };
        before.push(Inst::Loop { kind, var, low, high, step, body });
        match guarded {
            true => out.push(Inst::If { all: vec![test], then: before, otherwise: vec![] }),
            false => out.extend(before),
        }
        Ok(())
    }

    fn branch(&mut self, body: Vec<Inst>) -> Result<Vec<Inst>> {
        self.enter(Around::Branch);
        let insts = self.insts(body)?;
        let mut body = self.leave()?.inside;
        body.extend(insts);
        Ok(body)
    }

    fn access(&mut self, access: Access) -> Result<Access> {
        let Access::Indexed { buffer, index } = access else { return Ok(access) };
        let bytes = self.bytes(buffer, &index)?;
        let offset = bytes.constant();
        let rest = bytes - offset;
        let cursor = self.cursor(buffer, rest);
        Ok(Access::Linear { cursor, offset, buffer })
    }

    /// The distance of an element from the beginning of its buffer.
    fn bytes(&self, buffer: u32, index: &[Index]) -> Result<Index> {
        let param = self.param(buffer)?;
        if param.dims.len() != index.len() {
            return Err(Error::internal(format!("{} indices for `{}`", index.len(), param.name)));
        }
        let mut element = Index::zero();
        for (i, dim) in index.iter().zip(&param.dims) {
            element = &element * dim + i.clone();
        }
        Ok(element * param.dtype.bytes() as i64)
    }

    /// A fragment whose lines are a number of bytes apart.
    fn fragment(&self, access: &Access, of: Fragment) -> Result<Fragment> {
        let (Access::Indexed { buffer, .. } | Access::Linear { buffer, .. }) = access;
        let param = self.param(*buffer)?;
        let lines = match of.lines {
            Lines::Along(dim) => {
                let inner = param.dims.get(dim as usize + 1..).unwrap_or_default();
                Lines::Apart(Index::product(inner) * param.dtype.bytes() as i64)
            }
            Lines::Same => Lines::Apart(Index::zero()),
            apart => apart,
        };
        Ok(Fragment { lines, ..of })
    }

    fn param(&self, buffer: u32) -> Result<&Param> {
        let param = self.tile.params.get(buffer as usize);
        param.ok_or_else(|| Error::internal(format!("there is no buffer @{buffer}")))
    }

    fn cursor(&mut self, buffer: u32, rest: Index) -> Name {
        let spot = self.spot(&rest);
        let (Spot::Inside(depth) | Spot::Before(depth, _)) = spot;
        let key = (buffer, rest);
        if let Some(name) = self.bodies[depth].known.get(&key) {
            return name.clone();
        }
        let name = self.names.fresh(&format!("at{buffer}").into());
        let body = &mut self.bodies[depth];
        match (spot, &body.around) {
            (Spot::Before(_, Some(by)), Around::Loop { var, low, step, .. }) => {
                let offset = key.1.replace(&|atom| match atom {
                    Atom::Var(name) if name == var => Some(low.clone()),
                    _ => None,
                });
                let advance = Some((var.clone(), by * *step));
                body.before.push(Inst::Cursor { name: name.clone(), buffer, offset, advance });
            }
            (Spot::Before(..), _) => {
                body.before.push(Inst::Cursor { name: name.clone(), buffer, offset: key.1.clone(), advance: None });
            }
            (Spot::Inside(_), _) => {
                body.inside.push(Inst::Cursor { name: name.clone(), buffer, offset: key.1.clone(), advance: None });
            }
        }
        body.known.insert(key, name.clone());
        name
    }

    fn spot(&mut self, rest: &Index) -> Spot {
        let lookup = rest.looks_up();
        for depth in (0..self.bodies.len()).rev() {
            let body = &mut self.bodies[depth];
            let Around::Loop { kind, var, low, high, .. } = &body.around else {
                match body.around {
                    Around::Branch if !lookup => continue,
                    _ => return Spot::Inside(depth),
                }
            };
            let runs = self.facts.lt(low, high);
            let serial = *kind == LoopKind::Serial;
            let by = rest.linear_in(var).map(|(by, _)| by).filter(|by| serial || by.is(0));
            let Some(by) = by else { return Spot::Inside(depth) };
            if by.is(0) && (runs || !lookup) {
                continue;
            }
            body.guarded |= lookup && !runs;
            return Spot::Before(depth, Some(by).filter(|by| !by.is(0)));
        }
        Spot::Inside(0)
    }
}
