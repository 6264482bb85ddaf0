//! Bools: all that knows where they lie.
//!
//! With AVX-512 they are the bits of a mask register; with AVX2 the lanes of a vector register, all ones or all zeros.
//! Of either the first lanes count, and a single bool is the first.

use super::code::{Arg, Class, Effect, Mem, Size, V};
use super::select::{Selector, r64};
use super::table::{self, Codes};
use super::{Isa, Result, refuse};
use iced_x86::Code;
use mlc_ir::DType;
use mlc_ir::tile::{Binary, Compare, Op, Operand, Type, Unary};

impl Selector<'_> {
    /// A new register for bools.
    pub fn mask(&mut self) -> V {
        let class = if self.isa == Isa::Avx512 { Class::Mask } else { Class::Vector };
        self.code.new_register(class)
    }

    /// A bool as an operand, whatever the number of its lanes.
    fn bools(&self, v: V) -> Arg {
        Arg::Reg(v, if self.isa == Isa::Avx512 { Size::Mask } else { Size::Ymm })
    }

    /// Sets bools from others: by an instruction on masks, or the one on vectors that does the same.
    fn set_mask(&mut self, to: V, on_masks: Code, on_vectors: &Codes, from: &[Arg]) {
        let code = if self.isa == Isa::Avx512 { on_masks } else { on_vectors.at(self.isa, Size::Ymm) };
        let args: Vec<Arg> = std::iter::once(self.bools(to)).chain(from.iter().copied()).collect();
        self.code.inst(code, Effect::Write, &args);
    }

    pub fn copy_mask(&mut self, to: V, from: V) {
        let from = self.bools(from);
        self.set_mask(to, Code::VEX_Kmovw_kr_km16, &table::MOVE, &[from]);
    }

    /// The same bool in all lanes.
    pub fn constant_mask(&mut self, holds: bool) -> V {
        let v = self.mask();
        let itself = [self.bools(v); 2];
        match holds {
            true => self.set_mask(v, Code::VEX_Kxnorw_kr_kr_kr, &table::EQUAL, &itself),
            false => self.set_mask(v, Code::VEX_Kxorw_kr_kr_kr, &table::XOR, &itself),
        }
        v
    }

    /// Operations on bools.
    pub fn logic(&mut self, op: &Op) -> Result<V> {
        let ty = Type { dtype: DType::Bool, lanes: 1 };
        let mut of = |operand: &Operand| match operand {
            Operand::Ref(value) => Ok(self.value(&value.name)?.0),
            _ => self.reg(operand, ty),
        };
        let (on_masks, on_vectors, a, b) = match op {
            Op::Unary(Unary::Not, a) => {
                let a = of(a)?;
                return Ok(self.opposite(a));
            }
            Op::Binary(Binary::And, a, b) => (Code::VEX_Kandw_kr_kr_kr, &table::AND, of(a)?, of(b)?),
            Op::Binary(Binary::Or, a, b) => (Code::VEX_Korw_kr_kr_kr, &table::OR, of(a)?, of(b)?),
            Op::Binary(Binary::Xor, a, b) => (Code::VEX_Kxorw_kr_kr_kr, &table::XOR, of(a)?, of(b)?),
            _ => return refuse("no logic"),
        };
        let (v, from) = (self.mask(), [self.bools(a), self.bools(b)]);
        self.set_mask(v, on_masks, on_vectors, &from);
        Ok(v)
    }

    fn opposite(&mut self, a: V) -> V {
        let v = self.mask();
        let a = self.bools(a);
        match self.isa {
            Isa::Avx512 => self.code.inst(Code::VEX_Knotw_kr_kr, Effect::Write, &[self.bools(v), a]),
            Isa::Avx2 => {
                let ones = self.bits(u32::MAX);
                self.inst_of(&table::XOR, Size::Ymm, Effect::Write, &[self.bools(v), a, ones]);
            }
        }
        v
    }

    /// Compares registers of floats.
    pub fn compare_floats(&mut self, predicate: u8, size: Size, a: Arg, b: Arg) -> V {
        self.test(&table::COMPARE_FLOAT, size, &[a, b, Arg::Imm8(predicate)])
    }

    /// Compares registers of 32-bit ints.
    pub fn compare_ints(&mut self, how: Compare, dtype: DType, size: Size, a: Arg, b: Arg) -> V {
        let signed = dtype == DType::I32;
        if self.isa == Isa::Avx512 {
            let codes = if signed { &table::COMPARE_SIGNED } else { &table::COMPARE_UNSIGNED };
            return self.test(codes, size, &[a, b, Arg::Imm8(table::predicate(how, false))]);
        }
        // `a <= b` if a is the lesser of both, `a < b` unless it is the greater.
        let extreme = match how {
            Compare::Eq | Compare::Ne => None,
            Compare::Le => Some(if signed { &table::MIN_S } else { &table::MIN_U }),
            Compare::Lt => Some(if signed { &table::MAX_S } else { &table::MAX_U }),
        };
        let b = extreme.map_or(b, |codes| Arg::Reg(self.make(codes, size, &[a, b]), size));
        let equal = self.test(&table::EQUAL, size, &[a, b]);
        if matches!(how, Compare::Eq | Compare::Le) { equal } else { self.opposite(equal) }
    }

    /// Whether lanes of ints have any bit.
    pub fn not_zero(&mut self, size: Size, a: Arg) -> V {
        match self.isa {
            Isa::Avx512 => self.test(&table::TEST, size, &[a, a]),
            Isa::Avx2 => {
                let zero = self.bits(0);
                self.compare_ints(Compare::Ne, DType::I32, size, a, zero)
            }
        }
    }

    /// An instruction on lanes that gives bools.
    fn test(&mut self, codes: &Codes, size: Size, operands: &[Arg]) -> V {
        let mask = self.mask();
        let to = Arg::Reg(mask, if self.isa == Isa::Avx512 { Size::Mask } else { size });
        let args: Vec<Arg> = std::iter::once(to).chain(operands.iter().copied()).collect();
        self.inst_of(codes, size, Effect::Write, &args);
        mask
    }

    /// `mask ? a : b`
    pub fn choose(&mut self, size: Size, mask: V, a: Arg, b: Arg) -> V {
        if self.isa == Isa::Avx2 {
            return self.make(&table::BLEND, size, &[b, a, Arg::Reg(mask, size)]);
        }
        let v = self.vector();
        self.code.masked(table::BLEND.at(self.isa, size), Effect::Write, &[Arg::Reg(v, size), b, a], mask, false);
        v
    }

    /// `mask ? constant : 0`
    pub fn constant_where(&mut self, size: Size, mask: V, constant: Mem) -> V {
        if self.isa == Isa::Avx2 {
            return self.make(&table::AND, size, &[Arg::Reg(mask, size), Arg::Mem(constant)]);
        }
        let v = self.vector();
        let args = [Arg::Reg(v, size), Arg::Mem(Mem { broadcast: false, ..constant })];
        self.code.masked(table::BROADCAST.at(self.isa, size), Effect::Write, &args, mask, true);
        v
    }

    /// An int 0 or 1 as a bool.
    pub fn mask_of(&mut self, v: V) -> V {
        let mask = self.mask();
        match self.isa {
            Isa::Avx512 => {
                let args = [self.bools(mask), Arg::Reg(v, Size::R32)];
                self.code.inst(Code::VEX_Kmovw_kr_r32, Effect::Write, &args);
            }
            Isa::Avx2 => {
                let ones = self.ones_of(v);
                let args = [Arg::Reg(mask, Size::Xmm), Arg::Reg(ones, Size::R32)];
                self.inst_of(&table::MOVE_FROM_GENERAL, Size::Xmm, Effect::Write, &args);
            }
        }
        mask
    }

    /// All bits if an int is 1, none if it is 0.
    fn ones_of(&mut self, v: V) -> V {
        let ones = self.copy(r64(v));
        self.code.inst(Code::Neg_rm64, Effect::Modify, &[r64(ones)]);
        ones
    }

    /// A bool as an int 0 or 1.
    pub fn int_of_mask(&mut self, mask: V) -> V {
        let v = self.general();
        let to = Arg::Reg(v, Size::R32);
        match self.isa {
            Isa::Avx512 => self.code.inst(Code::VEX_Kmovw_r32_kr, Effect::Write, &[to, self.bools(mask)]),
            Isa::Avx2 => {
                self.inst_of(&table::MOVE_TO_GENERAL, Size::Xmm, Effect::Write, &[to, Arg::Reg(mask, Size::Xmm)]);
            }
        }
        self.code.inst(Code::And_rm64_imm32, Effect::Modify, &[r64(v), Arg::Imm32(1)]);
        v
    }

    /// A single bool in all lanes.
    pub fn splat_mask(&mut self, one: V) -> V {
        let mask = self.mask();
        match self.isa {
            Isa::Avx512 => {
                let int = self.int_of_mask(one);
                let args = [self.bools(mask), Arg::Reg(self.ones_of(int), Size::R32)];
                self.code.inst(Code::VEX_Kmovw_kr_r32, Effect::Write, &args);
            }
            Isa::Avx2 => {
                let args = [self.bools(mask), Arg::Reg(one, Size::Xmm)];
                self.inst_of(&table::SPLAT, Size::Ymm, Effect::Write, &args);
            }
        }
        mask
    }
}
