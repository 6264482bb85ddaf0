//! Conversions between element types.

use super::body::Emitter;
use super::value::{Val, count, element, full, int, register, registers};
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{InstBuilder, Value, types};
use mlc_ir::tile::Type;
use mlc_ir::{DType, Result};

impl Emitter<'_> {
    /// A value as another element type.
    pub(super) fn convert(&mut self, to: DType, a: &Val) -> Result<Val> {
        let from = a.ty.dtype;
        if from == to {
            return Ok(a.clone());
        }
        if from.is_half() || to.is_half() {
            return self.convert_half(to, a);
        }
        if a.ty.lanes == 1 {
            let value = self.convert_scalar(from, to, a.regs[0]);
            return Ok(Val::scalar(to, value));
        }
        let ty = Type { dtype: to, ..a.ty };
        let wide_int = |dtype| matches!(dtype, DType::I64 | DType::U64);
        let by_lanes = (wide_int(from) && to.is_float()) || (from == DType::F64 && to.is_int());
        if by_lanes || (from == DType::F32 && wide_int(to)) {
            return self.by_lane(ty, &[a], &mut |this, x| Ok(this.convert_scalar(from, to, x[0])));
        }
        Ok(match (from, to) {
            (DType::Bool, _) => self.mask_as_numbers(ty, a),
            (_, DType::Bool) => self.numbers_as_mask(a),
            (DType::F32, DType::F64) => self.promote(a),
            (DType::F64, DType::F32) => self.demote(a),
            (DType::F32, _) => self.truncate(ty, a),
            (_, DType::F32 | DType::F64) => self.int_to_float(ty, a),
            _ => self.resize(ty, a),
        })
    }

    fn convert_scalar(&mut self, from: DType, to: DType, a: Value) -> Value {
        if to == DType::Bool {
            let zero = self.zero(element(from));
            return match from.is_float() {
                true => self.b.ins().fcmp(FloatCC::NotEqual, a, zero),
                false => self.b.ins().icmp(IntCC::NotEqual, a, zero),
            };
        }
        match (from.is_float(), to.is_float()) {
            (true, true) if to == DType::F64 => self.b.ins().fpromote(types::F64, a),
            (true, true) => self.b.ins().fdemote(types::F32, a),
            (true, false) => self.float_to_int(to, a),
            (false, true) => {
                let to = element(to);
                let wide = self.resize_scalar(from, types::I64, a);
                match from {
                    DType::U64 => self.b.ins().fcvt_from_uint(to, wide),
                    _ => self.b.ins().fcvt_from_sint(to, wide),
                }
            }
            (false, false) => self.resize_scalar(from, element(to), a),
        }
    }

    /// An int made longer or cut; bools and unsigned ints are extended by zeros.
    fn resize_scalar(&mut self, from: DType, to: cranelift_codegen::ir::Type, a: Value) -> Value {
        let have = self.b.func.dfg.value_type(a);
        match have.bits().cmp(&to.bits()) {
            std::cmp::Ordering::Equal => a,
            std::cmp::Ordering::Greater => self.b.ins().ireduce(to, a),
            std::cmp::Ordering::Less if from.is_signed_int() => self.b.ins().sextend(to, a),
            std::cmp::Ordering::Less => self.b.ins().uextend(to, a),
        }
    }

    fn float_to_int(&mut self, to: DType, a: Value) -> Value {
        match to {
            DType::I64 | DType::I32 => self.b.ins().fcvt_to_sint_sat(element(to), a),
            DType::U64 | DType::U32 => self.b.ins().fcvt_to_uint_sat(element(to), a),
            _ => {
                let (low, high) = range(to);
                let wide = self.b.ins().fcvt_to_sint_sat(types::I32, a);
                let (low, high) = (self.b.ins().iconst(types::I32, low), self.b.ins().iconst(types::I32, high));
                let above = self.b.ins().smax(wide, low);
                let within = self.b.ins().smin(above, high);
                self.b.ins().ireduce(element(to), within)
            }
        }
    }

    fn mask_as_numbers(&mut self, ty: Type, a: &Val) -> Val {
        let one = match ty.dtype {
            DType::F32 => u64::from(1f32.to_bits()),
            DType::F64 => 1f64.to_bits(),
            _ => 1,
        };
        let bits = ty.dtype.bytes() as u32 * 8;
        let mask = self.at_width(a, bits);
        let one = self.splat_bits(full(int(bits)), one);
        let clif = register(ty);
        let regs = mask.regs.into_iter().map(|reg| {
            let ones = self.b.ins().band(reg, one);
            self.cast(ones, clif)
        });
        Val::new(ty, regs.collect())
    }

    fn numbers_as_mask(&mut self, a: &Val) -> Val {
        let zero = self.zero(register(a.ty));
        let float = a.ty.dtype.is_float();
        let regs = a.regs.iter().map(|reg| match float {
            true => self.b.ins().fcmp(FloatCC::NotEqual, *reg, zero),
            false => self.b.ins().icmp(IntCC::NotEqual, *reg, zero),
        });
        Val::mask(a.ty.lanes, a.ty.dtype.bytes() as u32 * 8, regs.collect())
    }

    /// The upper half of a register, in the lower.
    fn upper(&mut self, reg: Value) -> Value {
        self.shuffle(reg, reg, [8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15])
    }

    fn promote(&mut self, a: &Val) -> Val {
        let ty = Type { dtype: DType::F64, ..a.ty };
        let mut regs = Vec::with_capacity(count(ty));
        for reg in &a.regs {
            regs.push(self.b.ins().fvpromote_low(*reg));
            if regs.len() < count(ty) {
                let upper = self.upper(*reg);
                regs.push(self.b.ins().fvpromote_low(upper));
            }
        }
        Val::new(ty, regs)
    }

    fn demote(&mut self, a: &Val) -> Val {
        let ty = Type { dtype: DType::F32, ..a.ty };
        let halves: Vec<Value> = a.regs.iter().map(|reg| self.b.ins().fvdemote(*reg)).collect();
        let regs = halves.chunks(2).map(|pair| match pair {
            [low, high] => {
                let bytes = [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23];
                self.shuffle(*low, *high, bytes)
            }
            _ => pair[0],
        });
        Val::new(ty, regs.collect())
    }

    /// `F32` to an int of at most 32 bits.
    fn truncate(&mut self, ty: Type, a: &Val) -> Val {
        let unsigned = ty.dtype == DType::U32;
        let regs: Vec<Value> = a
            .regs
            .iter()
            .map(|reg| match unsigned {
                true => self.b.ins().fcvt_to_uint_sat(types::I32X4, *reg),
                false => self.b.ins().fcvt_to_sint_sat(types::I32X4, *reg),
            })
            .collect();
        if ty.dtype.bytes() == 4 {
            return Val::new(ty, regs);
        }
        let (low, high) = range(ty.dtype);
        let (low, high) = (self.splat_bits(types::I32X4, low as u64), self.splat_bits(types::I32X4, high as u64));
        let regs = regs.into_iter().map(|reg| {
            let above = self.b.ins().smax(reg, low);
            self.b.ins().smin(above, high)
        });
        let wide = Val::new(Type { dtype: DType::I32, ..ty }, regs.collect());
        self.resize(ty, &wide)
    }

    /// Ints of at most 32 bits as floats.
    fn int_to_float(&mut self, ty: Type, a: &Val) -> Val {
        let unsigned = a.ty.dtype == DType::U32;
        let dtype = if unsigned { DType::U32 } else { DType::I32 };
        let wide = self.resize(Type { dtype, ..a.ty }, a);
        let mut regs = Vec::with_capacity(count(ty));
        for reg in wide.regs {
            if ty.dtype == DType::F32 {
                regs.push(match unsigned {
                    true => self.b.ins().fcvt_from_uint(types::F32X4, reg),
                    false => self.b.ins().fcvt_from_sint(types::F32X4, reg),
                });
                continue;
            }
            regs.push(self.low_to_double(unsigned, reg));
            if regs.len() < count(ty) {
                let upper = self.upper(reg);
                regs.push(self.low_to_double(unsigned, upper));
            }
        }
        Val::new(ty, regs)
    }

    fn low_to_double(&mut self, unsigned: bool, reg: Value) -> Value {
        if unsigned {
            let wide = self.b.ins().uwiden_low(reg);
            return self.b.ins().fcvt_from_uint(types::F64X2, wide);
        }
        let wide = self.b.ins().swiden_low(reg);
        self.b.ins().fcvt_from_sint(types::F64X2, wide)
    }

    /// Ints of another length.
    pub(super) fn resize(&mut self, ty: Type, a: &Val) -> Val {
        let signed = a.ty.dtype.is_signed_int();
        let (mut bits, wanted) = (a.ty.dtype.bytes() as u32 * 8, ty.dtype.bytes() as u32 * 8);
        let mut regs = a.regs.clone();
        while bits < wanted {
            bits *= 2;
            let count = registers(ty.lanes, bits);
            let mut wide = Vec::with_capacity(count);
            for reg in regs {
                wide.push(if signed { self.b.ins().swiden_low(reg) } else { self.b.ins().uwiden_low(reg) });
                if wide.len() < count {
                    wide.push(if signed { self.b.ins().swiden_high(reg) } else { self.b.ins().uwiden_high(reg) });
                }
            }
            regs = wide;
        }
        while bits > wanted {
            bits /= 2;
            let pairs: Vec<(Value, Value)> = regs.chunks(2).map(|p| (p[0], *p.last().unwrap_or(&p[0]))).collect();
            regs = pairs.into_iter().map(|(a, b)| self.narrow(a, b)).collect();
        }
        Val::new(ty, regs)
    }

    /// The same bits as another type.
    pub(super) fn bitcast(&mut self, ty: Type, a: &Val) -> Result<Val> {
        let clif = register(ty);
        if ty.lanes > 1 && a.ty.lanes > 1 {
            let regs = a.regs.iter().map(|reg| self.cast(*reg, clif)).collect();
            return Ok(Val::new(ty, regs));
        }
        if ty.lanes == 1 && a.ty.lanes == 1 {
            let value = self.cast(a.regs[0], clif);
            return Ok(Val::new(ty, vec![value]));
        }
        // A scalar and a vector of at most eight bytes.
        let bits = int(ty.bytes() as u32 * 8);
        if ty.lanes == 1 {
            let vector = self.cast(a.regs[0], full(bits));
            let scalar = self.b.ins().extractlane(vector, 0);
            let value = self.cast(scalar, clif);
            return Ok(Val::new(ty, vec![value]));
        }
        let scalar = self.cast(a.regs[0], bits);
        let vector = self.b.ins().splat(full(bits), scalar);
        let value = self.cast(vector, clif);
        Ok(Val::new(ty, vec![value]))
    }
}

/// The least and greatest value of an int of at most 16 bits.
fn range(dtype: DType) -> (i64, i64) {
    match dtype {
        DType::I16 => (i64::from(i16::MIN), i64::from(i16::MAX)),
        DType::U16 => (0, i64::from(u16::MAX)),
        DType::I8 => (i64::from(i8::MIN), i64::from(i8::MAX)),
        _ => (0, i64::from(u8::MAX)),
    }
}
