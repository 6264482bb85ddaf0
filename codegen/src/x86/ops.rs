//! Loads, stores, arithmetic, comparisons.

use super::code::{Arg, Class, Effect, Mem, Size, V};
use super::select::{Selector, class};
use super::table::{self, Codes};
use super::{Isa, Result, refuse};
use iced_x86::Code;
use mlc_ir::tile::{Access, Binary, Compare, Op, Operand, Space, Type, Unary};
use mlc_ir::{DType, Index};

impl Selector<'_> {
    /// What an instruction computes.
    pub fn op(&mut self, ty: Type, op: &Op) -> Result<V> {
        match op {
            Op::Load(from, None) => {
                let place = self.place(from)?;
                self.fetch_ahead(from, place);
                let v = self.load(ty, place)?;
                self.keep_stable(from, v);
                Ok(v)
            }
            Op::Load(from, Some(first)) => self.load_first(ty, from, first),
            Op::Fragment(_, of) => refuse(format!("a fragment of `{}`", of.row)),
            Op::Broadcast(from) => {
                let place = self.place(from)?;
                let v = self.broadcast(ty, place)?;
                self.keep_stable(from, v);
                Ok(v)
            }
            Op::Splat(_) | Op::Iota | Op::Index(_) | Op::Lane(..) | Op::Pack(_) | Op::Reduce(..) => self.lanes(ty, op),
            Op::Compare(how, of, a, b) => match class(*of) {
                Class::Vector => self.compare_lanes(*how, *of, a, b),
                Class::General => self.compare_scalars(*how, *of, a, b),
                Class::Mask => refuse("a comparison of bools"),
            },
            Op::Select(mask, a, b) => match class(ty) {
                Class::Vector => self.blend(ty, mask, a, b),
                Class::General => self.select_scalar(ty, mask, a, b),
                Class::Mask => refuse("a choice of bools"),
            },
            Op::Convert(from, a) => self.convert(ty, *from, a),
            Op::Bitcast(from, a) => self.bitcast(ty, *from, a),
            Op::Math(function, _) => refuse(format!("`{}` in a linear tile", function.name())),
            Op::Unary(..) | Op::Binary(..) | Op::Fma(..) => match class(ty) {
                Class::Vector => self.arithmetic(ty, op),
                Class::General => self.scalar(ty, op),
                Class::Mask => self.logic(op),
            },
        }
    }

    /// An instruction on lanes that writes a new register.
    pub fn make(&mut self, codes: &Codes, size: Size, operands: &[Arg]) -> V {
        let v = self.vector();
        let args: Vec<Arg> = std::iter::once(Arg::Reg(v, size)).chain(operands.iter().copied()).collect();
        self.inst_of(codes, size, Effect::Write, &args);
        v
    }

    /// An instruction with the encoding that the processor has of it.
    pub fn inst_of(&mut self, codes: &Codes, size: Size, effect: Effect, args: &[Arg]) {
        self.code.inst(codes.at(self.isa, size), effect, args);
    }

    /// The size of a type of lanes, if the processor has it.
    pub fn size(&self, ty: Type) -> Result<Size> {
        match table::size(ty)? {
            Size::Zmm if self.isa == Isa::Avx2 => refuse(format!("a value of type {ty}")),
            size => Ok(size),
        }
    }

    /// The register of an operand of a type.
    pub fn reg(&mut self, operand: &Operand, ty: Type) -> Result<V> {
        match (operand, class(ty)) {
            (Operand::Ref(value), _) => {
                let (v, have) = self.value(&value.name)?;
                if have == ty { Ok(v) } else { refuse(format!("{operand} is no {ty}")) }
            }
            (_, Class::Vector) => {
                let size = self.size(ty)?;
                let constant = self.arg(operand, ty)?;
                let v = self.vector();
                self.load_constant(v, size, constant);
                self.code.stable.insert(v);
                Ok(v)
            }
            (Operand::Int(n), Class::General) => {
                let v = self.general();
                self.number(v, *n);
                Ok(v)
            }
            (Operand::Int(n), Class::Mask) => Ok(self.constant_mask(*n != 0)),
            (Operand::Float(_), _) => refuse("a float where an int should be"),
        }
    }

    /// An operand of lanes: a register, or a constant in memory.
    pub fn arg(&mut self, operand: &Operand, ty: Type) -> Result<Arg> {
        let size = self.size(ty)?;
        let bits = match (operand, ty.dtype) {
            (Operand::Ref(_), _) => return Ok(Arg::Reg(self.reg(operand, ty)?, size)),
            (Operand::Float(x), DType::F32) => (*x as f32).to_bits(),
            (Operand::Int(n), DType::I32 | DType::U32) => *n as u32,
            _ => return refuse(format!("{operand} as {ty}")),
        };
        Ok(self.bits(bits))
    }

    /// A constant in all lanes.
    pub fn bits(&mut self, bits: u32) -> Arg {
        match self.isa {
            Isa::Avx512 => self.code.constant(&bits.to_le_bytes(), true),
            Isa::Avx2 => self.code.constant(&bits.to_le_bytes().repeat(8), false),
        }
    }

    /// Puts a constant into all lanes of a register.
    pub fn load_constant(&mut self, to: V, size: Size, constant: Arg) {
        let Arg::Mem(mem) = constant else { return };
        let zero = self.code.pool.get(mem.offset as usize..mem.offset as usize + 4) == Some(&[0; 4]);
        if zero {
            let x = Arg::Reg(to, Size::Xmm);
            self.inst_of(&table::XOR, Size::Xmm, Effect::Write, &[x, x, x]);
            return;
        }
        let codes = if mem.broadcast { &table::BROADCAST } else { &table::LOAD };
        let from = Arg::Mem(Mem { broadcast: false, ..mem });
        self.inst_of(codes, size, Effect::Write, &[Arg::Reg(to, size), from]);
    }

    /// Notes a value that stays in memory as long as the tile runs.
    fn keep_stable(&mut self, from: &Access, v: V) {
        if let Access::Linear { buffer, .. } = from
            && self.tile.params.get(*buffer as usize).is_some_and(|param| param.space == Space::Input)
        {
            self.code.stable.insert(v);
        }
    }

    /// Loads the first lanes; the others are 0.
    fn load_first(&mut self, ty: Type, from: &Access, first: &Index) -> Result<V> {
        let (codes, size) = match ty.dtype {
            _ if class(ty) != Class::Vector || ty.lanes == 1 => return refuse(format!("a masked load of {ty}")),
            DType::I8 => (&table::WIDEN_SIGNED_BYTES, self.size(table::held(ty))?),
            DType::U8 => (&table::WIDEN_BYTES, self.size(table::held(ty))?),
            DType::F16 => (&table::FLOAT_OF_HALF, self.size(ty)?),
            _ => (&table::LOAD, self.size(ty)?),
        };
        let mask = self.first(first, ty.lanes)?;
        let (v, from) = (self.vector(), Arg::Mem(self.place(from)?));
        self.code.masked(codes.at(self.isa, size), Effect::Write, &[Arg::Reg(v, size), from], mask, true);
        Ok(v)
    }

    fn load(&mut self, ty: Type, from: Mem) -> Result<V> {
        match (class(ty), ty.lanes) {
            (Class::General, _) => self.load_int(ty.dtype, from),
            (Class::Mask, 1) => {
                let v = self.load_int(ty.dtype, from)?;
                Ok(self.mask_of(v))
            }
            (Class::Mask, _) => {
                let size = self.size(Type { dtype: DType::I32, ..ty })?;
                let wide = Arg::Reg(self.make(&table::WIDEN_BYTES, size, &[Arg::Mem(from)]), size);
                Ok(self.not_zero(size, wide))
            }
            (Class::Vector, _) if ty.dtype == DType::F16 => self.load_half(ty, from),
            (Class::Vector, 1) if ty.dtype == DType::F32 => {
                let v = self.vector();
                let args = [Arg::Reg(v, Size::Xmm), Arg::Mem(from)];
                self.inst_of(&table::LOAD_SCALAR, Size::Xmm, Effect::Write, &args);
                Ok(v)
            }
            (Class::Vector, _) if matches!(ty.dtype, DType::I8 | DType::U8) => {
                // Bytes are widened at once; only their conversion may read them.
                let codes = if ty.dtype == DType::I8 { &table::WIDEN_SIGNED_BYTES } else { &table::WIDEN_BYTES };
                let size = self.size(table::held(ty))?;
                Ok(self.make(codes, size, &[Arg::Mem(from)]))
            }
            (Class::Vector, _) => {
                let size = self.size(ty)?;
                Ok(self.make(&table::LOAD, size, &[Arg::Mem(from)]))
            }
        }
    }

    fn broadcast(&mut self, ty: Type, from: Mem) -> Result<V> {
        if ty.lanes == 1 {
            return self.load(ty, from);
        }
        if matches!(ty.dtype, DType::I8 | DType::U8) {
            let size = self.size(table::held(ty))?;
            let one = self.load_int(ty.dtype, from)?;
            return Ok(self.splat_int(size, one));
        }
        let size = self.size(ty)?;
        if ty.dtype == DType::F16 {
            let one = self.load_half(Type { lanes: 1, ..ty }, from)?;
            return Ok(self.make(&table::SPLAT, size, &[Arg::Reg(one, Size::Xmm)]));
        }
        Ok(self.make(&table::BROADCAST, size, &[Arg::Mem(from)]))
    }

    /// Stores all lanes, or the first.
    pub fn store(&mut self, to: &Access, value: &Operand, ty: Type, first: Option<&Index>) -> Result<()> {
        let mask = match first {
            Some(first) if class(ty) == Class::Vector && ty.lanes > 1 => Some(self.first(first, ty.lanes)?),
            Some(_) => return refuse(format!("a masked store of {ty}")),
            None => None,
        };
        let to = Arg::Mem(self.place(to)?);
        let v = self.reg(value, ty)?;
        let (code, size) = match (class(ty), ty.lanes) {
            (Class::Vector, _) if ty.dtype == DType::F16 => return self.store_half(ty, to, v, mask),
            (Class::Vector, 1) => (table::STORE_SCALAR.at(self.isa, Size::Xmm), Size::Xmm),
            (Class::Vector, _) if matches!(ty.dtype, DType::I8 | DType::U8) => {
                let size = self.size(table::held(ty))?;
                if self.isa == Isa::Avx2 {
                    self.pack_bytes(ty.dtype, size, to, v);
                    return Ok(());
                }
                (table::STORE_BYTES.at(self.isa, size), size)
            }
            (Class::Vector, _) => {
                let size = self.size(ty)?;
                (table::STORE.at(self.isa, size), size)
            }
            (Class::General, _) => match ty.dtype.bytes() {
                8 => (Code::Mov_rm64_r64, Size::R64),
                4 => (Code::Mov_rm32_r32, Size::R32),
                _ => return refuse(format!("a store of {ty}")),
            },
            (Class::Mask, _) => return refuse("a store of bools"),
        };
        let args = [to, Arg::Reg(v, size)];
        match mask {
            Some(mask) => self.code.masked(code, Effect::Read, &args, mask, false),
            None => self.code.inst(code, Effect::Read, &args),
        }
        Ok(())
    }

    /// Stores lanes as bytes, which they fit, without an instruction for it.
    fn pack_bytes(&mut self, dtype: DType, size: Size, to: Arg, v: V) {
        let x = |v| Arg::Reg(v, Size::Xmm);
        let (high, store) = match size {
            Size::Xmm => (v, &table::STORE_FOUR_BYTES),
            _ => {
                let high = self.vector();
                let args = [x(high), Arg::Reg(v, size), Arg::Imm8(1)];
                self.inst_of(&table::EXTRACT_HALF, size, Effect::Write, &args);
                (high, &table::STORE_EIGHT_BYTES)
            }
        };
        let words = self.make(&table::PACK_WORDS, Size::Xmm, &[x(v), x(high)]);
        let pack = if dtype == DType::I8 { &table::PACK_SIGNED_BYTES } else { &table::PACK_BYTES };
        let bytes = self.make(pack, Size::Xmm, &[x(words), x(words)]);
        self.inst_of(store, Size::Xmm, Effect::Read, &[to, x(bytes)]);
    }

    fn arithmetic(&mut self, ty: Type, op: &Op) -> Result<V> {
        let size = self.size(ty)?;
        match op {
            Op::Binary(op, a, b) => {
                let codes = table::binary(*op, ty.dtype)?;
                // A constant is read from memory, which only the second operand may be.
                let commutes = matches!(op, Binary::Add | Binary::Mul | Binary::And | Binary::Or | Binary::Xor);
                let (a, b) = if commutes && !matches!(a, Operand::Ref(_)) { (b, a) } else { (a, b) };
                let (a, b) = (Arg::Reg(self.reg(a, ty)?, size), self.arg(b, ty)?);
                Ok(self.make(codes, size, &[a, b]))
            }
            Op::Fma(a, b, c) => {
                if ty.dtype != DType::F32 {
                    return refuse(format!("fma of {ty}"));
                }
                let (a, b) = if matches!(a, Operand::Ref(_)) { (a, b) } else { (b, a) };
                // `a` is overwritten: v = v * b + c.
                let v = self.vector();
                let from = self.arg(a, ty)?;
                match from {
                    Arg::Reg(..) => {
                        self.inst_of(&table::MOVE, size, Effect::Write, &[Arg::Reg(v, size), from]);
                    }
                    _ => self.load_constant(v, size, from),
                }
                let (b, c) = (Arg::Reg(self.reg(b, ty)?, size), self.arg(c, ty)?);
                self.inst_of(&table::FMA_MULTIPLY, size, Effect::Modify, &[Arg::Reg(v, size), b, c]);
                Ok(v)
            }
            Op::Unary(op, a) => {
                let a = Arg::Reg(self.reg(a, ty)?, size);
                self.unary(*op, ty, size, a)
            }
            _ => refuse("no arithmetic"),
        }
    }

    fn unary(&mut self, op: Unary, ty: Type, size: Size, a: Arg) -> Result<V> {
        let float = ty.dtype == DType::F32;
        if let Some(mode) = table::rounding(op).filter(|_| float) {
            return Ok(self.make(&table::ROUND, size, &[a, Arg::Imm8(mode)]));
        }
        Ok(match op {
            Unary::Sqrt if float => self.make(&table::SQRT, size, &[a]),
            Unary::Neg if float => {
                let sign = self.bits(1 << 31);
                self.make(&table::XOR, size, &[a, sign])
            }
            Unary::Abs if float => {
                let rest = self.bits(!(1 << 31));
                self.make(&table::AND, size, &[a, rest])
            }
            Unary::Neg => {
                let zero = Arg::Reg(self.reg(&Operand::Int(0), ty)?, size);
                self.make(&table::SUB, size, &[zero, a])
            }
            Unary::Not => {
                let ones = self.bits(u32::MAX);
                self.make(&table::XOR, size, &[a, ones])
            }
            _ => return refuse(format!("{} of {ty}", op.name())),
        })
    }

    fn compare_lanes(&mut self, how: Compare, of: Type, a: &Operand, b: &Operand) -> Result<V> {
        let size = self.size(of)?;
        let (a, b) = (Arg::Reg(self.reg(a, of)?, size), self.arg(b, of)?);
        Ok(match of.dtype {
            DType::F32 => self.compare_floats(table::predicate(how, true), size, a, b),
            _ => self.compare_ints(how, of.dtype, size, a, b),
        })
    }

    fn blend(&mut self, ty: Type, mask: &Operand, a: &Operand, b: &Operand) -> Result<V> {
        let size = self.size(ty)?;
        let mask = self.reg(mask, Type { dtype: DType::Bool, ..ty })?;
        let (a, b) = (self.arg(a, ty)?, Arg::Reg(self.reg(b, ty)?, size));
        Ok(self.choose(size, mask, a, b))
    }
}
