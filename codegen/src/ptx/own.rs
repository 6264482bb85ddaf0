//! Scratch memory that is a thread's own, as registers.
//!
//! In: a linear tile.  Out: the scratch buffers whose first dim is that of a loop abreast, and that are touched in such loops
//! only, each iteration its own elements, at places that are numbers. Each of these elements is a register of the thread that
//! runs the iteration, in whichever loop it does.

use super::body::Emitter;
use super::register::{Class, Reg, Val};
use mlc_ir::tile::{Access, Inst, LoopKind, Op, Space, Tile, Type};
use mlc_ir::{Index, Name};
use std::collections::{BTreeSet, HashMap};

/// The registers of elements, by buffer and distance in bytes from the iteration's first element.
pub(super) type Own = HashMap<(u32, i64), Reg>;

/// The buffers of a tile that become registers.
pub(super) fn buffers(tile: &Tile) -> BTreeSet<u32> {
    let scratch = tile.params.iter().enumerate().filter(|(_, param)| param.space == Space::Scratch);
    let mut search = Search { tile, own: scratch.map(|(number, _)| number as u32).collect(), cursors: HashMap::new() };
    search.body(&tile.body, None);
    search.own
}

struct Search<'a> {
    tile: &'a Tile,
    /// Those that may be, so far.
    own: BTreeSet<u32>,
    /// Cursors that point to the elements of an iteration, and the bytes of these.
    cursors: HashMap<&'a Name, i64>,
}

impl<'a> Search<'a> {
    /// Looks through a body, which may be inside a loop abreast: its variable and number of iterations.
    fn body(&mut self, body: &'a [Inst], abreast: Option<(&'a Name, &'a Index)>) {
        for inst in body {
            match inst {
                Inst::Loop { kind: LoopKind::Abreast, var, high, body, .. } => self.body(body, Some((var, high))),
                Inst::Loop { body, .. } => self.body(body, abreast),
                Inst::If { then, otherwise, .. } => {
                    self.body(then, abreast);
                    self.body(otherwise, abreast);
                }
                Inst::Cursor { name, buffer, offset, advance: None } => {
                    if let Some(bytes) = abreast.and_then(|(var, count)| self.element(*buffer, offset, var, count)) {
                        self.cursors.insert(name, bytes);
                    }
                }
                Inst::Let { op: Op::Load(access, None) | Op::Broadcast(access), ty, .. } => self.access(access, *ty),
                Inst::Let { op: Op::Load(access, Some(_)), .. } => self.refuse(access),
                Inst::Store { to, ty, first: None, .. } => self.access(to, *ty),
                Inst::Store { to, .. } => self.refuse(to),
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

    fn access(&mut self, access: &Access, ty: Type) {
        let Access::Linear { cursor, offset, .. } = access else { return self.refuse(access) };
        let end = offset + i64::from(ty.lanes) * ty.dtype.bytes() as i64;
        let inside = |bytes: &i64| *offset >= 0 && end <= *bytes;
        if !self.cursors.get(cursor).is_some_and(inside) {
            self.refuse(access);
        }
    }

    fn refuse(&mut self, access: &Access) {
        let (Access::Linear { buffer, .. } | Access::Indexed { buffer, .. }) = access;
        self.own.remove(buffer);
    }
}

impl Emitter<'_> {
    /// The registers that an access is to, if it is to the thread's own.
    pub(super) fn owned(&mut self, access: &Access, ty: Type) -> Option<Vec<Reg>> {
        let Access::Linear { offset, buffer, .. } = access else { return None };
        if !self.own.contains(buffer) {
            return None;
        }
        let place = |lane: u16| offset + i64::from(lane) * ty.dtype.bytes() as i64;
        let class = Class::of(ty.dtype);
        let lanes = (0..ty.lanes).map(|lane| {
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
