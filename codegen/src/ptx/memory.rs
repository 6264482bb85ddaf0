//! Loads and stores.
//!
//! Lanes are moved together, 16, 8 or 4 bytes at once, if the address is a multiple of that. Of an access that is masked
//! by `first`, each lane is moved by itself, under a predicate. A half float is its bits, a bool a byte.

use super::align::gcd;
use super::body::{Binding, Emitter};
use super::fragment::Layout;
use super::register::{Class, Reg, Val, list, stored};
use mlc_ir::tile::{Access, Type};
use mlc_ir::{DType, Error, Index, Result};
use std::fmt::{self, Write};

/// A pointer, a constant, and what their sum is a multiple of.
pub(super) struct Place {
    pub pointer: Reg,
    pub space: &'static str,
    pub offset: i64,
    pub multiple: i64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.offset {
            0 => write!(f, "[{}]", self.pointer),
            offset => write!(f, "[{}+{offset}]", self.pointer),
        }
    }
}

impl Emitter<'_> {
    pub(super) fn place_of(&mut self, access: &Access) -> Result<Place> {
        let Access::Linear { cursor, offset, .. } = access else {
            return Err(Error::internal("an indexed access in a linear tile"));
        };
        let Some(&Binding::Cursor(pointer, space)) = self.names.get(cursor) else {
            return Err(Error::internal(format!("%{cursor} is no cursor")));
        };
        let mut place = Place { pointer, space, offset: *offset, multiple: 1 };
        place.multiple = gcd(self.multiples.get(cursor).copied().unwrap_or(1), *offset);
        // An address has room for 32 bits, and for the lanes of the widest vector.
        if i32::try_from(*offset).is_err() || *offset > i64::from(i32::MAX) - (1 << 16) {
            place.pointer = self.let_(Class::Double, "add.s64", &[&place.pointer, offset]);
            place.offset = 0;
        }
        Ok(place)
    }

    /// A place that is some bytes ahead of an access.
    pub(super) fn place_at(&mut self, access: &Access, ahead: &Index) -> Result<Place> {
        let Access::Linear { cursor, offset, buffer } = access else { return self.place_of(access) };
        let fixed = ahead.constant();
        let access = Access::Linear { cursor: cursor.clone(), offset: offset + fixed, buffer: *buffer };
        let rest = ahead.clone() - fixed;
        let mut place = self.place_of(&access)?;
        if !rest.terms().is_empty() {
            let value = self.eval(&rest)?;
            place.pointer = self.let_(Class::Double, "add.s64", &[&place.pointer, &value]);
            place.multiple = gcd(place.multiple, self.multiple(&rest));
        }
        Ok(place)
    }

    /// The load instruction.
    pub(super) fn load(&mut self, ty: Type, from: &Access, first: Option<&Index>) -> Result<Val> {
        if let Some(regs) = self.owned(from, ty.dtype, usize::from(ty.lanes)) {
            return Ok(self.load_owned(ty, regs));
        }
        let place = self.place_of(from)?;
        let class = in_memory(ty.dtype);
        let regs: Vec<Reg> = (0..ty.lanes).map(|_| self.reg(class)).collect();
        let op = format!("ld.{}{{}}.{}", place.space, stored(ty.dtype));
        match first {
            None => self.move_lanes(&op, ty.dtype, &regs, &place, true),
            Some(first) => {
                let zero = self.int_constant(0, Type::scalar(if class == Class::Word { DType::I32 } else { ty.dtype }));
                regs.iter()
                    .for_each(|reg| self.ins(&format!("mov.{}", super::register::bits(class)), &[reg, &zero.regs[0]]));
                self.masked_lanes(&op, ty.dtype, &regs, &place, first, true)?;
            }
        }
        let regs = match ty.dtype {
            DType::Bool => {
                regs.into_iter().map(|reg| self.let_(Class::Predicate, "setp.ne.u32", &[&reg, &0])).collect()
            }
            _ => regs,
        };
        Ok(Val { ty, regs })
    }

    /// One element in all lanes.
    pub(super) fn broadcast(&mut self, ty: Type, from: &Access) -> Result<Val> {
        let scalar = self.load(Type::scalar(ty.dtype), from, None)?;
        Ok(Val { ty, regs: vec![scalar.regs[0]; usize::from(ty.lanes)] })
    }

    /// The store instruction.
    pub(super) fn store(&mut self, to: &Access, value: &Val, first: Option<&Index>) -> Result<()> {
        if !matches!(value.layout(), Layout::Same | Layout::Lanes) {
            return Err(Error::unsupported("a fragment that is stored as a vector"));
        }
        if let Some(regs) = self.owned(to, value.ty.dtype, usize::from(value.ty.lanes)) {
            self.set(&Val { ty: value.ty, regs }, value);
            return Ok(());
        }
        let place = self.place_of(to)?;
        let dtype = value.ty.dtype;
        let regs: Vec<Reg> = match dtype {
            DType::Bool => value.regs.iter().map(|reg| self.bool_word(*reg)).collect(),
            _ => value.regs.clone(),
        };
        let op = format!("st.{}{{}}.{}", place.space, stored(dtype));
        match first {
            None => {
                self.move_lanes(&op, dtype, &regs, &place, false);
                Ok(())
            }
            Some(first) => self.masked_lanes(&op, dtype, &regs, &place, first, false),
        }
    }

    /// Moves lanes, as many at once as the address allows.
    pub(super) fn move_lanes(&mut self, op: &str, dtype: DType, regs: &[Reg], place: &Place, load: bool) {
        let size = dtype.bytes();
        let mut lane = 0;
        while lane < regs.len() {
            let offset = place.offset + (lane * size) as i64;
            let multiple = gcd(place.multiple, (lane * size) as i64);
            if regs[lane].class == Class::Half && lane + 8 <= regs.len() && multiple % 16 == 0 {
                self.move_halves(op, &regs[lane..lane + 8], &Place { offset, ..*place }, load);
                lane += 8;
                continue;
            }
            let fits = |n: &usize| lane + n <= regs.len() && n * size <= 16 && multiple % (n * size) as i64 == 0;
            let together = [4, 2].into_iter().find(fits).unwrap_or(1);
            let (width, names) = match together {
                1 => (String::new(), regs[lane].to_string()),
                n => (format!(".v{n}"), list(&regs[lane..lane + n])),
            };
            self.move_one(&op.replace("{}", &width), &names, &Place { offset, ..*place }, load, None);
            lane += together;
        }
    }

    /// Moves eight lanes of 16 bits: no more than four registers are moved at once, so they are words on the way.
    fn move_halves(&mut self, op: &str, regs: &[Reg], place: &Place, load: bool) {
        let words: Vec<Reg> = (0..4).map(|_| self.reg(Class::Word)).collect();
        let pairs = words.iter().zip(regs.chunks(2));
        if !load {
            for (word, pair) in pairs.clone() {
                self.ins("mov.b32", &[word, &list(pair)]);
            }
        }
        let op = op.replace("{}", ".v4").replace("b16", "b32");
        self.move_one(&op, &list(&words), place, load, None);
        if load {
            for (word, pair) in pairs {
                self.ins("mov.b32", &[&list(pair), word]);
            }
        }
    }

    /// Moves the lanes before `first`.
    fn masked_lanes(
        &mut self,
        op: &str,
        dtype: DType,
        regs: &[Reg],
        place: &Place,
        first: &Index,
        load: bool,
    ) -> Result<()> {
        let first = self.eval(first)?;
        for (lane, reg) in regs.iter().enumerate() {
            let inside = self.let_(Class::Predicate, "setp.gt.s64", &[&first, &lane]);
            let offset = place.offset + (lane * dtype.bytes()) as i64;
            self.move_one(&op.replace("{}", ""), &reg.to_string(), &Place { offset, ..*place }, load, Some(inside));
        }
        Ok(())
    }

    fn move_one(&mut self, op: &str, regs: &str, place: &Place, load: bool, only: Option<Reg>) {
        let only = only.map_or(String::new(), |predicate| format!("@{predicate} "));
        let address = place.to_string();
        let (a, b) = if load { (regs, address.as_str()) } else { (address.as_str(), regs) };
        let _ = writeln!(self.text, "\t{only}{op} {a}, {b};");
    }
}

/// The class of registers that take an element from memory.
fn in_memory(dtype: DType) -> Class {
    if dtype == DType::Bool { Class::Word } else { Class::of(dtype) }
}
