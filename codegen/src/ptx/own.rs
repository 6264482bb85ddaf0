//! Scratch memory that is a thread's own, as registers.
//!
//! In: a linear tile.  Out: the scratch buffers whose first dim is that of a loop abreast, and that are touched in such loops
//! only, each iteration its own elements, at places that are numbers. Each of these elements is a register of the thread that
//! runs the iteration, in whichever loop it does. Where a warp runs it, each of its threads has all elements; or, if the
//! buffer holds nothing but accumulators, one after the other, those that [`fragment`](super::fragment) deals out to it.

use super::body::Emitter;
use super::crew::has_fragments;
use super::register::{Class, Reg, Val};
use mlc_ir::tile::{Access, Fragment, Inst, Lines, LoopKind, Op, Role, Space, Tile, Type};
use mlc_ir::{DType, Index, Name};
use std::collections::{BTreeSet, HashMap};

/// The registers of elements, by buffer and distance in bytes from the iteration's first element.
pub(super) type Own = HashMap<(u32, i64), Reg>;

/// The buffers of a tile that become registers.
pub(super) fn buffers(tile: &Tile) -> BTreeSet<u32> {
    let scratch = tile.params.iter().enumerate().filter(|(_, param)| param.space == Space::Scratch);
    let mut search = Search {
        tile,
        own: scratch.map(|(number, _)| number as u32).collect(),
        cursors: HashMap::new(),
        uses: HashMap::new(),
    };
    search.body(&tile.body, None);
    search.own
}

struct Search<'a> {
    tile: &'a Tile,
    /// Those that may be, so far.
    own: BTreeSet<u32>,
    /// Cursors that point to the elements of an iteration, and the bytes of these.
    cursors: HashMap<&'a Name, i64>,
    /// How each is used: in one way only.
    uses: HashMap<u32, Use<'a>>,
}

/// A way to use a buffer.
#[derive(Clone, Copy, PartialEq)]
struct Use<'a> {
    /// Whether a warp runs an iteration.
    warps: bool,
    /// The fragments it holds, if it does.
    holds: Option<&'a Fragment>,
}

/// A loop abreast.
#[derive(Clone, Copy)]
struct Abreast<'a> {
    var: &'a Name,
    count: &'a Index,
    warps: bool,
}

impl<'a> Search<'a> {
    /// Looks through a body, which may be inside a loop abreast.
    fn body(&mut self, body: &'a [Inst], abreast: Option<Abreast<'a>>) {
        let plain = |this: &mut Self, access, ty: Type| {
            let bytes = i64::from(ty.lanes) * ty.dtype.bytes() as i64;
            this.access(access, bytes, abreast, None);
        };
        for inst in body {
            match inst {
                Inst::Loop { kind: LoopKind::Abreast, var, high: count, body, .. } => {
                    self.body(body, Some(Abreast { var, count, warps: has_fragments(body) }));
                }
                Inst::Loop { body, .. } => self.body(body, abreast),
                Inst::If { then, otherwise, .. } => {
                    self.body(then, abreast);
                    self.body(otherwise, abreast);
                }
                Inst::Cursor { name, buffer, offset, advance: None } => {
                    if let Some(bytes) = abreast.and_then(|it| self.element(*buffer, offset, it.var, it.count)) {
                        self.cursors.insert(name, bytes);
                    }
                }
                Inst::Let { op: Op::Load(access, None) | Op::Broadcast(access), ty, .. } => plain(self, access, *ty),
                Inst::Let { op: Op::Load(access, Some(_)), .. } => self.refuse(access),
                Inst::Store { to, ty, first: None, .. } => plain(self, to, *ty),
                Inst::Store { to, .. } | Inst::Copy { to, .. } => self.refuse(to),
                Inst::Let { op: Op::Fragment(access, of), ty, .. } | Inst::StoreFragment { to: access, of, ty, .. } => {
                    self.fragment(access, *ty, of, abreast);
                }
                _ => {}
            }
        }
    }

    /// The bytes that an iteration has of a buffer, if a cursor points to the first of them.
    fn element(&self, buffer: u32, offset: &Index, var: &Name, count: &Index) -> Option<i64> {
        let param = self.tile.params.get(buffer as usize)?;
        let (first, rest) = param.dims.split_first()?;
        let bytes = Index::product(rest).as_const()? * param.dtype.bytes() as i64;
        (first == count && *offset == Index::var(var.clone()) * bytes).then_some(bytes)
    }

    fn access(&mut self, access: &Access, bytes: i64, abreast: Option<Abreast<'a>>, holds: Option<&'a Fragment>) {
        let (Access::Linear { cursor, offset, buffer }, Some(Abreast { warps, .. })) = (access, abreast) else {
            return self.refuse(access);
        };
        let inside = |all: &i64| *offset >= 0 && offset + bytes <= *all;
        let this = Use { warps, holds };
        if !self.cursors.get(cursor).is_some_and(inside) || *self.uses.entry(*buffer).or_insert(this) != this {
            self.refuse(access);
        }
    }

    /// An access to accumulators, which are registers if each lies in one piece of memory, and no two overlap.
    fn fragment(&mut self, access: &Access, ty: Type, of: &'a Fragment, abreast: Option<Abreast<'a>>) {
        let size = ty.dtype.bytes() as i64;
        let bytes = i64::from(ty.lanes) * size;
        let dense = of.lines().map(|(_, length)| i64::from(length) * size);
        let one = matches!(&of.lines, Lines::Apart(apart) if apart.as_const() == dense);
        let whole = matches!(access, Access::Linear { offset, .. } if offset % bytes == 0);
        match of.role == Role::C && one && whole {
            true => self.access(access, bytes, abreast, Some(of)),
            false => self.refuse(access),
        }
    }

    fn refuse(&mut self, access: &Access) {
        let (Access::Linear { buffer, .. } | Access::Indexed { buffer, .. }) = access;
        self.own.remove(buffer);
    }
}

impl Emitter<'_> {
    /// Whether an access is to the thread's own.
    pub(super) fn is_own(&self, access: &Access) -> bool {
        matches!(access, Access::Linear { buffer, .. } if self.own.contains(buffer))
    }

    /// The registers that an access of so many lanes is to, if it is to the thread's own.
    pub(super) fn owned(&mut self, access: &Access, dtype: DType, lanes: usize) -> Option<Vec<Reg>> {
        let Access::Linear { offset, buffer, .. } = access else { return None };
        if !self.own.contains(buffer) {
            return None;
        }
        let place = |lane: usize| offset + (lane * dtype.bytes()) as i64;
        let class = Class::of(dtype);
        let lanes = (0..lanes).map(|lane| {
            let key = (*buffer, place(lane));
            let known = self.owned.get(&key).copied();
            known.unwrap_or_else(|| {
                let reg = self.reg(class);
                self.owned.insert(key, reg);
                reg
            })
        });
        Some(lanes.collect())
    }

    /// The value of elements that are the thread's own; they may change after it was taken.
    pub(super) fn load_owned(&mut self, ty: Type, regs: Vec<Reg>) -> Val {
        self.copy(&Val { ty, regs })
    }
}
