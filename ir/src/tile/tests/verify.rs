//! Each rule of the verifier, with a case that breaks it; and what bounds it can prove.

use super::tile;
use crate::Facts;
use crate::tile::verify;

/// A tile with a few buffers, around a body.
fn around(body: &str) -> String {
    format!(
        "tile k indexed (@0 x: f32[n, 8] input slack 16, @1 y: f32[n, 8] output, @2 b: bool[n] input,
           @3 i: i64[n] input, @4 h: f16[8] input, @5 s: f32[4] scratch) symbols n tasks %t: n {{ {body} }}"
    )
}

fn error(text: &str) -> String {
    match verify(&tile(text), &Facts::default()) {
        Ok(_) => String::new(),
        Err(e) => e.to_string(),
    }
}

fn assert_wrong(body: &str, message: &str) {
    let found = error(&around(body));
    assert!(found.contains(message), "`{body}` gives `{found}`, not `{message}`");
}

fn assert_right(body: &str) {
    assert_eq!(error(&around(body)), "", "{body}");
}

#[test]
fn headers() {
    for (text, message) in [
        ("tile k indexed () symbols n, n tasks %t: 1 {}", "symbol `n` is declared twice"),
        ("tile k indexed () tasks %t: n {}", "symbol `n` is not declared"),
        ("tile k indexed () symbols n tasks %t: %u {}", "%u is not over symbols alone"),
        ("tile k indexed (@0 x: i32[at(@0, 0)] input) tasks %t: 1 {}", "is not over symbols alone"),
    ] {
        assert!(error(text).contains(message), "{text}: {}", error(text));
    }
}

#[test]
fn names() {
    assert_wrong("%a = iota i64 %a = iota i64", "%a[] is declared twice");
    assert_wrong("%a = iota i64 loop serial %i in 0..2 { %a = iota i64 }", "%a is already declared in another body");
    assert_wrong("loop serial %t in 0..2 {}", "%t is already declared in another body");
    assert_wrong("%a = neg f32 %b", "%b is not defined here");
    assert_wrong("loop serial %i in 0..2 { %a = iota i64 } %b = neg i64 %a", "%a is not defined here");
    assert_wrong("if 0 <= %t < 2 { cell %c: i64 = 0 } set %c = 1", "%c is not defined here");
    assert_wrong("%a = iota i64 set %a = 1", "%a is no cell");
    assert_wrong("%a = neg i64 %t", "%t is neither a value nor a cell");
    assert_wrong("%a = index i64 %i", "variable %i is not declared here");
    assert_wrong("%a = index i64 m", "symbol `m` is not declared");
    assert_right("loop serial %i in 0..2 { %a = iota i64 } loop serial %i in 0..3 { %a = iota i32 }");
}

#[test]
fn loops_abreast() {
    assert_right("loop abreast %i in 0..4 { cell %c: i64 = 0 set %c = 1 }");
    assert_right("loop serial %r in 0..4 { loop abreast %i in 0..4 { loop serial %j in %i .. 9 step 4 {} } }");
    for range in ["1..4", "0..n", "0..4 step 2"] {
        assert_wrong(&format!("loop abreast %i in {range} {{}}"), "a loop abreast runs from 0 to a number by 1");
    }
    assert_wrong("loop abreast %i in 0..4 { if 0 <= %t < 2 { loop abreast %j in 0..2 {} } }", "within another");
    assert_wrong("cell %c: i64 = 0 loop abreast %i in 0..4 { set %c = 1 }", "changes %c, which is not its own");
}

#[test]
fn bundles() {
    let fill = "loop unroll %j in 0..2 { %a[%j] = bcast f32 @0[%t, %j] }";
    assert_right(&format!("{fill} %b = add f32 %a[0], %a[1]"));
    assert_wrong(&format!("{fill} %b = neg f32 %a[2]"), "%a[2] is not defined here");
    assert_wrong(&format!("{fill} %b = neg f32 %a"), "%a is not defined here");
    assert_wrong(&format!("{fill} {fill}"), "%a[0] is declared twice (with %j = 0)");
    assert_wrong(&format!("{fill} %a[2] = iota i64"), "expected type f32, found i64");
    assert_wrong(&format!("{fill} %a[0, 2] = bcast f32 @0[%t, 0]"), "%a has another number of indices");
    assert_wrong("loop serial %j in 0..2 { %a[%j] = iota i64 }", "not over unrolled variables alone");
    assert_wrong(
        "loop unroll %j in 0..2 { loop serial %k in 0..2 { %a[%j] = iota i64 } }",
        "%j is not the variable of an unrolled loop that alone encloses this",
    );
    assert_right("loop unroll %j in 0..3 { if 0 <= %j < 2 { %a = iota i64 } else { %b = neg i64 5 } }");
    assert_right(&format!("{fill} loop unroll %k in 0..3 {{ if 0 <= %k < 2 {{ %b = neg f32 %a[%k] }} }}"));
    assert_wrong("cell %c: f32[2] = 0.0 set %c[2] = 1.0", "%c[2] is not defined here");
    assert_wrong("cell %c: f32[2] = 0.0 set %c = 1.0", "%c is not defined here");
    assert_wrong("cell %c: f32[100, 100] = 0.0", "a bundle has 1 to 4096 cells");
}

#[test]
fn types() {
    for (body, message) in [
        ("%a = add f32 1, 2.0", "1 is no constant of type f32"),
        ("%a = add i8 1, 128", "128 is no constant of type i8"),
        ("%a = add u32 -1, 1", "-1 is no constant of type u32"),
        ("%a = iota i64x2 %b = neg i64 %a", "%a: expected type i64, found i64x2"),
        ("%a = iota i64x3", "3 lanes are no power of two"),
        ("%a = iota f32x4", "lanes are numbered by integers"),
        ("%a = not f32 1.0", "no not of f32"),
        ("%a = sqrt i32 1", "no sqrt of i32"),
        ("%a = rem f32 1.0, 1.0", "no rem of f32"),
        ("%a = xor f32 1.0, 1.0", "no xor of f32"),
        ("%a = add bool 1, 0", "no add of bool"),
        ("%a = fma i32 1, 1, 1", "fma is of floats"),
        ("%a = neg f16 1.0", "f16 is only moved and converted"),
        ("cell %a: bf16 = 1.0", "bf16 is only moved"),
        ("%a = cmp f32 lt f32 1.0, 1.0", "a comparison gives bools"),
        ("%a = cmp bool lt bool 1, 0", "bools have no order"),
        ("%a = select f32 1.0, 1.0, 1.0", "1.0 is no constant of type bool"),
        ("%a = convert f32x4 i32 1", "expected type f32x4, found f32"),
        ("%a = bitcast f32 i64 1", "a bitcast keeps the size"),
        ("%a = bitcast bool i8 1", "a bool has no bits"),
        ("%a = iota i64x2 %b = lane i64 %a, 2", "a lane is a scalar, and one that exists"),
        ("%b = lane i64 1, 0", "1 has no lanes"),
        ("%a = pack i64x2 (1)", "one operand a lane"),
        ("%a = iota i64x2 %b = reduce i64 and %a", "logical reductions are of bools"),
        ("%a = iota i64x2 %b = reduce i64x2 sum %a", "a reduction gives a scalar"),
        ("%a = index f32 %t", "an index is an i64 or i32"),
        ("%a = math f32 pow (1.0)", "another number of operands"),
        ("%a = math i32 exp (1)", "functions are of floats"),
        ("cell %c: f32x4 = 0.0 dot f64x4 %c, 1.0, 1.0", "expected type f64x4, found f32x4"),
        ("cell %c: f32x4 = 0.0 dot u8x4 %c, 1.0, 1.0", "`u8x4` is no row of the matrix table"),
    ] {
        assert_wrong(body, message);
    }
    assert_right("%h = load f16x8 @4[0] %a = convert f32x8 f16x8 %h %b = bitcast u16x8 f16x8 %h %c = iota i64x2");
    assert_right("%a = splat u64 -1 %b = iota i64x2 %c = bitcast f32x4 i64x2 %b %d = lane f32 %c, 3");
}

#[test]
fn loops_and_buffers() {
    assert_wrong("loop serial %i in 0..2 step 0 {}", "step 0 is not positive");
    assert_wrong("loop unroll %i in 0..n {}", "bounds of an unrolled loop are not numbers");
    assert_wrong("loop unroll %i in 0..1000000 {}", "too long");
    assert_wrong("%a = bcast f32 @9[0]", "there is no buffer @9");
    assert_wrong("%a = bcast f64 @0[%t, 0]", "`x` holds f32, not f64");
    assert_wrong("%a = bcast f32 @0[%t]", "1 indices for the 2 dimensions of `x`");
    assert_wrong("store f32 @0[%t, 0], 1.0", "input `x` is not for writing");
    assert_wrong("%a = index i64 at(@1, 0, 0)", "no input of integers");
    assert_wrong("%a = index i64 at(@3, 0, 0)", "2 indices for the 1 dimensions of `i`");
    assert_wrong("%a = index i64 at(@3, n)", "cannot prove n < n in a lookup");
    assert_right("%a = index i64 at(@3, %t)");
}

#[test]
fn bounds() {
    assert_right("%a = load f32x8 @0[%t, 0]");
    assert_right("%a = load f32x4 @0[%t, 8]");
    assert_wrong("%a = load f32x8 @0[%t, 8]", "cannot prove 8 + 8 <= 12");
    assert_wrong("%a = load f32x4 @0[%t, -1]", "cannot prove 0 <= -1");
    assert_wrong("%a = load f32x4 @0[%t + 1, 0]", "cannot prove %t + 1 < n from 0 <= %t <= n - 1");
    assert_wrong("store f32x4 @1[%t, 5], 0.0", "cannot prove 5 + 4 <= 8");
    assert_right("store f32x4 @1[%t, 5], 0.0, first 3");
    assert_right("loop serial %i in 0..8 step 4 { store f32x4 @1[%t, %i], 0.0 }");
    assert_right("loop serial %i in 0..8 step 4 { store f32x4 @1[%t, 7 - %i - 3], 0.0 }");
    assert_right("loop serial %i in 0..9 { if 1 <= %i < 9 { store f32 @1[%t, %i - 1], 0.0 } }");
    assert_right("loop serial %i in 0..9 { if 0 <= %i < 8 {} else { store f32 @1[%t, %i - 8], 0.0 } }");
    assert_wrong(
        "loop serial %i in 0..9 { store f32 @1[%t, %i], 0.0 }",
        "cannot prove %i < ".replace(" < ", " + 1 <= 8").as_str(),
    );
    assert_wrong("%a = bcast f32 @0[at(@3, %t), 0]", "cannot prove 0 <= at(@3, %t)");
    assert_right("if 0 <= at(@3, %t) < n { %a = bcast f32 @0[at(@3, %t), 0] }");
    assert_right("%a = bcast f32 @0[max(0, min(n - 1, at(@3, %t))), 0]");
    assert_right("%a = bcast f32 @0[mod(at(@3, %t), n), 0]");
}

#[test]
fn blocks_with_tails_are_in_bounds() {
    let facts = Facts::default();
    for body in [
        // Full blocks of four, then the rest.
        "loop serial %i in 0..floordiv(n, 4) { store f32x4 @0[4*%i], 0.0 }
         loop serial %i in 4*floordiv(n, 4) .. n { store f32 @0[%i], 0.0 }",
        // A masked tail.
        "loop serial %i in 0..n step 8 { store f32x8 @0[%i], 0.0, first n - %i }",
        "loop serial %i in 0..cdiv(n, 8) { store f32x8 @0[8*%i], 0.0, first min(8, n - 8*%i) }",
        // A step that divides.
        "loop serial %i in 0..8*floordiv(n, 8) step 8 { store f32x8 @0[%i], 0.0 }",
        // Two levels of blocks.
        "loop serial %b in 0..cdiv(n, 32) { loop serial %i in 0..min(32, n - 32*%b) { store f32 @0[32*%b + %i], 0.0 } }",
        "loop serial %b in 0..n step 32 { loop serial %i in %b .. min(%b + 32, n) { store f32 @0[%i], 0.0 } }",
    ] {
        let text = format!("tile k indexed (@0 y: f32[n] output) symbols n tasks %t: 1 {{ {body} }}");
        assert_eq!(verify(&tile(&text), &facts).map_err(|e| e.to_string()), Ok(vec![]), "{body}");
    }
}

#[test]
fn convolution_with_guards_is_in_bounds() {
    let text = "tile conv indexed (@0 x: f32[c, h, w] input, @1 y: f32[h, w] output) symbols c, h, w tasks %t: h {
      loop serial %j in 0..w {
        cell %s: f32 = 0.0
        loop serial %c in 0..c { loop unroll %u in 0..3 { loop unroll %v in 0..3 {
          if 0 <= %t + %u - 1 < h and 0 <= %j + %v - 1 < w {
            %a = bcast f32 @0[%c, %t + %u - 1, %j + %v - 1]
            dot f32 %s, %a, 1.0
          } } } }
        store f32 @1[%t, %j], %s } }";
    assert_eq!(verify(&tile(text), &Facts::default()), Ok(vec![]));
}

#[test]
fn tasks_that_may_meet_are_reported() {
    let warnings = |tasks: &str, body: &str| {
        let text = format!("tile k indexed (@0 y: f32[a, b, 64] output) symbols a, b tasks %t: {tasks} {{ {body} }}");
        let found = verify(&tile(&text), &Facts::default()).unwrap_or_else(|e| panic!("{e}"));
        found.len()
    };
    let rest = "loop serial %j in 0..64 step 4";
    let pair = "@0[floordiv(%t, b), mod(%t, b), %j]";
    assert_eq!(warnings("a*b", &format!("{rest} {{ store f32x4 {pair}, 0.0 }}")), 0);
    assert_eq!(warnings("a*b", &format!("loop serial %j in 0..61 {{ store f32x4 {pair}, 0.0 }}")), 0);
    let row = "if 0 <= 0 < b { store f32 @0[%t, 0, 3], 0.0 }";
    assert_eq!(warnings("a", row), 0);
    assert_eq!(warnings("min(a, 1)", "if 0 <= 0 < b { store f32 @0[0, 0, 0], 0.0 }"), 0);
    assert_eq!(warnings("a", "if 0 <= 0 < b and 0 <= 0 < a { store f32 @0[0, 0, 0], 0.0 }"), 1);
    // Two columns of blocks of 32, rows of b.
    let block = "loop serial %j in 32*mod(%t, 2) .. 32*mod(%t, 2) + 32 step 8";
    let to = "@0[floordiv(%t, 2*b), mod(floordiv(%t, 2), b), %j]";
    assert_eq!(warnings("2*a*b", &format!("{block} {{ store f32x8 {to}, 0.0 }}")), 0);
    let wide = block.replace("step 8", "step 4");
    assert_eq!(warnings("2*a*b", &format!("{wide} {{ store f32x8 {to}, 0.0, first 64 - %j }}")), 1);
    // Two ranges of one buffer.
    let two = "if 0 <= 0 < b { store f32x4 @0[%t, 0, 0], 0.0 store f32x4 @0[%t, 0, 4], 0.0 }";
    assert_eq!(warnings("a", two), 0);
    let other = "if 0 <= 0 < b { store f32x4 @0[%t, 0, 0], 0.0 store f32x4 @0[a - 1 - %t, 0, 3], 0.0 }";
    assert_eq!(warnings("a", other), 2);
}

#[test]
fn linear_tiles() {
    let linear = |body: &str| {
        error(&format!("tile k linear (@0 x: f32[8] input, @1 y: f32[8] output) tasks %t: 1 {{ {body} }}"))
    };
    let cursor = "cursor %p = @0 + 0 advance %i by 4";
    let last = "loop serial %i in 0..8 { %v = load f32 [%p + 0 in @0] }";
    assert_eq!(linear(&format!("{cursor} {last}")), "");
    for (body, message) in [
        (last, "cursor %p is not declared here"),
        (cursor, "no serial loop over %i follows in the same body"),
        ("%v = load f32 @0[0]", "an indexed access in the linear phase"),
        ("cursor %p = @0 + 0 %v = load f32 [%p + 0 in @1]", "cursor %p is of @0"),
        ("loop unroll %i in 0..2 {}", "an unrolled loop is left"),
        ("%a = math f32 exp (1.0)", "`math` is left"),
        ("cell %c: f32[2] = 0.0", "a bundle is left"),
        ("%a[0] = iota i64", "a bundle is left"),
        ("cursor %p = @7 + 0", "there is no buffer @7"),
    ] {
        assert!(linear(body).contains(message), "{body}: {}", linear(body));
    }
    assert_wrong("cursor %p = @0 + 0", "a cursor in the indexed phase");
    assert_wrong("%a = load f32 [%p + 0 in @0]", "cursor %p is not declared here");
}

/// The worked example of a block of 8 rows by 48 columns, with an unknown number of rows.
#[test]
fn a_block_with_guarded_rows_is_proved() {
    let text = "tile up indexed (@0 A: f32[M, 384] input, @1 B: f32[32, 384, 48] input, @2 bias: f32[1536] input,
        @3 C: f32[M, 1536] output) symbols M tasks %t: 32*cdiv(M, 32) {
      loop serial %m in 32*floordiv(%t, 32) .. min(M, 32*floordiv(%t, 32) + 32) step 8 {
        cell %c: f32x16[8, 3] = 0.0
        loop serial %k in 0..384 {
          loop unroll %j in 0..3 { %b[%j] = load f32x16 @1[mod(%t, 32), %k, 16*%j] }
          loop unroll %i in 0..8 {
            %a = bcast f32x16 @0[min(%m + %i, M - 1), %k]
            loop unroll %j in 0..3 { dot f32x16 %c[%i, %j], %a, %b[%j] } } }
        loop unroll %i in 0..8 { if 0 <= %m + %i < M { loop unroll %j in 0..3 {
          %x = load f32x16 @2[48*mod(%t, 32) + 16*%j]
          %y = add f32x16 %x, %c[%i, %j]
          store f32x16 @3[%m + %i, 48*mod(%t, 32) + 16*%j], %y } } } } }";
    assert_eq!(verify(&tile(text), &Facts::default()), Ok(vec![]));
    let wrong = error(&text.replace("0 <= %m + %i < M", "0 <= %m < M"));
    assert!(wrong.contains("cannot prove 8*%m + 32*floordiv(%t, 32) + 1 < M"), "{wrong}");
    assert!(wrong.contains("(with %i = 1, %j = 0)"), "{wrong}");
}

/// Loops over a task's share tell tasks apart; two that only share a name, and begin elsewhere, do not.
#[test]
fn a_share_belongs_to_its_loop() {
    let warnings = |second: &str| {
        let text = format!(
            "tile k indexed (@0 y: f32[4*a + 8] output) symbols a tasks %t: a {{
               loop serial %i in 4*%t .. 4*%t + 4 {{ store f32 @0[%i], 1.0 }}
               loop serial %i in {second} {{ store f32 @0[%i], 2.0 }} }}"
        );
        verify(&tile(&text), &Facts::default()).expect("in bounds").len()
    };
    assert_eq!(warnings("4*%t .. 4*%t + 4"), 0);
    assert_ne!(warnings("4*%t + 4 .. 4*%t + 8"), 0);
    assert_ne!(warnings("4*%t .. 4*%t + 8"), 0);
}
