//! Every instruction, for every element type, on edge values.

use super::{Jit, agree, tile};
use mlc_ir::DType;
use mlc_ir::tile::interp::Buffer;
use mlc_ir::tile::{Binary, Compare, Monoid, Unary};

const LANES: [usize; 5] = [1, 2, 4, 8, 16];

/// Edge values of floats.
#[rustfmt::skip]
pub(crate) const FLOATS: [f64; 39] = [
    0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, -1.5, 2.5, 0.49999997, 3.7, -3.7, 8388607.5, -8388608.5, 65519.9,
    65520.0, 1e-8, -6e-8, 127.5, 128.0, 255.0, 256.5, -128.5, 32767.9, 2147483648.0, -2147483649.0, 4294967295.0,
    9.3e18, -9.3e18, 1.9e19, 1e300, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1e-40, 5.96e-8, 3.3895e38, 2049.0,
    257.0,
];

/// Edge values of ints, wrapped where they do not fit.
#[rustfmt::skip]
pub(crate) const INTS: [i64; 25] = [
    0, 1, -1, 2, -2, 3, 7, -7, 127, 128, -128, 255, 256, 32767, -32768, 65535, 16777217, 2147483647,
    -2147483648, 4294967295, 9007199254740993, i64::MAX, i64::MIN, 100, -100,
];

/// Bytes of the edge values of a type, as many as asked for.
fn edges(dtype: DType, count: usize, turn: usize) -> Vec<u8> {
    // Odd strides through lists of coprime length meet all pairs.
    let float = |i: usize| FLOATS[(i * turn + i / FLOATS.len() * (turn - 1)) % FLOATS.len()];
    let int = |i: usize| INTS[(i * turn + i / INTS.len() * (turn - 1)) % INTS.len()];
    let element = |i: usize| -> Vec<u8> {
        match dtype {
            DType::F64 => float(i).to_le_bytes().to_vec(),
            DType::F32 => (float(i) as f32).to_le_bytes().to_vec(),
            DType::F16 => ((i * 97) as u16).to_le_bytes().to_vec(),
            DType::BF16 => ((i * 53) as u16).to_le_bytes().to_vec(),
            DType::Bool => vec![(int(i) & 1) as u8],
            dtype => int(i).to_le_bytes()[..dtype.bytes()].to_vec(),
        }
    };
    (0..count).flat_map(element).collect()
}

fn ty(dtype: DType, lanes: usize) -> String {
    if lanes == 1 { dtype.to_string() } else { format!("{dtype}x{lanes}") }
}

/// Runs `code` on lanes `%a` and `%b`; it defines `%y`.
fn check(from: DType, to: DType, lanes: usize, count: usize, code: &str) {
    let (a, y) = (ty(from, lanes), ty(to, lanes));
    let text = format!(
        "tile op indexed (@0 a: {from}[n] input, @1 b: {from}[n] input, @2 y: {to}[n] output) symbols n
           tasks %t: floordiv(n, {lanes}) {{
           %a = load {a} @0[{lanes}*%t]
           %b = load {a} @1[{lanes}*%t]
           {code}
           store {y} @2[{lanes}*%t], %y
         }}"
    );
    let (a, b) = (Buffer::filled(edges(from, count, 1)), Buffer::filled(edges(from, count, 2)));
    agree(&tile(&text), &[a, b, Buffer::empty(count * to.bytes())], &[count as i64]);
}

fn numbers() -> impl Iterator<Item = DType> {
    DType::all().filter(|dtype| !matches!(dtype, DType::F16 | DType::BF16))
}

#[test]
fn unary() {
    for (dtype, op) in numbers().flat_map(|dtype| Unary::ALL.iter().map(move |op| (dtype, *op))) {
        let takes = match op {
            Unary::Neg | Unary::Abs => dtype != DType::Bool,
            Unary::Not => !dtype.is_float(),
            _ => dtype.is_float(),
        };
        for lanes in LANES.into_iter().filter(|_| takes) {
            check(dtype, dtype, lanes, 64, &format!("%y = {} {} %a", op.name(), ty(dtype, lanes)));
        }
    }
}

#[test]
fn binary() {
    for (dtype, op) in numbers().flat_map(|dtype| Binary::ALL.iter().map(move |op| (dtype, *op))) {
        let takes = match op {
            Binary::Add | Binary::Sub | Binary::Mul | Binary::Div | Binary::Min | Binary::Max => dtype != DType::Bool,
            Binary::And | Binary::Or | Binary::Xor => !dtype.is_float(),
            Binary::Rem => dtype.is_int(),
            Binary::Shl | Binary::Shr => false,
        };
        for lanes in LANES.into_iter().filter(|_| takes) {
            check(dtype, dtype, lanes, 1600, &format!("%y = {} {} %a, %b", op.name(), ty(dtype, lanes)));
        }
    }
}

#[test]
fn shifts() {
    for dtype in numbers().filter(|dtype| dtype.is_int()) {
        for (lanes, op) in LANES.into_iter().flat_map(|lanes| [(lanes, "shl"), (lanes, "shr")]) {
            let (ty, width) = (ty(dtype, lanes), dtype.bytes() * 8);
            check(dtype, dtype, lanes, 64, &format!("%y = {op} {ty} %a, {}", width / 2 - 1));
            check(dtype, dtype, lanes, 64, &format!("%s = and {ty} %b, {}\n%y = {op} {ty} %a, %s", width - 1));
            let splat = if lanes == 1 { "" } else { "%q = splat TY 3\n%y = OP TY %a, %q" };
            if !splat.is_empty() {
                check(dtype, dtype, lanes, 64, &splat.replace("TY", &ty).replace("OP", op));
            }
        }
    }
}

#[test]
fn comparisons() {
    for (dtype, op) in numbers().flat_map(|dtype| Compare::ALL.iter().map(move |op| (dtype, *op))) {
        let takes = dtype != DType::Bool || matches!(op, Compare::Eq | Compare::Ne);
        for lanes in LANES.into_iter().filter(|_| takes) {
            let mask = ty(DType::Bool, lanes);
            check(
                dtype,
                DType::Bool,
                lanes,
                1600,
                &format!("%y = cmp {mask} {} {} %a, %b", op.name(), ty(dtype, lanes)),
            );
            // Bools that stay in registers.
            let code = format!("%m = cmp {mask} {} {} %a, %b", op.name(), ty(dtype, lanes));
            let floats = ty(DType::F32, lanes);
            let flags = format!("%n = not {mask} %m\n%y = select {floats} %n, 2.0, 3.0");
            check(dtype, DType::F32, lanes, 1600, &format!("{code}\n{flags}"));
            check(dtype, DType::F32, lanes, 1600, &format!("{code}\n%y = convert {floats} {mask} %m"));
        }
    }
}

#[test]
fn conversions() {
    for (from, to) in DType::all().flat_map(|from| DType::all().map(move |to| (from, to))) {
        for lanes in LANES {
            let count = if matches!(from, DType::F16 | DType::BF16) { 4096 } else { 64 };
            check(from, to, lanes, count, &format!("%y = convert {} {} %a", ty(to, lanes), ty(from, lanes)));
        }
    }
}

/// Just above and at a tie of half floats: rounding twice would lose the difference.
#[test]
fn doubles_round_once_to_halves() {
    let tie = 1.0 + 2f64.powi(-11);
    let x =
        [tie, tie * (1.0 + f64::EPSILON), tie + 2f64.powi(-30), 65519.999, -2f64.powi(-25), 2f64.powi(-25) * 1.0000001];
    let expected: [u16; 6] = [0x3c00, 0x3c01, 0x3c01, 0x7bff, 0x8000, 1];
    let text = "tile half linear (@0 a: f64[6] input, @1 y: f16[6] output) tasks %t: 6 {
        cursor %p = @0 + 8*%t
        cursor %q = @1 + 2*%t
        %a = load f64 [%p + 0 in @0]
        %y = convert f16 f64 %a
        store f16 [%q + 0 in @1], %y
      }";
    let mut buffers = [x.iter().flat_map(|x| x.to_le_bytes()).collect(), vec![0; 12]];
    Jit::new(&tile(text)).unwrap().run(&mut buffers, &[], 0..6).unwrap();
    assert_eq!(buffers[1], expected.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>());
}

#[test]
fn bitcasts() {
    let plain = || DType::all().filter(|dtype| *dtype != DType::Bool);
    for (from, to) in plain().flat_map(|from| plain().map(move |to| (from, to))) {
        for lanes in LANES.into_iter().filter(|_| from.bytes() == to.bytes()) {
            check(from, to, lanes, 64, &format!("%y = bitcast {} {} %a", ty(to, lanes), ty(from, lanes)));
        }
    }
}

#[test]
fn masks_change_their_width() {
    for (from, to) in numbers().flat_map(|from| numbers().map(move |to| (from, to))) {
        for lanes in LANES {
            let (a, y, mask) = (ty(from, lanes), ty(to, lanes), ty(DType::Bool, lanes));
            let code = format!(
                "%m = cmp {mask} eq {a} %a, %b
                 %n = convert {mask} {y} %c
                 cell %k: {mask} = 1
                 %o = xor {mask} %m, %k
                 set %k = %o
                 %p = or {mask} %k, %n
                 %y = select {y} %p, %c, {}",
                if to.is_float() { "1.0" } else { "1" }
            );
            let code = format!("%c = convert {y} {a} %b\n{code}");
            check(from, to, lanes, 256, &code);
        }
    }
}

#[test]
fn reductions() {
    for (dtype, monoid) in numbers().flat_map(|dtype| Monoid::ALL.iter().map(move |monoid| (dtype, *monoid))) {
        let logical = matches!(monoid, Monoid::And | Monoid::Or);
        for lanes in LANES.into_iter().filter(|lanes| *lanes > 1 && logical == (dtype == DType::Bool)) {
            let vector = ty(dtype, lanes);
            let text = format!(
                "tile fold indexed (@0 a: {dtype}[n] input, @1 y: {dtype}[floordiv(n, {lanes})] output) symbols n
                   tasks %t: floordiv(n, {lanes}) {{
                   %a = load {vector} @0[{lanes}*%t]
                   %r = reduce {dtype} {} %a
                   store {dtype} @1[%t], %r
                 }}",
                monoid.name()
            );
            let a = Buffer::filled(edges(dtype, 160, 1));
            agree(&tile(&text), &[a, Buffer::empty(160 / lanes * dtype.bytes())], &[160]);
        }
    }
}

#[test]
fn lanes_and_memory() {
    for (dtype, lanes) in DType::all().flat_map(|dtype| LANES.into_iter().map(move |lanes| (dtype, lanes))) {
        let vector = ty(dtype, lanes);
        for slack in [0, 64] {
            let text = format!(
                "tile copy indexed (@0 a: {dtype}[n] input slack {slack}, @1 y: {dtype}[n] output,
                   @2 z: {dtype}[{lanes}] output) symbols n tasks %t: 1 {{
                   loop serial %i in 0..cdiv(n, {lanes}) {{
                     %a = load {vector} @0[{lanes}*%i], first n - {lanes}*%i
                     store {vector} @1[{lanes}*%i], %a, first n - {lanes}*%i
                   }}
                   %b = bcast {vector} @0[0]
                   store {vector} @2[0], %b
                 }}"
            );
            for n in [1, 3, 17, 32] {
                let a = Buffer::filled(edges(dtype, n, 1));
                let out = [Buffer::empty(n * dtype.bytes()), Buffer::empty(lanes * dtype.bytes())];
                let [y, z] = out;
                agree(&tile(&text), &[a, y, z], &[n as i64]);
            }
        }
    }
}

#[test]
fn bools_in_all_lanes() {
    for lanes in LANES.into_iter().filter(|lanes| *lanes > 1) {
        for from in [DType::F32, DType::I32, DType::I64, DType::Bool] {
            let (mask, floats) = (ty(DType::Bool, lanes), ty(DType::F32, lanes));
            let text = format!(
                "tile flags indexed (@0 a: {from}[n] input, @1 b: bool[{lanes}] input, @2 y: f32[n, {lanes}] output)
                   symbols n tasks %t: n {{
                   %a = load {from} @0[%t]
                   %one = convert bool {from} %a
                   %m = splat {mask} %one
                   %b = load {mask} @1[0]
                   %p = and {mask} %m, %b
                   %q = or {mask} %m, 0
                   %r = select {floats} %p, 1.0, 2.0
                   %s = select {floats} %q, 4.0, %r
                   store {floats} @2[%t, 0], %s
                 }}"
            );
            let buffers = [
                Buffer::filled(edges(from, 32, 1)),
                Buffer::filled(edges(DType::Bool, lanes, 1)),
                Buffer::empty(128 * lanes),
            ];
            agree(&tile(&text), &buffers, &[32]);
        }
    }
}

#[test]
fn lanes_apart() {
    for (dtype, lanes) in numbers().flat_map(|dtype| [4, 8, 16].map(|lanes| (dtype, lanes))) {
        let four = "%p, %q, %q, %p";
        let all = [four; 4][..lanes / 4].join(", ");
        let text = format!(
            "tile apart indexed (@0 a: {dtype}[n] input, @1 y: {dtype}[n] output, @2 z: i32[n] output) symbols n
               tasks %t: floordiv(n, {lanes}) {{
               %a = load {dtype}x{lanes} @0[{lanes}*%t]
               %p = lane {dtype} %a, {}
               %q = lane {dtype} %a, 1
               %v = pack {dtype}x{lanes} ({all})
               store {dtype}x{lanes} @1[{lanes}*%t], %v
               %i = iota i32x{lanes}
               %k = index i32x{lanes} 3*%t - n
               %s = add i32x{lanes} %i, %k
               store i32x{lanes} @2[{lanes}*%t], %s
             }}",
            lanes - 1
        );
        let a = Buffer::filled(edges(dtype, 32, 1));
        agree(&tile(&text), &[a, Buffer::empty(32 * dtype.bytes()), Buffer::empty(128)], &[32]);
    }
}

#[test]
fn multiply_add() {
    for (row, dtype) in [
        ("f32x16", DType::F32),
        ("f32x8", DType::F32),
        ("f32x4", DType::F32),
        ("f32", DType::F32),
        ("f64x2", DType::F64),
        ("i32x4", DType::I32),
    ] {
        let lanes = row.split('x').nth(1).map_or(1, |n| n.parse().unwrap());
        let zero = if dtype.is_float() { "0.5" } else { "5" };
        let code = format!("cell %c: {row} = {zero}\ndot {row} %c, %a, %b\n%y = max {row} %c, %c");
        check(dtype, dtype, lanes, 320, &code);
    }
    for lanes in LANES {
        let ty = ty(DType::F32, lanes);
        check(DType::F32, DType::F32, lanes, 320, &format!("%y = fma {ty} %a, %b, %a"));
    }
}
