//! What loops abreast may do.
//!
//! In: a body.  Out: the first instruction that would make two iterations of a loop abreast depend on one another, but for
//! what they do to memory, which the interpreter sees.

use crate::Name;
use crate::tile::{Inst, LoopKind};
use std::collections::HashSet;

type Checked<'a> = Result<(), (&'a Inst, String)>;

/// Checks the loops abreast of a body.
pub(super) fn check(body: &[Inst]) -> Checked<'_> {
    body.iter().try_for_each(|inst| match inst {
        Inst::Loop { kind: LoopKind::Abreast, low, high, step, body, .. } => {
            if !low.is(0) || high.as_const().is_none() || *step != 1 {
                return Err((inst, "a loop abreast runs from 0 to a number by 1".into()));
            }
            alone(body, &mut HashSet::new())
        }
        Inst::Loop { body, .. } => check(body),
        Inst::If { then, otherwise, .. } => check(then).and_then(|()| check(otherwise)),
        _ => Ok(()),
    })
}

/// Checks the body of such a loop, with the cells that it has declared.
fn alone<'a>(body: &'a [Inst], own: &mut HashSet<&'a Name>) -> Checked<'a> {
    body.iter().try_for_each(|inst| match inst {
        Inst::Loop { kind: LoopKind::Abreast, .. } => Err((inst, "a loop abreast within another".into())),
        Inst::Loop { body, .. } => alone(body, own),
        Inst::If { then, otherwise, .. } => alone(then, own).and_then(|()| alone(otherwise, own)),
        Inst::Cell { name, .. } => {
            own.insert(name);
            Ok(())
        }
        Inst::Commit | Inst::Wait(_) => Err((inst, "copies are waited for outside of loops abreast".into())),
        Inst::Set { cell, .. } | Inst::Dot { cell, .. } if !own.contains(&cell.name) => {
            Err((inst, format!("a loop abreast changes %{}, which is not its own", cell.name)))
        }
        _ => Ok(()),
    })
}
