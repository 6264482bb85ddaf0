//! Conversions between types, and the same bits as another type.

use super::code::{Arg, Class, Effect, Size, V};
use super::select::{Selector, class, r64};
use super::table;
use super::{Result, refuse};
use iced_x86::Code;
use mlc_ir::DType;
use mlc_ir::tile::{Operand, Type};

impl Selector<'_> {
    pub fn convert(&mut self, ty: Type, from: Type, a: &Operand) -> Result<V> {
        match (class(from), class(ty)) {
            _ if ty == from => self.reg(a, ty),
            (Class::Vector, Class::Vector) => self.convert_lanes(ty, from, a),
            (Class::General, Class::General) => {
                let a = self.reg(a, from)?;
                self.extend(ty.dtype, a)
            }
            (Class::General, Class::Vector) if ty.dtype == DType::F32 && from.dtype != DType::U64 => {
                let a = self.reg(a, from)?;
                let v = self.vector();
                self.load_zero(v);
                let x = Arg::Reg(v, Size::Xmm);
                self.inst_of(&table::FLOAT_OF_GENERAL, Size::Xmm, Effect::Write, &[x, x, r64(a)]);
                Ok(v)
            }
            (Class::General, Class::Mask) => {
                let a = self.reg(a, from)?;
                Ok(self.mask_of_flags(a, Arg::Imm32(0), Code::Cmovne_r64_rm64))
            }
            (Class::Mask, Class::General) => {
                let a = self.reg(a, from)?;
                Ok(self.int_of_mask(a))
            }
            (Class::Mask, Class::Vector) => {
                let size = self.size(ty)?;
                let mask = self.reg(a, from)?;
                let one = self.arg(&one(ty.dtype), ty)?;
                let Arg::Mem(one) = one else { return refuse("no constant") };
                Ok(self.constant_where(size, mask, one))
            }
            (Class::Vector, Class::Mask) => {
                let size = self.size(from)?;
                let a = Arg::Reg(self.reg(a, from)?, size);
                if from.dtype == DType::F32 {
                    let zero = self.bits(0);
                    return Ok(self.compare_floats(4, size, a, zero));
                }
                Ok(self.not_zero(size, a))
            }
            _ => refuse(format!("conversion of {from} to {ty}")),
        }
    }

    fn load_zero(&mut self, v: V) {
        let x = Arg::Reg(v, Size::Xmm);
        self.inst_of(&table::XOR, Size::Xmm, Effect::Write, &[x, x, x]);
    }

    fn convert_lanes(&mut self, ty: Type, from: Type, a: &Operand) -> Result<V> {
        let size = self.size(table::held(ty))?;
        match (from.dtype, ty.dtype) {
            (DType::I32, DType::F32) => {
                let a = self.arg(a, from)?;
                Ok(self.make(&table::FLOAT_OF_INT, size, &[a]))
            }
            (DType::F32, DType::I8 | DType::U8) if from.lanes > 1 => {
                let int = Type { dtype: DType::I32, ..ty };
                let int = Arg::Reg(self.convert_lanes(int, from, a)?, size);
                let (low, high) = if ty.dtype == DType::I8 { (-128, 127) } else { (0, 255) };
                let (low, high) = (self.bits(low as u32), self.bits(high));
                let above = Arg::Reg(self.make(&table::MAX_S, size, &[int, low]), size);
                Ok(self.make(&table::MIN_S, size, &[above, high]))
            }
            (DType::F32, DType::I32) if from.lanes > 1 => {
                let a = Arg::Reg(self.reg(a, from)?, size);
                let v = Arg::Reg(self.make(&table::INT_OF_FLOAT, size, &[a]), size);
                // What is too large became the lowest int, and so did NaN.
                let limit = self.bits(2f32.powi(31).to_bits());
                let large = self.compare_floats(0x1d, size, a, limit);
                let most = self.bits(i32::MAX as u32);
                let v = Arg::Reg(self.choose(size, large, most, v), size);
                let nan = self.compare_floats(3, size, a, a);
                let zero = self.bits(0);
                Ok(self.choose(size, nan, zero, v))
            }
            (DType::I8 | DType::U8, DType::I32 | DType::U32) => self.reg(a, from),
            (DType::I8 | DType::U8, DType::F32) => {
                let a = Arg::Reg(self.reg(a, from)?, size);
                Ok(self.make(&table::FLOAT_OF_INT, size, &[a]))
            }
            (DType::F16, DType::F32) => self.reg(a, from),
            (DType::F32, DType::F16) => {
                let a = self.reg(a, from)?;
                Ok(self.round_to_half(size, a))
            }
            (DType::I32, DType::U32) | (DType::U32, DType::I32) => self.reg(a, from),
            _ => refuse(format!("conversion of {from} to {ty}")),
        }
    }

    pub fn bitcast(&mut self, ty: Type, from: Type, a: &Operand) -> Result<V> {
        if from.dtype == DType::F16 || ty.dtype == DType::F16 {
            return refuse(format!("the bits of {from} as {ty}"));
        }
        let a = self.reg(a, from)?;
        match (class(from), class(ty)) {
            (Class::Vector, Class::Vector) => {
                self.size(from)?;
                self.size(ty)?;
                Ok(a)
            }
            (Class::General, Class::General) => self.extend(ty.dtype, a),
            (Class::Vector, Class::General) if from.dtype == DType::F32 => {
                let v = self.general();
                let args = [Arg::Reg(v, Size::R32), Arg::Reg(a, Size::Xmm)];
                self.inst_of(&table::MOVE_TO_GENERAL, Size::Xmm, Effect::Write, &args);
                self.extend(ty.dtype, v)
            }
            (Class::General, Class::Vector) if ty.dtype == DType::F32 => {
                let v = self.vector();
                let args = [Arg::Reg(v, Size::Xmm), Arg::Reg(a, Size::R32)];
                self.inst_of(&table::MOVE_FROM_GENERAL, Size::Xmm, Effect::Write, &args);
                Ok(v)
            }
            _ => refuse(format!("the bits of {from} as {ty}")),
        }
    }
}

fn one(dtype: DType) -> Operand {
    if dtype.is_float() { Operand::Float(1.0) } else { Operand::Int(1) }
}
