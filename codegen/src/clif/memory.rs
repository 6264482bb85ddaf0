//! Loads and stores.
//!
//! A vector narrower than a register is moved as one scalar of its size. A mask is one byte a lane in memory. Of an
//! access that is masked by `first`, the whole is done at once if `first` covers all lanes; else each lane in turn,
//! unless slack allows to read beyond.

use super::body::{Binding, Emitter};
use super::value::{Val, count, element, int, per_register, register};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value, types};
use mlc_ir::tile::{Access, Type};
use mlc_ir::{DType, Error, Index, Result};

/// A pointer and a constant.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pointer: Value,
    offset: i32,
}

impl Place {
    fn plus(self, bytes: usize) -> Place {
        Place { offset: self.offset + bytes as i32, ..self }
    }
}

impl Emitter<'_> {
    fn place(&mut self, access: &Access) -> Result<Place> {
        let Access::Linear { cursor, offset, .. } = access else {
            return Err(Error::internal("an indexed access in a linear tile"));
        };
        let pointer = match self.names.get(cursor) {
            Some(Binding::Fixed(pointer)) => *pointer,
            Some(Binding::Moving(var)) => {
                let var = *var;
                self.b.use_var(var)
            }
            _ => return Err(Error::internal(format!("%{cursor} is no cursor"))),
        };
        // Room for the lanes of the widest vector.
        match i32::try_from(*offset).ok().filter(|offset| *offset < i32::MAX - (1 << 16)) {
            Some(offset) => Ok(Place { pointer, offset }),
            None => Ok(Place { pointer: self.b.ins().iadd_imm_s(pointer, *offset), offset: 0 }),
        }
    }

    fn load_scalar(&mut self, dtype: DType, from: Place) -> Value {
        self.b.ins().load(element(dtype), self.flags, from.pointer, from.offset)
    }

    fn store_scalar(&mut self, value: Value, to: Place) {
        self.b.ins().store(self.flags, value, to.pointer, to.offset);
    }

    /// Lanes from memory; the lanes of a mask as bytes.
    fn load_all(&mut self, ty: Type, from: Place) -> Vec<Value> {
        let flags = self.flags;
        let clif = register(ty);
        if ty.lanes == 1 || ty.bytes() >= 16 {
            let load = |n: usize| (n, from.plus(16 * n));
            let places: Vec<_> = (0..count(ty)).map(load).collect();
            return places.into_iter().map(|(_, p)| self.b.ins().load(clif, flags, p.pointer, p.offset)).collect();
        }
        let narrow = int(ty.bytes() as u32 * 8);
        let mut bits = self.b.ins().load(narrow, flags, from.pointer, from.offset);
        if narrow == types::I16 {
            bits = self.b.ins().uextend(types::I32, bits);
        }
        let wide = self.b.func.dfg.value_type(bits);
        let vector = self.b.ins().scalar_to_vector(super::value::full(wide), bits);
        vec![self.cast(vector, clif)]
    }

    fn store_all(&mut self, ty: Type, regs: &[Value], to: Place) {
        if ty.lanes == 1 || ty.bytes() >= 16 {
            for (n, reg) in regs.iter().enumerate() {
                self.store_scalar(*reg, to.plus(16 * n));
            }
            return;
        }
        let narrow = int(ty.bytes() as u32 * 8);
        let vector = self.cast(regs[0], super::value::full(narrow));
        let bits = self.b.ins().extractlane(vector, 0);
        self.store_scalar(bits, to);
    }

    /// The load instruction.
    pub(super) fn load(&mut self, ty: Type, from: &Access, first: Option<&Index>) -> Result<Val> {
        let place = self.place(from)?;
        let bytes = match first {
            None => self.load_all(ty, place),
            Some(first) => {
                let first = self.eval(first)?;
                self.load_first(ty, place, first)?
            }
        };
        Ok(self.of_memory(ty, bytes))
    }

    /// What was loaded, as a value.
    fn of_memory(&mut self, ty: Type, bytes: Vec<Value>) -> Val {
        if ty.dtype != DType::Bool || ty.lanes == 1 {
            return Val::new(ty, bytes);
        }
        let zero = self.zero(types::I8X16);
        let regs = bytes.into_iter().map(|reg| self.b.ins().icmp(IntCC::NotEqual, reg, zero)).collect();
        Val::mask(ty.lanes, 8, regs)
    }

    fn load_first(&mut self, ty: Type, from: Place, first: Value) -> Result<Vec<Value>> {
        let clif = register(ty);
        let vars: Vec<_> = (0..count(ty)).map(|_| self.b.declare_var(clif)).collect();
        let (whole, part, done) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        let all = self.b.ins().iconst(types::I64, i64::from(ty.lanes));
        self.branch_if(IntCC::SignedGreaterThanOrEqual, first, all, whole, part);
        self.b.seal_block(whole);
        self.b.seal_block(part);
        self.b.switch_to_block(whole);
        for (var, reg) in vars.iter().zip(self.load_all(ty, from)) {
            self.b.def_var(*var, reg);
        }
        self.b.ins().jump(done, &[]);
        self.b.switch_to_block(part);
        for var in &vars {
            let zero = self.zero(clif);
            self.b.def_var(*var, zero);
        }
        for lane in 0..usize::from(ty.lanes) {
            self.while_before(lane, first, done);
            let reg = lane / per_register(ty.dtype);
            let value = self.load_scalar(ty.dtype, from.plus(lane * ty.dtype.bytes()));
            let value = match ty.lanes {
                1 => value,
                _ => {
                    let old = self.b.use_var(vars[reg]);
                    self.b.ins().insertlane(old, value, (lane % per_register(ty.dtype)) as u8)
                }
            };
            self.b.def_var(vars[reg], value);
        }
        self.b.ins().jump(done, &[]);
        self.b.seal_block(done);
        self.b.switch_to_block(done);
        Ok(vars.into_iter().map(|var| self.b.use_var(var)).collect())
    }

    /// Goes on if `lane < first`, else to `done`.
    fn while_before(&mut self, lane: usize, first: Value, done: cranelift_codegen::ir::Block) {
        let next = self.b.create_block();
        let holds = self.b.ins().icmp_imm_s(IntCC::SignedGreaterThan, first, lane as i64);
        self.b.ins().brif(holds, next, &[], done, &[]);
        self.b.seal_block(next);
        self.b.switch_to_block(next);
    }

    /// One element in all lanes.
    pub(super) fn broadcast(&mut self, ty: Type, from: &Access) -> Result<Val> {
        let place = self.place(from)?;
        let scalar = self.load_scalar(ty.dtype, place);
        Ok(self.splat(&Val::scalar(ty.dtype, scalar), ty.lanes))
    }

    /// The store instruction.
    pub(super) fn store(&mut self, to: &Access, value: Val, first: Option<&Index>) -> Result<()> {
        let place = self.place(to)?;
        let ty = value.ty;
        let regs = if value.is_mask() { self.mask_bytes(&value) } else { value.regs };
        let Some(first) = first else {
            self.store_all(ty, &regs, place);
            return Ok(());
        };
        let first = self.eval(first)?;
        let (whole, part, done) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        let all = self.b.ins().iconst(types::I64, i64::from(ty.lanes));
        self.branch_if(IntCC::SignedGreaterThanOrEqual, first, all, whole, part);
        self.b.seal_block(whole);
        self.b.seal_block(part);
        self.b.switch_to_block(whole);
        self.store_all(ty, &regs, place);
        self.b.ins().jump(done, &[]);
        self.b.switch_to_block(part);
        for lane in 0..usize::from(ty.lanes) - usize::from(ty.lanes > 1) {
            self.while_before(lane, first, done);
            let scalar = self.extract(ty, &regs, lane);
            self.store_scalar(scalar, place.plus(lane * ty.dtype.bytes()));
        }
        self.b.ins().jump(done, &[]);
        self.b.seal_block(done);
        self.b.switch_to_block(done);
        Ok(())
    }

    /// A mask as bytes 0 and 1.
    fn mask_bytes(&mut self, mask: &Val) -> Vec<Value> {
        let bytes = self.at_width(mask, 8);
        let one = self.splat_bits(types::I8X16, 1);
        bytes.regs.into_iter().map(|reg| self.b.ins().band(reg, one)).collect()
    }
}
