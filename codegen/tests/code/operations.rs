//! Every operation on edge values of every type.

use super::check;
use mlc_ir::DType;
use mlc_ir::tile::interp::Buffer;

const FLOATS: [f64; 32] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    1.5,
    2.5,
    -2.5,
    0.3,
    -0.7,
    3.99,
    127.5,
    128.0,
    -128.9,
    255.0,
    256.0,
    32767.7,
    -32769.0,
    65504.0,
    65520.0,
    2147483648.0,
    -2147483649.0,
    4294967296.0,
    9.3e18,
    -9.3e18,
    1.9e19,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
    6e-8,
    5.96e-5,
];

const INTS: [i64; 16] =
    [0, 1, -1, 2, 7, -7, 127, -128, 255, 32767, -32768, i32::MAX as i64, i32::MIN as i64, i64::MAX, i64::MIN, 1 << 33];

/// 64 edge values of a type.
fn edges(dtype: DType) -> Vec<u8> {
    let ints = |i: usize| INTS[(i * 5 + i / 16) % 16];
    (0..64usize)
        .flat_map(|i| {
            let x = FLOATS[(i * 7 + i / 32) % 32];
            match dtype {
                DType::F64 => x.to_le_bytes().to_vec(),
                DType::F32 => (x as f32).to_le_bytes().to_vec(),
                DType::F16 => half::f16::from_f64(x).to_le_bytes().to_vec(),
                DType::BF16 => half::bf16::from_f64(x).to_le_bytes().to_vec(),
                DType::Bool => vec![u8::from(ints(i) > 3)],
                _ => ints(i).to_le_bytes()[..dtype.bytes()].to_vec(),
            }
        })
        .collect()
}

/// The same with other neighbours.
fn others(dtype: DType) -> Vec<u8> {
    let mut bytes = edges(dtype);
    bytes.rotate_left(dtype.bytes() * 11);
    bytes
}

fn suffix(lanes: usize) -> String {
    if lanes == 1 { String::new() } else { format!("x{lanes}") }
}

/// Widths in which a type is used.
fn widths(dtype: DType) -> Vec<usize> {
    let mut widths = vec![1, 16 / dtype.bytes()];
    if dtype.bytes() < 4 {
        widths.push(4);
    }
    widths
}

/// Runs `body`, which makes `%r` from `%a` and `%b`, over all pairs.
fn apply(from: DType, to: DType, lanes: usize, body: &str) {
    let x = suffix(lanes);
    let text = format!(
        "tile k indexed (@0 a: {from}[64] input, @1 b: {from}[64] input, @2 y: {to}[64] output) tasks %t: 1 {{
           loop serial %i in 0..{} {{
             %a = load {from}{x} @0[{lanes}*%i] %b = load {from}{x} @1[{lanes}*%i] {body}
             store {to}{x} @2[{lanes}*%i], %r }} }}",
        64 / lanes
    );
    let buffers = [Buffer::filled(edges(from)), Buffer::filled(others(from)), Buffer::empty(64 * to.bytes())];
    check(&text, &buffers, &[], 1);
}

fn computable() -> impl Iterator<Item = DType> {
    DType::all().filter(|dtype| !matches!(dtype, DType::F16 | DType::BF16 | DType::Bool))
}

#[test]
fn unary() {
    for dtype in computable() {
        for lanes in widths(dtype) {
            let ops: &[&str] = match dtype.is_float() {
                true => &["neg", "abs", "sqrt", "floor", "ceil", "trunc", "round"],
                false => &["neg", "abs", "not"],
            };
            for op in ops {
                apply(dtype, dtype, lanes, &format!("%r = {op} {dtype}{} %a", suffix(lanes)));
            }
        }
    }
}

#[test]
fn binary() {
    for dtype in computable() {
        for lanes in widths(dtype) {
            let x = suffix(lanes);
            let ops: &[&str] = match dtype.is_float() {
                true => &["add", "sub", "mul", "div", "min", "max"],
                false => &["add", "sub", "mul", "div", "rem", "min", "max", "and", "or", "xor"],
            };
            for op in ops {
                apply(dtype, dtype, lanes, &format!("%r = {op} {dtype}{x} %a, %b"));
            }
            if dtype.is_float() {
                continue;
            }
            for op in ["shl", "shr"] {
                let width = 8 * dtype.bytes() - 1;
                apply(dtype, dtype, lanes, &format!("%m = and {dtype}{x} %b, {width} %r = {op} {dtype}{x} %a, %m"));
                apply(dtype, dtype, lanes, &format!("%r = {op} {dtype}{x} %a, {width}"));
            }
            for by in [0, 1, -1, 3].into_iter().filter(|by| *by >= 0 || dtype.is_signed_int()) {
                apply(
                    dtype,
                    dtype,
                    lanes,
                    &format!("%q = div {dtype}{x} %a, {by} %s = rem {dtype}{x} %a, {by} %r = xor {dtype}{x} %q, %s"),
                );
            }
        }
    }
}

#[test]
fn comparisons_and_selection() {
    for dtype in computable() {
        for lanes in widths(dtype) {
            let x = suffix(lanes);
            for op in ["eq", "ne", "lt", "le"] {
                apply(dtype, DType::Bool, lanes, &format!("%r = cmp bool{x} {op} {dtype}{x} %a, %b"));
                let body = format!("%m = cmp bool{x} {op} {dtype}{x} %a, %b %r = select {dtype}{x} %m, %a, %b");
                apply(dtype, dtype, lanes, &body);
            }
        }
    }
    for lanes in [1, 2, 4, 8, 16] {
        let x = suffix(lanes);
        for op in ["and", "or", "xor"] {
            apply(DType::Bool, DType::Bool, lanes, &format!("%r = {op} bool{x} %a, %b"));
        }
        for op in ["eq", "ne"] {
            apply(DType::Bool, DType::Bool, lanes, &format!("%r = cmp bool{x} {op} bool{x} %a, %b"));
        }
        apply(DType::Bool, DType::Bool, lanes, &format!("%n = not bool{x} %a %r = select bool{x} %n, %b, 1"));
    }
}

#[test]
fn conversions() {
    for from in DType::all() {
        for to in DType::all() {
            for lanes in [1, 2, 4, 8, 16] {
                let bits = |dtype: DType| if dtype == DType::Bool { 1 } else { lanes * dtype.bytes() };
                if bits(from) > 16 || bits(to) > 16 {
                    continue;
                }
                let x = suffix(lanes);
                apply(from, to, lanes, &format!("%r = convert {to}{x} {from}{x} %a"));
            }
        }
    }
}

#[test]
fn halves_are_exact() {
    let all: Vec<u16> = (0..=u16::MAX).collect();
    for half in ["f16", "bf16"] {
        let text = format!(
            "tile k indexed (@0 h: {half}[65536] input, @1 f: f32[65536] output, @2 g: {half}[65536] output) tasks %t: 1 {{
               loop serial %i in 0..16384 {{
                 %a = load {half}x4 @0[4*%i] %f = convert f32x4 {half}x4 %a store f32x4 @1[4*%i], %f
                 %g = mul f32x4 %f, 1.00048828125 %r = convert {half}x4 f32x4 %g store {half}x4 @2[4*%i], %r }} }}"
        );
        check(&text, &[Buffer::of(&all), Buffer::empty(4 << 16), Buffer::empty(2 << 16)], &[], 1);
    }
}

#[test]
fn doubles_round_once_to_halves() {
    let near: Vec<f64> = (0..4096u64)
        .flat_map(|i| {
            let middle = f64::from(half::f16::from_bits((i * 13 % 31744) as u16)) * (1.0 + 1.0 / 4096.0);
            let middle = f64::from_bits(middle.to_bits() & !0xffff_ffff);
            [middle, f64::from_bits(middle.to_bits() + 1), -f64::from_bits(middle.to_bits().wrapping_sub(1))]
        })
        .filter(|x| x.is_finite())
        .take(12000)
        .collect();
    for half in ["f16", "bf16"] {
        let text = format!(
            "tile k indexed (@0 x: f64[n] input, @1 y: {half}[n] output) symbols n tasks %t: 1 {{
               loop serial %i in 0..n {{ %a = load f64 @0[%i] %r = convert {half} f64 %a store {half} @1[%i], %r }} }}"
        );
        check(&text, &[Buffer::of(&near), Buffer::empty(2 * near.len())], &[near.len() as i64], 1);
    }
}

#[test]
fn reductions() {
    for dtype in computable() {
        let lanes = 16 / dtype.bytes();
        for monoid in ["sum", "prod", "max", "min"] {
            let body = format!("%s = reduce {dtype} {monoid} %a %r = splat {dtype}x{lanes} %s");
            apply(dtype, dtype, lanes, &body);
        }
    }
    for lanes in [2, 4, 8, 16] {
        for monoid in ["and", "or"] {
            apply(DType::Bool, DType::Bool, lanes, &format!("%s = reduce bool {monoid} %a %r = splat boolx{lanes} %s"));
        }
    }
}

#[test]
fn lanes_in_and_out() {
    for dtype in computable().chain([DType::Bool]) {
        for lanes in [2, 4, 8, 16].into_iter().filter(|lanes| lanes * dtype.bytes() <= 16) {
            let picks: String = (0..lanes).map(|lane| format!("%l{lane} = lane {dtype} %a, {lane} ")).collect();
            let order: Vec<String> = (0..lanes).rev().map(|lane| format!("%l{lane}")).collect();
            let pack = format!("{picks} %r = pack {dtype}x{lanes} ({})", order.join(", "));
            apply(dtype, dtype, lanes, &pack);
            if dtype.is_int() {
                apply(dtype, dtype, lanes, &format!("%n = iota {dtype}x{lanes} %r = add {dtype}x{lanes} %n, %a"));
            }
        }
    }
}

#[test]
fn bitcasts() {
    for (from, to, x) in
        [("f32", "i32", ""), ("f32x4", "u32x4", ""), ("u8x4", "f32", ""), ("i16x4", "f64", ""), ("u8x16", "i64x2", "")]
    {
        let text = format!(
            "tile k indexed (@0 a: {}[16] input, @1 y: {}[{}] output) tasks %t: 1 {{
               %a = load {from} @0[0] %b = bitcast {to} {from} %a store {to} @1[0], %b{x} }}",
            from.split('x').next().unwrap(),
            to.split('x').next().unwrap(),
            to.split('x').nth(1).unwrap_or("1"),
        );
        let (from, to) = (mlc_ir::tile::Type::from_name(from).unwrap(), mlc_ir::tile::Type::from_name(to).unwrap());
        let bytes: Vec<u8> = (0..16 * from.dtype.bytes() as u32).map(|i| (i * 37 + 11) as u8).collect();
        check(&text, &[Buffer::filled(bytes), Buffer::empty(to.bytes())], &[], 1);
    }
}

#[test]
fn first_lanes() {
    for dtype in DType::all() {
        for lanes in [1, 2, 4, 8, 16].into_iter().filter(|lanes| lanes * dtype.bytes() <= 16) {
            let x = suffix(lanes);
            let text = format!(
                "tile k indexed (@0 a: {dtype}[64] input, @1 y: {dtype}[20, 32] output) tasks %t: 20 {{
                   loop serial %c in 0..{} {{ %z = load {dtype}{x} @0[0], first -1 store {dtype}{x} @1[%t, {lanes}*%c], %z }}
                   %a = load {dtype}{x} @0[%t], first %t - 2 store {dtype}{x} @1[%t, 0], %a
                   %b = load {dtype}{x} @0[%t] store {dtype}{x} @1[%t, {lanes}], %b, first %t - 1 }}",
                32 / lanes
            );
            check(&text, &[Buffer::filled(edges(dtype)), Buffer::empty(640 * dtype.bytes())], &[], 20);
        }
    }
}

#[test]
fn masks_in_cells() {
    let text = "tile k indexed (@0 a: f32[64] input, @1 y: bool[4] output, @2 z: f32[4] output) tasks %t: 1 {
       cell %m: boolx4 = 1 cell %any: bool = 0
       loop serial %i in 0..16 {
         %a = load f32x4 @0[4*%i] %c = cmp boolx4 lt f32x4 %a, 1000.0 %n = and boolx4 %m, %c set %m = %n
         %o = reduce bool or %c %p = or bool %any, %o set %any = %p
       }
       store boolx4 @1[0], %m
       %f = convert f32x4 boolx4 %m %g = convert f32 bool %any %h = splat f32x4 %g %j = add f32x4 %f, %h
       store f32x4 @2[0], %j }";
    check(text, &[Buffer::filled(edges(DType::F32)), Buffer::empty(4), Buffer::empty(16)], &[], 1);
}
