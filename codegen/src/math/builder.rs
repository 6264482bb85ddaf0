//! A small builder of tile instructions, over floats of one type and the ints of the same width.
//!
//! Operands are values or constants; a constant stands for all lanes. Functions are written over this, once for all
//! lanes and emitters.

use mlc_ir::tile::{Binary, Compare, Inst, Op, Operand, Ref, Type, Unary};
use mlc_ir::{DType, Name};

/// What an instruction may take: a value, or a number that stands for a constant in all lanes.
pub trait Arg {
    /// As a tile has it.
    fn operand(self) -> Operand;
}

impl Arg for &Operand {
    fn operand(self) -> Operand {
        self.clone()
    }
}

impl Arg for Operand {
    fn operand(self) -> Operand {
        self
    }
}

impl Arg for f64 {
    fn operand(self) -> Operand {
        Operand::Float(self)
    }
}

impl Arg for i64 {
    fn operand(self) -> Operand {
        Operand::Int(self)
    }
}

/// Appends instructions.
pub struct Builder<'a> {
    /// `F32` or `F64`, and the lanes.
    pub ty: Type,
    fresh: &'a mut dyn FnMut() -> Name,
    out: &'a mut Vec<Inst>,
}

macro_rules! binary {
    ($($(#[$doc:meta])* $name:ident $op:ident $of:ident;)+) => { $(
        $(#[$doc])*
        pub fn $name(&mut self, a: impl Arg, b: impl Arg) -> Operand {
            let ty = self.$of();
            self.define(ty, Op::Binary(Binary::$op, a.operand(), b.operand()))
        }
    )+ };
}

macro_rules! unary {
    ($($name:ident $op:ident;)+) => { $(
        /// The operation of this name, on floats.
        pub fn $name(&mut self, a: impl Arg) -> Operand {
            self.define(self.ty, Op::Unary(Unary::$op, a.operand()))
        }
    )+ };
}

macro_rules! compare {
    ($($(#[$doc:meta])* $name:ident $op:ident $of:ident;)+) => { $(
        $(#[$doc])*
        pub fn $name(&mut self, a: impl Arg, b: impl Arg) -> Operand {
            let (ty, of) = (self.mask(), self.$of());
            self.define(ty, Op::Compare(Compare::$op, of, a.operand(), b.operand()))
        }
    )+ };
}

impl<'a> Builder<'a> {
    /// A builder for floats of a type.
    pub fn new(ty: Type, fresh: &'a mut dyn FnMut() -> Name, out: &'a mut Vec<Inst>) -> Builder<'a> {
        Builder { ty, fresh, out }
    }

    /// The same builder for floats of another type.
    pub fn with(&mut self, dtype: DType) -> Builder<'_> {
        Builder { ty: Type { dtype, ..self.ty }, fresh: &mut *self.fresh, out: &mut *self.out }
    }

    /// Whether floats have 64 bits.
    pub fn is_double(&self) -> bool {
        self.ty.dtype == DType::F64
    }

    /// The type of floats.
    pub fn float(&self) -> Type {
        self.ty
    }

    /// The signed ints of the same width.
    pub fn int(&self) -> Type {
        Type { dtype: if self.is_double() { DType::I64 } else { DType::I32 }, ..self.ty }
    }

    /// One bool a lane.
    pub fn mask(&self) -> Type {
        Type { dtype: DType::Bool, ..self.ty }
    }

    /// Appends one instruction.
    pub fn define(&mut self, ty: Type, op: Op) -> Operand {
        let value = Ref { name: (self.fresh)(), at: vec![] };
        self.out.push(Inst::Let { dst: value.clone(), ty, op });
        Operand::Ref(value)
    }

    binary! {
        /// Floats.
        add Add float;
        /// Floats.
        sub Sub float;
        /// Floats.
        mul Mul float;
        /// Floats.
        div Div float;
        /// `a < b ? a : b`: the second if either is NaN.
        min Min float;
        /// `a > b ? a : b`: the second if either is NaN.
        max Max float;
        /// Ints.
        iadd Add int;
        /// Ints.
        isub Sub int;
        /// Ints.
        and And int;
        /// Ints.
        or Or int;
        /// Ints.
        xor Xor int;
        /// Ints.
        shl Shl int;
        /// Ints; arithmetic.
        shr Shr int;
        /// Masks.
        both And mask;
        /// Masks.
        either Or mask;
    }

    unary! { neg Neg; abs Abs; sqrt Sqrt; floor Floor; trunc Trunc; round Round; }

    compare! {
        /// Floats.
        lt Lt float;
        /// Floats.
        le Le float;
        /// Floats.
        eq Eq float;
        /// Floats.
        ne Ne float;
        /// Ints.
        ieq Eq int;
        /// Ints.
        ilt Lt int;
    }

    /// `a * b + c`, rounded once where the machine can.
    pub fn fma(&mut self, a: impl Arg, b: impl Arg, c: impl Arg) -> Operand {
        self.define(self.ty, Op::Fma(a.operand(), b.operand(), c.operand()))
    }

    /// `mask ? a : b` of floats.
    pub fn select(&mut self, mask: &Operand, a: impl Arg, b: impl Arg) -> Operand {
        self.define(self.ty, Op::Select(mask.clone(), a.operand(), b.operand()))
    }

    /// `mask ? a : b` of ints.
    pub fn iselect(&mut self, mask: &Operand, a: impl Arg, b: impl Arg) -> Operand {
        let ty = self.int();
        self.define(ty, Op::Select(mask.clone(), a.operand(), b.operand()))
    }

    /// The bits of floats.
    pub fn bits(&mut self, a: impl Arg) -> Operand {
        let (ty, from) = (self.int(), self.ty);
        self.define(ty, Op::Bitcast(from, a.operand()))
    }

    /// The floats with these bits.
    pub fn of_bits(&mut self, a: impl Arg) -> Operand {
        let (ty, from) = (self.ty, self.int());
        self.define(ty, Op::Bitcast(from, a.operand()))
    }

    /// `F32` lanes as `F64`.
    pub fn widen(&mut self, a: impl Arg) -> Operand {
        let ty = Type { dtype: DType::F64, ..self.ty };
        let from = Type { dtype: DType::F32, ..self.ty };
        self.define(ty, Op::Convert(from, a.operand()))
    }

    /// `F64` lanes as `F32`.
    pub fn narrow(&mut self, a: impl Arg) -> Operand {
        let ty = Type { dtype: DType::F32, ..self.ty };
        let from = Type { dtype: DType::F64, ..self.ty };
        self.define(ty, Op::Convert(from, a.operand()))
    }

    /// `coefficients[0] + x * (coefficients[1] + x * ..)`.
    pub fn polynomial(&mut self, x: &Operand, coefficients: &[f64]) -> Operand {
        let Some((last, rest)) = coefficients.split_last() else { return Operand::Float(0.0) };
        rest.iter().rev().fold(Operand::Float(*last), |sum, c| self.fma(sum, x, *c))
    }

    /// `magnitude` (not negative) with the sign of `sign`.
    pub fn copy_sign(&mut self, magnitude: &Operand, sign: &Operand) -> Operand {
        let (m, s) = (self.bits(magnitude), self.bits(sign));
        let s = self.and(s, self.lowest());
        let bits = self.or(m, s);
        self.of_bits(bits)
    }

    /// The int with the sign bit alone.
    pub fn lowest(&self) -> i64 {
        if self.is_double() { i64::MIN } else { i64::from(i32::MIN) }
    }
}
