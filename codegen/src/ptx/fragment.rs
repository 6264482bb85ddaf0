//! Fragments in the registers of a warp.
//!
//! A fragment is dealt out to the 32 threads of a warp as `mma.sync` wants it; who has what is told by `g`, the number of a
//! thread's group of four, and `t`, its number in the group:
//!
//! | fragment | register | elements |
//! |---|---|---|
//! | accumulators | 0, 1 | row `g`, columns `2t` and `2t + 1` |
//! | | 2, 3 | row `g + 8`, the same columns |
//! | first factor | 0, 1 | rows `g` and `g + 8`, 4 bytes of the first 16 bytes of a row, from `4t` on |
//! | | 2, 3 | the same of the last 16 bytes |
//! | second factor | 0, 1 | the same as the first factor's, of its transpose: column `g` |
//!
//! Accumulators are values like others, of which a thread has four lanes. Factors are words of packed elements, and are only
//! multiplied. Where rows begin at multiples of 16 bytes, `ldmatrix` loads factors from shared memory, the transpose of
//! elements of 16 bits too; elsewhere every thread loads its own elements.

use super::body::{Binding, Emitter};
use super::memory::Place;
use super::register::{Class, Reg, Val, list, stored};
use mlc_ir::tile::{Access, Fragment, Inst, Lines, Op, Role, Type};
use mlc_ir::{DType, Error, Index, Name, Result};
use std::collections::HashMap;

/// Where the lanes of a value are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Layout {
    /// One register is all lanes, however they are dealt out.
    Same,
    /// Each thread has all lanes, in a register each.
    Lanes,
    /// Each thread of a warp has its four accumulators.
    Accumulators,
    /// Each thread of a warp has its words of a factor.
    Factor,
}

/// Accumulators of a thread.
const OWN: usize = 4;

impl Val {
    /// How its lanes are dealt out: a fragment has fewer registers than lanes.
    pub fn layout(&self) -> Layout {
        let lanes = usize::from(self.ty.lanes);
        let plain = self.regs.iter().all(|reg| reg.class == Class::of(self.ty.dtype));
        match self.regs.len() {
            count if count == lanes && self.regs.iter().all(|reg| *reg == self.regs[0]) => Layout::Same,
            count if count == lanes => Layout::Lanes,
            OWN if plain && lanes == 32 * OWN => Layout::Accumulators,
            _ => Layout::Factor,
        }
    }
}

/// The layout of what is computed from some values.
pub(super) fn common(values: &[&Val]) -> Result<Layout> {
    let mut apart = values.iter().map(|value| value.layout()).filter(|layout| *layout != Layout::Same);
    match apart.next() {
        None => Ok(Layout::Same),
        Some(Layout::Factor) => Err(Error::unsupported("a computation on a factor of a matrix row")),
        Some(first) if apart.all(|other| other == first) => Ok(first),
        Some(_) => Err(Error::unsupported("a computation on a fragment and a vector")),
    }
}

/// Variables that tell a thread its place in a warp. No variable of a tile has such a name.
pub(super) mod place {
    /// The number of its group of four.
    pub const GROUP: &str = "lane/4";
    /// Its number in that.
    pub const MEMBER: &str = "lane%4";
    /// The row of a matrix whose address it gives to `ldmatrix`.
    pub const ROW: &str = "lane%8";
    /// Whether this is one of the second, or of the fourth matrix.
    pub const ODD: &str = "lane/8%2";
    /// Whether this is one of the third, or of the fourth matrix.
    pub const LATE: &str = "lane/16%2";
}

fn var(name: &str) -> Index {
    Index::var(Name::from(name))
}

/// How a factor lies in memory.
struct Factor<'a> {
    role: Role,
    size: i64,
    /// Bytes between lines.
    apart: &'a Index,
    /// Whether neighbours along what is summed over are neighbours in memory.
    dense: bool,
}

impl<'a> Factor<'a> {
    fn new(ty: Type, of: &'a Fragment) -> Result<Factor<'a>> {
        let dense = (of.role == Role::A) != of.transposed;
        Ok(Factor { role: of.role, size: ty.dtype.bytes() as i64, apart: apart(of)?, dense })
    }

    /// Registers of a thread: matrices that `ldmatrix` loads.
    fn words(&self) -> usize {
        if self.role == Role::A { 4 } else { 2 }
    }

    /// From the first element to the row that a thread asks `ldmatrix` for.
    fn row(&self, words: usize) -> Index {
        // The matrix with number 1 is below the first one, or to its right.
        let below = (self.role == Role::A) == self.dense;
        let (down, right) = if below { (place::ODD, place::LATE) } else { (place::LATE, place::ODD) };
        let (mut line, mut byte) = (var(place::ROW), Index::zero());
        if words == 4 || below {
            line = line + var(down) * 8;
        }
        if words == 4 || !below {
            byte = var(right) * 16;
        }
        &line * self.apart + byte
    }

    /// From the first element to a part of a thread's word.
    fn part(&self, word: usize, part: usize) -> Index {
        let parts = 4 / self.size;
        let (below, right) = if self.role == Role::A { (word & 1, word >> 1) } else { (0, word) };
        let outer = var(place::GROUP) + 8 * below as i64;
        let inner = var(place::MEMBER) * parts + (right as i64 * 4 * parts + part as i64);
        let (line, at) = if self.dense { (outer, inner) } else { (inner, outer) };
        &line * self.apart + at * self.size
    }

    /// From a fragment to the one that follows along its columns.
    fn next(&self) -> Option<i64> {
        if self.dense { Some(8 * self.apart.as_const()?) } else { Some(8 * self.size) }
    }
}

fn apart(of: &Fragment) -> Result<&Index> {
    match &of.lines {
        Lines::Apart(bytes) => Ok(bytes),
        _ => Err(Error::internal("a fragment of an indexed tile")),
    }
}

/// The second of two neighbours that are loaded together, and its type.
pub(super) type Twins = HashMap<Name, Name>;

impl Emitter<'_> {
    /// Names the second factors of a body that `ldmatrix` can load with another one, by the first. Between the two nothing is
    /// stored and nothing branches.
    pub(super) fn twins(&self, insts: &[Inst]) -> Twins {
        let mut open: Vec<(&Name, &Name, i64, &Fragment, i64)> = vec![];
        let mut found = Twins::new();
        for inst in insts {
            match inst {
                Inst::Let { dst, ty, op: Op::Fragment(Access::Linear { cursor, offset, .. }, of) }
                    if of.role == Role::B =>
                {
                    let Some(next) = Factor::new(*ty, of).ok().and_then(|factor| factor.next()) else { continue };
                    let before =
                        |it: &(&Name, &Name, i64, &Fragment, i64)| (it.1, it.2 + it.4, it.3) == (cursor, *offset, of);
                    match open.iter().position(before) {
                        Some(first) => {
                            found.insert(open.swap_remove(first).0.clone(), dst.name.clone());
                        }
                        None => open.push((&dst.name, cursor, *offset, of, next)),
                    }
                }
                Inst::Let { .. } | Inst::Dot { .. } | Inst::Set { .. } | Inst::Cell { .. } | Inst::Cursor { .. } => {}
                _ => open.clear(),
            }
        }
        found
    }

    /// Defines a value that is loaded as a fragment.
    pub(super) fn fragment(&mut self, dst: &Name, ty: Type, from: &Access, of: &Fragment) -> Result<()> {
        if self.warp.is_none() {
            return Err(Error::unsupported("a fragment outside of a loop abreast"));
        }
        let value = match (self.waiting.remove(dst), of.role) {
            (Some(value), _) => value,
            (None, Role::C) => self.load_accumulators(ty, from, of)?,
            (None, _) => self.load_factor(dst, ty, from, of)?,
        };
        self.names.insert(dst.clone(), Binding::Value(value));
        Ok(())
    }

    fn load_factor(&mut self, dst: &Name, ty: Type, from: &Access, of: &Fragment) -> Result<Val> {
        let factor = Factor::new(ty, of)?;
        let twin = self.twins.remove(dst);
        let whole = |this: &Self, place: &Place| {
            place.space == "shared" && place.multiple % 16 == 0 && this.multiple(factor.apart) % 16 == 0
        };
        let first = self.place_of(from)?;
        let mut regs = if whole(self, &first) && (factor.dense || factor.size == 2) {
            let words = if twin.is_some() { 4 } else { factor.words() };
            let place = self.place_at(from, &factor.row(words))?;
            let way = if factor.dense { "" } else { ".trans" };
            let regs: Vec<Reg> = (0..words).map(|_| self.reg(Class::Word)).collect();
            let op = format!("ldmatrix.sync.aligned.m8n8.x{words}{way}.shared.b16");
            self.ins(&op, &[&list(&regs), &place]);
            regs
        } else {
            (0..factor.words()).map(|word| self.factor_word(from, &factor, word)).collect::<Result<_>>()?
        };
        if let Some(twin) = twin.filter(|_| regs.len() > factor.words()) {
            let regs = regs.split_off(factor.words());
            let regs = self.as_multiplied(ty, of, regs);
            self.waiting.insert(twin, Val { ty, regs });
        }
        let regs = self.as_multiplied(ty, of, regs);
        Ok(Val { ty, regs })
    }

    /// A word of a factor that each thread loads for itself.
    fn factor_word(&mut self, from: &Access, factor: &Factor, word: usize) -> Result<Reg> {
        let place = self.place_at(from, &factor.part(word, 0))?;
        if factor.dense && place.multiple % 4 == 0 || factor.size == 4 {
            return Ok(self.let_(Class::Word, &format!("ld.{}.b32", place.space), &[&place]));
        }
        let class = if factor.size == 2 { Class::Half } else { Class::Word };
        let ty = if factor.size == 2 { "b16" } else { "u8" };
        let mut parts = vec![];
        for part in 0..4 / factor.size as usize {
            let place = self.place_at(from, &factor.part(word, part))?;
            parts.push(self.let_(class, &format!("ld.{}.{ty}", place.space), &[&place]));
        }
        if factor.size == 2 {
            return Ok(self.let_(Class::Word, "mov.b32", &[&list(&parts)]));
        }
        let mut whole = parts[0];
        for (number, part) in parts.iter().enumerate().skip(1) {
            let part = self.let_(Class::Word, "shl.b32", &[part, &(8 * number)]);
            whole = self.let_(Class::Word, "or.b32", &[&whole, &part]);
        }
        Ok(whole)
    }

    fn load_accumulators(&mut self, ty: Type, from: &Access, of: &Fragment) -> Result<Val> {
        if ty.dtype == DType::Bool {
            return Err(Error::unsupported("a fragment of bools"));
        }
        if let Some(regs) = self.owned(from, ty.dtype, OWN) {
            return Ok(self.load_owned(ty, regs));
        }
        let regs: Vec<Reg> = (0..OWN).map(|_| self.reg(Class::of(ty.dtype))).collect();
        self.accumulators("ld", ty, from, of, &regs)?;
        Ok(Val { ty, regs })
    }

    /// Stores accumulators.
    pub(super) fn store_fragment(&mut self, to: &Access, value: &Val, of: &Fragment) -> Result<()> {
        if self.warp.is_none() {
            return Err(Error::unsupported("a fragment outside of a loop abreast"));
        }
        let fits = matches!(value.layout(), Layout::Same | Layout::Accumulators) && of.role == Role::C;
        if !fits || value.ty.dtype == DType::Bool {
            return Err(Error::unsupported("a stored fragment that is no accumulator"));
        }
        if let Some(regs) = self.owned(to, value.ty.dtype, OWN) {
            self.set(&Val { ty: value.ty, regs }, value);
            return Ok(());
        }
        self.accumulators("st", value.ty, to, of, &value.regs[..OWN])
    }

    fn accumulators(&mut self, way: &str, ty: Type, at: &Access, of: &Fragment, regs: &[Reg]) -> Result<()> {
        let (apart, size) = (apart(of)?, ty.dtype.bytes() as i64);
        let together = if of.transposed { 1 } else { 2 };
        for number in (0..OWN).step_by(together) {
            let row = var(place::GROUP) + 8 * (number as i64 >> 1);
            let column = var(place::MEMBER) * 2 + (number as i64 & 1);
            let (line, inner) = if of.transposed { (column, row) } else { (row, column) };
            let place = self.place_at(at, &(&line * apart + inner * size))?;
            let op = format!("{way}.{}{{}}.{}", place.space, stored(ty.dtype));
            self.move_lanes(&op, ty.dtype, &regs[number..number + together], &place, way == "ld");
        }
        Ok(())
    }

    /// A cell with its first value. In a loop of warps, one of 128 lanes is accumulators.
    pub(super) fn cell_of(&mut self, value: &Val) -> Val {
        let dealt = self.warp.is_some() && usize::from(value.ty.lanes) == 32 * OWN && value.layout() == Layout::Same;
        let from = if dealt { &value.regs[..OWN] } else { &value.regs };
        let cell = Val { ty: value.ty, regs: from.iter().map(|reg| self.reg(reg.class)).collect() };
        self.set(&cell, value);
        cell
    }
}
