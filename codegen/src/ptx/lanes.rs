//! Constants, single lanes, and folds over lanes.

use super::body::Emitter;
use super::register::{Class, Reg, Val, computed};
use half::{bf16, f16};
use mlc_ir::tile::{Binary, Compare, Monoid, Op, Type};
use mlc_ir::{DType, Error, Result};

impl Emitter<'_> {
    pub(super) fn float_constant(&mut self, x: f64, ty: Type) -> Val {
        let reg = match ty.dtype {
            DType::F64 => self.let_(Class::DoubleFloat, "mov.f64", &[&format!("0d{:016X}", x.to_bits())]),
            DType::F16 => self.let_(Class::Half, "mov.b16", &[&f16::from_f64(x).to_bits()]),
            DType::BF16 => self.let_(Class::Half, "mov.b16", &[&bf16::from_f64(x).to_bits()]),
            _ => self.let_(Class::Single, "mov.f32", &[&format!("0f{:08X}", (x as f32).to_bits())]),
        };
        Val { ty, regs: vec![reg; usize::from(ty.lanes)] }
    }

    pub(super) fn int_constant(&mut self, n: i64, ty: Type) -> Val {
        let reg = match ty.dtype {
            DType::Bool => {
                let word = self.let_(Class::Word, "mov.b32", &[&n]);
                self.let_(Class::Predicate, "setp.ne.u32", &[&word, &0])
            }
            DType::I64 | DType::U64 => self.let_(Class::Double, "mov.b64", &[&n]),
            DType::F16 | DType::BF16 => self.let_(Class::Half, "mov.b16", &[&(n as u16)]),
            DType::F32 => self.let_(Class::Single, "mov.f32", &[&format!("0f{:08X}", n as u32)]),
            DType::F64 => self.let_(Class::DoubleFloat, "mov.f64", &[&format!("0d{n:016X}")]),
            dtype => self.let_(Class::Word, "mov.b32", &[&narrow(dtype, n)]),
        };
        Val { ty, regs: vec![reg; usize::from(ty.lanes)] }
    }

    /// 0 in a register of a type's lanes.
    pub(super) fn zero(&mut self, dtype: DType) -> Reg {
        self.int_constant(0, Type::scalar(dtype)).regs[0]
    }

    /// Instructions that make vectors of scalars, or scalars of vectors.
    pub(super) fn lanes(&mut self, ty: Type, op: &Op) -> Result<Val> {
        let scalar = Type::scalar(ty.dtype);
        let count = usize::from(ty.lanes);
        let regs = match op {
            Op::Splat(a) => vec![self.operand(a, scalar)?.regs[0]; count],
            Op::Iota => (0..count).map(|lane| self.int_constant(lane as i64, scalar).regs[0]).collect(),
            Op::Index(index) => {
                let value = self.eval(index)?;
                let value = match Class::of(ty.dtype) {
                    Class::Double => self.let_(Class::Double, "mov.b64", &[&value]),
                    _ => self.let_(Class::Word, "cvt.u32.u64", &[&value]),
                };
                vec![value; count]
            }
            Op::Lane(a, lane) => vec![self.vector_operand(a)?.regs[usize::from(*lane)]],
            Op::Pack(lanes) => {
                let lanes = lanes.iter().map(|a| Ok(self.operand(a, scalar)?.regs[0]));
                lanes.collect::<Result<_>>()?
            }
            Op::Reduce(monoid, a) => {
                let value = self.vector_operand(a)?;
                vec![self.reduce(*monoid, ty.dtype, value.regs)?]
            }
            _ => return Err(Error::internal("no instruction on lanes")),
        };
        Ok(Val { ty, regs })
    }

    /// Folds by halving: lane i with lane i + n/2, and so on.
    fn reduce(&mut self, monoid: Monoid, dtype: DType, mut regs: Vec<Reg>) -> Result<Reg> {
        while regs.len() > 1 {
            let upper = regs.split_off(regs.len() / 2);
            regs = regs.into_iter().zip(upper).map(|(a, b)| self.fold(monoid, dtype, a, b)).collect::<Result<_>>()?;
        }
        regs.pop().ok_or_else(|| Error::internal("a fold over no lanes"))
    }

    fn fold(&mut self, monoid: Monoid, dtype: DType, a: Reg, b: Reg) -> Result<Reg> {
        let extreme = match monoid {
            Monoid::Sum => return self.binary(Binary::Add, dtype, a, b),
            Monoid::Prod => return self.binary(Binary::Mul, dtype, a, b),
            Monoid::And => return self.binary(Binary::And, dtype, a, b),
            Monoid::Or => return self.binary(Binary::Or, dtype, a, b),
            Monoid::Max => "gt",
            Monoid::Min => "lt",
        };
        // A NaN in `a` wins as it is; one in `b` because nothing is beyond it.
        let beyond = self.let_(Class::Predicate, &format!("setp.{extreme}.{}", computed(dtype)), &[&a, &b]);
        if !dtype.is_float() {
            return Ok(self.select(beyond, a, b));
        }
        let nan = self.compare(Compare::Ne, dtype, a, a);
        let first = self.let_(Class::Predicate, "or.pred", &[&nan, &beyond]);
        Ok(self.select(first, a, b))
    }
}

/// An int as its register holds it, extended from the width of its type.
fn narrow(dtype: DType, n: i64) -> i64 {
    match dtype {
        DType::I32 => i64::from(n as i32),
        DType::U32 => i64::from(n as u32),
        DType::I16 => i64::from(n as i16),
        DType::U16 => i64::from(n as u16),
        DType::I8 => i64::from(n as i8),
        _ => i64::from(n as u8),
    }
}
