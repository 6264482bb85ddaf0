//! Elements that lie side by side and are loaded one by one, loaded together.
//!
//! In: a straight run of instructions.  Out: where it first loads one of some neighbours, all of them are loaded.
//! Invariant: between the first and the last of them nothing is stored and nothing branches, so that moving the loads
//! changes nothing; the address of the first is a multiple of all their bytes.

use super::body::{Binding, Emitter};
use super::register::{Class, stored};
use mlc_ir::tile::{Access, Inst, Op};
use mlc_ir::{DType, Name};
use std::collections::{BTreeMap, HashMap};

/// Neighbours: the values they become, in the order of memory, and the first one's place.
pub(super) struct Group {
    cursor: Name,
    offset: i64,
    dtype: DType,
    values: Vec<Name>,
}

/// Loads of a run whose places are in one piece of memory.
type Open<'a> = BTreeMap<(&'a Name, DType, i64), BTreeMap<i64, (usize, &'a Name)>>;

impl Emitter<'_> {
    /// The groups of a body, by the instruction that first loads one of their elements.
    pub(super) fn groups(&self, insts: &[Inst]) -> HashMap<usize, Group> {
        let mut groups = HashMap::new();
        let mut open = Open::new();
        for (number, inst) in insts.iter().enumerate() {
            match inst {
                Inst::Let { dst, op: Op::Load(access, None) | Op::Broadcast(access), ty } => {
                    let alone = matches!(inst, Inst::Let { op: Op::Broadcast(_), .. }) || ty.lanes == 1;
                    let Access::Linear { cursor, offset, .. } = access else { continue };
                    if !alone || ty.dtype == DType::Bool {
                        continue;
                    }
                    let (count, bytes) = piece(ty.dtype);
                    let key = (cursor, ty.dtype, offset.div_euclid(bytes));
                    let found = open.entry(key).or_default();
                    found.entry(*offset).or_insert((number, &dst.name));
                    if found.len() == count && self.is_aligned(cursor, bytes) {
                        let (first, _) = found.values().min().copied().unwrap_or((number, &dst.name));
                        let values = found.values().map(|it| it.1.clone()).collect();
                        let offset = key.2 * bytes;
                        groups.insert(first, Group { cursor: cursor.clone(), offset, dtype: ty.dtype, values });
                        open.remove(&key);
                    }
                }
                Inst::Loop { .. } | Inst::If { .. } | Inst::Store { .. } => open.clear(),
                _ => {}
            }
        }
        groups
    }

    fn is_aligned(&self, cursor: &Name, bytes: i64) -> bool {
        self.multiples.get(cursor).is_some_and(|multiple| multiple % bytes == 0)
    }

    /// Loads a group; its values are then taken from `loaded`.
    pub(super) fn load_group(&mut self, group: &Group) {
        let Some(Binding::Cursor(pointer, space)) = self.names.get(&group.cursor).cloned() else { return };
        if i32::try_from(group.offset).is_err() {
            return;
        }
        let class = Class::of(group.dtype);
        let regs: Vec<_> = group.values.iter().map(|_| self.reg(class)).collect();
        let names = regs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let op = format!("ld.{space}.v{}.{}", regs.len(), stored(group.dtype));
        self.ins(&op, &[&format!("{{{names}}}"), &format!("[{pointer}+{}]", group.offset)]);
        self.loaded.extend(group.values.iter().cloned().zip(regs));
    }
}

/// Elements that one instruction loads, and their bytes.
fn piece(dtype: DType) -> (usize, i64) {
    let count = (16 / dtype.bytes()).min(4);
    (count, (count * dtype.bytes()) as i64)
}
