//! Tasks that a block of threads runs together.
//!
//! A tile with loops abreast makes a task a block: an iteration of such a loop is a thread, scratch memory is shared. What lies
//! outside these loops every thread computes alike, and one of them stores.
//!
//! Invariant: between a thread's access to memory that the tile writes and another thread's, of which one writes, stands
//! a barrier, and all threads of the block come to each barrier: none stands in a loop abreast, and all else branches alike.

use super::BLOCK;
use super::body::{Binding, Emitter};
use super::index::Level;
use super::register::Class;
use mlc_ir::tile::{Access, Inst, LoopKind, Op, Space, Tile};
use mlc_ir::{Error, Index, Name, Result};
use std::collections::BTreeSet;

/// Threads of a warp: a block has a whole number of these.
const WARP: u32 = 32;

/// How many threads run a task of a tile together: as many as the longest loop abreast has iterations; `None` if a task is
/// one thread's.
pub fn crew(tile: &Tile) -> Option<u32> {
    let longest = longest(&tile.body)?;
    Some(u32::try_from(longest).unwrap_or(u32::MAX - WARP).next_multiple_of(WARP))
}

fn longest(body: &[Inst]) -> Option<i64> {
    let of = |inst: &Inst| match inst {
        Inst::Loop { kind: LoopKind::Abreast, high, .. } => high.as_const(),
        Inst::Loop { body, .. } => longest(body),
        Inst::If { then, otherwise, .. } => longest(then).max(longest(otherwise)),
        _ => None,
    };
    body.iter().filter_map(of).max()
}

/// Buffers that a piece of code touches, of those that the tile writes.
#[derive(Clone, Default)]
pub(super) struct Touched {
    read: BTreeSet<u32>,
    /// By whichever thread.
    written: BTreeSet<u32>,
    /// By the thread that stores what all compute.
    led: BTreeSet<u32>,
}

impl Touched {
    fn is_empty(&self) -> bool {
        self.read.is_empty() && self.written.is_empty() && self.led.is_empty()
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
    }

    fn add(&mut self, other: Touched) {
        self.read.extend(other.read);
        self.written.extend(other.written);
        self.led.extend(other.led);
    }
}

impl Emitter<'_> {
    fn touch(&self, inst: &Inst, abreast: bool, found: &mut Touched) {
        let tile = self.tile;
        let mut note = |access: &Access, set: fn(&mut Touched) -> &mut BTreeSet<u32>| {
            let (Access::Linear { buffer, .. } | Access::Indexed { buffer, .. }) = access;
            let param = tile.params.get(*buffer as usize).filter(|_| !self.own.contains(buffer));
            if param.is_some_and(|param| param.space != Space::Input) {
                set(found).insert(*buffer);
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
            Inst::Let { op: Op::Load(from, _) | Op::Broadcast(from), .. } => note(from, |it| &mut it.read),
            Inst::Store { to, .. } if abreast => note(to, |it| &mut it.written),
            Inst::Store { to, .. } => note(to, |it| &mut it.led),
            _ => {}
        }
    }

    /// Puts a barrier before an instruction of a block of threads, where it has to stand.
    pub(super) fn meet(&mut self, inst: &Inst) {
        if !self.is_block() {
            return;
        }
        let mut next = Touched::default();
        self.touch(inst, false, &mut next);
        let apart = match inst {
            // What is inside a loop or a branch puts its own barriers, and begins with nothing to wait for.
            Inst::Loop { kind: LoopKind::Serial | LoopKind::Unroll, .. } | Inst::If { .. } => !next.is_empty(),
            _ => self.touched.meets(&next),
        };
        if apart {
            self.barrier();
        }
        if !matches!(inst, Inst::Loop { kind: LoopKind::Serial | LoopKind::Unroll, .. } | Inst::If { .. }) {
            self.touched.add(next);
        }
    }

    /// Waits for all threads of the block, if one has touched what another may.
    pub(super) fn barrier(&mut self) {
        if !self.touched.is_empty() {
            self.ins("bar.sync", &[&0]);
            self.touched = Touched::default();
        }
    }

    /// Whether this code is run by a whole block of threads.
    pub(super) fn is_block(&self) -> bool {
        self.thread.is_some() && !self.abreast
    }

    /// A loop abreast: the threads that there are iterations for run one each.
    pub(super) fn members(&mut self, var: &Name, high: &Index, insts: &[Inst]) -> Result<()> {
        let (Some(thread), Some(count)) = (self.thread, high.as_const()) else {
            return Err(Error::internal("a loop abreast of no block"));
        };
        self.hoist(insts)?;
        let after = self.label();
        if Some(count) != self.crew.map(i64::from) {
            let none = self.let_(Class::Predicate, "setp.ge.s64", &[&thread, &count]);
            self.jump_if(none, true, &after);
        }
        self.names.insert(var.clone(), Binding::Number(thread));
        self.levels.push(Level::of(var));
        self.abreast = true;
        let done = self.insts(insts);
        self.abreast = false;
        self.levels.pop();
        self.place(&after);
        done
    }

    /// Code that one thread of a block runs.
    pub(super) fn alone(&mut self, write: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let Some(thread) = self.thread.filter(|_| self.is_block()) else { return write(self) };
        let after = self.label();
        let other = self.let_(Class::Predicate, "setp.ne.s64", &[&thread, &0]);
        self.jump_if(other, true, &after);
        self.levels.push(Level::default());
        let done = write(self);
        self.levels.pop();
        self.place(&after);
        done
    }

    /// The number of a block's task, and of this thread in it.
    pub(super) fn block(&mut self, crew: u32) -> Result<super::register::Reg> {
        if crew > BLOCK {
            return Err(Error::unsupported(format!("it takes {crew} threads for a task, of at most {BLOCK}")));
        }
        let block = self.let_(Class::Word, "mov.u32", &[&"%ctaid.x"]);
        let thread = self.let_(Class::Word, "mov.u32", &[&"%tid.x"]);
        self.thread = Some(self.let_(Class::Double, "cvt.u64.u32", &[&thread]));
        Ok(self.let_(Class::Double, "cvt.u64.u32", &[&block]))
    }
}
