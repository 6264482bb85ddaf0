//! Masks of the first lanes of a vector, for what is left of a row.
//!
//! A mask is made where all it depends on is known, before the loops in which it is used.

use super::code::{Arg, Effect, Size, V};
use super::select::{Binding, Selector, r64};
use super::{Isa, Result, refuse};
use iced_x86::Code;
use mlc_ir::tile::{Inst, Op};
use mlc_ir::{Index, Name};
use std::collections::BTreeSet;

/// So many masks may wait for a loop: the others are made where they are used.
const WAITING: usize = 4;

impl Selector<'_> {
    /// The mask of the first lanes: as many as an expression says, none if it is negative, all if there are fewer.
    pub fn first(&mut self, first: &Index, lanes: u16) -> Result<V> {
        let key = (first.clone(), lanes);
        if let Some(mask) = self.masks.iter().rev().find_map(|known| known.get(&key)) {
            return Ok(*mask);
        }
        if self.isa != Isa::Avx512 {
            return refuse("a mask of lanes");
        }
        let bits = match first.as_const() {
            Some(n) => {
                let bits = self.general();
                self.number(bits, (1 << n.clamp(0, i64::from(lanes))) - 1);
                bits
            }
            None => self.first_bits(first, lanes)?,
        };
        let mask = self.mask();
        let args = [Arg::Reg(mask, Size::Mask), Arg::Reg(bits, Size::R32)];
        self.code.inst(Code::VEX_Kmovw_kr_r32, Effect::Write, &args);
        if let Some(known) = self.masks.last_mut().filter(|_| !first.looks_up()) {
            known.insert(key, mask);
        }
        Ok(mask)
    }

    /// As many low bits as an expression says, between none and one for each lane.
    fn first_bits(&mut self, first: &Index, lanes: u16) -> Result<V> {
        let count = self.fresh(first)?;
        for (limit, code) in [(0, Code::Cmovl_r64_rm64), (i64::from(lanes), Code::Cmovg_r64_rm64)] {
            let bound = self.general();
            self.number(bound, limit);
            self.compare(count, Arg::Imm32(limit as i32));
            self.code.inst(code, Effect::Modify, &[r64(count), r64(bound)]);
        }
        let bits = self.general();
        self.number(bits, -1);
        self.code.inst(Code::VEX_Bzhi_r64_rm64_r64, Effect::Modify, &[r64(bits), r64(bits), r64(count)]);
        Ok(bits)
    }

    /// Makes the masks that a body will need and that depend on nothing in it.
    pub fn make_masks(&mut self, body: &[Inst]) -> Result<()> {
        let (mut wanted, mut inner) = (Vec::new(), BTreeSet::new());
        collect(body, &mut wanted, &mut inner);
        for (first, lanes) in wanted {
            let bound = |name: &Name| !inner.contains(name) && matches!(self.names.get(name), Some(Binding::Number(_)));
            let waiting = self.masks.iter().map(|known| known.len()).sum::<usize>();
            if waiting < WAITING && !first.looks_up() && first.vars().iter().all(bound) {
                self.first(&first, lanes)?;
            }
        }
        Ok(())
    }
}

/// The masks of a body, and the variables of the loops in it.
fn collect(body: &[Inst], masks: &mut Vec<(Index, u16)>, inner: &mut BTreeSet<Name>) {
    for inst in body {
        match inst {
            Inst::Loop { var, body, .. } => {
                inner.insert(var.clone());
                collect(body, masks, inner);
            }
            Inst::If { then, otherwise, .. } => {
                collect(then, masks, inner);
                collect(otherwise, masks, inner);
            }
            Inst::Store { first: Some(first), ty, .. } | Inst::Let { ty, op: Op::Load(_, Some(first)), .. } => {
                let mask = (first.clone(), ty.lanes);
                if !masks.contains(&mask) {
                    masks.push(mask);
                }
            }
            _ => {}
        }
    }
}
