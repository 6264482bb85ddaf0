//! Where cursors go, and what expansion leaves.

use super::linearize;
use mlc_ir::tile::{parse, verify};
use mlc_ir::{Facts, Result};

fn linear(text: &str) -> Result<String> {
    let tile = parse(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let linear = linearize(&tile, &Facts::default())?;
    verify(&linear, &Facts::default()).unwrap_or_else(|e| panic!("{e}\n{linear}"));
    Ok(linear.to_string())
}

/// Checks the lines of the body.
fn check(header: &str, body: &str, expected: &str) {
    let found = linear(&format!("tile t indexed ({header} {{ {body} }}")).unwrap();
    let lines: Vec<&str> = found.lines().skip(1).map(str::trim).filter(|line| *line != "}").collect();
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(lines, expected, "{found}");
}

#[test]
fn rows_with_a_constant_stride_share_a_cursor() {
    check(
        "@0 A: f32[12, 32] input, @1 B: f32[2, 32, 8] input, @2 C: f32[12, 16] output) tasks %t: 2",
        "loop serial %m in 0..6 {
           cell %c: f32x4[2] = 0.0
           loop serial %k in 0..32 {
             %b = load f32x4 @1[%t, %k, 0]
             loop unroll %i in 0..2 {
               %a = bcast f32x4 @0[2*%m + %i, %k]
               dot f32x4 %c[%i], %a, %b
             }
           }
           loop unroll %i in 0..2 { store f32x4 @2[2*%m + %i, 8*%t], %c[%i] }
         }",
        "cursor %at2 = @2 + 32*%t advance %m by 128
         loop serial %m in 0..6 {
           cell %c.0: f32x4 = 0.0
           cell %c.1: f32x4 = 0.0
           cursor %at1 = @1 + 1024*%t advance %k by 32
           cursor %at0 = @0 + 256*%m advance %k by 4
           loop serial %k in 0..32 {
             %b = load f32x4 [%at1 + 0 in @1]
             %a = bcast f32x4 [%at0 + 0 in @0]
             dot f32x4 %c.0, %a, %b
             %a.0 = bcast f32x4 [%at0 + 128 in @0]
             dot f32x4 %c.1, %a.0, %b
           store f32x4 [%at2 + 0 in @2], %c.0
           store f32x4 [%at2 + 64 in @2], %c.1",
    );
}

#[test]
fn rows_with_a_symbolic_stride_have_their_own() {
    check(
        "@0 A: f32[2, n] input, @1 y: f32[2] output) symbols n tasks %t: 1",
        "cell %s: f32 = 0.0
         loop serial %k in 0..n {
           loop unroll %i in 0..2 {
             %a = load f32 @0[%i, %k]
             dot f32 %s, %a, %a
           }
         }
         store f32 @1[1], %s",
        "cursor %at1 = @1 + 0
         cell %s: f32 = 0.0
         cursor %at0 = @0 + 0 advance %k by 4
         cursor %at0.0 = @0 + 4*n advance %k by 4
         loop serial %k in 0..n {
           %a = load f32 [%at0 + 0 in @0]
           dot f32 %s, %a, %a
           %a.0 = load f32 [%at0.0 + 0 in @0]
           dot f32 %s, %a.0, %a.0
         store f32 [%at1 + 4 in @1], %s",
    );
}

#[test]
fn what_is_not_linear_is_computed_where_it_varies() {
    check(
        "@0 x: f32[8] input, @1 y: f32[24] output) tasks %t: 1",
        "loop serial %i in 0..24 {
           %a = load f32 @0[floordiv(%i, 3)]
           store f32 @1[%i], %a
         }",
        "cursor %at1 = @1 + 0 advance %i by 4
         loop serial %i in 0..24 {
           cursor %at0 = @0 + 4*floordiv(%i, 3)
           %a = load f32 [%at0 + 0 in @0]
           store f32 [%at1 + 0 in @1], %a",
    );
}

#[test]
fn lookups_stay_behind_what_guards_them() {
    check(
        "@0 x: f32[9, n] input, @1 at: i64[4] input, @2 y: f32[4, n] output) symbols n tasks %t: 4",
        "if 0 <= %t < 3 {
           loop serial %i in 0..n {
             %a = load f32 @0[at(@1, %t), %i]
             store f32 @2[%t, %i], %a
           }
         }",
        "if 0 <= %t < 3 {
           if 0 <= 0 < n {
             cursor %at0 = @0 + 4*n*at(@1, %t) advance %i by 4
             cursor %at2 = @2 + 4*%t*n advance %i by 4
             loop serial %i in 0..n {
               %a = load f32 [%at0 + 0 in @0]
               store f32 [%at2 + 0 in @2], %a",
    );
}

#[test]
fn decided_branches_go() {
    check(
        "@0 y: f32[4] output) tasks %t: 1",
        "loop unroll %i in 0..2 {
           if 1 <= %i < 5 and 0 <= %t < 1 { store f32 @0[%i], 1.0 } else { store f32 @0[%i], 2.0 }
           if 1 <= %i < 5 { store f32 @0[%i + 2], 1.0 }
         }",
        "cursor %at0 = @0 + 0
         store f32 [%at0 + 0 in @0], 2.0
         if 0 <= %t < 1 {
           store f32 [%at0 + 4 in @0], 1.0
         } else {
           store f32 [%at0 + 4 in @0], 2.0
         store f32 [%at0 + 12 in @0], 1.0",
    );
}

#[test]
fn names_stay_unique() {
    let text = linear(
        "tile t indexed (@0 x: f32[8] input, @1 y: f32[8] output) tasks %t: 1 {
           loop unroll %u in 0..2 {
             loop serial %i in 0..4 {
               %a = load f32 @0[4*%u + %i]
               %e = math f32 exp (%a)
               store f32 @1[4*%u + %i], %e
             }
           }
         }",
    );
    assert!(text.unwrap().contains("loop serial %i.0 in 0..4"));
}
