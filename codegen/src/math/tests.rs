//! Errors of the functions, measured on this machine's code.

use crate::clif::jit::Jit;
use crate::linear::linearize;
use mlc_ir::Facts;
use mlc_ir::tile::interp::math;
use mlc_ir::tile::{Math, parse};

fn jit(math: Math, ty: &str, lanes: usize, features: Option<&[&str]>) -> Jit {
    let args = if math.arity() == 2 { "%v, %w" } else { "%v" };
    let vector = format!("{ty}x{lanes}");
    let text = format!(
        "tile f indexed (@0 x: {ty}[n] input, @1 w: {ty}[n] input, @2 y: {ty}[n] output) symbols n
           tasks %t: floordiv(n, {lanes}) {{
           %v = load {vector} @0[{lanes}*%t]
           %w = load {vector} @1[{lanes}*%t]
           %r = math {vector} {} ({args})
           store {vector} @2[{lanes}*%t], %r
         }}",
        math.name()
    );
    let linear = linearize(&parse(&text).unwrap(), &Facts::default()).unwrap();
    let jit = match features {
        None => Jit::new(&linear),
        Some(features) => Jit::with(&linear, features),
    };
    jit.unwrap_or_else(|e| panic!("{e}\n{linear}"))
}

fn run_f32(math: Math, features: Option<&[&str]>, x: &[f32], y: &[f32]) -> Vec<f32> {
    let bytes = |v: &[f32]| v.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    let mut buffers = [bytes(x), bytes(y), vec![0; 4 * x.len()]];
    let n = x.len();
    jit(math, "f32", 4, features).run(&mut buffers, &[n as i64], 0..n as u64 / 4).unwrap();
    buffers[2].chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

fn run_f64(math: Math, features: Option<&[&str]>, x: &[f64], y: &[f64]) -> Vec<f64> {
    let bytes = |v: &[f64]| v.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    let mut buffers = [bytes(x), bytes(y), vec![0; 8 * x.len()]];
    let n = x.len();
    jit(math, "f64", 2, features).run(&mut buffers, &[n as i64], 0..n as u64 / 2).unwrap();
    let number = |b: &[u8]| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]);
    buffers[2].chunks_exact(8).map(number).collect()
}

/// The distance of a float from the exact result, in units of the exact result's last place.
fn ulps_f32(found: f32, exact: f64) -> f64 {
    let nearest = exact as f32;
    if found.is_nan() || nearest.is_nan() || found.is_infinite() && nearest.is_infinite() {
        return if found.is_nan() && nearest.is_nan() || found == nearest { 0.0 } else { f64::INFINITY };
    }
    // An overflow on one side only: the next number after the largest stands for infinity.
    let number = |x: f64| if x.abs() > f64::from(f32::MAX) { 2f64.powi(128).copysign(x) } else { x };
    let (found, exact) =
        (number(found.into()), if found.is_infinite() { number(nearest.into()) } else { number(exact) });
    (found - exact).abs() / place(exact.clamp(-3.4e38, 3.4e38), -126, 23)
}

/// The distance between neighbours at a number.
fn place(x: f64, least: i32, bits: i32) -> f64 {
    let exponent = ((x.to_bits() >> 52) & 0x7ff) as i32 - 1023;
    let power = exponent.max(least) - bits;
    if power < -1022 { f64::from_bits(1 << (power + 1074)) } else { f64::from_bits(((power + 1023) as u64) << 52) }
}

/// Bit patterns over the whole range, and the edges.
fn samples(count: u64) -> Vec<f32> {
    let spread =
        (0..count).map(|i| f32::from_bits((i * ((1 << 32) / count) + (i * 7919) % ((1 << 32) / count)) as u32));
    let edges = [0.0, 1.0, 0.5, 2.0, f32::INFINITY, f32::MIN_POSITIVE, 1e-40, 1e-45, f32::MAX, 88.72, 103.9, 3.0];
    let both = edges.into_iter().flat_map(|x| [x, -x]);
    let near = (0..200_000u32).map(|i| (i as f32 - 100_000.0) / 2048.0);
    let mut all: Vec<f32> = spread.chain(both).chain(near).chain([f32::NAN]).collect();
    all.resize(all.len().next_multiple_of(4), 1.0);
    all
}

/// The oracle; the library's acosh has no domain.
fn exactly(function: Math, x: f64) -> f64 {
    if function == Math::Acosh && x < 1.0 { f64::NAN } else { math(function, x, 0.0) }
}

/// The worst error of a function of one operand, and where.
fn worst_f32(math_: Math, features: Option<&[&str]>, keep: impl Fn(f32) -> bool) -> (f64, f32) {
    let mut x: Vec<f32> = samples(1 << 20).into_iter().filter(|x| keep(*x)).collect();
    x.resize(x.len().next_multiple_of(4), 1.0);
    let found = run_f32(math_, features, &x, &x);
    let mut worst = (0.0, 0.0);
    for (x, found) in x.iter().zip(found) {
        let exact = exactly(math_, f64::from(*x));
        let error = ulps_f32(found, exact);
        let signs = exact == 0.0 && exact.is_sign_negative() != found.is_sign_negative();
        let error = if signs { f64::INFINITY } else { error };
        if error > worst.0 {
            worst = (error, *x);
        }
    }
    worst
}

const ONE: [Math; 17] = [
    Math::Exp,
    Math::Expm1,
    Math::Log,
    Math::Log1p,
    Math::Sin,
    Math::Cos,
    Math::Tan,
    Math::Asin,
    Math::Acos,
    Math::Atan,
    Math::Sinh,
    Math::Cosh,
    Math::Tanh,
    Math::Asinh,
    Math::Acosh,
    Math::Atanh,
    Math::Erf,
];

/// Without a fused multiply-add, only arguments that the reduction is made for.
fn domain(math: Math, fused: bool, x: f32) -> bool {
    match math {
        Math::Sin | Math::Cos | Math::Tan => !x.is_finite() || x.abs() < if fused { 1e9 } else { 1.5e6 },
        _ => true,
    }
}

#[test]
fn functions_of_one_f32() {
    let mut failed = Vec::new();
    for math in ONE {
        let fused = worst_f32(math, None, |x| domain(math, true, x));
        let plain = worst_f32(math, Some(&[]), |x| domain(math, false, x));
        println!(
            "f32 {:6} {:8.3} at {:e}; without fma {:8.3} at {:e}",
            math.name(),
            fused.0,
            fused.1,
            plain.0,
            plain.1
        );
        if fused.0 > 2.0 || plain.0 > 3.0 {
            failed.push(math.name());
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

fn pairs() -> (Vec<f32>, Vec<f32>) {
    let edges = [
        0.0,
        1.0,
        0.5,
        2.0,
        3.0,
        4.0,
        2.5,
        1e10,
        16777217.0,
        16777215.0,
        f32::INFINITY,
        f32::NAN,
        1e-40,
        1e-45,
        f32::MAX,
        1.0000001,
        0.99999994,
        127.0,
        1023.5,
    ];
    let edges: Vec<f32> = edges.into_iter().flat_map(|x| [x, -x]).collect();
    let mut all: Vec<(f32, f32)> = edges.iter().flat_map(|x| edges.iter().map(|y| (*x, *y))).collect();
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 32) as u32
    };
    all.extend((0..200_000).map(|_| (f32::from_bits(next()), f32::from_bits(next()))));
    all.extend((0..400_000).map(|_| (next() as f32 / 1e8, next() as f32 / 1e8 - 20.0)));
    all.extend((0..200_000).map(|_| (1.0 + next() as f32 / 1e12, next() as f32 / 1e5)));
    all.resize(all.len().next_multiple_of(4), (1.0, 1.0));
    all.into_iter().unzip()
}

#[test]
fn functions_of_two_f32() {
    let (x, y) = pairs();
    for (function, bound) in [(Math::Pow, 1.0), (Math::Fmod, 0.0)] {
        for features in [None, Some(&[][..])] {
            let found = run_f32(function, features, &x, &y);
            let mut worst = (0.0, 0.0, 0.0, 0.0);
            for ((x, y), found) in x.iter().zip(&y).zip(found) {
                let exact = math(function, f64::from(*x), f64::from(*y));
                let error = ulps_f32(found, exact);
                let signs = exact == 0.0 && exact.is_sign_negative() != found.is_sign_negative();
                let error = if signs { f64::INFINITY } else { error };
                if error > worst.0 {
                    worst = (error, *x, *y, found);
                }
            }
            println!("f32 {:6} {:8.3} at {:e}, {:e}: {:e}", function.name(), worst.0, worst.1, worst.2, worst.3);
            assert!(worst.0 <= bound);
        }
    }
}

fn samples_f64() -> Vec<f64> {
    let spread = (0..1u64 << 18).map(|i| f64::from_bits(i << 46 | (i * 0x9e37_79b9) << 8));
    let near = (0..200_000u32).map(|i| (f64::from(i) - 100_000.0) / 2047.3);
    let edges = [0.0, 1.0, 0.5, f64::INFINITY, f64::MIN_POSITIVE, 5e-324, f64::MAX, 709.7, 745.0];
    let both = edges.into_iter().flat_map(|x| [x, -x]);
    let mut all: Vec<f64> = spread.chain(near).chain(both).chain([f64::NAN]).collect();
    all.resize(all.len().next_multiple_of(2), 1.0);
    all
}

fn error_f64(found: f64, exact: f64) -> f64 {
    if found.to_bits() == exact.to_bits() || (found.is_nan() && exact.is_nan()) {
        return 0.0;
    }
    if found == exact || !found.is_finite() || !exact.is_finite() {
        return f64::INFINITY;
    }
    (found - exact).abs() / place(exact, -1022, 52)
}

#[test]
fn functions_of_f64() {
    let mut failed = Vec::new();
    for function in ONE {
        for features in [None, Some(&[][..])] {
            let trigonometric = matches!(function, Math::Sin | Math::Cos | Math::Tan);
            let keep = |x: &f64| !trigonometric || !x.is_finite() || x.abs() < 1e5;
            let mut x: Vec<f64> = samples_f64().into_iter().filter(keep).collect();
            x.resize(x.len().next_multiple_of(2), 1.0);
            let mut worst = (0.0, 0.0);
            for (x, found) in x.iter().zip(run_f64(function, features, &x, &x)) {
                let error = error_f64(found, exactly(function, *x));
                if error > worst.0 {
                    worst = (error, *x);
                }
            }
            println!("f64 {:6} {:8.3} at {:e}", function.name(), worst.0, worst.1);
            if worst.0 > 5.0 {
                failed.push(function.name());
            }
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn functions_of_two_f64() {
    let (x, y) = pairs();
    let (x, y): (Vec<f64>, Vec<f64>) =
        x.iter().zip(&y).map(|(x, y)| (f64::from(*x) * 1.000000001, f64::from(*y))).unzip();
    for (function, bound) in [(Math::Pow, 5.0), (Math::Fmod, 0.0)] {
        for features in [None, Some(&[][..])] {
            let found = run_f64(function, features, &x, &y);
            let mut worst = (0.0, 0.0, 0.0, 0.0);
            for ((x, y), found) in x.iter().zip(&y).zip(found) {
                let error = error_f64(found, math(function, *x, *y));
                if error > worst.0 {
                    worst = (error, *x, *y, found);
                }
            }
            println!("f64 {:6} {:8.3} at {:e}, {:e}: {:e}", function.name(), worst.0, worst.1, worst.2, worst.3);
            assert!(worst.0 <= bound);
        }
    }
}
