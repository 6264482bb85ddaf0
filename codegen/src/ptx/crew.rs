//! Tasks that a block of threads runs together.
//!
//! A tile with loops abreast makes a task a block: an iteration of such a loop is a thread, scratch memory is shared. What lies
//! outside these loops every thread computes alike, and one of them stores. Where such a loop has fragments, an iteration is a
//! warp: its threads compute alike, but for what [`fragment`](super::fragment) deals out, and one of them stores.
//!
//! A copy that arrives late writes when it begins, for those who read before; and when it was waited for, for those who use
//! it. In between nobody may touch its place, so that other copies, and reads of other places, need no barrier.
//!
//! Invariant: between a thread's access to memory that the tile writes and another thread's, of which one writes, stands
//! a barrier, and all threads of the block come to each barrier: none stands in a loop abreast, and all else branches alike.

use super::BLOCK;
use super::body::{Binding, Emitter};
use super::fragment::place;
use super::index::Level;
use super::register::{Class, Reg};
use mlc_ir::target::WARP;
use mlc_ir::tile::{Access, Inst, LoopKind, Op, Row, Space, Tile};
use mlc_ir::{Error, Index, Name, Result};
use std::collections::BTreeSet;

/// How many threads run a task of a tile together: as many as the longest loop abreast has iterations; `None` if a task is
/// one thread's.
pub fn crew(tile: &Tile) -> Option<u32> {
    let longest = longest(&tile.body)?;
    Some(u32::try_from(longest).unwrap_or(u32::MAX - WARP).next_multiple_of(WARP))
}

fn longest(body: &[Inst]) -> Option<i64> {
    let of = |inst: &Inst| match inst {
        Inst::Loop { kind: LoopKind::Abreast, high, body, .. } => threads(high, body),
        Inst::Loop { body, .. } => longest(body),
        Inst::If { then, otherwise, .. } => longest(then).max(longest(otherwise)),
        _ => None,
    };
    body.iter().filter_map(of).max()
}

/// The threads that a loop abreast takes.
fn threads(high: &Index, body: &[Inst]) -> Option<i64> {
    high.as_const()?.checked_mul(if has_fragments(body) { WARP.into() } else { 1 })
}

/// Whether a loop abreast is run by a warp an iteration.
pub(super) fn has_fragments(body: &[Inst]) -> bool {
    body.iter().any(|inst| match inst {
        Inst::Loop { body, .. } => has_fragments(body),
        Inst::If { then, otherwise, .. } => has_fragments(then) || has_fragments(otherwise),
        Inst::Let { op, .. } => matches!(op, Op::Fragment(..)),
        Inst::Dot { row, .. } => Row::from_name(row).is_some_and(|row| row.shape().is_some()),
        Inst::StoreFragment { .. } => true,
        _ => false,
    })
}

/// The buffers to which a body copies.
fn copied(body: &[Inst], found: &mut BTreeSet<u32>) {
    for inst in body {
        match inst {
            Inst::Loop { body, .. } => copied(body, found),
            Inst::If { then, otherwise, .. } => [then, otherwise].into_iter().for_each(|side| copied(side, found)),
            Inst::Copy { to: Access::Linear { buffer, .. } | Access::Indexed { buffer, .. }, .. } => {
                found.insert(*buffer);
            }
            _ => {}
        }
    }
}

/// Buffers that a piece of code touches, of those that the tile writes.
#[derive(Clone, Default)]
pub(super) struct Touched {
    read: BTreeSet<u32>,
    /// By whichever thread.
    written: BTreeSet<u32>,
    /// By the thread that stores what all compute.
    led: BTreeSet<u32>,
    /// Where copies begin.
    copied: BTreeSet<u32>,
    /// Where some have arrived.
    arrived: BTreeSet<u32>,
}

impl Touched {
    fn is_empty(&self) -> bool {
        [&self.read, &self.written, &self.led, &self.copied, &self.arrived].iter().all(|it| it.is_empty())
    }

    /// Whether a barrier has to stand between two pieces of code.
    fn meets(&self, later: &Touched) -> bool {
        let meet = |a: &BTreeSet<u32>, b: &BTreeSet<u32>| !a.is_disjoint(b);
        let any = |it: &Touched| it.written.union(&it.led).copied().collect::<BTreeSet<u32>>();
        let (before, after) = (any(self), any(later));
        meet(&before, &later.read)
            || meet(&self.read, &after)
            || meet(&self.written, &after)
            || meet(&before, &later.written)
            || meet(&self.read, &later.copied)
            || meet(&before, &later.copied)
            || [&later.read, &after, &later.copied].into_iter().any(|it| meet(&self.arrived, it))
    }

    pub fn add(&mut self, other: Touched) {
        self.read.extend(other.read);
        self.written.extend(other.written);
        self.led.extend(other.led);
        self.copied.extend(other.copied);
        self.arrived.extend(other.arrived);
    }
}

/// Code that puts barriers by itself: a loop, where two of its iterations meet; a branch, at the end of its sides.
enum Within<'a> {
    Loop(&'a [Inst]),
    Branch,
}

impl Emitter<'_> {
    fn touch(&self, inst: &Inst, abreast: bool, found: &mut Touched) {
        let tile = self.tile;
        let mut note = |access: &Access, set: fn(&mut Touched) -> &mut BTreeSet<u32>| {
            let (Access::Linear { buffer, .. } | Access::Indexed { buffer, .. }) = access;
            let param = tile.params.get(*buffer as usize).filter(|_| !self.own.contains(buffer));
            if param.is_some_and(|param| param.space != Space::Input) {
                set(found).insert(self.room.group(*buffer));
            }
        };
        match inst {
            Inst::Loop { kind, body, .. } => {
                let abreast = abreast || *kind == LoopKind::Abreast;
                body.iter().for_each(|inst| self.touch(inst, abreast, found));
            }
            Inst::If { then, otherwise, .. } => {
                then.iter().chain(otherwise).for_each(|inst| self.touch(inst, abreast, found));
            }
            Inst::Let { op: Op::Load(from, _) | Op::Broadcast(from) | Op::Fragment(from, _), .. } => {
                note(from, |it| &mut it.read)
            }
            Inst::Store { to, .. } if abreast => note(to, |it| &mut it.written),
            Inst::Store { to, .. } => note(to, |it| &mut it.led),
            Inst::StoreFragment { to, .. } => note(to, |it| &mut it.written),
            Inst::Copy { to, .. } => note(to, |it| &mut it.copied),
            Inst::Wait(_) => copied(&tile.body, &mut found.arrived),
            _ => {}
        }
    }

    /// Puts a barrier before an instruction of a block of threads, or of a warp, where it has to stand.
    pub(super) fn meet(&mut self, inst: &Inst) {
        if !self.is_shared() || self.straight {
            return;
        }
        if self.waits(&self.touched, inst) {
            self.barrier();
        }
        if self.has_barriers(inst).is_none() {
            let next = self.touches(inst);
            self.touched.add(next);
        }
    }

    /// Whether a barrier has to stand between what was touched and an instruction.
    fn waits(&self, before: &Touched, inst: &Inst) -> bool {
        match self.has_barriers(inst) {
            None => before.meets(&self.touches(inst)),
            Some(Within::Loop(body)) => before.meets(&self.exposed(body).0),
            Some(Within::Branch) => !before.is_empty() && !self.touches(inst).is_empty(),
        }
    }

    fn touches(&self, inst: &Inst) -> Touched {
        let mut found = Touched::default();
        self.touch(inst, false, &mut found);
        found
    }

    /// What has barriers of its own.
    fn has_barriers<'a>(&self, inst: &'a Inst) -> Option<Within<'a>> {
        match inst {
            Inst::Loop { kind: LoopKind::Serial | LoopKind::Unroll, body, .. } => Some(Within::Loop(body)),
            Inst::If { then, otherwise, .. } => {
                let straight = self.is_straight(then) && self.is_straight(otherwise);
                (!straight).then_some(Within::Branch)
            }
            _ => None,
        }
    }

    /// Whether a side of a branch needs no barriers inside.
    pub(super) fn is_straight(&self, side: &[Inst]) -> bool {
        !self.exposed(side).1
    }

    /// What a body touches before its first barrier, and whether it may have one.
    fn exposed(&self, body: &[Inst]) -> (Touched, bool) {
        let (mut before, mut ends) = (Touched::default(), false);
        for inst in body {
            if self.waits(&before, inst) {
                return (before, true);
            }
            let next = self.touches(inst);
            ends |= self.has_barriers(inst).is_some() && !next.is_empty();
            before.add(next);
        }
        (before, ends)
    }

    /// Ends an iteration of a loop: a barrier stands here if the next one begins with what meets the last things this one did.
    pub(super) fn end_loop(&mut self, body: &[Inst]) {
        if self.is_shared() && self.touched.meets(&self.exposed(body).0) {
            self.barrier();
        }
    }

    /// Waits for all threads of the block, or of the warp, if one has touched what another may.
    pub(super) fn barrier(&mut self) {
        if !self.is_shared() || self.straight || self.touched.is_empty() {
            return;
        }
        match self.warp {
            Some(_) => self.ins("bar.warp.sync", &[&-1]),
            None => self.ins("bar.sync", &[&0]),
        }
        self.touched = Touched::default();
    }

    /// Whether this code is run by several threads that store as one.
    fn is_shared(&self) -> bool {
        self.is_block() || self.warp.is_some()
    }

    /// Whether this code is run by a whole block of threads.
    fn is_block(&self) -> bool {
        self.thread.is_some() && !self.abreast
    }

    /// A loop abreast: the threads that there are iterations for run one each.
    pub(super) fn members(&mut self, var: &Name, high: &Index, insts: &[Inst]) -> Result<()> {
        let (Some(thread), Some(count)) = (self.thread, threads(high, insts)) else {
            return Err(Error::internal("a loop abreast of no block"));
        };
        self.hoist(insts)?;
        let after = self.label();
        if Some(count) != self.crew.map(i64::from) {
            let none = self.let_(Class::Predicate, "setp.ge.s64", &[&thread, &count]);
            self.jump_if(none, true, &after);
        }
        let outside = (std::mem::take(&mut self.touched), std::mem::take(&mut self.straight));
        let member = if has_fragments(insts) { self.warp(thread) } else { thread };
        self.names.insert(var.clone(), Binding::Number(member));
        self.levels.push(Level::of(var));
        self.abreast = true;
        let done = self.insts(insts);
        (self.abreast, self.warp) = (false, None);
        (self.touched, self.straight) = outside;
        self.levels.pop();
        self.place(&after);
        done
    }

    /// The number of this thread's warp; the variables of [`place`] tell from here on where in it the thread is.
    fn warp(&mut self, thread: Reg) -> Reg {
        let low = self.let_(Class::Word, "cvt.u32.u64", &[&thread]);
        let lane = self.let_(Class::Word, "and.b32", &[&low, &(WARP - 1)]);
        let parts =
            [(place::GROUP, 2, 7), (place::MEMBER, 0, 3), (place::ROW, 0, 7), (place::ODD, 3, 1), (place::LATE, 4, 1)];
        for (name, shift, mask) in parts {
            let high = self.let_(Class::Word, "shr.u32", &[&lane, &shift]);
            let part = self.let_(Class::Word, "and.b32", &[&high, &mask]);
            let part = self.let_(Class::Double, "cvt.u64.u32", &[&part]);
            self.names.insert(name.into(), Binding::Number(part));
        }
        self.warp = Some(lane);
        self.let_(Class::Double, "shr.u64", &[&thread, &WARP.trailing_zeros()])
    }

    /// Code that one thread of a block runs, or of a warp.
    pub(super) fn alone(&mut self, write: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let (thread, test) = match (self.warp, self.thread) {
            (Some(lane), _) => (lane, "setp.ne.u32"),
            (None, Some(thread)) if self.is_block() => (thread, "setp.ne.s64"),
            _ => return write(self),
        };
        let after = self.label();
        let other = self.let_(Class::Predicate, test, &[&thread, &0]);
        self.jump_if(other, true, &after);
        self.levels.push(Level::default());
        let done = write(self);
        self.levels.pop();
        self.place(&after);
        // The threads of a warp meet again before they go on.
        if self.warp.is_some() {
            self.ins("bar.warp.sync", &[&-1]);
            if !self.straight {
                self.touched = Touched::default();
            }
        }
        done
    }

    /// The number of a block's task, and of this thread in it.
    pub(super) fn block(&mut self, crew: u32) -> Result<Reg> {
        if crew > BLOCK {
            return Err(Error::unsupported(format!("it takes {crew} threads for a task, of at most {BLOCK}")));
        }
        let block = self.let_(Class::Word, "mov.u32", &[&"%ctaid.x"]);
        let thread = self.let_(Class::Word, "mov.u32", &[&"%tid.x"]);
        self.thread = Some(self.let_(Class::Double, "cvt.u64.u32", &[&thread]));
        Ok(self.let_(Class::Double, "cvt.u64.u32", &[&block]))
    }
}
