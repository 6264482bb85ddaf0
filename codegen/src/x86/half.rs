//! Half floats. In a register they are the floats they stand for: a load widens them, rounding narrows and widens again,
//! and a store of what is such a value narrows it without loss.

use super::code::{Arg, Class, Effect, Mem, Size, V};
use super::select::Selector;
use super::{Result, table};
use iced_x86::Code;
use mlc_ir::DType;
use mlc_ir::tile::Type;

/// To the nearest, ties to even.
const NEAREST: Arg = Arg::Imm8(0);

/// The size of lanes that have half as many bits.
fn narrow(size: Size) -> Size {
    if size == Size::Zmm { Size::Ymm } else { Size::Xmm }
}

impl Selector<'_> {
    pub fn load_half(&mut self, ty: Type, from: Mem) -> Result<V> {
        let size = self.size(ty)?;
        if ty.lanes > 1 {
            return Ok(self.make(&table::FLOAT_OF_HALF, size, &[Arg::Mem(from)]));
        }
        let bits = Arg::Reg(self.load_int(DType::U16, from)?, Size::R32);
        let low = self.make(&table::MOVE_FROM_GENERAL, Size::Xmm, &[bits]);
        Ok(self.make(&table::FLOAT_OF_HALF, Size::Xmm, &[Arg::Reg(low, Size::Xmm)]))
    }

    /// Floats as half floats.
    pub fn round_to_half(&mut self, size: Size, a: V) -> V {
        let half = self.half(size, a);
        self.make(&table::FLOAT_OF_HALF, size, &[Arg::Reg(half, narrow(size))])
    }

    fn half(&mut self, size: Size, a: V) -> V {
        let v = self.vector();
        let args = [Arg::Reg(v, narrow(size)), Arg::Reg(a, size), NEAREST];
        self.inst_of(&table::HALF_OF_FLOAT, size, Effect::Write, &args);
        v
    }

    /// Stores all lanes, or those of a mask.
    pub fn store_half(&mut self, ty: Type, to: Arg, a: V, mask: Option<V>) -> Result<()> {
        let size = self.size(ty)?;
        let args = [to, Arg::Reg(a, size), NEAREST];
        match mask {
            _ if ty.lanes == 1 => {
                let (half, bits) = (self.half(size, a), self.code.new_register(Class::General));
                let low = [Arg::Reg(bits, Size::R32), Arg::Reg(half, Size::Xmm)];
                self.inst_of(&table::MOVE_TO_GENERAL, Size::Xmm, Effect::Write, &low);
                self.code.inst(Code::Mov_rm16_r16, Effect::Read, &[to, Arg::Reg(bits, Size::R16)]);
            }
            Some(mask) => {
                let code = table::HALF_OF_FLOAT.at(self.isa, size);
                self.code.masked(code, Effect::Read, &args, mask, false);
            }
            None => self.inst_of(&table::HALF_OF_FLOAT, size, Effect::Read, &args),
        }
        Ok(())
    }
}
