//! `math` against `f64`: as machine code and by the interpreter.

use super::{as_code, linear};
use mlc_ir::DType;
use mlc_ir::tile::Math;
use mlc_ir::tile::interp::{Buffer, math, run};

/// Errors that are fine, in places.
const PLACES: u64 = 3;

/// Places between two numbers of a type; NaNs are equal, zeros of different sign are not.
fn places(dtype: DType, found: f64, expected: f64) -> u64 {
    if found.is_nan() || expected.is_nan() {
        return if found.is_nan() && expected.is_nan() { 0 } else { u64::MAX };
    }
    if expected == 0.0 && found == 0.0 && found.is_sign_negative() != expected.is_sign_negative() {
        return u64::MAX;
    }
    let order = |bits: i64, low: i64| if bits < 0 { low - bits } else { bits };
    match dtype {
        DType::F32 => {
            let place = |x: f64| order(i64::from((x as f32).to_bits() as i32), i64::from(i32::MIN));
            place(found).abs_diff(place(expected))
        }
        _ => order(found.to_bits() as i64, i64::MIN).abs_diff(order(expected.to_bits() as i64, i64::MIN)),
    }
}

fn text(function: Math, dtype: DType, count: usize) -> String {
    let lanes = 16 / dtype.bytes();
    format!(
        "tile k indexed (@0 x: {dtype}[{count}] input, @1 z: {dtype}[{count}] input, @2 y: {dtype}[{count}] output)
           tasks %t: 1 {{
           loop serial %i in 0..{} {{ %a = load {dtype}x{lanes} @0[{lanes}*%i] %b = load {dtype}x{lanes} @1[{lanes}*%i]
             %r = math {dtype}x{lanes} {} (%a{}) store {dtype}x{lanes} @2[{lanes}*%i], %r }} }}",
        count / lanes,
        function.name(),
        if function.arity() == 2 { ", %b" } else { "" }
    )
}

const EDGES: [f64; 40] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    2.0,
    -2.0,
    3.0,
    -3.0,
    0.25,
    1e-3,
    -1e-3,
    1e-8,
    -1e-8,
    1e-30,
    1e-40,
    10.0,
    -10.0,
    88.0,
    89.5,
    -87.0,
    -100.0,
    -104.5,
    0.84,
    0.93,
    1.25,
    2.86,
    5.9,
    709.0,
    -745.0,
    1e10,
    1e20,
    -1e20,
    3e38,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
    16_777_217.0,
    std::f64::consts::FRAC_1_SQRT_2,
];

/// Operands: edges in all pairs, then numbers of every size.
fn operands(function: Math, dtype: DType) -> Vec<(f64, f64)> {
    let mut pairs: Vec<(f64, f64)> = EDGES.iter().flat_map(|a| EDGES.map(|b| (*a, b))).collect();
    let mut state = 12345u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    for n in 0..20000 {
        let scale = [1.0, 0.01, 4.0, 20.0, 90.0, 700.0, 1e5, 1e-6][n % 8];
        let a = (random() * 2.0 - 1.0) * scale;
        let b = (random() * 2.0 - 1.0) * [2.0, 10.0, 1.0, 0.1][n / 8 % 4];
        pairs.push((if function == Math::Pow { a.abs() } else { a }, b));
    }
    let fit = |x: f64| if dtype == DType::F32 { f64::from(x as f32) } else { x };
    pairs.into_iter().map(|(a, b)| (fit(a), fit(b))).collect()
}

fn buffer(dtype: DType, x: impl Iterator<Item = f64>) -> Buffer {
    match dtype {
        DType::F32 => Buffer::of(&x.map(|x| x as f32).collect::<Vec<_>>()),
        _ => Buffer::of(&x.collect::<Vec<_>>()),
    }
}

fn values(dtype: DType, bytes: &[u8]) -> Vec<f64> {
    match dtype {
        DType::F32 => bytes.chunks(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap()))).collect(),
        _ => bytes.chunks(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect(),
    }
}

/// What the interpreter's own function cannot tell, or is too far from any use.
fn skipped(function: Math, dtype: DType, x: f64, y: f64) -> bool {
    match function {
        Math::Sin | Math::Cos | Math::Tan => x.abs() > if dtype == DType::F32 { 1e9 } else { 1e6 },
        Math::Acosh => x < 1.0,
        Math::Fmod => dtype == DType::F64 && (x / y).abs() > 4e15,
        _ => false,
    }
}

/// The largest error, and a line about it.
fn worst(function: Math, dtype: DType) -> (u64, String) {
    let pairs = operands(function, dtype);
    let tile = linear(&text(function, dtype, pairs.len()));
    let (x, y) = (buffer(dtype, pairs.iter().map(|p| p.0)), buffer(dtype, pairs.iter().map(|p| p.1)));
    let mut buffers = [x, y, Buffer::empty(pairs.len() * dtype.bytes())];
    let mut results = as_code(&tile, &buffers, &[], 1);
    run(&tile, &mut buffers, &[], 0..1).unwrap();
    results.push(("interpreter".into(), buffers.iter().map(|buffer| buffer.bytes().to_vec()).collect()));
    let mut worst = (0, String::new());
    for (name, memory) in results {
        for ((x, y), found) in pairs.iter().zip(values(dtype, &memory[2])) {
            let exact = math(function, *x, *y);
            let expected = if dtype == DType::F32 { f64::from(exact as f32) } else { exact };
            let distance = places(dtype, found, expected);
            if distance > worst.0 && !skipped(function, dtype, *x, *y) {
                worst = (distance, format!("{x:e}, {y:e}: {found:e}, not {expected:e}, by {name}"));
            }
        }
    }
    worst
}

#[test]
fn functions_are_within_a_few_places() {
    let mut wrong = Vec::new();
    for function in Math::ALL {
        for dtype in [DType::F32, DType::F64] {
            let (distance, line) = worst(*function, dtype);
            println!("{} {dtype}: {distance} at {line}", function.name());
            if distance > PLACES {
                wrong.push(format!("{} {dtype}: {distance} at {line}", function.name()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
