//! Cursors that are computed where they are first needed.
//!
//! In: the instructions of a body, its cursors first.  Out: which of the cursors to compute before which of the others.
//! Invariant: a cursor is computed in the body that declares it, so that all that need it find it; and one that a loop advances
//! at the beginning, as the loop follows.
//!
//! Of a body with many cursors, such as a transform that reads or writes a place in each of many matrices, few are then live at
//! once.

use mlc_ir::Name;
use mlc_ir::tile::{Access, Inst};
use std::collections::HashMap;

/// Cursors of a body by the number of the instruction that first needs them; those that none needs, or that advance, are the
/// first one's.
pub(super) fn late<'a>(cursors: &'a [Inst], insts: &'a [Inst]) -> HashMap<usize, Vec<&'a Inst>> {
    let mut needed: HashMap<&Name, usize> = HashMap::new();
    for (number, inst) in insts.iter().enumerate() {
        visit(inst, &mut |cursor| {
            needed.entry(cursor).or_insert(number);
        });
    }
    let mut late: HashMap<usize, Vec<&Inst>> = HashMap::new();
    for cursor in cursors {
        let number = match cursor {
            Inst::Cursor { name, advance: None, .. } => needed.get(name).copied().unwrap_or(0),
            _ => 0,
        };
        late.entry(number).or_default().push(cursor);
    }
    late
}

/// The cursors that an instruction needs, and those inside it.
fn visit<'a>(inst: &'a Inst, found: &mut dyn FnMut(&'a Name)) {
    for access in inst.accesses() {
        if let Access::Linear { cursor, .. } = access {
            found(cursor);
        }
    }
    match inst {
        Inst::Loop { body, .. } => body.iter().for_each(|inst| visit(inst, found)),
        Inst::If { then, otherwise, .. } => then.iter().chain(otherwise).for_each(|inst| visit(inst, found)),
        _ => {}
    }
}
