//! Tiles of a few instructions each, which together make the emitter write every row of its table.
//!
//! Tests compare each with the interpreter, keep the code of every row as text, and fail where a row has no sample; the
//! example `instructions` measures them.

use super::Isa;
use super::table::{ALL, Codes};
use iced_x86::{Decoder, DecoderOptions, Formatter, GasFormatter, Mnemonic};
use mlc_ir::tile::{Binary, Compare, Monoid, Tile, Type, Unary, parse};
use mlc_ir::{DType, Error, Result};

/// A computation on the values `%a` and `%b`.
pub struct Sample {
    /// What it shows.
    pub name: String,
    /// The type of `%a` and `%b`.
    pub from: Type,
    /// The type of the result.
    pub to: Type,
    /// Defines `%y`.
    code: String,
}

impl Sample {
    /// Whether a processor has such lanes, and masks if it needs them.
    pub fn suits(&self, isa: Isa) -> bool {
        let target = isa.target();
        4 * u32::from(self.from.lanes) <= target.vector_bytes && (target.masks || !self.code.contains(", first "))
    }

    /// Computes one result from each of `n` rows. They lie `s` elements further apart than they are long, and begin after
    /// those.
    ///
    /// # Errors
    /// If the text is no tile.
    pub fn tile(&self) -> Result<Tile> {
        let store = format!("{}\nstore {} @2[%t, s], %y", self.code, self.to);
        self.of_rows(&store)
    }

    /// Computes the result of each row so many times, in a loop of `r` turns and so many copies in each.
    ///
    /// # Errors
    /// If the text is no tile.
    pub fn repeated(&self, copies: usize) -> Result<Tile> {
        let copy = |n| self.code.replace('%', &format!("%c{n}.")).replace(&format!("%c{n}.a"), "%a");
        let copy = |n| copy(n).replace(&format!("%c{n}.b"), "%b").replace(&format!("%c{n}.t"), "%t");
        let body: Vec<String> = (0..copies).map(copy).collect();
        let store = format!("store {} @2[%t, s], %c{}.y", self.to, copies.saturating_sub(1));
        self.of_rows(&format!("loop serial %i in 0..r {{\n{}\n{store}\n}}", body.join("\n")))
    }

    fn of_rows(&self, body: &str) -> Result<Tile> {
        let (from, to) = (self.from, self.to);
        let symbols = if body.contains("0..r ") { "n, s, r" } else { "n, s" };
        let text = format!(
            "tile sample indexed (@0 a: {}[n, s + {}] input, @1 b: {}[n, s + {}] input, @2 y: {}[n, s + {}] output)
             symbols {symbols} tasks %t: n {{
               %a = load {from} @0[%t, s]
               %b = load {from} @1[%t, s]
               {body}
             }}",
            from.dtype, from.lanes, from.dtype, from.lanes, to.dtype, to.lanes
        );
        parse(&text).map_err(|e| Error::invalid(format!("sample {}: {e}", self.name)))
    }
}

/// The rows of the table: their names, and how many sizes each has for a processor.
pub fn rows(isa: Isa) -> impl Iterator<Item = (&'static str, usize)> {
    ALL.iter().map(move |(name, codes)| (*name, sizes(codes, isa).count()))
}

fn sizes(codes: &'static Codes, isa: Isa) -> impl Iterator<Item = iced_x86::Code> {
    let all = if isa == Isa::Avx512 { codes.evex } else { codes.vex };
    all.iter().copied().filter(|code| *code != iced_x86::Code::INVALID)
}

/// What code has of the rows: each row's name, which of its sizes, and the instruction as text.
pub fn found(bytes: &[u8], isa: Isa) -> Vec<(&'static str, usize, String)> {
    let mut formatter = GasFormatter::new();
    let mut found = Vec::new();
    for instruction in &mut Decoder::new(64, bytes, DecoderOptions::NONE) {
        for (name, codes) in ALL {
            let Some(size) = sizes(codes, isa).position(|code| code == instruction.code()) else { continue };
            let mut text = String::new();
            formatter.format(&instruction, &mut text);
            found.push((*name, size, text));
        }
        if instruction.mnemonic() == Mnemonic::Ret {
            break;
        }
    }
    found
}

/// All samples.
pub fn samples() -> Vec<Sample> {
    let mut list = List(Vec::new());
    for lanes in [1, 4, 8, 16] {
        floats(&mut list, lanes);
        ints(&mut list, lanes);
    }
    for lanes in [4, 8, 16] {
        tails(&mut list, lanes);
        across(&mut list, lanes);
        bools(&mut list, lanes);
    }
    list.0
}

struct List(Vec<Sample>);

impl List {
    /// Adds a sample; `T` in its code is the type of the operands, `R` that of the result, `M` that of bools.
    fn add(&mut self, name: &str, from: Type, to: Type, code: &str) {
        let bools = Type { dtype: DType::Bool, lanes: from.lanes };
        let code = [("T", from), ("R", to), ("M", bools)]
            .iter()
            .fold(code.to_string(), |code, (letter, ty)| code.replace(letter, &ty.to_string()));
        let name = if from == to { format!("{name} {from}") } else { format!("{name} {from} to {to}") };
        self.0.push(Sample { name, from, to, code });
    }

    fn same(&mut self, name: &str, ty: Type, code: &str) {
        self.add(name, ty, ty, code);
    }
}

fn typed(dtype: DType, lanes: u16) -> Type {
    Type { dtype, lanes }
}

/// Arithmetic on floats, and what moves them.
fn floats(list: &mut List, lanes: u16) {
    let (float, int) = (typed(DType::F32, lanes), typed(DType::I32, lanes));
    list.same("load", float, "%y = load T @0[%t, s]");
    list.same("store", float, "store T @2[%t, s], %b\n%y = sub T %a, %b");
    list.same("fma", float, "%y = fma T %a, %b, %a");
    list.same("dot", float, "cell %k: T = 0.5\ndot T %k, %a, %b\n%y = sub T %k, %b");
    list.same("cell", float, "cell %k: T = 0.5\nset %k = %a\n%l = sub T %k, %b\nset %k = %l\n%y = fma T %k, %l, %a");
    for op in [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div, Binary::Min, Binary::Max] {
        list.same(op.name(), float, &format!("%y = {} T %a, %b", op.name()));
    }
    for op in [Unary::Neg, Unary::Abs, Unary::Sqrt, Unary::Floor, Unary::Ceil, Unary::Trunc, Unary::Round] {
        list.same(op.name(), float, &format!("%y = {} T %a", op.name()));
    }
    for how in Compare::ALL {
        let code = format!("%m = cmp M {} T %a, %b\n%y = select T %m, %a, %b", how.name());
        list.same(how.name(), float, &code);
    }
    list.add("bits", float, int, "%y = bitcast R T %a");
    list.add("bits", int, float, "%y = bitcast R T %a");
    list.add("convert", int, float, "%y = convert R T %a");
    let half = typed(DType::F16, lanes);
    list.add("convert", float, half, "%y = convert R T %a");
    list.add("convert", half, float, "%y = convert R T %a");
    list.same("round", float, &format!("%h = convert {half} T %a\n%y = convert T {half} %h"));
    if lanes > 1 {
        list.add("convert", float, int, "%y = convert R T %a");
        list.same("bcast", half, "%y = bcast T @1[%t, s]");
        list.same("bcast", float, "%q = bcast T @1[%t, s]\n%y = sub T %q, %a");
        for bytes in [DType::I8, DType::U8] {
            list.add(
                "narrow",
                float,
                int,
                &format!("%n = convert {0} T %a\n%y = convert R {0} %n", typed(bytes, lanes)),
            );
            list.add("narrow", float, typed(bytes, lanes), "%y = convert R T %a");
            for to in [int, float] {
                list.add("widen", typed(bytes, lanes), to, "%l = load T @0[%t, s]\n%y = convert R T %l");
                list.add("widen one", typed(bytes, lanes), to, "%l = bcast T @0[%t, s]\n%y = convert R T %l");
            }
        }
    }
}

/// Arithmetic on 32-bit ints; single ones lie in general registers, where 64 bits do too.
fn ints(list: &mut List, lanes: u16) {
    let wide: &[DType] = if lanes == 1 { &[DType::I32, DType::U32, DType::I64] } else { &[DType::I32, DType::U32] };
    for ty in wide.iter().map(|dtype| typed(*dtype, lanes)) {
        use Binary::{Add, And, Max, Min, Mul, Or, Sub, Xor};
        for op in [Add, Sub, Mul, And, Or, Xor, Min, Max] {
            list.same(op.name(), ty, &format!("%y = {} T %a, %b", op.name()));
        }
        for op in [Binary::Shl, Binary::Shr] {
            list.same(op.name(), ty, &format!("%y = {} T %a, 7", op.name()));
            if lanes > 1 {
                let code = format!("%l = and T %b, 31\n%y = {} T %a, %l", op.name());
                list.same(&format!("{} by lanes", op.name()), ty, &code);
            }
        }
        for op in [Unary::Neg, Unary::Not] {
            list.same(op.name(), ty, &format!("%y = {} T %a", op.name()));
        }
        for how in Compare::ALL {
            let code = format!("%m = cmp M {} T %a, %b\n%y = select T %m, %a, %b", how.name());
            list.same(how.name(), ty, &code);
        }
    }
}

/// The first lanes alone: none, some or all of them.
fn tails(list: &mut List, lanes: u16) {
    for dtype in [DType::F32, DType::I32] {
        list.same("load first", typed(dtype, lanes), "%y = load T @0[%t, s], first s - 3");
        let code = "store T @2[%t, 0], %b, first s - 3\n%y = sub T %a, %b";
        list.same("store first", typed(dtype, lanes), code);
    }
    let (half, float) = (typed(DType::F16, lanes), typed(DType::F32, lanes));
    list.same("load first", half, "%y = load T @0[%t, s], first s - 3");
    let code = "store R @2[%t, 0], %b, first s - 3";
    list.same("store first", half, &format!("{code}\n%l = convert {float} T %a\n%y = convert T {float} %l"));
    for bytes in [DType::I8, DType::U8] {
        let code = "%l = load T @0[%t, s], first 3\n%y = convert R T %l";
        list.add("widen first", typed(bytes, lanes), typed(DType::I32, lanes), code);
    }
}

/// From one lane to another.
fn across(list: &mut List, lanes: u16) {
    for dtype in [DType::F32, DType::I32, DType::U32] {
        let (ty, one) = (typed(dtype, lanes), typed(dtype, 1));
        for monoid in [Monoid::Sum, Monoid::Prod, Monoid::Max, Monoid::Min] {
            list.add(monoid.name(), ty, one, &format!("%y = reduce R {} %a", monoid.name()));
        }
        list.add("lane", ty, one, &format!("%y = lane R %a, {}", lanes - 1));
        list.same("splat", ty, &format!("%l = lane {dtype} %a, {}\n%y = splat T %l", lanes - 3));
    }
    let ints = typed(DType::I32, lanes);
    list.same("index", ints, "%l = index T 3*%t - n\n%y = sub T %a, %l");
    list.same("iota", ints, "%l = iota T\n%y = sub T %a, %l");
    let pairs = ["%p, %q, %q, %p"; 4][..usize::from(lanes / 4)].join(", ");
    let code = format!("%p = lane f32 %a, {}\n%q = lane f32 %b, 1\n%y = pack T ({pairs})", lanes - 1);
    list.same("pack", typed(DType::F32, lanes), &code);
}

/// Bools, wherever they lie.
fn bools(list: &mut List, lanes: u16) {
    let (float, int) = (typed(DType::F32, lanes), typed(DType::I32, lanes));
    let two = "%m = cmp M lt T %a, %b\n%n = cmp M le T %b, 1.0";
    for op in [Binary::And, Binary::Or, Binary::Xor] {
        let code = format!("{two}\n%o = {} M %m, %n\n%y = select T %o, %a, %b", op.name());
        list.same(&format!("bools {}", op.name()), float, &code);
    }
    list.same("bools not", float, "%m = cmp M lt T %a, %b\n%o = not M %m\n%y = select T %o, %a, %b");
    list.add("bools as numbers", float, int, "%m = cmp M lt T %a, %b\n%y = convert R M %m");
    list.same("bools of numbers", float, "%m = convert M T %a\n%y = select T %m, %b, 2.0");
    list.same("bools of numbers", int, "%m = convert M T %a\n%y = select T %m, %b, 2");
    list.same(
        "bools in a cell",
        float,
        "%m = cmp M lt T %a, %b\ncell %k: M = 1\nset %k = %m\n%y = select T %k, %a, 3.0",
    );
    list.same(
        "a bool in all lanes",
        int,
        "%l = lane i32 %a, 1\n%o = convert bool i32 %l\n%m = splat M %o\n%y = select T %m, %a, %b",
    );
}
