//! Conversions between element types.

use super::body::Emitter;
use super::register::{Class, Reg, computed};
use mlc_ir::{DType, Error, Result};

impl Emitter<'_> {
    /// A lane as another element type.
    pub(super) fn convert(&mut self, from: DType, to: DType, a: Reg) -> Reg {
        match (from, to) {
            _ if from == to => a,
            (DType::F16, _) => {
                let single = self.let_(Class::Single, "cvt.f32.f16", &[&a]);
                self.convert(DType::F32, to, single)
            }
            (DType::BF16, _) => {
                let low = self.let_(Class::Word, "cvt.u32.u16", &[&a]);
                let bits = self.let_(Class::Word, "shl.b32", &[&low, &16]);
                let single = self.let_(Class::Single, "mov.b32", &[&bits]);
                self.convert(DType::F32, to, single)
            }
            (DType::F32, DType::F16) => self.let_(Class::Half, "cvt.rn.f16.f32", &[&a]),
            (DType::F64, DType::F16) => self.let_(Class::Half, "cvt.rn.f16.f64", &[&a]),
            (DType::F32, DType::BF16) => self.round_bf16(a),
            (DType::F64, DType::BF16) => {
                let odd = self.round_to_odd(a);
                self.round_bf16(odd)
            }
            (_, DType::F16 | DType::BF16) => {
                let single = self.convert(from, DType::F32, a);
                self.convert(DType::F32, to, single)
            }
            (DType::Bool, _) => {
                let word = self.bool_word(a);
                self.convert(DType::U32, to, word)
            }
            (_, DType::Bool) => {
                let zero = self.zero(from);
                self.compare(mlc_ir::tile::Compare::Ne, from, a, zero)
            }
            (DType::F32, DType::F64) => self.let_(Class::DoubleFloat, "cvt.f64.f32", &[&a]),
            (DType::F64, DType::F32) => self.let_(Class::Single, "cvt.rn.f32.f64", &[&a]),
            _ if from.is_float() => self.float_to_int(from, to, a),
            _ if to.is_float() => {
                let op = format!("cvt.rn.{}.{}", computed(to), computed(from));
                self.let_(Class::of(to), &op, &[&a])
            }
            _ => self.resize(from, to, a),
        }
    }

    /// An int made longer or cut.
    fn resize(&mut self, from: DType, to: DType, a: Reg) -> Reg {
        match (Class::of(from), Class::of(to)) {
            (Class::Word, Class::Double) => {
                let wide = if from.is_signed_int() { "cvt.s64.s32" } else { "cvt.u64.u32" };
                self.let_(Class::Double, wide, &[&a])
            }
            (Class::Double, Class::Word) => {
                let low = self.let_(Class::Word, "cvt.u32.u64", &[&a]);
                self.wrap(to, low)
            }
            _ => self.wrap(to, a),
        }
    }

    /// Truncates and saturates; NaN is 0.
    fn float_to_int(&mut self, from: DType, to: DType, a: Reg) -> Reg {
        let narrow = to.bytes() < 4;
        let wide = if narrow { DType::I32 } else { to };
        let class = Class::of(to);
        let op = format!("cvt.rzi.{}.{}", computed(wide), computed(from));
        let mut value = self.let_(class, &op, &[&a]);
        // Where one side has 64 bits, the instruction makes something else of NaN.
        if from == DType::F64 || class == Class::Double {
            let nan = self.compare(mlc_ir::tile::Compare::Ne, from, a, a);
            value = self.let_(class, &format!("selp.{}", computed(wide)), &[&0, &value, &nan]);
        }
        if narrow {
            let (low, high) = range(to);
            let above = self.let_(Class::Word, "max.s32", &[&value, &low]);
            value = self.let_(Class::Word, "min.s32", &[&above, &high]);
        }
        value
    }

    /// Rounds a single float to the nearest bfloat16, ties to even; a NaN stays one. As instructions of every generation.
    fn round_bf16(&mut self, a: Reg) -> Reg {
        let bits = self.let_(Class::Word, "mov.b32", &[&a]);
        let high = self.let_(Class::Word, "shr.u32", &[&bits, &16]);
        let odd = self.let_(Class::Word, "and.b32", &[&high, &1]);
        let more = self.let_(Class::Word, "add.s32", &[&bits, &odd]);
        let more = self.let_(Class::Word, "add.s32", &[&more, &0x7fff]);
        let rounded = self.let_(Class::Word, "shr.u32", &[&more, &16]);
        let quiet = self.let_(Class::Word, "or.b32", &[&high, &0x40]);
        let nan = self.compare(mlc_ir::tile::Compare::Ne, DType::F32, a, a);
        let value = self.let_(Class::Word, "selp.b32", &[&quiet, &rounded, &nan]);
        self.let_(Class::Half, "cvt.u16.u32", &[&value])
    }

    /// A double as a single float whose last bit is set if anything was cut off: rounding it once more is then right.
    fn round_to_odd(&mut self, a: Reg) -> Reg {
        let cut = self.let_(Class::Single, "cvt.rz.f32.f64", &[&a]);
        let back = self.let_(Class::DoubleFloat, "cvt.f64.f32", &[&cut]);
        let inexact = self.compare(mlc_ir::tile::Compare::Ne, DType::F64, a, back);
        let bits = self.let_(Class::Word, "mov.b32", &[&cut]);
        let odd = self.let_(Class::Word, "or.b32", &[&bits, &1]);
        let bits = self.let_(Class::Word, "selp.b32", &[&odd, &bits, &inexact]);
        self.let_(Class::Single, "mov.b32", &[&bits])
    }

    /// The same bits as another type.
    pub(super) fn bitcast(&mut self, from: DType, to: DType, a: Reg) -> Result<Reg> {
        if from.bytes() != to.bytes() || [from, to].contains(&DType::Bool) {
            return Err(Error::unsupported(format!("the bits of {from} as {to}")));
        }
        let (have, want) = (a.class, Class::of(to));
        Ok(match (have, want) {
            _ if have == want => self.wrap(to, a),
            (Class::Half, _) => {
                let low = self.let_(Class::Word, "cvt.u32.u16", &[&a]);
                self.wrap(to, low)
            }
            (_, Class::Half) => self.let_(Class::Half, "cvt.u16.u32", &[&a]),
            _ => self.let_(want, &format!("mov.b{}", 8 * to.bytes()), &[&a]),
        })
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
