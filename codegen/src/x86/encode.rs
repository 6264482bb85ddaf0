//! Real registers and bytes.

use super::allocate::{Place, Places};
use super::code::{Arg, Base, Effect, Inst, Item, Mem, Program, Size, V};
use super::short;
use super::{Refused, Result, table};
use iced_x86::{
    BlockEncoder, BlockEncoderOptions, Code, Instruction, InstructionBlock, MemoryOperand, OpKind, Register,
};
use std::collections::HashMap;

/// Addresses under which instructions know each other, far from any constant.
const NAMES: u64 = 1 << 46;
/// Where constants are assumed before the length of the code is known.
const FAR: u64 = 1 << 24;
const SAVED: [u8; 6] = [3, 5, 12, 13, 14, 15];
/// Bytes of the four arguments at the bottom of the stack.
pub const ARGUMENTS: i64 = 32;

/// Machine code, constants behind it.
pub fn encode(code: &Program, places: &Places) -> Result<Vec<u8>> {
    let mut bytes = Encoder::new(code, places, FAR).bytes()?;
    if code.pool.is_empty() {
        return Ok(bytes);
    }
    let pool = bytes.len().next_multiple_of(64);
    bytes = Encoder::new(code, places, pool as u64).bytes()?;
    bytes.resize(pool, 0xcc);
    bytes.extend_from_slice(&code.pool);
    Ok(bytes)
}

struct Encoder<'a> {
    code: &'a Program,
    places: &'a Places,
    pool: u64,
    out: Vec<Instruction>,
    labels: HashMap<u32, u64>,
    /// Instructions that jump, and where to.
    jumps: Vec<(usize, u32)>,
}

impl<'a> Encoder<'a> {
    fn new(code: &'a Program, places: &'a Places, pool: u64) -> Encoder<'a> {
        Encoder { code, places, pool, out: Vec::new(), labels: HashMap::new(), jumps: Vec::new() }
    }

    fn bytes(mut self) -> Result<Vec<u8>> {
        let saved: Vec<Register> = SAVED.into_iter().filter(|n| self.uses(*n)).map(|n| general(n, Size::R64)).collect();
        let frame = ARGUMENTS as i32 + self.code.stack as i32 + 8 * self.places.slots as i32;
        for register in &saved {
            self.push(Instruction::with1(Code::Push_r64, *register));
        }
        self.push(Instruction::with2(Code::Sub_rm64_imm32, Register::RSP, frame));
        for (n, register) in [Register::RDI, Register::RSI, Register::RDX, Register::RCX].into_iter().enumerate() {
            self.push(Instruction::with2(Code::Mov_rm64_r64, stack(8 * n as i64), register));
        }
        for item in &self.code.items {
            self.item(item)?;
        }
        self.push(Instruction::with2(Code::Add_rm64_imm32, Register::RSP, frame));
        for register in saved.iter().rev() {
            self.push(Instruction::with1(Code::Pop_r64, *register));
        }
        self.out.push(Instruction::with(Code::VEX_Vzeroupper));
        self.out.push(Instruction::with(Code::Retnq));
        for (n, instruction) in self.out.iter_mut().enumerate() {
            instruction.set_ip(NAMES + n as u64);
        }
        for (at, label) in &self.jumps {
            self.out[*at].set_near_branch64(self.labels[label]);
        }
        let block = InstructionBlock::new(&self.out, 0);
        let encoded = BlockEncoder::encode(64, block, BlockEncoderOptions::NONE);
        encoded.map(|result| result.code_buffer).map_err(|e| Refused(e.to_string()))
    }

    fn uses(&self, register: u8) -> bool {
        let general = |n: usize| self.code.classes[n] == super::code::Class::General;
        self.places.of.iter().enumerate().any(|(n, place)| *place == Place::Register(register) && general(n))
    }

    fn push(&mut self, instruction: std::result::Result<Instruction, iced_x86::IcedError>) {
        self.out.push(instruction.unwrap_or_else(|e| panic!("an instruction without such operands: {e}")));
    }

    fn item(&mut self, item: &Item) -> Result<()> {
        match item {
            Item::Inst(inst) => self.inst(inst),
            Item::Label(label) => {
                self.labels.insert(*label, NAMES + self.out.len() as u64);
                Ok(())
            }
            Item::Jump(code, label) => {
                self.jumps.push((self.out.len(), *label));
                self.push(Instruction::with_branch(*code, NAMES));
                Ok(())
            }
            Item::Divide { dst, a, by } => {
                self.fetch(Register::RAX, *a);
                self.push(Instruction::with2(Code::Xor_r32_rm32, Register::EDX, Register::EDX));
                match self.places.of[by.0 as usize] {
                    Place::Slot(slot) => self.push(Instruction::with1(Code::Div_rm64, self.slot(slot))),
                    place => self.push(Instruction::with1(Code::Div_rm64, general(number(place), Size::R64))),
                }
                self.keep(*dst, Register::RAX);
                Ok(())
            }
            Item::HighMultiply { dst, a, factor } => {
                self.fetch(Register::RAX, *a);
                self.push(Instruction::with2(Code::Mov_r64_imm64, Register::RDX, *factor));
                self.push(Instruction::with1(Code::Mul_rm64, Register::RDX));
                self.keep(*dst, Register::RDX);
                Ok(())
            }
        }
    }

    fn slot(&self, slot: u32) -> MemoryOperand {
        stack(ARGUMENTS + i64::from(self.code.stack) + 8 * i64::from(slot))
    }

    fn fetch(&mut self, to: Register, v: V) {
        match self.places.of[v.0 as usize] {
            Place::Slot(slot) => self.push(Instruction::with2(Code::Mov_r64_rm64, to, self.slot(slot))),
            place => self.push(Instruction::with2(Code::Mov_r64_rm64, to, general(number(place), Size::R64))),
        }
    }

    fn keep(&mut self, v: V, from: Register) {
        match self.places.of[v.0 as usize] {
            Place::Slot(slot) => self.push(Instruction::with2(Code::Mov_rm64_r64, self.slot(slot), from)),
            place => self.push(Instruction::with2(Code::Mov_rm64_r64, general(number(place), Size::R64), from)),
        }
    }

    fn inst(&mut self, inst: &Inst) -> Result<()> {
        if let (Some(Arg::Reg(v, _)), Effect::Write) = (inst.args.first(), inst.effect)
            && let Place::Memory(_) = self.places.of[v.0 as usize]
        {
            // Whoever uses it reads it.
            return Ok(());
        }
        let inst = &short::shortest(&self.in_memory(inst));
        // Registers that lie on the stack pass through these two.
        let mut free = vec![2u8, 0];
        let mut through: HashMap<V, u8> = HashMap::new();
        for (n, arg) in inst.args.iter().enumerate() {
            let Some(v) = self.general_of(arg) else { continue };
            let Place::Slot(slot) = self.places.of[v.0 as usize] else { continue };
            if through.contains_key(&v) {
                continue;
            }
            let scratch = free.pop().ok_or_else(|| Refused("three operands on the stack".to_string()))?;
            through.insert(v, scratch);
            let written = n == 0 && matches!(arg, Arg::Reg(..)) && inst.effect == Effect::Write;
            if !written || inst.args[1..].iter().any(|arg| reads(arg, v)) {
                self.push(Instruction::with2(Code::Mov_r64_rm64, general(scratch, Size::R64), self.slot(slot)));
            }
        }
        let mut out = Instruction::default();
        out.set_code(inst.code);
        for (n, arg) in inst.args.iter().enumerate() {
            self.operand(&mut out, n as u32, arg, &through);
        }
        if let Some((mask, zero)) = inst.mask {
            out.set_op_mask(real(self.places.of[mask.0 as usize], Size::Mask));
            out.set_zeroing_masking(zero);
        }
        let moves = matches!(inst.args[..], [Arg::Reg(..), Arg::Reg(..)]) && copies(inst.code) && inst.mask.is_none();
        if moves && out.op0_kind() == out.op1_kind() && out.op0_register() == out.op1_register() {
            return Ok(());
        }
        self.out.push(out);
        if let (Some(Arg::Reg(v, _)), Effect::Write | Effect::Modify) = (inst.args.first(), inst.effect)
            && let (Place::Slot(slot), Some(scratch)) = (self.places.of[v.0 as usize], through.get(v))
        {
            self.push(Instruction::with2(Code::Mov_rm64_r64, self.slot(slot), general(*scratch, Size::R64)));
        }
        Ok(())
    }

    /// The instruction with an operand on the stack named there, if it may be in memory.
    fn in_memory(&self, inst: &Inst) -> Inst {
        let mut inst = inst.clone();
        let slot = |arg: &Arg| match arg {
            Arg::Reg(v, _) => match self.places.of[v.0 as usize] {
                Place::Slot(slot) => Some((*v, slot)),
                _ => None,
            },
            _ => None,
        };
        if let [to, Arg::Reg(..)] = &inst.args[..]
            && inst.code == Code::Mov_r64_rm64
            && slot(to).is_some()
            && slot(&inst.args[1]).is_none()
        {
            inst.code = Code::Mov_rm64_r64;
        }
        let Some(place) = short::memory_operand(inst.code).filter(|place| *place < inst.args.len()) else {
            return inst;
        };
        let Some((v, number)) = slot(&inst.args[place]) else { return inst };
        let elsewhere = inst.args.iter().enumerate().any(|(n, arg)| n != place && reads(arg, v));
        let memory = inst.args.iter().any(|arg| matches!(arg, Arg::Mem(_)));
        if !elsewhere && !memory {
            let offset = ARGUMENTS as i32 + self.code.stack as i32 + 8 * number as i32;
            inst.args[place] = Arg::Mem(Mem { base: Base::Stack, offset, broadcast: false });
        }
        inst
    }

    /// The register of an operand, or of its address.
    fn general_of(&self, arg: &Arg) -> Option<V> {
        match arg {
            Arg::Reg(v, _) => match self.places.of[v.0 as usize] {
                Place::Memory(mem) => self.general_of(&Arg::Mem(mem)),
                _ => Some(*v),
            },
            Arg::Mem(Mem { base: Base::Reg(v), .. }) => Some(*v),
            _ => None,
        }
    }

    fn operand(&self, out: &mut Instruction, n: u32, arg: &Arg, through: &HashMap<V, u8>) {
        let place = |v: &V| through.get(v).map_or(self.places.of[v.0 as usize], |n| Place::Register(*n));
        match arg {
            Arg::Reg(v, _) if matches!(place(v), Place::Memory(_)) => {
                let Place::Memory(mem) = place(v) else { return };
                self.operand(out, n, &Arg::Mem(mem), through);
            }
            Arg::Reg(v, size) => {
                out.set_op_kind(n, OpKind::Register);
                out.set_op_register(n, real(place(v), *size));
            }
            Arg::Mem(mem) => {
                out.set_op_kind(n, OpKind::Memory);
                out.set_is_broadcast(mem.broadcast);
                let (base, offset) = match mem.base {
                    Base::Reg(v) => (real(place(&v), Size::R64), i64::from(mem.offset)),
                    Base::Stack => (Register::RSP, i64::from(mem.offset)),
                    Base::Pool => (Register::RIP, self.pool as i64 + i64::from(mem.offset)),
                };
                out.set_memory_base(base);
                out.set_memory_displacement64(offset as u64);
                // 1: the shortest form.
                out.set_memory_displ_size(match base {
                    Register::RIP => 8,
                    _ => u32::from(offset != 0),
                });
            }
            Arg::Imm8(value) => {
                out.set_op_kind(n, OpKind::Immediate8);
                out.set_immediate8(*value);
            }
            Arg::Signed8(value) => {
                out.set_op_kind(n, OpKind::Immediate8to64);
                out.set_immediate8to64(i64::from(*value));
            }
            Arg::Imm32(value) => {
                out.set_op_kind(n, OpKind::Immediate32to64);
                out.set_immediate32to64(i64::from(*value));
            }
            Arg::Imm64(value) => {
                out.set_op_kind(n, OpKind::Immediate64);
                out.set_immediate64(*value);
            }
        }
    }
}

/// Whether an instruction only copies a whole register.
fn copies(code: Code) -> bool {
    code == Code::Mov_r64_rm64 || table::MOVE.contains(code)
}

fn reads(arg: &Arg, v: V) -> bool {
    matches!(arg, Arg::Reg(other, _) | Arg::Mem(Mem { base: Base::Reg(other), .. }) if *other == v)
}

fn stack(offset: i64) -> MemoryOperand {
    MemoryOperand::with_base_displ(Register::RSP, offset)
}

/// A register that was used without ever being defined is any register.
fn number(place: Place) -> u8 {
    match place {
        Place::Register(n) => n,
        Place::Slot(_) | Place::Memory(_) | Place::Nowhere => 0,
    }
}

fn general(n: u8, size: Size) -> Register {
    let first = match size {
        Size::R16 => Register::AX,
        Size::R32 => Register::EAX,
        _ => Register::RAX,
    };
    first + u32::from(n)
}

fn real(place: Place, size: Size) -> Register {
    let n = number(place);
    match size {
        Size::R16 | Size::R32 | Size::R64 => general(n, size),
        Size::Xmm => Register::XMM0 + u32::from(n),
        Size::Ymm => Register::YMM0 + u32::from(n),
        Size::Zmm => Register::ZMM0 + u32::from(n),
        Size::Mask => Register::K0 + u32::from(n),
    }
}
