//! The textual form of a [`Tile`], which [`parse`](super::parse) reads back to an equal tile.
//!
//! ```text
//! tile silu indexed (@0 x: f32[n] input, @1 y: f32[n] output slack 64) symbols n tasks %t: floordiv(n + 4095, 4096) {
//!   cell %s: f32x4[2] = 0.0
//!   loop serial %i in 0..floordiv(n, 4) step 2 {
//!     %v = load f32x4 @0[4*%i], first -4*%i + n
//!     set %s[0] = %v
//!     if 0 <= %i < 7 and 1 <= n < 9 {
//!       store f32x4 @1[4*%i], %v
//!     } else {
//!       dot f32x4 %s[1], %v, %v
//!     }
//!   }
//! }
//! ```
//!
//! A fragment names its row and role, and where its lines lie: `fragment f16x256 mma.f16 a @0[16*%i, %k] along 0`, or `same`, or in
//! linear form `apart 80` bytes; behind the role stands `transposed` where memory holds the transpose.
//!
//! In linear form an access is `[%p + 192 in @0]`, with `cursor %p = @0 + 4*%t advance %i by 16` above it. Variables,
//! values, cells and cursors are made of letters, digits, `_` and `.`; the verifier rejects other names.

use super::{Access, Fragment, InRange, Inst, Lines, Op, Operand, Param, Ref, Tile};
use crate::Index;
use crate::text::{write_float, write_name};
use std::fmt::{self, Formatter, Result};

/// How the one integer is written whose absolute value is none.
pub(super) const LOWEST: &str = "i64.min";

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut Formatter) -> Result {
        f.write_str("tile ")?;
        write_name(f, &self.name)?;
        write!(f, " {} (", self.phase.name())?;
        for (number, param) in self.params.iter().enumerate() {
            let comma = if number > 0 { ", " } else { "" };
            write!(f, "{comma}@{number} ")?;
            write_param(f, param)?;
        }
        f.write_str(")")?;
        for (place, symbol) in self.symbols.iter().enumerate() {
            f.write_str(if place == 0 { " symbols " } else { ", " })?;
            write_name(f, symbol)?;
        }
        write!(f, " tasks %{}: {} {{", self.tasks.0, self.tasks.1)?;
        write_body(f, &self.body, 1)?;
        f.write_str("\n}\n")
    }
}

impl fmt::Display for Inst {
    fn fmt(&self, f: &mut Formatter) -> Result {
        write_inst(f, self, 0)
    }
}

impl fmt::Display for Ref {
    fn fmt(&self, f: &mut Formatter) -> Result {
        write!(f, "%{}", self.name)?;
        if self.at.is_empty() { Ok(()) } else { write_indices(f, &self.at) }
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut Formatter) -> Result {
        match self {
            Operand::Ref(value) => write!(f, "{value}"),
            Operand::Float(x) => write_float(f, *x),
            Operand::Int(i64::MIN) => f.write_str(LOWEST),
            Operand::Int(n) => write!(f, "{n}"),
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut Formatter) -> Result {
        match self {
            Access::Indexed { buffer, index } => {
                write!(f, "@{buffer}")?;
                write_indices(f, index)
            }
            Access::Linear { cursor, offset, buffer } => {
                let sign = if *offset < 0 { '-' } else { '+' };
                write!(f, "[%{cursor} {sign} {} in @{buffer}]", offset.unsigned_abs())
            }
        }
    }
}

impl fmt::Display for InRange {
    fn fmt(&self, f: &mut Formatter) -> Result {
        write!(f, "{} <= {} < {}", self.low, self.index, self.high)
    }
}

fn write_param(f: &mut Formatter, param: &Param) -> Result {
    write_name(f, &param.name)?;
    write!(f, ": {}", param.dtype)?;
    write_indices(f, &param.dims)?;
    write!(f, " {}", param.space.name())?;
    if param.stream {
        write!(f, " stream")?;
    }
    if param.slack == 0 { Ok(()) } else { write!(f, " slack {}", param.slack) }
}

fn write_list<T: fmt::Display>(f: &mut Formatter, items: &[T], between: &str) -> Result {
    for (place, item) in items.iter().enumerate() {
        f.write_str(if place == 0 { "" } else { between })?;
        write!(f, "{item}")?;
    }
    Ok(())
}

fn write_indices(f: &mut Formatter, indices: &[Index]) -> Result {
    f.write_str("[")?;
    write_list(f, indices, ", ")?;
    f.write_str("]")
}

fn write_body(f: &mut Formatter, body: &[Inst], depth: usize) -> Result {
    for inst in body {
        write!(f, "\n{:1$}", "", 2 * depth)?;
        write_inst(f, inst, depth)?;
    }
    Ok(())
}

fn close(f: &mut Formatter, depth: usize) -> Result {
    write!(f, "\n{:1$}}}", "", 2 * depth)
}

fn write_inst(f: &mut Formatter, inst: &Inst, depth: usize) -> Result {
    match inst {
        Inst::Loop { kind, var, low, high, step, body } => {
            // After a name, `..` would be read as a part of it.
            let dots = if low.as_const().is_some() { ".." } else { " .. " };
            write!(f, "loop {} %{var} in {low}{dots}{high}", kind.name())?;
            if *step != 1 {
                write!(f, " step {step}")?;
            }
            f.write_str(" {")?;
            write_body(f, body, depth + 1)?;
            close(f, depth)
        }
        Inst::If { all, then, otherwise } => {
            f.write_str("if ")?;
            write_list(f, all, " and ")?;
            f.write_str(if all.is_empty() { "{" } else { " {" })?;
            write_body(f, then, depth + 1)?;
            close(f, depth)?;
            if otherwise.is_empty() {
                return Ok(());
            }
            f.write_str(" else {")?;
            write_body(f, otherwise, depth + 1)?;
            close(f, depth)
        }
        Inst::Cell { name, ty, dims, init } => {
            write!(f, "cell %{name}: {ty}")?;
            if !dims.is_empty() {
                f.write_str("[")?;
                write_list(f, dims, ", ")?;
                f.write_str("]")?;
            }
            write!(f, " = {init}")
        }
        Inst::Set { cell, value } => write!(f, "set {cell} = {value}"),
        Inst::Dot { row, cell, a, b } => {
            f.write_str("dot ")?;
            write_name(f, row)?;
            write!(f, " {cell}, {a}, {b}")
        }
        Inst::Let { dst, ty, op } => {
            write!(f, "{dst} = ")?;
            write_op(f, *ty, op)
        }
        Inst::Store { to, value, ty, first } => {
            write!(f, "store {ty} {to}, {value}")?;
            write_first(f, first)
        }
        Inst::StoreFragment { to, value, ty, of } => {
            write!(f, "storefragment {ty} ")?;
            write_fragment(f, to, of)?;
            write!(f, ", {value}")
        }
        Inst::Copy { to, from, ty, first } => {
            write!(f, "copy {ty} {to}, {from}")?;
            write_first(f, first)
        }
        Inst::Commit => f.write_str("commit"),
        Inst::Wait(groups) => write!(f, "wait {groups}"),
        Inst::Cursor { name, buffer, offset, advance } => {
            write!(f, "cursor %{name} = @{buffer} + {offset}")?;
            match advance {
                Some((var, by)) => write!(f, " advance %{var} by {by}"),
                None => Ok(()),
            }
        }
    }
}

fn write_first(f: &mut Formatter, first: &Option<Index>) -> Result {
    match first {
        Some(first) => write!(f, ", first {first}"),
        None => Ok(()),
    }
}

fn write_fragment(f: &mut Formatter, access: &Access, of: &Fragment) -> Result {
    write_name(f, &of.row)?;
    write!(f, " {} ", of.role.name())?;
    if of.transposed {
        f.write_str("transposed ")?;
    }
    write!(f, "{access} ")?;
    match &of.lines {
        Lines::Along(dim) => write!(f, "along {dim}"),
        Lines::Same => f.write_str("same"),
        Lines::Apart(bytes) => write!(f, "apart {bytes}"),
    }
}

fn write_op(f: &mut Formatter, ty: super::Type, op: &Op) -> Result {
    match op {
        Op::Load(from, first) => {
            write!(f, "load {ty} {from}")?;
            write_first(f, first)
        }
        Op::Fragment(from, of) => {
            write!(f, "fragment {ty} ")?;
            write_fragment(f, from, of)
        }
        Op::Broadcast(from) => write!(f, "bcast {ty} {from}"),
        Op::Splat(a) => write!(f, "splat {ty} {a}"),
        Op::Iota => write!(f, "iota {ty}"),
        Op::Index(index) => write!(f, "index {ty} {index}"),
        Op::Lane(a, lane) => write!(f, "lane {ty} {a}, {lane}"),
        Op::Pack(lanes) => {
            write!(f, "pack {ty} (")?;
            write_list(f, lanes, ", ")?;
            f.write_str(")")
        }
        Op::Reduce(monoid, a) => write!(f, "reduce {ty} {} {a}", monoid.name()),
        Op::Unary(op, a) => write!(f, "{} {ty} {a}", op.name()),
        Op::Binary(op, a, b) => write!(f, "{} {ty} {a}, {b}", op.name()),
        Op::Fma(a, b, c) => write!(f, "fma {ty} {a}, {b}, {c}"),
        Op::Compare(op, of, a, b) => write!(f, "cmp {ty} {} {of} {a}, {b}", op.name()),
        Op::Select(mask, a, b) => write!(f, "select {ty} {mask}, {a}, {b}"),
        Op::Convert(from, a) => write!(f, "convert {ty} {from} {a}"),
        Op::Bitcast(from, a) => write!(f, "bitcast {ty} {from} {a}"),
        Op::Math(math, args) => {
            write!(f, "math {ty} {} (", math.name())?;
            write_list(f, args, ", ")?;
            f.write_str(")")
        }
    }
}
