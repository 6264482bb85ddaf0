//! What a machine lacks, written as instructions of tiles and emitted like them.
//!
//! Half floats are converted by their bits; rounding without an instruction adds and takes away a number so large that
//! no fraction is left.

use super::body::{Binding, Emitter};
use super::value::Val;
use crate::math::Builder;
use mlc_ir::tile::{Inst, Operand, Ref, Type, Unary};
use mlc_ir::{DType, Error, Name, Result};

impl Emitter<'_> {
    /// Emits what `write` appends to a builder over `F32` or `F64` lanes.
    fn written(&mut self, ty: Type, a: &Val, write: impl FnOnce(&mut Builder, Operand) -> Operand) -> Result<Val> {
        let mut next = self.temporaries;
        let mut fresh = || {
            next += 1;
            Name::from(format!("~{next}"))
        };
        let operand = Ref { name: fresh(), at: vec![] };
        self.names.insert(operand.name.clone(), Binding::Value(a.clone()));
        let mut insts: Vec<Inst> = Vec::new();
        let result = write(&mut Builder::new(ty, &mut fresh, &mut insts), Operand::Ref(operand));
        self.temporaries = next;
        self.insts(&insts)?;
        match result {
            Operand::Ref(value) => self.read(&value.name),
            _ => Err(Error::internal("a constant result")),
        }
    }

    /// Rounds floats to integers without an instruction for it.
    pub(super) fn round_by_bits(&mut self, op: Unary, a: &Val) -> Result<Val> {
        self.written(a.ty, a, |b, x| {
            // Above this all floats are integers.
            let whole = if b.is_double() { 4503599627370496.0 } else { 8388608.0 };
            let size = b.abs(&x);
            let up = b.add(&size, whole);
            let near = b.sub(up, whole);
            let near = b.copy_sign(&near, &x);
            let moved = match op {
                Unary::Round => near,
                Unary::Floor => {
                    let over = b.lt(&x, &near);
                    let below = b.sub(&near, 1.0);
                    b.select(&over, below, near)
                }
                Unary::Ceil => {
                    let under = b.lt(&near, &x);
                    let above = b.add(&near, 1.0);
                    b.select(&under, above, near)
                }
                _ => {
                    let positive = b.abs(&near);
                    let over = b.lt(&size, &positive);
                    let less = b.sub(&positive, 1.0);
                    b.select(&over, less, positive)
                }
            };
            // -0.4 becomes -0.
            let magnitude = b.abs(moved);
            let signed = b.copy_sign(&magnitude, &x);
            let fraction = b.lt(size, whole);
            b.select(&fraction, signed, x)
        })
    }

    /// Conversions from and to half floats, all through `F32`.
    pub(super) fn convert_half(&mut self, to: DType, a: &Val) -> Result<Val> {
        let from = a.ty.dtype;
        match (from, to) {
            (DType::F16, DType::F32) => self.single_of_f16(a),
            (DType::BF16, DType::F32) => self.single_of_bf16(a),
            (DType::F16 | DType::BF16, _) => {
                let single = self.convert(DType::F32, a)?;
                self.convert(to, &single)
            }
            (DType::F32, DType::F16) => self.f16_of_single(a),
            (DType::F32, _) => self.bf16_of_single(a),
            (DType::F64, _) => {
                let odd = self.odd_single(a)?;
                self.convert(to, &odd)
            }
            _ => {
                let single = self.convert(DType::F32, a)?;
                self.convert(to, &single)
            }
        }
    }

    /// The bits of half floats in ints of 32 bits.
    fn half_bits(&mut self, a: &Val) -> Result<Val> {
        let bits = self.bitcast(Type { dtype: DType::U16, ..a.ty }, a)?;
        self.convert(DType::I32, &bits)
    }

    fn of_half_bits(&mut self, to: DType, bits: &Val) -> Result<Val> {
        let short = self.convert(DType::U16, bits)?;
        self.bitcast(Type { dtype: to, ..bits.ty }, &short)
    }

    fn single_of_bf16(&mut self, a: &Val) -> Result<Val> {
        let bits = self.half_bits(a)?;
        self.written(Type { dtype: DType::F32, ..a.ty }, &bits, |b, bits| {
            let shifted = b.shl(bits, 16);
            b.of_bits(shifted)
        })
    }

    /// Shifts the exponent in place and corrects it by a multiplication, which also normalises denormals.
    fn single_of_f16(&mut self, a: &Val) -> Result<Val> {
        let bits = self.half_bits(a)?;
        self.written(Type { dtype: DType::F32, ..a.ty }, &bits, |b, bits| {
            let size = b.and(&bits, 0x7fff);
            let sign = b.and(bits, 0x8000);
            let sign = b.shl(sign, 16);
            let moved = b.shl(&size, 13);
            let scaled = b.of_bits(&moved);
            let scaled = b.mul(scaled, 2f64.powi(112));
            let scaled = b.bits(scaled);
            let special = b.or(moved, 0x7f80_0000);
            let finite = b.ilt(size, 0x7c00);
            let value = b.iselect(&finite, scaled, special);
            let value = b.or(value, sign);
            b.of_bits(value)
        })
    }

    fn bf16_of_single(&mut self, a: &Val) -> Result<Val> {
        let bits = self.written(a.ty, a, |b, x| {
            let bits = b.bits(&x);
            let last = b.shr(&bits, 16);
            let odd = b.and(&last, 1);
            let half = b.iadd(odd, 0x7fff);
            let rounded = b.iadd(&bits, half);
            let rounded = b.shr(rounded, 16);
            let quiet = b.or(last, 0x40);
            let nan = b.ne(&x, &x);
            b.iselect(&nan, quiet, rounded)
        })?;
        self.of_half_bits(DType::BF16, &bits)
    }

    /// Normal results are rounded by adding half of the last place; denormal ones by adding a float whose last place is
    /// theirs.
    fn f16_of_single(&mut self, a: &Val) -> Result<Val> {
        let bits = self.written(a.ty, a, |b, x| {
            let bits = b.bits(&x);
            let size = b.and(&bits, 0x7fff_ffff);
            let sign = b.shr(bits, 16);
            let sign = b.and(sign, 0x8000);
            let last = b.shr(&size, 13);
            let odd = b.and(last, 1);
            let half = b.iadd(odd, 0xfff - ((127 - 15) << 23));
            let normal = b.iadd(&size, half);
            let normal = b.shr(normal, 13);
            let magnitude = b.of_bits(&size);
            // The last place of 0.5 in F32 is that of denormals in F16.
            let added = b.add(&magnitude, 0.5);
            let added = b.bits(added);
            let denormal = b.isub(added, i64::from(0.5f32.to_bits()));
            let small = b.ilt(&size, 113 << 23);
            let value = b.iselect(&small, denormal, normal);
            // From 65520 on the nearest is infinity.
            let fits = b.ilt(&size, 0x477f_f000);
            let value = b.iselect(&fits, value, 0x7c00);
            let nan = b.ilt(0x7f80_0000, &size);
            let quiet = b.shr(size, 13);
            let quiet = b.and(quiet, 0x3ff);
            let quiet = b.or(quiet, 0x7e00);
            let value = b.iselect(&nan, quiet, value);
            b.or(value, sign)
        })?;
        self.of_half_bits(DType::F16, &bits)
    }

    /// `F64` as `F32`, rounded to the neighbour with an odd last bit if not exact: rounding that again is right.
    fn odd_single(&mut self, a: &Val) -> Result<Val> {
        let near = self.convert(DType::F32, a)?;
        let back = self.convert(DType::F64, &near)?;
        let exact = self.written(a.ty, a, |b, x| b.abs(x))?;
        let size = self.written(a.ty, &back, |b, x| b.abs(x))?;
        let over = self.compare_values(mlc_ir::tile::Compare::Lt, &exact, &size)?;
        let changed = self.compare_values(mlc_ir::tile::Compare::Ne, &exact, &size)?;
        let over = self.convert(DType::I32, &over)?;
        let changed = self.convert(DType::I32, &changed)?;
        let name = |n: &str| Name::from(format!("~{n}"));
        for (n, value) in [("over", over), ("changed", changed)] {
            self.names.insert(name(n), Binding::Value(value));
        }
        let value = |n: &str| Operand::Ref(Ref { name: name(n), at: vec![] });
        self.written(near.ty, &near, |b, x| {
            let bits = b.bits(&x);
            let below = b.isub(&bits, value("over"));
            let odd = b.or(below, value("changed"));
            // An infinity that was a finite number stays above all that fits; NaN stays NaN.
            let odd = b.of_bits(odd);
            let nan = b.ne(&x, &x);
            b.select(&nan, x, odd)
        })
    }
}

/// The nearest `F16`, as bits. For constants.
pub(super) fn f16_bits(x: f64) -> u16 {
    let sign = if x.is_sign_negative() { 0x8000 } else { 0 };
    let size = x.abs();
    if size.is_nan() {
        return 0x7e00;
    }
    if size >= 65520.0 {
        return sign | 0x7c00;
    }
    let exponent = ((size.to_bits() >> 52) as i32 - 1023).max(-14);
    let steps = (size * 2f64.powi(10 - exponent)).round_ties_even() as u16;
    // Steps of a normal number begin at 1024, which carries into the exponent.
    sign | ((exponent + 14) as u16 * 1024 + steps)
}

/// The nearest `BF16`, as bits. For constants.
pub(super) fn bf16_bits(x: f64) -> u16 {
    let sign = if x.is_sign_negative() { 0x8000 } else { 0 };
    let size = x.abs();
    if size.is_nan() {
        return 0x7fc0;
    }
    let exponent = ((size.to_bits() >> 52) as i32 - 1023).max(-126);
    if exponent > 127 {
        return sign | 0x7f80;
    }
    let steps = (size * 2f64.powi(7 - exponent)).round_ties_even() as u16;
    sign | ((exponent + 126) as u16 * 128 + steps)
}
