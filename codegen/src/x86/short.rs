//! Shorter forms of instructions on general registers.

use super::code::{Arg, Inst};
use iced_x86::Code;

/// The operand of an instruction on general registers that may be in memory.
pub fn memory_operand(code: Code) -> Option<usize> {
    match code {
        Code::Add_rm64_imm32 | Code::And_rm64_imm32 | Code::Cmp_rm64_imm32 | Code::Mov_rm64_imm32 => Some(0),
        Code::Sar_rm64_imm8 | Code::Shr_rm64_imm8 | Code::Shl_rm64_imm8 | Code::Neg_rm64 | Code::Not_rm64 => Some(0),
        Code::Mov_rm64_r64 => Some(0),
        Code::Mov_r64_rm64 | Code::Add_r64_rm64 | Code::Sub_r64_rm64 | Code::Xor_r64_rm64 | Code::Or_r64_rm64 => {
            Some(1)
        }
        Code::And_r64_rm64 | Code::Cmp_r64_rm64 | Code::Imul_r64_rm64 | Code::Imul_r64_rm64_imm32 => Some(1),
        Code::Cmovl_r64_rm64 | Code::Cmovg_r64_rm64 | Code::Cmovle_r64_rm64 | Code::Cmove_r64_rm64 => Some(1),
        Code::Cmovne_r64_rm64 | Code::Cmovb_r64_rm64 | Code::Cmovbe_r64_rm64 => Some(1),
        _ => None,
    }
}

/// The same with the number in a byte, if it fits one.
pub fn shortest(inst: &Inst) -> Inst {
    let mut inst = inst.clone();
    let code = match inst.code {
        Code::Add_rm64_imm32 => Code::Add_rm64_imm8,
        Code::And_rm64_imm32 => Code::And_rm64_imm8,
        Code::Cmp_rm64_imm32 => Code::Cmp_rm64_imm8,
        Code::Imul_r64_rm64_imm32 => Code::Imul_r64_rm64_imm8,
        _ => return inst,
    };
    if let Some(Arg::Imm32(n)) = inst.args.last().copied()
        && let Ok(n) = i8::try_from(n)
    {
        inst.code = code;
        inst.args.pop();
        inst.args.push(Arg::Signed8(n));
    }
    inst
}
