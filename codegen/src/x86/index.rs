//! Index expressions, in 64-bit general registers.

use super::code::{Arg, Base, Effect, Item, Mem, V};
use super::invariant::is_fixed;
use super::select::{Binding, Selector, r64};
use super::{Refused, Result, refuse};
use iced_x86::Code;
use mlc_ir::index::Atom;
use mlc_ir::{DType, Index};

impl Selector<'_> {
    /// The value of an expression, in a register that must not be changed.
    pub fn index(&mut self, e: &Index) -> Result<V> {
        if let Some(v) = self.known.iter().rev().find_map(|known| known.get(e)) {
            return Ok(*v);
        }
        if let [(atoms, 1)] = e.terms()
            && let [atom] = atoms.as_slice()
        {
            match atom {
                Atom::Var(name) => {
                    if let Some(Binding::Number(v)) = self.names.get(name) {
                        return Ok(*v);
                    }
                }
                Atom::Sym(name) => {
                    let value = self.symbols.get(name).copied();
                    return value.ok_or_else(|| Refused(format!("symbol `{name}` is not declared")));
                }
                _ => return self.product(atoms),
            }
        }
        let v = self.fresh(e)?;
        if let Some(known) = self.known.last_mut().filter(|_| !e.looks_up()) {
            known.insert(e.clone(), v);
        }
        Ok(v)
    }

    /// The value of an expression in a new register.
    pub fn fresh(&mut self, e: &Index) -> Result<V> {
        let constant = e.constant();
        let v = self.general();
        let sum = e.clone() - constant;
        if sum.terms().is_empty() {
            self.number(v, constant);
            return Ok(v);
        }
        for (n, (atoms, factor)) in sum.terms().iter().enumerate() {
            let term = self.term(atoms, *factor)?;
            let code = if n == 0 { Code::Mov_r64_rm64 } else { Code::Add_r64_rm64 };
            let effect = if n == 0 { Effect::Write } else { Effect::Modify };
            self.code.inst(code, effect, &[r64(v), r64(term)]);
        }
        self.add_number(v, constant)?;
        Ok(v)
    }

    /// Adds an expression to a register.
    pub fn add(&mut self, to: V, e: &Index) -> Result<()> {
        let constant = e.constant();
        let sum = e.clone() - constant;
        if !sum.terms().is_empty() {
            let sum = self.index(&sum)?;
            self.code.inst(Code::Add_r64_rm64, Effect::Modify, &[r64(to), r64(sum)]);
        }
        self.add_number(to, constant)
    }

    fn add_number(&mut self, to: V, n: i64) -> Result<()> {
        match i32::try_from(n) {
            Ok(0) => {}
            Ok(n) => self.code.inst(Code::Add_rm64_imm32, Effect::Modify, &[r64(to), Arg::Imm32(n)]),
            Err(_) => {
                let big = self.general();
                self.number(big, n);
                self.code.inst(Code::Add_r64_rm64, Effect::Modify, &[r64(to), r64(big)]);
            }
        }
        Ok(())
    }

    /// Sets a register to a number.
    pub fn number(&mut self, to: V, n: i64) {
        match i32::try_from(n) {
            Ok(n) => self.code.inst(Code::Mov_rm64_imm32, Effect::Write, &[r64(to), Arg::Imm32(n)]),
            Err(_) => self.code.inst(Code::Mov_r64_imm64, Effect::Write, &[r64(to), Arg::Imm64(n as u64)]),
        }
    }

    fn term(&mut self, atoms: &[Atom], factor: i64) -> Result<V> {
        // What does not change first: it is known from the beginning.
        let (mut atoms, others): (Vec<Atom>, Vec<Atom>) = atoms.iter().cloned().partition(is_fixed);
        atoms.extend(others);
        let product = self.product(&atoms)?;
        self.times(product, factor)
    }

    /// The product of two registers in a new one.
    pub fn times_register(&mut self, a: V, b: V) -> V {
        let v = self.copy(r64(a));
        self.code.inst(Code::Imul_r64_rm64, Effect::Modify, &[r64(v), r64(b)]);
        v
    }

    fn times(&mut self, value: V, by: i64) -> Result<V> {
        if by == 1 {
            return Ok(value);
        }
        if by > 0 && by.count_ones() == 1 {
            let v = self.copy(r64(value));
            self.shift(Code::Shl_rm64_imm8, v, by.trailing_zeros());
            return Ok(v);
        }
        let v = self.general();
        match i32::try_from(by) {
            Ok(by) => {
                let args = [r64(v), r64(value), Arg::Imm32(by)];
                self.code.inst(Code::Imul_r64_rm64_imm32, Effect::Write, &args);
            }
            Err(_) => {
                self.number(v, by);
                self.code.inst(Code::Imul_r64_rm64, Effect::Modify, &[r64(v), r64(value)]);
            }
        }
        Ok(v)
    }

    fn shift(&mut self, code: Code, v: V, by: u32) {
        self.code.inst(code, Effect::Modify, &[r64(v), Arg::Imm8(by as u8)]);
    }

    /// The value of an atom, computed here.
    pub fn atom(&mut self, atom: &Atom) -> Result<V> {
        match atom {
            Atom::Var(_) | Atom::Sym(_) => {
                if let Atom::Var(name) = atom
                    && !matches!(self.names.get(name), Some(Binding::Number(_)))
                {
                    return refuse(format!("variable %{name} is not declared"));
                }
                self.index(&Index::atom(atom.clone()))
            }
            Atom::Min(pair) | Atom::Max(pair) => {
                let (a, b) = (self.index(&pair.0)?, self.index(&pair.1)?);
                let v = self.copy(r64(a));
                self.compare(v, r64(b));
                let code = if matches!(atom, Atom::Min(_)) { Code::Cmovg_r64_rm64 } else { Code::Cmovl_r64_rm64 };
                self.code.inst(code, Effect::Modify, &[r64(v), r64(b)]);
                Ok(v)
            }
            Atom::Div(pair) => self.quotient(&pair.0, &pair.1),
            Atom::Mod(pair) => {
                let a = self.index(&pair.0)?;
                if let Some(by) = pair.1.as_const().filter(|by| *by > 0 && by.count_ones() == 1)
                    && let Ok(low) = i32::try_from(by - 1)
                {
                    let v = self.copy(r64(a));
                    self.code.inst(Code::And_rm64_imm32, Effect::Modify, &[r64(v), Arg::Imm32(low)]);
                    return Ok(v);
                }
                let quotient = self.index(&Index::atom(Atom::Div(pair.clone())))?;
                let whole = match pair.1.as_const() {
                    Some(by) => self.times(quotient, by)?,
                    None => {
                        let by = self.divisor(&pair.1)?;
                        let v = self.copy(r64(quotient));
                        self.code.inst(Code::Imul_r64_rm64, Effect::Modify, &[r64(v), r64(by)]);
                        v
                    }
                };
                let v = self.copy(r64(a));
                self.code.inst(Code::Sub_r64_rm64, Effect::Modify, &[r64(v), r64(whole)]);
                Ok(v)
            }
            Atom::At(buffer, index) => self.lookup(*buffer, index),
        }
    }

    /// Floor division. For negative `a` it is `!(!a / by)`, so one unsigned division does.
    fn quotient(&mut self, a: &Index, by: &Index) -> Result<V> {
        let value = self.index(a)?;
        let fixed = by.as_const().filter(|n| *n > 0);
        if let Some(n) = fixed.filter(|n| n.count_ones() == 1) {
            let v = self.copy(r64(value));
            self.shift(Code::Sar_rm64_imm8, v, n.trailing_zeros());
            return Ok(v);
        }
        let sign = self.copy(r64(value));
        self.shift(Code::Sar_rm64_imm8, sign, 63);
        let size = self.copy(r64(value));
        self.code.inst(Code::Xor_r64_rm64, Effect::Modify, &[r64(size), r64(sign)]);
        let v = self.general();
        match fixed {
            Some(n) => {
                // `ceil(2^s / n)` is exact for numbers below 2^63 with `s = 63 + ceil(log2 n)`.
                let log = 64 - (n as u64 - 1).leading_zeros();
                let factor = ((1u128 << (63 + log)) / n as u128 + 1) as u64;
                self.code.push(Item::HighMultiply { dst: v, a: size, factor });
                self.shift(Code::Shr_rm64_imm8, v, log - 1);
            }
            None => {
                let by = self.divisor(by)?;
                self.code.push(Item::Divide { dst: v, a: size, by });
            }
        }
        self.code.inst(Code::Xor_r64_rm64, Effect::Modify, &[r64(v), r64(sign)]);
        Ok(v)
    }

    /// A divisor is positive; one that is not counts as 1, so that nothing traps and a remainder is 0.
    fn divisor(&mut self, by: &Index) -> Result<V> {
        let by = self.index(by)?;
        let one = self.general();
        self.number(one, 1);
        let positive = self.copy(r64(by));
        self.compare(positive, r64(one));
        self.code.inst(Code::Cmovl_r64_rm64, Effect::Modify, &[r64(positive), r64(one)]);
        Ok(positive)
    }

    fn lookup(&mut self, buffer: u32, index: &[Index]) -> Result<V> {
        let param = &self.tile.params[buffer as usize];
        let mut place = Index::zero();
        for (i, dim) in index.iter().zip(&param.dims) {
            place = &place * dim + i.clone();
        }
        let pointer = self.copy(r64(self.bases[buffer as usize]));
        self.add(pointer, &(place * param.dtype.bytes() as i64))?;
        let from = Mem { base: Base::Reg(pointer), offset: 0, broadcast: false };
        self.load_int(param.dtype, from)
    }

    /// A single int from memory, extended to 64 bits.
    pub fn load_int(&mut self, dtype: DType, from: Mem) -> Result<V> {
        let code = match dtype {
            DType::I64 | DType::U64 => Code::Mov_r64_rm64,
            DType::I32 => Code::Movsxd_r64_rm32,
            DType::I16 => Code::Movsx_r64_rm16,
            DType::U16 => Code::Movzx_r64_rm16,
            DType::I8 => Code::Movsx_r64_rm8,
            DType::U8 | DType::Bool => Code::Movzx_r64_rm8,
            DType::U32 => {
                let v = self.general();
                let args = [Arg::Reg(v, super::code::Size::R32), Arg::Mem(from)];
                self.code.inst(Code::Mov_r32_rm32, Effect::Write, &args);
                return Ok(v);
            }
            _ => return refuse(format!("a lookup in {dtype}")),
        };
        let v = self.general();
        self.code.inst(code, Effect::Write, &[r64(v), Arg::Mem(from)]);
        Ok(v)
    }
}
