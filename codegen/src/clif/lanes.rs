//! Constants, single lanes, masks, and folds over lanes.

use super::body::Emitter;
use super::value::{Val, count, element, full, int, mask_width, per_register, register, registers};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{ConstantData, Endianness, InstBuilder, MemFlagsData, Type as Clif, Value, types};
use mlc_ir::tile::{Monoid, Type};
use mlc_ir::{DType, Error, Result};

impl Emitter<'_> {
    /// The same bits as another type of equal size.
    pub(super) fn cast(&mut self, value: Value, to: Clif) -> Value {
        if self.b.func.dfg.value_type(value) == to {
            return value;
        }
        self.b.ins().bitcast(to, MemFlagsData::new().with_endianness(Endianness::Little), value)
    }

    /// A vector of 16 given bytes.
    pub(super) fn vector(&mut self, ty: Clif, bytes: &[u8]) -> Value {
        let constant = self.b.func.dfg.constants.insert(ConstantData::from(bytes));
        self.b.ins().vconst(ty, constant)
    }

    pub(super) fn zero(&mut self, ty: Clif) -> Value {
        self.splat_bits(ty, 0)
    }

    /// A constant with the given bits in the scalar, or in every lane.
    pub(super) fn splat_bits(&mut self, ty: Clif, bits: u64) -> Value {
        let size = ty.lane_type().bytes() as usize;
        let bytes = &bits.to_le_bytes()[..size];
        if ty.is_vector() {
            return self.vector(ty, &bytes.repeat(16 / size));
        }
        match ty {
            types::F64 => self.b.ins().f64const(f64::from_bits(bits)),
            types::F32 => self.b.ins().f32const(f32::from_bits(bits as u32)),
            _ => {
                let shift = 64 - 8 * size as u32;
                self.b.ins().iconst(ty, ((bits << shift) >> shift) as i64)
            }
        }
    }

    pub(super) fn float_constant(&mut self, x: f64, ty: Type) -> Val {
        let bits = match ty.dtype {
            DType::F64 => x.to_bits(),
            DType::F16 => u64::from(super::legal::f16_bits(x)),
            DType::BF16 => u64::from(super::legal::bf16_bits(x)),
            _ => u64::from((x as f32).to_bits()),
        };
        let reg = self.splat_bits(register(ty), bits);
        Val::new(ty, vec![reg; count(ty)])
    }

    pub(super) fn int_constant(&mut self, n: i64, ty: Type) -> Val {
        if ty.dtype == DType::Bool && ty.lanes > 1 {
            let width = mask_width(ty.lanes);
            let reg = self.splat_bits(full(int(width)), if n == 0 { 0 } else { u64::MAX });
            return Val::mask(ty.lanes, width, vec![reg; registers(ty.lanes, width)]);
        }
        let reg = self.splat_bits(register(ty), n as u64);
        Val::new(ty, vec![reg; count(ty)])
    }

    /// 0, 1, 2, ...
    pub(super) fn iota(&mut self, ty: Type) -> Val {
        if ty.lanes == 1 {
            return self.int_constant(0, ty);
        }
        let (size, lanes) = (ty.dtype.bytes(), per_register(ty.dtype));
        let register = register(ty);
        let regs = (0..count(ty)).map(|reg| {
            let lane = |lane: usize| ((reg * lanes + lane) as u64).to_le_bytes()[..size].to_vec();
            let bytes: Vec<u8> = (0..lanes).flat_map(lane).collect();
            self.vector(register, &bytes)
        });
        Val::new(ty, regs.collect())
    }

    /// A scalar in all lanes.
    pub(super) fn splat(&mut self, scalar: &Val, lanes: u16) -> Val {
        let ty = Type { lanes, ..scalar.ty };
        if lanes == 1 {
            return scalar.clone();
        }
        let mut value = scalar.regs[0];
        if ty.dtype == DType::Bool {
            let width = mask_width(lanes);
            let wide = int(width);
            if width > 8 {
                value = self.b.ins().uextend(wide, value);
            }
            let value = self.b.ins().ineg(value);
            let reg = self.b.ins().splat(full(wide), value);
            return Val::mask(lanes, width, vec![reg; registers(lanes, width)]);
        }
        let reg = self.b.ins().splat(full(element(ty.dtype)), value);
        Val { uniform: Some(value), ..Val::new(ty, vec![reg; count(ty)]) }
    }

    /// One lane of registers that hold a type's lanes.
    pub(super) fn extract(&mut self, ty: Type, regs: &[Value], lane: usize) -> Value {
        if ty.lanes == 1 {
            return regs[0];
        }
        let each = per_register(ty.dtype);
        self.b.ins().extractlane(regs[lane / each], (lane % each) as u8)
    }

    /// One lane, as a scalar.
    pub(super) fn lane(&mut self, value: &Val, lane: usize) -> Value {
        if !value.is_mask() {
            return self.extract(value.ty, &value.regs, lane);
        }
        let each = (128 / value.width) as usize;
        let bits = self.b.ins().extractlane(value.regs[lane / each], (lane % each) as u8);
        let bits = if value.width > 8 { self.b.ins().ireduce(types::I8, bits) } else { bits };
        self.b.ins().band_imm_u(bits, 1)
    }

    /// A vector from scalars.
    pub(super) fn pack(&mut self, ty: Type, scalars: &[Value]) -> Val {
        if ty.lanes == 1 {
            return Val::new(ty, scalars.to_vec());
        }
        let (clif, each) = (register(ty), per_register(ty.dtype));
        let mut regs = Vec::with_capacity(count(ty));
        for lanes in scalars.chunks(each) {
            let mut reg = self.b.ins().splat(clif, lanes[0]);
            for (lane, scalar) in lanes.iter().enumerate().skip(1) {
                if *scalar != lanes[0] {
                    reg = self.b.ins().insertlane(reg, *scalar, lane as u8);
                }
            }
            regs.push(reg);
        }
        if ty.dtype != DType::Bool {
            return Val::new(ty, regs);
        }
        let zero = self.zero(types::I8X16);
        let regs = regs.into_iter().map(|reg| self.b.ins().icmp(IntCC::NotEqual, reg, zero)).collect();
        Val::mask(ty.lanes, 8, regs)
    }

    /// Computes each lane by itself.
    pub(super) fn by_lane(
        &mut self,
        ty: Type,
        operands: &[&Val],
        compute: &mut dyn FnMut(&mut Self, &[Value]) -> Result<Value>,
    ) -> Result<Val> {
        let mut lanes = Vec::with_capacity(usize::from(ty.lanes));
        for lane in 0..usize::from(ty.lanes) {
            let scalars: Vec<Value> = operands.iter().map(|operand| self.lane(operand, lane)).collect();
            lanes.push(compute(self, &scalars)?);
        }
        Ok(self.pack(ty, &lanes))
    }

    /// Bytes of two registers, chosen by number: 0 to 15 from the first, 16 to 31 from the second.
    pub(super) fn shuffle(&mut self, a: Value, b: Value, bytes: [u8; 16]) -> Value {
        let ty = self.b.func.dfg.value_type(a);
        let (a, b) = (self.cast(a, types::I8X16), self.cast(b, types::I8X16));
        let mask = self.b.func.dfg.immediates.push(ConstantData::from(&bytes[..]));
        let mixed = self.b.ins().shuffle(a, b, mask);
        self.cast(mixed, ty)
    }

    /// The upper bytes of a register moved to its beginning.
    fn down(&mut self, a: Value, by: usize) -> Value {
        let mut bytes = [0u8; 16];
        for (place, byte) in bytes.iter_mut().enumerate() {
            *byte = ((place + by) % 16) as u8;
        }
        self.shuffle(a, a, bytes)
    }

    /// A mask with lanes of so many bits.
    pub(super) fn at_width(&mut self, mask: &Val, width: u32) -> Val {
        let mut mask = mask.clone();
        while mask.width < width {
            let count = registers(mask.ty.lanes, mask.width * 2);
            let wide = full(int(mask.width * 2));
            let mut regs = Vec::with_capacity(count);
            for reg in &mask.regs {
                regs.push(self.b.ins().swiden_low(*reg));
                if regs.len() < count {
                    regs.push(self.b.ins().swiden_high(*reg));
                }
            }
            debug_assert!(regs.iter().all(|reg| self.b.func.dfg.value_type(*reg) == wide));
            mask = Val::mask(mask.ty.lanes, mask.width * 2, regs);
        }
        while mask.width > width {
            let pairs: Vec<(Value, Value)> = mask.regs.chunks(2).map(|p| (p[0], *p.last().unwrap_or(&p[0]))).collect();
            let regs = pairs.into_iter().map(|(a, b)| self.narrow(a, b)).collect();
            mask = Val::mask(mask.ty.lanes, mask.width / 2, regs);
        }
        mask
    }

    /// The lower halves of the ints of two registers, in one.
    pub(super) fn narrow(&mut self, a: Value, b: Value) -> Value {
        match self.b.func.dfg.value_type(a) {
            types::I64X2 => {
                let (a, b) = (self.cast(a, types::I32X4), self.cast(b, types::I32X4));
                self.shuffle(a, b, [0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27])
            }
            ty => {
                // What is sign-extended from the lower half is not saturated.
                let half = i64::from(ty.lane_bits() / 2);
                let low = |this: &mut Self, reg: Value| {
                    let up = this.b.ins().ishl_imm_u(reg, half);
                    this.b.ins().sshr_imm_u(up, half)
                };
                let (a, b) = (low(self, a), low(self, b));
                self.b.ins().snarrow(a, b)
            }
        }
    }

    /// All lanes folded by halving.
    pub(super) fn reduce(&mut self, monoid: Monoid, value: Val) -> Result<Val> {
        let scalar = Type::scalar(value.ty.dtype);
        if value.ty.lanes == 1 {
            return Ok(value);
        }
        let bytes = if value.is_mask() { value.width as usize / 8 } else { value.ty.dtype.bytes() };
        let mut lanes = usize::from(value.ty.lanes);
        let mut regs = value.regs.clone();
        while regs.len() > 1 {
            lanes /= 2;
            let upper = regs.split_off(regs.len() / 2);
            let pairs: Vec<_> = regs.into_iter().zip(upper).collect();
            regs = pairs.into_iter().map(|(a, b)| self.fold(monoid, &value, a, b)).collect::<Result<_>>()?;
        }
        let mut reg = regs.pop().ok_or_else(|| Error::internal("no lanes"))?;
        while lanes > 1 && (self.caps.permute || lanes / 2 * bytes >= 4) {
            lanes /= 2;
            let upper = self.down(reg, lanes * bytes);
            reg = self.fold(monoid, &value, reg, upper)?;
        }
        let mut rest: Vec<Value> = Vec::new();
        let one = Val { regs: vec![reg], ..value.clone() };
        for lane in 0..lanes {
            rest.push(self.lane(&one, lane));
        }
        while rest.len() > 1 {
            let upper = rest.split_off(rest.len() / 2);
            let pairs: Vec<_> = rest.into_iter().zip(upper).collect();
            let like = Val::new(scalar, vec![]);
            rest = pairs.into_iter().map(|(a, b)| self.fold(monoid, &like, a, b)).collect::<Result<_>>()?;
        }
        Ok(Val::new(scalar, rest))
    }

    /// One step of a fold, on registers that hold lanes like those of a value.
    fn fold(&mut self, monoid: Monoid, like: &Val, a: Value, b: Value) -> Result<Value> {
        use mlc_ir::tile::Binary;
        let dtype = like.ty.dtype;
        let op = match monoid {
            Monoid::And => return Ok(self.b.ins().band(a, b)),
            Monoid::Or => return Ok(self.b.ins().bor(a, b)),
            Monoid::Sum => Binary::Add,
            Monoid::Prod => Binary::Mul,
            Monoid::Max => Binary::Max,
            Monoid::Min => Binary::Min,
        };
        let best = self.binary_register(op, dtype, a, b)?;
        if !dtype.is_float() || !matches!(monoid, Monoid::Max | Monoid::Min) {
            return Ok(best);
        }
        // `a > b ? a : b` is b if either is NaN, so only a NaN in a is lost.
        let nan = self.b.ins().fcmp(cranelift_codegen::ir::condcodes::FloatCC::Unordered, a, a);
        Ok(self.choose(nan, a, best))
    }

    /// `mask ? a : b`; the mask of vectors has lanes of the same width.
    pub(super) fn choose(&mut self, mask: Value, a: Value, b: Value) -> Value {
        let ty = self.b.func.dfg.value_type(a);
        if !ty.is_vector() {
            return self.b.ins().select(mask, a, b);
        }
        let mask = self.cast(mask, ty);
        self.b.ins().bitselect(mask, a, b)
    }
}
