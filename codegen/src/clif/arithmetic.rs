//! Arithmetic, comparisons, selection; one register at a time.

use super::body::Emitter;
use super::value::{Val, per_register};
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{InstBuilder, Value, types};
use mlc_ir::tile::{Binary, Compare, Op, Operand, Type, Unary};
use mlc_ir::{DType, Error, Result};

impl Emitter<'_> {
    /// What an instruction computes.
    pub(super) fn op(&mut self, ty: Type, op: &Op) -> Result<Val> {
        match op {
            Op::Load(from, first) => self.load(ty, from, first.as_ref()),
            Op::Fragment(_, of) => Err(Error::unsupported(format!("a fragment of `{}`", of.row))),
            Op::Broadcast(from) => self.broadcast(ty, from),
            Op::Splat(_) | Op::Iota | Op::Index(_) | Op::Lane(..) | Op::Pack(_) | Op::Reduce(..) => self.lanes(ty, op),
            Op::Unary(op, a) => {
                let a = self.operand(a, ty)?;
                self.unary(*op, &a)
            }
            Op::Binary(op, a, b) => self.binary(ty, *op, a, b),
            Op::Fma(a, b, c) => {
                let (a, b, c) = (self.operand(a, ty)?, self.operand(b, ty)?, self.operand(c, ty)?);
                self.multiply_add(&a, &b, &c)
            }
            Op::Compare(op, of, a, b) => {
                let (a, b) = (self.operand(a, *of)?, self.operand(b, *of)?);
                self.compare_values(*op, &a, &b)
            }
            Op::Select(mask, a, b) => {
                let mask = self.operand(mask, Type { dtype: DType::Bool, ..ty })?;
                let (a, b) = (self.operand(a, ty)?, self.operand(b, ty)?);
                Ok(self.select(&mask, &a, &b))
            }
            Op::Convert(from, a) => {
                let a = self.operand(a, *from)?;
                self.convert(ty.dtype, &a)
            }
            Op::Bitcast(from, a) => {
                let a = self.operand(a, *from)?;
                self.bitcast(ty, &a)
            }
            Op::Math(function, _) => Err(Error::internal(format!("`{}` in a linear tile", function.name()))),
        }
    }

    /// Instructions that make vectors of scalars, or scalars of vectors.
    fn lanes(&mut self, ty: Type, op: &Op) -> Result<Val> {
        match op {
            Op::Splat(a) => {
                let scalar = self.operand(a, Type::scalar(ty.dtype))?;
                Ok(self.splat(&scalar, ty.lanes))
            }
            Op::Iota => Ok(self.iota(ty)),
            Op::Index(index) => {
                let mut value = self.eval(index)?;
                if ty.dtype == DType::I32 {
                    value = self.b.ins().ireduce(types::I32, value);
                }
                Ok(self.splat(&Val::scalar(ty.dtype, value), ty.lanes))
            }
            Op::Lane(a, lane) => {
                let vector = self.vector_operand(a)?;
                let scalar = self.lane(&vector, usize::from(*lane));
                Ok(Val::scalar(ty.dtype, scalar))
            }
            Op::Pack(lanes) => {
                let scalar = Type::scalar(ty.dtype);
                let lanes: Vec<Value> =
                    lanes.iter().map(|a| Ok(self.operand(a, scalar)?.regs[0])).collect::<Result<_>>()?;
                Ok(self.pack(ty, &lanes))
            }
            Op::Reduce(monoid, a) => {
                let value = self.vector_operand(a)?;
                self.reduce(*monoid, value)
            }
            _ => Err(Error::internal("no instruction on lanes")),
        }
    }

    fn vector_operand(&mut self, a: &Operand) -> Result<Val> {
        match a {
            Operand::Ref(value) => self.read(&value.name),
            _ => Err(Error::internal(format!("{a} has no lanes"))),
        }
    }

    fn unary(&mut self, op: Unary, a: &Val) -> Result<Val> {
        if let (Unary::Floor | Unary::Ceil | Unary::Trunc | Unary::Round, false) = (op, self.caps.round) {
            return self.round_by_bits(op, a);
        }
        let dtype = a.ty.dtype;
        let regs = a.regs.iter().map(|reg| self.unary_register(op, dtype, a.is_mask(), *reg)).collect::<Result<_>>()?;
        Ok(Val { regs, uniform: None, ..a.clone() })
    }

    fn unary_register(&mut self, op: Unary, dtype: DType, mask: bool, a: Value) -> Result<Value> {
        let ty = self.b.func.dfg.value_type(a);
        Ok(match (op, dtype) {
            (Unary::Not, DType::Bool) if !mask => self.b.ins().bxor_imm_u(a, 1),
            (Unary::Not, dtype) if !dtype.is_float() => self.b.ins().bnot(a),
            (Unary::Neg, dtype) if dtype.is_float() => self.b.ins().fneg(a),
            (Unary::Neg, dtype) if dtype.is_int() => {
                let zero = self.zero(ty);
                self.b.ins().isub(zero, a)
            }
            (Unary::Abs, dtype) if dtype.is_float() => self.b.ins().fabs(a),
            (Unary::Abs, dtype) if dtype.is_signed_int() => self.b.ins().iabs(a),
            (Unary::Abs, dtype) if dtype.is_unsigned_int() => a,
            (Unary::Sqrt, DType::F32 | DType::F64) => self.b.ins().sqrt(a),
            (Unary::Floor, DType::F32 | DType::F64) => self.b.ins().floor(a),
            (Unary::Ceil, DType::F32 | DType::F64) => self.b.ins().ceil(a),
            (Unary::Trunc, DType::F32 | DType::F64) => self.b.ins().trunc(a),
            (Unary::Round, DType::F32 | DType::F64) => self.b.ins().nearest(a),
            _ => return Err(Error::internal(format!("{} of {dtype}", op.name()))),
        })
    }

    fn binary(&mut self, ty: Type, op: Binary, a: &Operand, b: &Operand) -> Result<Val> {
        let amount = if let Operand::Int(n) = b { Some(*n) } else { None };
        let (a, b) = (self.operand(a, ty)?, self.operand(b, ty)?);
        if ty.lanes > 1 && ty.dtype.is_int() {
            if let Binary::Div | Binary::Rem = op {
                return self.by_lane(ty, &[&a, &b], &mut |this, ab| this.binary_register(op, ty.dtype, ab[0], ab[1]));
            }
            if let Binary::Shl | Binary::Shr = op {
                return self.shift(op, &a, &b, amount);
            }
        }
        let (a, b) = self.same_width(a, b);
        let pairs: Vec<(Value, Value)> = a.regs.iter().copied().zip(b.regs).collect();
        let regs = pairs.into_iter().map(|(x, y)| self.binary_register(op, ty.dtype, x, y)).collect::<Result<_>>()?;
        Ok(Val { ty, regs, width: a.width, uniform: None })
    }

    /// Two masks brought to one width; the wider keeps most.
    fn same_width(&mut self, a: Val, b: Val) -> (Val, Val) {
        if a.width == b.width {
            return (a, b);
        }
        let width = a.width.max(b.width);
        (self.at_width(&a, width), self.at_width(&b, width))
    }

    /// A vector shift: all lanes by the same amount, or each by itself.
    fn shift(&mut self, op: Binary, a: &Val, b: &Val, amount: Option<i64>) -> Result<Val> {
        let by = match (amount, b.uniform) {
            (Some(n), _) => self.b.ins().iconst(types::I32, n & 63),
            (None, Some(scalar)) => scalar,
            (None, None) => {
                let dtype = a.ty.dtype;
                return self.by_lane(a.ty, &[a, b], &mut |this, ab| this.binary_register(op, dtype, ab[0], ab[1]));
            }
        };
        let signed = a.ty.dtype.is_signed_int();
        let regs = a.regs.iter().map(|reg| match op {
            Binary::Shl => self.b.ins().ishl(*reg, by),
            _ if signed => self.b.ins().sshr(*reg, by),
            _ => self.b.ins().ushr(*reg, by),
        });
        Ok(Val::new(a.ty, regs.collect()))
    }

    /// An operation on one register of lanes, or a scalar.
    pub(super) fn binary_register(&mut self, op: Binary, dtype: DType, a: Value, b: Value) -> Result<Value> {
        if dtype.is_float() {
            return self.float_register(op, dtype, a, b);
        }
        let ty = self.b.func.dfg.value_type(a);
        let signed = dtype.is_signed_int();
        Ok(match op {
            Binary::And => self.b.ins().band(a, b),
            Binary::Or => self.b.ins().bor(a, b),
            Binary::Xor => self.b.ins().bxor(a, b),
            _ if dtype == DType::Bool => return Err(Error::internal(format!("{} of bool", op.name()))),
            Binary::Add => self.b.ins().iadd(a, b),
            Binary::Sub => self.b.ins().isub(a, b),
            Binary::Mul if ty == types::I8X16 => self.multiply_bytes(a, b),
            Binary::Mul => self.b.ins().imul(a, b),
            Binary::Min | Binary::Max if ty == types::I64X2 => {
                let cc = if signed { IntCC::SignedLessThan } else { IntCC::UnsignedLessThan };
                let first = match op {
                    Binary::Min => self.b.ins().icmp(cc, a, b),
                    _ => self.b.ins().icmp(cc, b, a),
                };
                self.choose(first, a, b)
            }
            Binary::Min if signed => self.b.ins().smin(a, b),
            Binary::Max if signed => self.b.ins().smax(a, b),
            Binary::Min => self.b.ins().umin(a, b),
            Binary::Max => self.b.ins().umax(a, b),
            Binary::Div | Binary::Rem => self.divide(op, signed, a, b),
            Binary::Shl => self.b.ins().ishl(a, b),
            Binary::Shr if signed => self.b.ins().sshr(a, b),
            Binary::Shr => self.b.ins().ushr(a, b),
        })
    }

    fn float_register(&mut self, op: Binary, dtype: DType, a: Value, b: Value) -> Result<Value> {
        Ok(match op {
            Binary::Add => self.b.ins().fadd(a, b),
            Binary::Sub => self.b.ins().fsub(a, b),
            Binary::Mul => self.b.ins().fmul(a, b),
            Binary::Div => self.b.ins().fdiv(a, b),
            Binary::Min => {
                let first = self.b.ins().fcmp(FloatCC::LessThan, a, b);
                self.choose(first, a, b)
            }
            Binary::Max => {
                let first = self.b.ins().fcmp(FloatCC::LessThan, b, a);
                self.choose(first, a, b)
            }
            _ => return Err(Error::internal(format!("{} of {dtype}", op.name()))),
        })
    }

    /// Bytes are multiplied as 16-bit ints; the even and the odd ones apart.
    fn multiply_bytes(&mut self, a: Value, b: Value) -> Value {
        let (a, b) = (self.cast(a, types::I16X8), self.cast(b, types::I16X8));
        let even = self.b.ins().imul(a, b);
        let low = self.splat_bits(types::I16X8, 0xff);
        let even = self.b.ins().band(even, low);
        let (a, b) = (self.b.ins().ushr_imm_u(a, 8), self.b.ins().ushr_imm_u(b, 8));
        let odd = self.b.ins().imul(a, b);
        let odd = self.b.ins().ishl_imm_u(odd, 8);
        let both = self.b.ins().bor(even, odd);
        self.cast(both, types::I8X16)
    }

    /// Division of scalars that never traps: `x / 0` and `x % 0` are 0, `MIN / -1` is `MIN`.
    fn divide(&mut self, op: Binary, signed: bool, a: Value, b: Value) -> Value {
        let ty = self.b.func.dfg.value_type(a);
        let one = self.b.ins().iconst(ty, 1);
        let zero = self.zero(ty);
        let none = self.b.ins().icmp(IntCC::Equal, b, zero);
        let mut by = self.b.ins().select(none, one, b);
        if !signed {
            let result = match op {
                Binary::Div => self.b.ins().udiv(a, by),
                _ => self.b.ins().urem(a, by),
            };
            return self.b.ins().select(none, zero, result);
        }
        let minus = self.b.ins().icmp_imm_s(IntCC::Equal, b, -1);
        by = self.b.ins().select(minus, one, by);
        if op == Binary::Rem {
            return self.b.ins().srem(a, by);
        }
        let quotient = self.b.ins().sdiv(a, by);
        let negated = self.b.ins().ineg(a);
        let quotient = self.b.ins().select(minus, negated, quotient);
        self.b.ins().select(none, zero, quotient)
    }

    /// `a * b + c`.
    pub(super) fn multiply_add(&mut self, a: &Val, b: &Val, c: &Val) -> Result<Val> {
        let mut regs = Vec::with_capacity(c.regs.len());
        let float = c.ty.dtype.is_float();
        for ((a, b), sum) in a.regs.iter().zip(&b.regs).zip(&c.regs) {
            regs.push(if float && self.caps.fma {
                self.b.ins().fma(*a, *b, *sum)
            } else {
                let product = self.binary_register(Binary::Mul, c.ty.dtype, *a, *b)?;
                self.binary_register(Binary::Add, c.ty.dtype, *sum, product)?
            });
        }
        Ok(Val::new(c.ty, regs))
    }

    pub(super) fn compare_values(&mut self, op: Compare, a: &Val, b: &Val) -> Result<Val> {
        let dtype = a.ty.dtype;
        let (a, b) = self.same_width(a.clone(), b.clone());
        let regs: Vec<Value> =
            a.regs.iter().zip(&b.regs).map(|(x, y)| self.compare_register(op, dtype, *x, *y)).collect();
        if a.ty.lanes == 1 {
            return Ok(Val::scalar(DType::Bool, regs[0]));
        }
        let width = if a.is_mask() { a.width } else { 128 / per_register(dtype) as u32 };
        Ok(Val::mask(a.ty.lanes, width, regs))
    }

    pub(super) fn compare_register(&mut self, op: Compare, dtype: DType, a: Value, b: Value) -> Value {
        if dtype.is_float() {
            let cc = match op {
                Compare::Eq => FloatCC::Equal,
                Compare::Ne => FloatCC::NotEqual,
                Compare::Lt => FloatCC::LessThan,
                Compare::Le => FloatCC::LessThanOrEqual,
            };
            return self.b.ins().fcmp(cc, a, b);
        }
        let cc = match (op, dtype.is_signed_int()) {
            (Compare::Eq, _) => IntCC::Equal,
            (Compare::Ne, _) => IntCC::NotEqual,
            (Compare::Lt, true) => IntCC::SignedLessThan,
            (Compare::Lt, false) => IntCC::UnsignedLessThan,
            (Compare::Le, true) => IntCC::SignedLessThanOrEqual,
            (Compare::Le, false) => IntCC::UnsignedLessThanOrEqual,
        };
        self.b.ins().icmp(cc, a, b)
    }

    pub(super) fn select(&mut self, mask: &Val, a: &Val, b: &Val) -> Val {
        if a.ty.lanes == 1 {
            let chosen = self.b.ins().select(mask.regs[0], a.regs[0], b.regs[0]);
            return Val::scalar(a.ty.dtype, chosen);
        }
        let (a, b) = self.same_width(a.clone(), b.clone());
        let width = if a.is_mask() { a.width } else { 128 / per_register(a.ty.dtype) as u32 };
        let mask = self.at_width(mask, width);
        let each: Vec<_> = mask.regs.iter().copied().zip(a.regs.iter().copied().zip(b.regs)).collect();
        let regs = each.into_iter().map(|(mask, (x, y))| self.choose(mask, x, y)).collect();
        Val { regs, uniform: None, ..a }
    }
}
