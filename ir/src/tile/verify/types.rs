//! Types of operands and results.

use super::{Check, Def, Verifier};
use crate::DType;
use crate::tile::{Binary, Compare, Monoid, Op, Operand, Phase, Ref, Type, Unary};

impl Verifier<'_> {
    pub(super) fn same(&self, found: Type, expected: Type) -> Check {
        if found == expected { Ok(()) } else { Err(format!("expected type {expected}, found {found}")) }
    }

    /// The type of what a reference names.
    pub(super) fn ref_type(&self, value: &Ref) -> Check<Type> {
        let at = self.place(value)?;
        match self.scopes.get(&value.name, &at) {
            Some(Def::Value(ty) | Def::Cell(ty)) => Ok(*ty),
            Some(_) => Err(format!("{value} is neither a value nor a cell")),
            None => Err(format!("{value} is not defined here")),
        }
    }

    /// The type of the cell that a reference names.
    pub(super) fn cell_type(&self, cell: &Ref) -> Check<Type> {
        let ty = self.ref_type(cell)?;
        match self.scopes.get(&cell.name, &self.place(cell)?) {
            Some(Def::Cell(_)) => Ok(ty),
            _ => Err(format!("{cell} is no cell")),
        }
    }

    /// An operand must have, or be a constant of, a type.
    pub(super) fn operand(&self, operand: &Operand, ty: Type) -> Check {
        let fits = match operand {
            Operand::Ref(value) => {
                let found = self.ref_type(value)?;
                return self.same(found, ty).map_err(|e| format!("{value}: {e}"));
            }
            Operand::Float(_) => ty.dtype.is_float(),
            Operand::Int(n) => fits(*n, ty.dtype),
        };
        if fits { Ok(()) } else { Err(format!("{operand} is no constant of type {}", ty.dtype)) }
    }

    /// Arithmetic has no half floats.
    pub(super) fn computable(&self, ty: Type) -> Check {
        self.lanes(ty)?;
        if ty.dtype.is_half() {
            return Err(format!("{} is only moved and converted", ty.dtype));
        }
        Ok(())
    }

    pub(super) fn lanes(&self, ty: Type) -> Check {
        let known = ty.lanes.is_power_of_two() && ty.lanes <= 128;
        if known { Ok(()) } else { Err(format!("{} lanes are no power of two up to 128", ty.lanes)) }
    }

    /// An operation must compute its type.
    pub(super) fn op(&mut self, ty: Type, op: &Op) -> Check {
        if let Op::Fragment(from, of) = op {
            return self.fragment(from, ty, of).map(|_| ());
        }
        self.lanes(ty)?;
        match op {
            Op::Load(from, first) => return self.access(from, ty, first, true).map(|_| ()),
            Op::Broadcast(from) => return self.access(from, Type::scalar(ty.dtype), &None, true).map(|_| ()),
            Op::Convert(from, a) => {
                self.lanes(*from)?;
                self.same(Type { dtype: ty.dtype, ..*from }, ty)?;
                return self.operand(a, *from);
            }
            Op::Bitcast(from, a) => {
                self.lanes(*from)?;
                require(from.bytes() == ty.bytes(), "a bitcast keeps the size")?;
                require(from.dtype != DType::Bool && ty.dtype != DType::Bool, "a bool has no bits to cast")?;
                return self.operand(a, *from);
            }
            Op::Lane(..) | Op::Pack(_) | Op::Splat(_) => self.lanes(ty)?,
            _ => self.computable(ty)?,
        }
        self.arithmetic(ty, op)
    }

    fn arithmetic(&mut self, ty: Type, op: &Op) -> Check {
        let (int, float) = (ty.dtype.is_int(), ty.dtype.is_float());
        match op {
            Op::Load(..) | Op::Fragment(..) | Op::Broadcast(_) | Op::Convert(..) | Op::Bitcast(..) => Ok(()),
            Op::Splat(a) => self.operand(a, Type::scalar(ty.dtype)),
            Op::Iota => require(int && fits(i64::from(ty.lanes) - 1, ty.dtype), "lanes are numbered by integers"),
            Op::Index(e) => {
                require(matches!(ty.dtype, DType::I64 | DType::I32), "an index is an i64 or i32")?;
                self.index(e).map(|_| ())
            }
            Op::Lane(a, lane) => {
                let from = self.vector(a, ty.dtype)?;
                require(ty.lanes == 1 && *lane < from.lanes, "a lane is a scalar, and one that exists")
            }
            Op::Pack(lanes) => {
                require(lanes.len() == usize::from(ty.lanes), "one operand a lane")?;
                lanes.iter().try_for_each(|a| self.operand(a, Type::scalar(ty.dtype)))
            }
            Op::Reduce(monoid, a) => {
                self.vector(a, ty.dtype)?;
                let logical = matches!(monoid, Monoid::And | Monoid::Or);
                require(ty.lanes == 1, "a reduction gives a scalar")?;
                require(logical == (ty.dtype == DType::Bool), "logical reductions are of bools, the others of numbers")
            }
            Op::Unary(op, a) => {
                require(unary_takes(*op, ty.dtype), &format!("no {} of {}", op.name(), ty.dtype))?;
                self.operand(a, ty)
            }
            Op::Binary(op, a, b) => {
                require(binary_takes(*op, ty.dtype), &format!("no {} of {}", op.name(), ty.dtype))?;
                self.operand(a, ty)?;
                self.operand(b, ty)
            }
            Op::Fma(a, b, c) => {
                require(float, "fma is of floats")?;
                [a, b, c].into_iter().try_for_each(|a| self.operand(a, ty))
            }
            Op::Compare(compare, of, a, b) => {
                self.computable(*of)?;
                require(ty == Type { dtype: DType::Bool, ..*of }, "a comparison gives bools, one a lane")?;
                let ordered = of.dtype != DType::Bool || matches!(compare, Compare::Eq | Compare::Ne);
                require(ordered, "bools have no order")?;
                self.operand(a, *of)?;
                self.operand(b, *of)
            }
            Op::Select(mask, a, b) => {
                self.operand(mask, Type { dtype: DType::Bool, ..ty })?;
                self.operand(a, ty)?;
                self.operand(b, ty)
            }
            Op::Math(math, args) => {
                require(self.tile.phase == Phase::Indexed, "`math` is left in the linear phase")?;
                require(float, "functions are of floats")?;
                require(args.len() == math.arity(), "another number of operands")?;
                args.iter().try_for_each(|a| self.operand(a, ty))
            }
        }
    }

    /// A value of an element type, with any lanes.
    fn vector(&self, a: &Operand, dtype: DType) -> Check<Type> {
        let Operand::Ref(value) = a else { return Err(format!("{a} has no lanes")) };
        let ty = self.ref_type(value)?;
        self.same(Type { dtype, ..ty }, ty)?;
        Ok(ty)
    }
}

fn require(holds: bool, message: &str) -> Check {
    if holds { Ok(()) } else { Err(message.to_owned()) }
}

fn unary_takes(op: Unary, dtype: DType) -> bool {
    match op {
        Unary::Neg | Unary::Abs => dtype != DType::Bool,
        Unary::Sqrt | Unary::Floor | Unary::Ceil | Unary::Trunc | Unary::Round => dtype.is_float(),
        Unary::Not => !dtype.is_float(),
    }
}

fn binary_takes(op: Binary, dtype: DType) -> bool {
    match op {
        Binary::Add | Binary::Sub | Binary::Mul | Binary::Div | Binary::Min | Binary::Max => dtype != DType::Bool,
        Binary::And | Binary::Or | Binary::Xor => !dtype.is_float(),
        Binary::Rem | Binary::Shl | Binary::Shr => dtype.is_int(),
    }
}

/// Whether an integer constant is one of a type; for `U64` its bits are.
fn fits(n: i64, dtype: DType) -> bool {
    match dtype {
        DType::I64 | DType::U64 => true,
        DType::I32 => i32::try_from(n).is_ok(),
        DType::I16 => i16::try_from(n).is_ok(),
        DType::I8 => i8::try_from(n).is_ok(),
        DType::U32 => u32::try_from(n).is_ok(),
        DType::U16 => u16::try_from(n).is_ok(),
        DType::U8 => u8::try_from(n).is_ok(),
        DType::Bool => n == 0 || n == 1,
        DType::F64 | DType::F32 | DType::F16 | DType::BF16 => false,
    }
}
