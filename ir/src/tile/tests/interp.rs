//! Edge values of every instruction, and every trap.

use super::{run_once, tile};
use crate::tile::interp::{Buffer, Cause, Element, run};

/// Runs a body over `@0 x` and `@1 y`, and returns `y`.
fn apply<X: Element, Y: Element>(x: &[X], y: usize, body: &str) -> Vec<Y> {
    apply_as::<X, Y>(x, X::DTYPE.name(), y, Y::DTYPE.name(), body)
}

fn apply_as<X: Element, Y: Element>(x: &[X], from: &str, y: usize, to: &str, body: &str) -> Vec<Y> {
    let n = x.len();
    let text = format!("tile k indexed (@0 x: {from}[{n}] input, @1 y: {to}[{y}] output) tasks %t: 1 {{ {body} }}");
    let mut buffers = [Buffer::of(x), Buffer::empty(y * Y::DTYPE.bytes())];
    run_once(&text, &mut buffers).unwrap_or_else(|e| panic!("{e}"));
    buffers[1].elements().expect("all written")
}

fn binary<T: Element>(op: &str, a: T, b: T) -> T {
    let ty = T::DTYPE;
    let body = format!("%a = load {ty} @0[0] %b = load {ty} @0[1] %c = {op} {ty} %a, %b store {ty} @1[0], %c");
    apply(&[a, b], 1, &body)[0]
}

fn unary<T: Element>(op: &str, a: T) -> T {
    let ty = T::DTYPE;
    apply(&[a], 1, &format!("%a = load {ty} @0[0] %c = {op} {ty} %a store {ty} @1[0], %c"))[0]
}

fn convert<X: Element, Y: Element>(a: X) -> Y {
    let (from, to) = (X::DTYPE, Y::DTYPE);
    apply(&[a], 1, &format!("%a = load {from} @0[0] %c = convert {to} {from} %a store {to} @1[0], %c"))[0]
}

#[test]
fn integers_wrap_and_divide_totally() {
    assert_eq!(binary("add", i8::MAX, 1), i8::MIN);
    assert_eq!(binary("sub", 0u16, 1), u16::MAX);
    assert_eq!(binary("mul", i64::MAX, 2), -2);
    assert_eq!(binary("div", -7i32, 2), -3);
    assert_eq!(binary("div", 5i32, 0), 0);
    assert_eq!(binary("div", i32::MIN, -1), i32::MIN);
    assert_eq!(binary("rem", -7i32, 2), -1);
    assert_eq!(binary("rem", 5i64, 0), 0);
    assert_eq!(binary("rem", i64::MIN, -1), 0);
    assert_eq!(binary("div", u64::MAX, 2), u64::MAX / 2);
    assert_eq!(binary("min", u8::MAX, 1), 1);
    assert_eq!(binary("max", -1i8, 1), 1);
    assert_eq!(binary("shr", -8i16, 1), -4);
    assert_eq!(binary("shr", 0xfff8u16, 1), 0x7ffc);
    assert_eq!(binary("shl", 0x81u8, 1), 2);
    assert_eq!(unary("abs", i16::MIN), i16::MIN);
    assert_eq!(unary("neg", 1u32), u32::MAX);
    assert_eq!(unary("not", 0i8), -1);
}

#[test]
fn floats_follow_the_definitions() {
    let nan = f32::NAN;
    assert_eq!(binary("min", nan, 1.0f32), 1.0);
    assert!(binary("min", 1.0f32, nan).is_nan());
    assert_eq!(binary("max", 0.0f32, -0.0).to_bits(), (-0.0f32).to_bits());
    assert_eq!(binary("div", 1.0f32, 0.0), f32::INFINITY);
    assert_eq!(binary("add", f32::MAX, f32::MAX), f32::INFINITY);
    assert!(unary("sqrt", -1.0f64).is_nan());
    assert_eq!(unary("neg", 0.0f32).to_bits(), (-0.0f32).to_bits());
    assert_eq!((unary("round", 2.5f32), unary("round", -3.5f64)), (2.0, -4.0));
    assert_eq!(unary("trunc", -0.5f32).to_bits(), (-0.0f32).to_bits());
    assert_eq!((unary("floor", -1.5f32), unary("ceil", -1.5f32)), (-2.0, -1.0));
    assert_eq!(unary("abs", -0.0f32).to_bits(), 0);
}

#[test]
fn products_are_added_with_one_rounding() {
    let x = 1.0f32 + f32::EPSILON;
    let body = "%a = load f32 @0[0] %b = load f32 @0[1] %c = fma f32 %a, %a, %b store f32 @1[0], %c
      cell %s: f32 = 0.0 set %s = %b dot f32 %s, %a, %a store f32 @1[1], %s
      %m = mul f32 %a, %a %d = add f32 %m, %b store f32 @1[2], %d";
    let minus = -(x * x);
    let fused = x.mul_add(x, minus);
    assert_eq!(apply::<f32, f32>(&[x, minus], 3, body), [fused, fused, 0.0]);
    assert_ne!(fused, 0.0);
    let body = "%a = load i32 @0[0] cell %s: i32 = 1 dot i32 %s, %a, %a store i32 @1[0], %s";
    assert_eq!(apply::<i32, i32>(&[1 << 16], 1, body), [1]);
}

#[test]
fn comparisons_know_nan() {
    let body = "%a = load f32x4 @0[0] %b = load f32x4 @0[4]
      %e = cmp boolx4 eq f32x4 %a, %b store boolx4 @1[0], %e
      %n = cmp boolx4 ne f32x4 %a, %b store boolx4 @1[4], %n
      %l = cmp boolx4 lt f32x4 %a, %b store boolx4 @1[8], %l
      %m = cmp boolx4 le f32x4 %a, %b store boolx4 @1[12], %m";
    let x = [1.0, 0.0, f32::NAN, -1.0, 2.0, -0.0, f32::NAN, -1.0];
    let found: Vec<u8> = apply_as(&x, "f32", 16, "bool", body);
    assert_eq!(found, [0, 1, 0, 1, 1, 0, 1, 0, 1, 0, 0, 0, 1, 1, 0, 1]);
    let body = "%a = load u8 @0[0] %l = cmp bool lt u8 %a, 1 %s = select u8 %l, 7, 9 store u8 @1[0], %s";
    assert_eq!(apply::<u8, u8>(&[255], 1, body), [9]);
}

#[test]
fn conversions_saturate_wrap_and_round() {
    assert_eq!(convert::<f32, i32>(3e9), i32::MAX);
    assert_eq!(convert::<f32, i32>(f32::NAN), 0);
    assert_eq!(convert::<f64, u8>(-3.7), 0);
    assert_eq!(convert::<f32, i8>(-3.7), -3);
    assert_eq!(convert::<f64, i64>(f64::INFINITY), i64::MAX);
    assert_eq!(convert::<i32, i8>(300), 44);
    assert_eq!(convert::<i8, u64>(-1), u64::MAX);
    assert_eq!(convert::<u8, i8>(200), -56);
    assert_eq!(convert::<u64, f32>(u64::MAX), 18446744073709551616.0);
    assert_eq!(convert::<f64, f32>(1e300), f32::INFINITY);
    assert_eq!(convert::<f32, half::f16>(65520.0), half::f16::INFINITY);
    assert_eq!(convert::<f32, half::bf16>(1.0 + 1.0 / 256.0), half::bf16::ONE);
    assert_eq!(convert::<half::f16, f32>(half::f16::from_f32(-0.5)), -0.5);
    assert_eq!(convert::<half::bf16, i32>(half::bf16::from_f32(-7.5)), -7);
    let to_bool = "%a = load f32x4 @0[0] %c = convert boolx4 f32x4 %a store boolx4 @1[0], %c";
    assert_eq!(apply_as::<f32, u8>(&[0.0, -0.0, f32::NAN, 0.1], "f32", 4, "bool", to_bool), [0, 0, 1, 1]);
    let from_bool = "%a = load boolx2 @0[0] %n = not boolx2 %a %c = convert f32x2 boolx2 %n store f32x2 @1[0], %c";
    assert_eq!(apply_as::<u8, f32>(&[0, 1], "bool", 2, "f32", from_bool), [1.0, 0.0]);
}

#[test]
fn lanes_move() {
    let body = "%a = load f32x4 @0[0] %l = lane f32 %a, 2 %i = iota i32x4 %f = convert f32x4 i32x4 %i
      %s = splat f32x4 %l %b = bcast f32x4 @0[1] %p = pack f32x4 (%l, 5.0, %l, 6.0)
      store f32x4 @1[0], %s store f32x4 @1[4], %f store f32x4 @1[8], %b store f32x4 @1[12], %p, first 2
      %g = index i32 5000000000 %h = convert f32 i32 %g store f32 @1[14], %h
      %w = load f32x4 @0[1], first 1 %z = lane f32 %w, 3 store f32 @1[15], %z";
    let found = apply::<f32, f32>(&[1.0, 2.0, 3.0, 4.0], 16, body);
    let wrapped = 5000000000i64 as i32 as f32;
    assert_eq!(found, [3.0, 3.0, 3.0, 3.0, 0.0, 1.0, 2.0, 3.0, 2.0, 2.0, 2.0, 2.0, 3.0, 5.0, wrapped, 0.0]);
    let body = "%a = load u16x4 @0[0] %b = bitcast u32x2 u16x4 %a %c = bitcast u16x4 u32x2 %b store u32x2 @1[0], %b";
    assert_eq!(apply::<u16, u32>(&[1, 2, 3, 0xffff], 2, body), [0x20001, 0xffff0003]);
}

#[test]
fn reductions_halve_and_let_nan_win() {
    let reduce = |x: &[f32; 4], monoid: &str| {
        let body = format!("%a = load f32x4 @0[0] %r = reduce f32 {monoid} %a store f32 @1[0], %r");
        apply::<f32, f32>(x, 1, &body)[0]
    };
    assert_eq!(reduce(&[1e8, 1.0, -1e8, 1.0], "sum"), 2.0);
    assert_eq!(reduce(&[2.0, 3.0, 4.0, 5.0], "prod"), 120.0);
    for place in 0..4 {
        let mut x = [1.0, 2.0, 3.0, 4.0];
        assert_eq!((reduce(&x, "max"), reduce(&x, "min")), (4.0, 1.0));
        x[place] = f32::NAN;
        assert!(reduce(&x, "max").is_nan() && reduce(&x, "min").is_nan());
    }
    let body = "%a = load boolx4 @0[0] %r = reduce bool and %a %s = reduce bool or %a
      store bool @1[0], %r store bool @1[1], %s";
    assert_eq!(apply_as::<u8, u8>(&[1, 0, 1, 1], "bool", 2, "bool", body), [0, 1]);
}

#[test]
fn functions_round_once() {
    let body = "%a = load f32x2 @0[0] %e = math f32x2 erf (%a) store f32x2 @1[0], %e
      %p = math f32x2 pow (%a, 2.0) store f32x2 @1[2], %p %m = math f32x2 fmod (%a, 0.3) store f32x2 @1[4], %m";
    let found = apply::<f32, f32>(&[0.5, -1.25], 6, body);
    assert_eq!(found[..4], [0.520_499_9, -0.922_900_14, 0.25, 1.5625]);
    assert_eq!(found[4..], [0.5f32 % 0.3, -1.25f32 % 0.3]);
}

#[test]
fn branches_and_lookups() {
    let text = "tile k indexed (@0 i: i32[4] input, @1 y: i64[4] output) tasks %t: 4 {
      if 0 <= at(@0, %t) < 4 { %a = index i64 10*at(@0, %t) + mod(%t, 2) store i64 @1[at(@0, %t)], %a }
      else { if 7 <= at(@0, %t) < 8 { store i64 @1[3], i64.min } } }";
    let mut buffers = [Buffer::of(&[1i32, 0, 2, 7]), Buffer::empty(32).watched()];
    run(&tile(text), &mut buffers, &[], 0..4).unwrap();
    assert_eq!(buffers[1].elements::<i64>().unwrap(), [1, 10, 20, i64::MIN]);
}

/// The cause that ends one run of all tasks over `@0 x: f32[4]` with slack and `@1 y: f32[4]`.
fn trap(tasks: i64, body: &str) -> Cause {
    let text = format!(
        "tile k indexed (@0 x: f32[4] input slack 8, @1 y: f32[4] output, @2 s: f32[4] scratch) tasks %t: {tasks} {{ {body} }}"
    );
    let mut buffers = [Buffer::of(&[1.0f32; 4]), Buffer::empty(16).watched()];
    run(&tile(&text), &mut buffers, &[], 0..tasks).expect_err("a trap").cause
}

#[test]
fn traps() {
    assert!(matches!(trap(1, "%a = load f32x4 @0[-1]"), Cause::OutOfBounds(_)));
    assert!(matches!(trap(1, "%a = load f32x4 @0[3]"), Cause::OutOfBounds(_)));
    assert!(matches!(trap(1, "store f32x2 @1[3], 0.0"), Cause::OutOfBounds(_)));
    assert_eq!(trap(1, "%a = load f32x4 @0[2] store f32x4 @1[0], %a"), Cause::Undefined);
    assert_eq!(trap(1, "%a = load f32x4 @0[2] %b = reduce f32 sum %a store f32 @1[0], %b"), Cause::Undefined);
    assert!(matches!(trap(1, "%a = load f32 @1[2]"), Cause::Uninitialised(_, 8)));
    assert!(matches!(
        trap(2, "if 0 <= %t < 1 { store f32 @2[0], 0.0 } else { %a = load f32 @2[0] }"),
        Cause::Uninitialised(..)
    ));
    assert!(matches!(trap(2, "store f32 @1[0], 0.0"), Cause::Race(_, 0, 0)));
    assert!(matches!(trap(2, "if 0 <= %t < 1 { store f32 @1[0], 0.0 } else { %a = load f32 @1[0] }"), Cause::Race(..)));
    assert_eq!(trap(1, "%a = iota i32x4 %b = add i32x4 %a, 30 %c = shl i32x4 1, %b"), Cause::Shift(32));
    assert!(matches!(trap(1, "%a = index i64 floordiv(3, %t)"), Cause::Index(_)));
    assert!(matches!(trap(1, "%a = neg f32 %b"), Cause::Malformed(_)));
    let text = "tile k indexed (@0 x: bool[1] input) tasks %t: 1 { %a = load bool @0[0] }";
    assert_eq!(run_once(text, &mut [Buffer::of(&[2u8])]).unwrap_err().cause, Cause::NotBool(2));
    let error = run_once(text, &mut [Buffer::empty(3)]).unwrap_err().to_string();
    assert_eq!(error, "tile `k`: parameter `x` has 1 bytes, its buffer 3");
}

#[test]
fn slack_that_is_not_stored_is_harmless() {
    let text = "tile k indexed (@0 x: f32[3] input slack 4, @1 y: f32[3] output) tasks %t: 1 {
      %a = load f32x4 @0[0] %b = mul f32x4 %a, 2.0 store f32x4 @1[0], %b, first 3 }";
    let mut buffers = [Buffer::of(&[1.0f32, 2.0, 3.0]), Buffer::empty(12)];
    run_once(text, &mut buffers).unwrap();
    assert_eq!(buffers[1].elements::<f32>().unwrap(), [2.0, 4.0, 6.0]);
}
