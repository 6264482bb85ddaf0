//! Turns each [`Op`] into one [`Run`].

use super::code::{Dst, Run};
use super::compile::{Compiled, Compiler};
use super::{math, scalar};
use crate::DType;
use crate::tile::{Binary, Op, Operand, Type};

impl Compiler<'_> {
    /// The instruction that computes `op` of type `ty` into `to`.
    pub(super) fn op<'b>(&mut self, to: Dst, ty: Type, op: &Op) -> Compiled<Run<'b>> {
        let dtype = ty.dtype;
        Ok(match op {
            Op::Load(from, first) => Run::Load(to, self.access(from)?, self.optional(first)?),
            Op::Fragment(from, of) => Run::LoadFragment(to, self.piece(from, of)?),
            Op::Broadcast(from) => Run::Broadcast(to, self.access(from)?),
            Op::Splat(a) => Run::Copy(to, self.operand(a, Type::scalar(dtype))?),
            Op::Iota => Run::Iota(to),
            Op::Index(e) => Run::Index(to, self.expr(e)?, if dtype == DType::I32 { u32::MAX.into() } else { u64::MAX }),
            Op::Lane(a, lane) => {
                let (mut from, _) = self.vector(a)?;
                from.base += usize::from(*lane);
                Run::Copy(to, from)
            }
            Op::Pack(lanes) => {
                let scalar = Type::scalar(dtype);
                Run::Pack(to, lanes.iter().map(|a| self.operand(a, scalar)).collect::<Compiled<_>>()?)
            }
            Op::Reduce(monoid, a) => {
                let (from, found) = self.vector(a)?;
                let f = scalar::fold(*monoid, dtype).ok_or("no such reduction")?;
                Run::Reduce(to.base, f, from, usize::from(found.lanes))
            }
            Op::Unary(op, a) => {
                Run::One(to, scalar::unary(*op, dtype).ok_or("no such operation")?, self.operand(a, ty)?)
            }
            Op::Binary(op, a, b) => {
                let f = scalar::binary(*op, dtype).ok_or("no such operation")?;
                let (a, b) = (self.operand(a, ty)?, self.operand(b, ty)?);
                match op {
                    Binary::Shl | Binary::Shr => Run::Shift(to, f, a, b, 8 * dtype.bytes() as u64),
                    _ => Run::Two(to, f, a, b),
                }
            }
            Op::Fma(a, b, c) => {
                let f = scalar::multiply_add(dtype).ok_or("no such operation")?;
                Run::Three(to, f, self.operand(a, ty)?, self.operand(b, ty)?, self.operand(c, ty)?)
            }
            Op::Compare(op, of, a, b) => {
                let f = scalar::compare(*op, of.dtype).ok_or("no such comparison")?;
                Run::Two(to, f, self.operand(a, *of)?, self.operand(b, *of)?)
            }
            Op::Select(mask, a, b) => {
                let mask = self.operand(mask, Type { dtype: DType::Bool, ..ty })?;
                Run::Select(to, mask, self.operand(a, ty)?, self.operand(b, ty)?)
            }
            Op::Convert(from, a) => Run::Convert(to, from.dtype, dtype, self.operand(a, *from)?),
            Op::Bitcast(from, a) => {
                let operand = self.operand(a, *from)?;
                Run::Bitcast(to, dtype.bytes(), operand, from.dtype.bytes(), usize::from(from.lanes))
            }
            Op::Math(function, args) => {
                let args = args.iter().map(|a| self.operand(a, ty)).collect::<Compiled<Vec<_>>>()?;
                match (math::unary(*function, dtype), math::binary(*function, dtype), args.as_slice()) {
                    (Some(f), _, [a]) => Run::One(to, f, *a),
                    (_, Some(f), [a, b]) => Run::Two(to, f, *a, *b),
                    _ => return Err("no such function".into()),
                }
            }
        })
    }

    fn vector(&mut self, a: &Operand) -> Compiled<(super::code::Src, Type)> {
        let Operand::Ref(value) = a else { return Err(format!("{a} has no lanes")) };
        let (_, ty) = self.lanes(value)?;
        Ok((self.operand(a, ty)?, ty))
    }
}
