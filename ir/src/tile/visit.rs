//! Walks over instructions.

use super::{Access, Inst, Lines, Op};
use crate::Index;

impl Inst {
    /// What this instruction itself reads or writes in memory.
    pub fn accesses(&self) -> impl Iterator<Item = &Access> {
        let accesses = match self {
            Inst::Let { op: Op::Load(from, _) | Op::Broadcast(from) | Op::Fragment(from, _), .. } => [Some(from), None],
            Inst::Store { to, .. } | Inst::StoreFragment { to, .. } => [Some(to), None],
            Inst::Copy { to, from, .. } => [Some(to), Some(from)],
            Inst::Let { .. } | Inst::Cell { .. } | Inst::Set { .. } | Inst::Dot { .. } => [None; 2],
            Inst::Cursor { .. } | Inst::Loop { .. } | Inst::If { .. } | Inst::Commit | Inst::Wait(_) => [None; 2],
        };
        accesses.into_iter().flatten()
    }

    /// Calls `visit` on every index expression of this instruction, not of those inside it.
    pub fn visit_indices(&self, visit: &mut dyn FnMut(&Index)) {
        match self {
            Inst::Loop { low, high, .. } => [low, high].into_iter().for_each(visit),
            Inst::If { all, .. } => {
                all.iter().for_each(|test| [&test.index, &test.low, &test.high].into_iter().for_each(&mut *visit));
            }
            Inst::Let { op, .. } => match op {
                Op::Load(access, first) => {
                    access.visit_indices(visit);
                    first.iter().for_each(visit);
                }
                Op::Fragment(access, of) => {
                    access.visit_indices(visit);
                    of.lines.visit_indices(visit);
                }
                Op::Broadcast(access) => access.visit_indices(visit),
                Op::Index(index) => visit(index),
                _ => {}
            },
            Inst::Store { to, first, .. } => {
                to.visit_indices(visit);
                first.iter().for_each(visit);
            }
            Inst::StoreFragment { to, of, .. } => {
                to.visit_indices(visit);
                of.lines.visit_indices(visit);
            }
            Inst::Copy { to, from, first, .. } => {
                to.visit_indices(visit);
                from.visit_indices(visit);
                first.iter().for_each(visit);
            }
            Inst::Cursor { offset, advance, .. } => {
                visit(offset);
                advance.iter().for_each(|(_, by)| visit(by));
            }
            Inst::Cell { .. } | Inst::Set { .. } | Inst::Dot { .. } | Inst::Commit | Inst::Wait(_) => {}
        }
    }
}

/// Calls `visit` on every index expression of a body and of the bodies within.
pub fn visit_indices(body: &[Inst], visit: &mut dyn FnMut(&Index)) {
    for inst in body {
        inst.visit_indices(visit);
        match inst {
            Inst::Loop { body, .. } => visit_indices(body, visit),
            Inst::If { then, otherwise, .. } => {
                visit_indices(then, visit);
                visit_indices(otherwise, visit);
            }
            _ => {}
        }
    }
}

impl Access {
    /// Calls `visit` on every index expression.
    pub fn visit_indices(&self, visit: &mut dyn FnMut(&Index)) {
        if let Access::Indexed { index, .. } = self {
            index.iter().for_each(visit);
        }
    }
}

impl Lines {
    /// Calls `visit` on every index expression.
    pub fn visit_indices(&self, visit: &mut dyn FnMut(&Index)) {
        if let Lines::Apart(bytes) = self {
            visit(bytes);
        }
    }
}
