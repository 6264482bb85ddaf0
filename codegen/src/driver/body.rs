//! A function under construction: checks, memory, and index expressions as integer arithmetic.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I8, I16, I32, I64};
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, StackSlotData, StackSlotKind, Type, Value};
use cranelift_frontend::{FunctionBuilder, Variable};
use mlc_ir::index::Atom;
use mlc_ir::{DType, Error, Index, Name, Result};
use std::collections::HashMap;

/// Where the driver finds an integer buffer's elements: address, type and row-major extents.
pub(super) type Lookup<'a> = dyn Fn(&mut Body, u32) -> Result<(Value, DType, Vec<Index>)> + 'a;

/// A function body.
pub(super) struct Body<'a> {
    pub b: FunctionBuilder<'a>,
    pub params: Vec<Value>,
    pub symbols: HashMap<Name, Variable>,
}

impl<'a> Body<'a> {
    /// A body at the entry block.
    pub fn new(mut b: FunctionBuilder<'a>) -> Body<'a> {
        let entry = b.create_block();
        b.append_block_params_for_function_params(entry);
        b.switch_to_block(entry);
        let params = b.block_params(entry).to_vec();
        Body { b, params, symbols: HashMap::new() }
    }

    pub fn load(&mut self, ty: Type, at: Value, offset: i32) -> Value {
        self.b.ins().load(ty, MemFlagsData::trusted(), at, offset)
    }

    pub fn store(&mut self, value: Value, at: Value, offset: i32) {
        self.b.ins().store(MemFlagsData::trusted(), value, at, offset);
    }

    /// The address of some bytes on the stack, aligned to 8.
    pub fn slot(&mut self, bytes: u32) -> Value {
        let slot = self.b.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, bytes, 3));
        self.b.ins().stack_addr(I64, slot, 0)
    }

    /// Returns a code if it is not 0.
    pub fn check_code(&mut self, code: Value) {
        let (good, bad) = (self.b.create_block(), self.b.create_block());
        self.b.ins().brif(code, bad, &[], good, &[]);
        self.b.switch_to_block(bad);
        self.b.ins().return_(&[code]);
        self.b.switch_to_block(good);
    }

    pub fn number(&mut self, n: i64) -> Value {
        self.b.ins().iconst(I64, n)
    }

    /// Returns `code` unless the condition holds.
    pub fn check(&mut self, condition: Value, code: i32) {
        let (good, bad) = (self.b.create_block(), self.b.create_block());
        self.b.ins().brif(condition, good, &[], bad, &[]);
        self.b.switch_to_block(bad);
        self.give(code);
        self.b.switch_to_block(good);
    }

    /// Returns `code`.
    pub fn give(&mut self, code: i32) {
        let code = self.b.ins().iconst(I32, i64::from(code));
        self.b.ins().return_(&[code]);
    }

    pub fn compare(&mut self, condition: IntCC, value: Value, with: i64) -> Value {
        self.b.ins().icmp_imm_s(condition, value, with)
    }

    pub fn check_not_null(&mut self, pointers: &[Value]) {
        for &pointer in pointers {
            let condition = self.compare(IntCC::NotEqual, pointer, 0);
            self.check(condition, mlc_abi::code::NULL_POINTER);
        }
    }

    /// Gives a symbol a value.
    pub fn bind(&mut self, name: &Name, value: Value) {
        let variable = match self.symbols.get(name) {
            Some(variable) => *variable,
            None => {
                let variable = self.b.declare_var(I64);
                self.symbols.insert(name.clone(), variable);
                variable
            }
        };
        self.b.def_var(variable, value);
    }

    /// An index expression without lookups.
    pub fn index(&mut self, index: &Index) -> Result<Value> {
        self.index_with(index, &|_, buffer| {
            Err(Error::internal(format!("buffer @{buffer} cannot be looked into here")))
        })
    }

    /// An index expression.
    pub fn index_with(&mut self, index: &Index, lookup: &Lookup) -> Result<Value> {
        let mut sum = self.number(index.constant());
        for (atoms, coefficient) in index.terms().iter().filter(|term| !term.0.is_empty()) {
            let mut product = self.number(*coefficient);
            for atom in atoms {
                let value = self.atom(atom, lookup)?;
                product = self.b.ins().imul(product, value);
            }
            sum = self.b.ins().iadd(sum, product);
        }
        Ok(sum)
    }

    fn atom(&mut self, atom: &Atom, lookup: &Lookup) -> Result<Value> {
        let mut both = |pair: &(Index, Index)| {
            Ok::<_, Error>((self.index_with(&pair.0, lookup)?, self.index_with(&pair.1, lookup)?))
        };
        Ok(match atom {
            Atom::Sym(name) => {
                let variable = self.symbols.get(name);
                let variable = *variable.ok_or_else(|| Error::internal(format!("symbol `{name}` has no value")))?;
                self.b.use_var(variable)
            }
            Atom::Var(name) => return Err(Error::internal(format!("`%{name}` has no value in the driver"))),
            Atom::Div(pair) => {
                let (a, b) = both(pair)?;
                self.floor_division(a, b).0
            }
            Atom::Mod(pair) => {
                let (a, b) = both(pair)?;
                self.floor_division(a, b).1
            }
            Atom::Min(pair) => {
                let (a, b) = both(pair)?;
                self.b.ins().smin(a, b)
            }
            Atom::Max(pair) => {
                let (a, b) = both(pair)?;
                self.b.ins().smax(a, b)
            }
            Atom::At(buffer, index) => {
                let (address, dtype, extents) = lookup(self, *buffer)?;
                let mut place = self.number(0);
                for (i, extent) in index.iter().zip(&extents) {
                    let (i, extent) = (self.index_with(i, lookup)?, self.index_with(extent, lookup)?);
                    let scaled = self.b.ins().imul(place, extent);
                    place = self.b.ins().iadd(scaled, i);
                }
                self.element(address, place, dtype)
            }
        })
    }

    /// Quotient and remainder; the divisor is positive, and 1 is taken where it is not.
    fn floor_division(&mut self, a: Value, b: Value) -> (Value, Value) {
        let one = self.number(1);
        let b = self.b.ins().smax(b, one);
        let quotient = self.b.ins().sdiv(a, b);
        let product = self.b.ins().imul(quotient, b);
        let rest = self.b.ins().isub(a, product);
        let negative = self.b.ins().sshr_imm_s(rest, 63);
        let quotient = self.b.ins().iadd(quotient, negative);
        let correction = self.b.ins().band(negative, b);
        (quotient, self.b.ins().iadd(rest, correction))
    }

    fn element(&mut self, address: Value, place: Value, dtype: DType) -> Value {
        let offset = self.b.ins().imul_imm_s(place, dtype.bytes() as i64);
        let at = self.b.ins().iadd(address, offset);
        let ty = match dtype.bytes() {
            1 => I8,
            2 => I16,
            4 => I32,
            _ => I64,
        };
        let value = self.b.ins().load(ty, MemFlagsData::new().with_notrap(), at, 0);
        match dtype {
            _ if ty == I64 => value,
            DType::I32 | DType::I16 | DType::I8 => self.b.ins().sextend(I64, value),
            _ => self.b.ins().uextend(I64, value),
        }
    }
}
