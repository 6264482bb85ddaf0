//! Vectors of scalars, scalars of vectors, folds over lanes.

use super::code::{Arg, Class, Effect, Size, V};
use super::select::{Selector, class};
use super::table;
use super::{Isa, Refused, Result, refuse};
use mlc_ir::DType;
use mlc_ir::tile::{Binary, Monoid, Op, Operand, Type};

impl Selector<'_> {
    pub fn lanes(&mut self, ty: Type, op: &Op) -> Result<V> {
        match op {
            Op::Splat(a) => {
                let one = self.reg(a, Type { lanes: 1, ..ty })?;
                self.splat(ty, one)
            }
            Op::Iota => {
                let size = self.size(ty)?;
                let bytes: Vec<u8> = (0..u32::from(ty.lanes)).flat_map(u32::to_le_bytes).collect();
                let numbers = self.code.constant(&bytes, false);
                Ok(self.make(&table::LOAD, size, &[numbers]))
            }
            Op::Index(index) => {
                let v = self.index(index)?;
                let v = self.extend(ty.dtype, v)?;
                if ty.lanes == 1 { Ok(v) } else { self.splat(ty, v) }
            }
            Op::Lane(a, lane) => {
                let (vector, of) = self.vector_operand(a)?;
                self.lane(vector, of, *lane)
            }
            Op::Pack(lanes) => self.pack(ty, lanes),
            Op::Reduce(monoid, a) => {
                let (vector, of) = self.vector_operand(a)?;
                self.reduce(*monoid, vector, of)
            }
            _ => refuse("no instruction on lanes"),
        }
    }

    fn vector_operand(&mut self, a: &Operand) -> Result<(V, Type)> {
        match a {
            Operand::Ref(value) => self.value(&value.name),
            _ => refuse(format!("{a} has no lanes")),
        }
    }

    /// A scalar in all lanes.
    fn splat(&mut self, ty: Type, one: V) -> Result<V> {
        match class(Type { lanes: 1, ..ty }) {
            _ if ty.lanes == 1 => Ok(one),
            Class::Vector => {
                let size = self.size(ty)?;
                Ok(self.make(&table::SPLAT, size, &[Arg::Reg(one, Size::Xmm)]))
            }
            Class::General => {
                let size = self.size(ty)?;
                Ok(self.splat_int(size, one))
            }
            Class::Mask => {
                self.size(Type { dtype: DType::I32, ..ty })?;
                Ok(self.splat_mask(one))
            }
        }
    }

    /// Lane `n` as the first of a register.
    fn shifted(&mut self, vector: V, size: Size, n: u16) -> V {
        let mut v = vector;
        if n >= 4 {
            v = self.vector();
            let args = [Arg::Reg(v, Size::Xmm), Arg::Reg(vector, size), Arg::Imm8((n / 4) as u8)];
            self.inst_of(&table::EXTRACT_QUARTER, size, Effect::Write, &args);
        }
        if !n.is_multiple_of(4) {
            v = self.make(&table::PERMUTE, Size::Xmm, &[Arg::Reg(v, Size::Xmm), Arg::Imm8((n % 4) as u8)]);
        }
        v
    }

    fn lane(&mut self, vector: V, of: Type, n: u16) -> Result<V> {
        if class(of) == Class::Mask {
            return refuse("a lane of bools");
        }
        let size = self.size(of)?;
        let v = self.shifted(vector, size, n);
        self.scalar_of(of.dtype, v)
    }

    /// An int of 32 bits in all lanes.
    pub fn splat_int(&mut self, size: Size, one: V) -> V {
        let one = Arg::Reg(one, Size::R32);
        if self.isa == Isa::Avx512 {
            return self.make(&table::BROADCAST_GENERAL, size, &[one]);
        }
        let first = self.make(&table::MOVE_FROM_GENERAL, Size::Xmm, &[one]);
        self.make(&table::SPLAT, size, &[Arg::Reg(first, Size::Xmm)])
    }

    /// The first lane as a scalar.
    fn scalar_of(&mut self, dtype: DType, v: V) -> Result<V> {
        if dtype.is_float() {
            return Ok(v);
        }
        let int = self.general();
        let args = [Arg::Reg(int, Size::R32), Arg::Reg(v, Size::Xmm)];
        self.inst_of(&table::MOVE_TO_GENERAL, Size::Xmm, Effect::Write, &args);
        self.extend(dtype, int)
    }

    fn pack(&mut self, ty: Type, lanes: &[Operand]) -> Result<V> {
        let size = self.size(ty)?;
        if !ty.dtype.is_float() || lanes.len() != usize::from(ty.lanes) {
            return refuse(format!("a vector of {ty} from single lanes"));
        }
        let scalar = Type { lanes: 1, ..ty };
        let mut quarters = Vec::new();
        for four in lanes.chunks(4) {
            let mut v = self.reg(&four[0], scalar)?;
            for (n, one) in four.iter().enumerate().skip(1) {
                let one = self.reg(one, scalar)?;
                let args = [Arg::Reg(v, Size::Xmm), Arg::Reg(one, Size::Xmm), Arg::Imm8(16 * n as u8)];
                v = self.make(&table::INSERT_LANE, Size::Xmm, &args);
            }
            quarters.push(v);
        }
        let mut quarters = quarters.into_iter();
        let mut v = quarters.next().ok_or_else(|| Refused("no lanes".into()))?;
        for (n, quarter) in quarters.enumerate() {
            let args = [Arg::Reg(v, size), Arg::Reg(quarter, Size::Xmm), Arg::Imm8(n as u8 + 1)];
            v = self.make(&table::INSERT_QUARTER, size, &args);
        }
        Ok(v)
    }

    /// Folds by halving: lane i with lane i + n/2, and so on.
    fn reduce(&mut self, monoid: Monoid, vector: V, of: Type) -> Result<V> {
        if class(of) == Class::Mask {
            return refuse("a fold of bools");
        }
        self.size(of)?;
        let (mut v, mut lanes) = (vector, of.lanes);
        while lanes > 1 {
            lanes /= 2;
            let upper = self.upper(v, lanes);
            let size = match lanes {
                8 => Size::Ymm,
                _ => Size::Xmm,
            };
            v = self.fold(monoid, of.dtype, size, v, upper)?;
        }
        self.scalar_of(of.dtype, v)
    }

    /// The lanes from `n` on, at the beginning of a register.
    fn upper(&mut self, v: V, n: u16) -> V {
        let upper = self.vector();
        let (codes, to, from, which) = match n {
            8 => (&table::EXTRACT_HALF, Size::Ymm, Size::Zmm, 1),
            4 => (&table::EXTRACT_HALF, Size::Xmm, Size::Ymm, 1),
            2 => (&table::PERMUTE, Size::Xmm, Size::Xmm, 0b1110),
            _ => (&table::PERMUTE, Size::Xmm, Size::Xmm, 1),
        };
        self.inst_of(codes, from, Effect::Write, &[Arg::Reg(upper, to), Arg::Reg(v, from), Arg::Imm8(which)]);
        upper
    }

    fn fold(&mut self, monoid: Monoid, dtype: DType, size: Size, a: V, b: V) -> Result<V> {
        let op = match monoid {
            Monoid::Sum => Binary::Add,
            Monoid::Prod => Binary::Mul,
            Monoid::Max => Binary::Max,
            Monoid::Min => Binary::Min,
            Monoid::And | Monoid::Or => return refuse("a fold of bools"),
        };
        let codes = table::binary(op, dtype)?;
        let (a, b) = (Arg::Reg(a, size), Arg::Reg(b, size));
        let best = self.make(codes, size, &[a, b]);
        if dtype != DType::F32 || !matches!(monoid, Monoid::Max | Monoid::Min) {
            return Ok(best);
        }
        // `a > b ? a : b` is b if either is NaN, so only a NaN in a is lost.
        let nan = self.compare_floats(3, size, a, a);
        Ok(self.choose(size, nan, a, Arg::Reg(best, size)))
    }
}
