//! Single ints.

use super::code::{Arg, Effect, Size, V};
use super::select::{Selector, r64};
use super::{Result, refuse};
use iced_x86::Code;
use mlc_ir::DType;
use mlc_ir::tile::{Binary, Compare, Op, Operand, Type, Unary};

impl Selector<'_> {
    /// An int cut to a type and extended to 64 bits again.
    pub fn extend(&mut self, dtype: DType, a: V) -> Result<V> {
        let v = self.general();
        let (code, size) = match dtype {
            DType::I64 | DType::U64 => return Ok(a),
            DType::I32 => (Code::Movsxd_r64_rm32, Size::R32),
            DType::U32 => {
                let args = [Arg::Reg(v, Size::R32), Arg::Reg(a, Size::R32)];
                self.code.inst(Code::Mov_r32_rm32, Effect::Write, &args);
                return Ok(v);
            }
            _ => return refuse(format!("a conversion to {dtype}")),
        };
        self.code.inst(code, Effect::Write, &[r64(v), Arg::Reg(a, size)]);
        Ok(v)
    }

    /// Arithmetic on single ints.
    pub fn scalar(&mut self, ty: Type, op: &Op) -> Result<V> {
        let v = match op {
            Op::Binary(op, a, b) => {
                let first = self.reg(a, ty)?;
                let v = self.copy(r64(first));
                if let (Binary::Shl | Binary::Shr, Operand::Int(by)) = (op, b) {
                    let code = match op {
                        Binary::Shl => Code::Shl_rm64_imm8,
                        _ if ty.dtype.is_signed_int() => Code::Sar_rm64_imm8,
                        _ => Code::Shr_rm64_imm8,
                    };
                    self.code.inst(code, Effect::Modify, &[r64(v), Arg::Imm8(*by as u8)]);
                    return self.extend(ty.dtype, v);
                }
                let second = r64(self.reg(b, ty)?);
                let (code, compare) = match op {
                    Binary::Add => (Code::Add_r64_rm64, false),
                    Binary::Sub => (Code::Sub_r64_rm64, false),
                    Binary::Mul => (Code::Imul_r64_rm64, false),
                    Binary::And => (Code::And_r64_rm64, false),
                    Binary::Or => (Code::Or_r64_rm64, false),
                    Binary::Xor => (Code::Xor_r64_rm64, false),
                    Binary::Min if ty.dtype != DType::U64 => (Code::Cmovg_r64_rm64, true),
                    Binary::Max if ty.dtype != DType::U64 => (Code::Cmovl_r64_rm64, true),
                    _ => return refuse(format!("{} of {ty}", op.name())),
                };
                if compare {
                    self.compare(v, second);
                }
                self.code.inst(code, Effect::Modify, &[r64(v), second]);
                v
            }
            Op::Unary(op @ (Unary::Neg | Unary::Not), a) => {
                let a = self.reg(a, ty)?;
                let v = self.copy(r64(a));
                let code = if *op == Unary::Neg { Code::Neg_rm64 } else { Code::Not_rm64 };
                self.code.inst(code, Effect::Modify, &[r64(v)]);
                v
            }
            _ => return refuse(format!("an operation on {ty}")),
        };
        self.extend(ty.dtype, v)
    }

    pub fn compare_scalars(&mut self, how: Compare, of: Type, a: &Operand, b: &Operand) -> Result<V> {
        let (a, b) = (self.reg(a, of)?, self.reg(b, of)?);
        let code = match (how, of.dtype) {
            (Compare::Eq, _) => Code::Cmove_r64_rm64,
            (Compare::Ne, _) => Code::Cmovne_r64_rm64,
            (Compare::Lt, DType::U64) => Code::Cmovb_r64_rm64,
            (Compare::Le, DType::U64) => Code::Cmovbe_r64_rm64,
            (Compare::Lt, _) => Code::Cmovl_r64_rm64,
            (Compare::Le, _) => Code::Cmovle_r64_rm64,
        };
        Ok(self.mask_of_flags(a, r64(b), code))
    }

    /// Whether a comparison holds, as a bool; `code` moves where it does.
    pub fn mask_of_flags(&mut self, a: V, b: Arg, code: Code) -> V {
        let (zero, one) = (self.general(), self.general());
        self.number(zero, 0);
        self.number(one, 1);
        self.compare(a, b);
        self.code.inst(code, Effect::Modify, &[r64(zero), r64(one)]);
        self.mask_of(zero)
    }

    pub fn select_scalar(&mut self, ty: Type, mask: &Operand, a: &Operand, b: &Operand) -> Result<V> {
        let mask = self.reg(mask, Type { dtype: DType::Bool, ..ty })?;
        let (a, b) = (self.reg(a, ty)?, self.reg(b, ty)?);
        let v = self.copy(r64(b));
        let holds = self.int_of_mask(mask);
        self.compare(holds, Arg::Imm32(0));
        self.code.inst(Code::Cmovne_r64_rm64, Effect::Modify, &[r64(v), r64(a)]);
        Ok(v)
    }
}
