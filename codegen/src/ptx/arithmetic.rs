//! Arithmetic, comparisons, selection; lane by lane.

use super::body::Emitter;
use super::fragment::{Layout, common};
use super::register::{Class, Reg, Val, computed};
use mlc_ir::tile::{Binary, Compare, Op, Operand, Type, Unary};
use mlc_ir::{DType, Error, Result};

impl Emitter<'_> {
    /// What an instruction computes.
    pub(super) fn op(&mut self, ty: Type, op: &Op) -> Result<Val> {
        match op {
            Op::Load(from, first) => self.load(ty, from, first.as_ref()),
            Op::Fragment(..) => Err(Error::internal("a fragment is loaded where it is defined")),
            Op::Broadcast(from) => self.broadcast(ty, from),
            Op::Splat(_) | Op::Iota | Op::Index(_) | Op::Lane(..) | Op::Pack(_) | Op::Reduce(..) => self.lanes(ty, op),
            Op::Unary(op, a) => {
                let a = self.operand(a, ty)?;
                self.each(ty, &[&a], |this, x| this.unary(*op, ty.dtype, x[0]))
            }
            Op::Binary(op, a, b) => {
                let (a, b) = (self.operand(a, ty)?, self.operand(b, ty)?);
                self.each(ty, &[&a, &b], |this, x| this.binary(*op, ty.dtype, x[0], x[1]))
            }
            Op::Fma(a, b, c) => {
                let (a, b, c) = (self.operand(a, ty)?, self.operand(b, ty)?, self.operand(c, ty)?);
                self.each(ty, &[&a, &b, &c], |this, x| {
                    Ok(this.let_(x[2].class, multiply_add(ty.dtype), &[&x[0], &x[1], &x[2]]))
                })
            }
            Op::Compare(op, of, a, b) => {
                let (a, b) = (self.operand(a, *of)?, self.operand(b, *of)?);
                self.each(ty, &[&a, &b], |this, x| Ok(this.compare(*op, of.dtype, x[0], x[1])))
            }
            Op::Select(mask, a, b) => {
                let mask = self.operand(mask, Type { dtype: DType::Bool, ..ty })?;
                let (a, b) = (self.operand(a, ty)?, self.operand(b, ty)?);
                self.each(ty, &[&mask, &a, &b], |this, x| Ok(this.select(x[0], x[1], x[2])))
            }
            Op::Convert(from, a) => {
                let a = self.operand(a, *from)?;
                self.each(ty, &[&a], |this, x| Ok(this.convert(from.dtype, ty.dtype, x[0])))
            }
            Op::Bitcast(from, a) => {
                let a = self.operand(a, *from)?;
                if from.lanes != ty.lanes {
                    return Err(Error::unsupported(format!("the bits of {from} as {ty}")));
                }
                self.each(ty, &[&a], |this, x| this.bitcast(from.dtype, ty.dtype, x[0]))
            }
            Op::Math(function, _) => Err(Error::internal(format!("`{}` in a linear tile", function.name()))),
        }
    }

    /// Computes each lane from those of some values, once if all are the same.
    fn each(
        &mut self,
        ty: Type,
        of: &[&Val],
        mut compute: impl FnMut(&mut Self, &[Reg]) -> Result<Reg>,
    ) -> Result<Val> {
        let count = match common(of)? {
            Layout::Same => {
                let reg = compute(self, &of.iter().map(|value| value.regs[0]).collect::<Vec<_>>())?;
                return Ok(Val { ty, regs: vec![reg; usize::from(ty.lanes)] });
            }
            Layout::Accumulators => of.iter().map(|value| value.regs.len()).min().unwrap_or(0),
            _ => usize::from(ty.lanes),
        };
        let regs = (0..count).map(|lane| compute(self, &of.iter().map(|value| value.regs[lane]).collect::<Vec<_>>()));
        Ok(Val { ty, regs: regs.collect::<Result<_>>()? })
    }

    /// `cell += a * b`.
    pub(super) fn dot(&mut self, cell: &Val, a: &Val, b: &Val) {
        for ((cell, a), b) in cell.regs.iter().zip(&a.regs).zip(&b.regs) {
            let op = multiply_add(if cell.class == Class::Single { DType::F32 } else { a_type(*cell) });
            self.ins(op, &[cell, a, b, cell]);
        }
    }

    /// Brings an int that was computed in 32 bits back to those of its type.
    pub(super) fn wrap(&mut self, dtype: DType, value: Reg) -> Reg {
        match dtype {
            DType::I16 => self.let_(Class::Word, "cvt.s32.s16", &[&value]),
            DType::I8 => self.let_(Class::Word, "cvt.s32.s8", &[&value]),
            DType::U16 => self.let_(Class::Word, "and.b32", &[&value, &0xffff]),
            DType::U8 => self.let_(Class::Word, "and.b32", &[&value, &0xff]),
            _ => value,
        }
    }

    fn unary(&mut self, op: Unary, dtype: DType, a: Reg) -> Result<Reg> {
        let (class, ty) = (a.class, computed(dtype));
        let rounding = |way: &str| format!("cvt.{way}.{ty}.{ty}");
        let op = match (op, dtype) {
            (Unary::Not, DType::Bool) => "not.pred".into(),
            (Unary::Not, dtype) if dtype.is_int() => format!("not.b{}", if class == Class::Double { 64 } else { 32 }),
            (Unary::Neg, dtype) if dtype.is_int() => format!("neg.{}", ty.replace('u', "s")),
            (Unary::Abs, dtype) if dtype.is_unsigned_int() => return Ok(a),
            (Unary::Abs, dtype) if dtype.is_int() => format!("abs.{ty}"),
            (Unary::Neg, DType::F32 | DType::F64) => format!("neg.{ty}"),
            (Unary::Abs, DType::F32 | DType::F64) => format!("abs.{ty}"),
            (Unary::Sqrt, DType::F32 | DType::F64) => format!("sqrt.rn.{ty}"),
            (Unary::Floor, DType::F32 | DType::F64) => rounding("rmi"),
            (Unary::Ceil, DType::F32 | DType::F64) => rounding("rpi"),
            (Unary::Trunc, DType::F32 | DType::F64) => rounding("rzi"),
            (Unary::Round, DType::F32 | DType::F64) => rounding("rni"),
            _ => return Err(Error::internal(format!("{} of {dtype}", op.name()))),
        };
        let value = self.let_(class, &op, &[&a]);
        Ok(self.wrap(dtype, value))
    }

    pub(super) fn binary(&mut self, op: Binary, dtype: DType, a: Reg, b: Reg) -> Result<Reg> {
        if let Binary::And | Binary::Or | Binary::Xor = op {
            let width = match a.class {
                Class::Predicate => "pred",
                Class::Double => "b64",
                Class::Word => "b32",
                _ => return Err(Error::internal(format!("{} of {dtype}", op.name()))),
            };
            return Ok(self.let_(a.class, &format!("{}.{width}", op.name()), &[&a, &b]));
        }
        if dtype.is_int() { self.int_binary(op, dtype, a, b) } else { self.float_binary(op, dtype, a, b) }
    }

    fn float_binary(&mut self, op: Binary, dtype: DType, a: Reg, b: Reg) -> Result<Reg> {
        let ty = computed(dtype);
        let op = match (op, dtype) {
            (Binary::Add | Binary::Sub | Binary::Mul | Binary::Div, DType::F32 | DType::F64) => {
                format!("{}.rn.{ty}", op.name())
            }
            (Binary::Min | Binary::Max, DType::F32 | DType::F64) => {
                let test = if op == Binary::Min { "lt" } else { "gt" };
                let first = self.let_(Class::Predicate, &format!("setp.{test}.{ty}"), &[&a, &b]);
                return Ok(self.select(first, a, b));
            }
            _ => return Err(Error::internal(format!("{} of {dtype}", op.name()))),
        };
        Ok(self.let_(a.class, &op, &[&a, &b]))
    }

    fn int_binary(&mut self, op: Binary, dtype: DType, a: Reg, b: Reg) -> Result<Reg> {
        let (class, ty) = (a.class, computed(dtype));
        let signed = ty.replace('u', "s");
        let value = match op {
            Binary::Add | Binary::Sub => self.let_(class, &format!("{}.{signed}", op.name()), &[&a, &b]),
            Binary::Mul => self.let_(class, &format!("mul.lo.{signed}"), &[&a, &b]),
            Binary::Min | Binary::Max => self.let_(class, &format!("{}.{ty}", op.name()), &[&a, &b]),
            Binary::Div | Binary::Rem => self.divide(op, dtype, a, b),
            Binary::Shl | Binary::Shr => {
                let amount = match class {
                    Class::Double => self.let_(Class::Word, "cvt.u32.u64", &[&b]),
                    _ => b,
                };
                let ty = if op == Binary::Shl { ty.replace(['u', 's'], "b") } else { ty.to_string() };
                self.let_(class, &format!("{}.{ty}", op.name()), &[&a, &amount])
            }
            _ => return Err(Error::internal(format!("{} of {dtype}", op.name()))),
        };
        Ok(self.wrap(dtype, value))
    }

    /// Division that is defined for all operands: `x / 0` and `x % 0` are 0, `MIN / -1` is `MIN`.
    fn divide(&mut self, op: Binary, dtype: DType, a: Reg, b: Reg) -> Reg {
        let (class, ty) = (a.class, computed(dtype));
        let is = |this: &mut Self, n: i64| this.let_(Class::Predicate, &format!("setp.eq.{ty}"), &[&b, &n]);
        let select = format!("selp.{ty}");
        let none = is(self, 0);
        let mut by = self.let_(class, &select, &[&1, &b, &none]);
        let minus = dtype.is_signed_int().then(|| is(self, -1));
        if let Some(minus) = minus {
            by = self.let_(class, &select, &[&1, &by, &minus]);
        }
        let mut value = self.let_(class, &format!("{}.{ty}", op.name()), &[&a, &by]);
        if let (Some(minus), Binary::Div) = (minus, op) {
            let negated = self.let_(class, &format!("neg.{ty}"), &[&a]);
            value = self.let_(class, &select, &[&negated, &value, &minus]);
        }
        self.let_(class, &select, &[&0, &value, &none])
    }

    pub(super) fn compare(&mut self, op: Compare, dtype: DType, a: Reg, b: Reg) -> Reg {
        if dtype == DType::Bool {
            let (a, b) = (self.bool_word(a), self.bool_word(b));
            return self.compare(op, DType::U32, a, b);
        }
        let name = match op {
            // Of floats, `ne` would be false for NaN.
            Compare::Ne if dtype.is_float() => "neu",
            _ => op.name(),
        };
        self.let_(Class::Predicate, &format!("setp.{name}.{}", computed(dtype)), &[&a, &b])
    }

    pub(super) fn select(&mut self, mask: Reg, a: Reg, b: Reg) -> Reg {
        if a.class == Class::Predicate {
            let chosen = self.let_(Class::Predicate, "and.pred", &[&mask, &a]);
            let not = self.let_(Class::Predicate, "not.pred", &[&mask]);
            let other = self.let_(Class::Predicate, "and.pred", &[&not, &b]);
            return self.let_(Class::Predicate, "or.pred", &[&chosen, &other]);
        }
        self.let_(a.class, &format!("selp.{}", super::register::bits(a.class)), &[&a, &b, &mask])
    }

    /// An operand whose type is its own.
    pub(super) fn vector_operand(&mut self, a: &Operand) -> Result<Val> {
        match a {
            Operand::Ref(value) => {
                let value = self.read(&value.name)?;
                match value.layout() {
                    Layout::Same | Layout::Lanes => Ok(value),
                    _ => Err(Error::unsupported("lanes of a fragment")),
                }
            }
            _ => Err(Error::internal(format!("{a} has no lanes"))),
        }
    }
}

/// The type of an accumulator that is no single float.
fn a_type(cell: Reg) -> DType {
    match cell.class {
        Class::DoubleFloat => DType::F64,
        Class::Double => DType::I64,
        _ => DType::I32,
    }
}

fn multiply_add(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "fma.rn.f32",
        DType::F64 => "fma.rn.f64",
        DType::I64 | DType::U64 => "mad.lo.s64",
        _ => "mad.lo.s32",
    }
}
