//! Kernels as lowering writes them.

use super::{check, numbers};
use mlc_ir::tile::interp::Buffer;

/// Pointwise with a tail: x / (x*x + 1).
const POINTWISE: &str = "
tile pointwise indexed (@0 x: f32[n] input, @1 y: f32[n] output) symbols n tasks %t: cdiv(n, 64) {
  loop serial %i in 0..cdiv(min(64, n - 64*%t), 8) {
    loop unroll %u in 0..2 {
      %v[%u] = load f32x4 @0[64*%t + 8*%i + 4*%u], first n - 64*%t - 8*%i - 4*%u
      %s[%u] = fma f32x4 %v[%u], %v[%u], 1.0
      %r[%u] = div f32x4 %v[%u], %s[%u]
      store f32x4 @1[64*%t + 8*%i + 4*%u], %r[%u], first n - 64*%t - 8*%i - 4*%u
    }
  }
}";

#[test]
fn pointwise_has_a_tail() {
    for n in [0, 1, 3, 4, 15, 16, 63, 64, 65, 200] {
        // Small integers, so that it does not matter how often is rounded.
        let x: Vec<f32> = (0..n).map(|i| (i % 7) as f32 - 3.0).collect();
        let buffers = [Buffer::of(&x), Buffer::empty(4 * n)];
        check(POINTWISE, &buffers, &[n as i64], (n as i64 + 63) / 64);
    }
}

#[test]
fn rows_are_reduced() {
    let text = "
tile row_sum indexed (@0 x: f32[r, c] input, @1 y: f32[r] output) symbols r, c tasks %r: r {
  cell %s: f32x4[2] = 0.0
  loop serial %i in 0..floordiv(c, 8) {
    loop unroll %u in 0..2 {
      %v = load f32x4 @0[%r, 8*%i + 4*%u]
      %t = add f32x4 %s[%u], %v
      set %s[%u] = %t
    }
  }
  cell %rest: f32 = 0.0
  loop serial %j in 8*floordiv(c, 8) .. c {
    %e = load f32 @0[%r, %j]
    %f = add f32 %rest, %e
    set %rest = %f
  }
  %a = add f32x4 %s[0], %s[1]
  %m = reduce f32 sum %a
  %n = add f32 %m, %rest
  store f32 @1[%r], %n
}";
    for c in [1, 7, 8, 9, 40] {
        let buffers = [Buffer::of(&numbers(3 * c)), Buffer::empty(12)];
        check(text, &buffers, &[3, c as i64], 3);
    }
}

fn gemm(rows: &str, k: &str, row: &str, lanes: &str) -> String {
    format!(
        "tile gemm indexed (@0 A: {row}[{rows}, {k}] input, @1 B: {row}[2, {k}, 8] input, @2 C: {row}[{rows}, 16] output)
  symbols M, K tasks %t: floordiv(M, 6) {{
  loop serial %n in 0..2 {{
    cell %c: {row}{lanes}[6, 2] = {zero}
    loop serial %k in 0..{k} {{
      loop unroll %j in 0..2 {{ %b[%j] = load {row}{lanes} @1[%n, %k, 4*%j] }}
      loop unroll %i in 0..6 {{
        %a = bcast {row}{lanes} @0[6*%t + %i, %k]
        loop unroll %j in 0..2 {{ dot {row}{lanes} %c[%i, %j], %a, %b[%j] }}
      }}
    }}
    loop unroll %i in 0..6 {{
      loop unroll %j in 0..2 {{ store {row}{lanes} @2[6*%t + %i, 8*%n + 4*%j], %c[%i, %j] }}
    }}
  }}
}}",
        zero = if row.starts_with('f') { "0.0" } else { "0" }
    )
}

#[test]
fn gemm_of_constant_and_symbolic_strides() {
    let (m, k) = (12usize, 5usize);
    for (rows, columns) in [("12", "5"), ("M", "K"), ("M", "5")] {
        let integers = |n: usize| (0..n).map(|i| (i * 7 % 13) as i32 - 6).collect::<Vec<i32>>();
        let floats = |n: usize| integers(n).into_iter().map(|i| i as f32).collect::<Vec<f32>>();
        let symbols = [m as i64, k as i64];
        let buffers = [Buffer::of(&floats(m * k)), Buffer::of(&floats(16 * k)), Buffer::empty(4 * m * 16)];
        check(&gemm(rows, columns, "f32", "x4"), &buffers, &symbols, 2);
        let buffers = [Buffer::of(&integers(m * k)), Buffer::of(&integers(16 * k)), Buffer::empty(4 * m * 16)];
        check(&gemm(rows, columns, "i32", "x4"), &buffers, &symbols, 2);
    }
}

#[test]
fn dots_of_every_row() {
    for (row, dtype, size) in
        [("f32x1", "f32", 4), ("f64", "f64", 8), ("f64x2", "f64", 8), ("i64", "i64", 8), ("i32", "i32", 4)]
    {
        let row = row.trim_end_matches("x1");
        let text = format!(
            "tile k indexed (@0 a: i32[8] input, @1 y: {dtype}[2] output) tasks %t: 1 {{
               cell %c: {row} = {zero}
               loop serial %i in 0..4 {{
                 %x = load i32 @0[2*%i] %y = convert {dtype} i32 %x
                 {splat}
                 dot {row} %c, %s, %s }}
               store {row} @1[0], %c {rest} }}",
            zero = if dtype.starts_with('f') { "1.0" } else { "1" },
            splat = if row == dtype { format!("%s = add {row} %y, %y") } else { format!("%s = splat {row} %y") },
            rest = if row == dtype { format!("store {row} @1[1], %c") } else { String::new() },
        );
        check(&text, &[Buffer::of(&[1i32, 2, -3, 4, 5, 6, 7, -8]), Buffer::empty(2 * size)], &[], 1);
    }
}

#[test]
fn lookups_and_branches() {
    let text = "
tile gather indexed (@0 ids: i64[n] input, @1 table: f32[v, 10] input, @2 y: f32[n, 10] output, @3 s: f32[16] scratch)
  symbols n, v tasks %t: n {
  cell %count: i32 = 0
  if 0 <= at(@0, %t) < v {
    loop serial %i in 0..3 {
      %a = load f32x4 @1[at(@0, %t), 4*%i], first 10 - 4*%i
      store f32x4 @3[4*%i], %a
      %b = load f32x4 @3[4*%i]
      store f32x4 @2[%t, 4*%i], %b, first 10 - 4*%i
    }
    set %count = 7
  } else {
    loop serial %i in 0..10 { store f32 @2[%t, %i], -1.0 }
  }
  %c = convert f32 i32 %count
  store f32 @2[%t, 9], %c
}";
    let buffers = [Buffer::of(&[2i64, 0, -1, 3, 1]), Buffer::of(&numbers(30)), Buffer::empty(200)];
    check(text, &buffers, &[5, 3], 5);
    for dtype in ["i32", "i16", "i8", "u8", "u16", "u32", "u64"] {
        let text = format!(
            "tile k indexed (@0 ids: {dtype}[4] input, @1 y: i64[8] output) tasks %t: 4 {{
               %a = index i64 3*at(@0, %t) + mod(%t, 3) store i64 @1[2*%t], %a
               %b = index i64 floordiv(at(@0, 3 - %t) - 5, 3) store i64 @1[2*%t + 1], %b }}"
        );
        let bytes: Vec<u8> = match dtype {
            "i32" => [1i32, -2, 3, 100].iter().flat_map(|x| x.to_le_bytes()).collect(),
            "i16" => [1i16, -2, 3, 100].iter().flat_map(|x| x.to_le_bytes()).collect(),
            "i8" => [1i8, -2, 3, 100].iter().flat_map(|x| x.to_le_bytes()).collect(),
            "u8" => vec![1, 200, 3, 100],
            "u16" => [1u16, 60000, 3, 100].iter().flat_map(|x| x.to_le_bytes()).collect(),
            "u32" => [1u32, 4_000_000_000, 3, 100].iter().flat_map(|x| x.to_le_bytes()).collect(),
            _ => [1u64, 1 << 40, 3, 100].iter().flat_map(|x| x.to_le_bytes()).collect(),
        };
        check(&text, &[Buffer::filled(bytes), Buffer::empty(64)], &[], 4);
    }
}

#[test]
fn index_arithmetic() {
    let expressions = [
        "floordiv(%i - 9, 4)",
        "mod(%i - 9, 4)",
        "floordiv(%i - 9, 7)",
        "mod(%i - 9, 7)",
        "floordiv(%i - 9, n)",
        "mod(%i - 9, n)",
        "floordiv(%i*5 + n, 3)",
        "min(%i, n)",
        "max(%i - 4, 2 - n*%i)",
        "-%i + 3*n*%i*%t - 12",
        "floordiv(%i*n, n + 1)",
        "mod(%i*%i - 40, 10)*n",
    ];
    let count = expressions.len();
    let body: String = expressions
        .iter()
        .enumerate()
        .map(|(place, e)| format!("%v{place} = index i64 {e} store i64 @0[%t, %i, {place}], %v{place}\n"))
        .collect();
    let text = format!(
        "tile k indexed (@0 y: i64[2, 20, {count}] output) symbols n tasks %t: 2 {{ loop serial %i in 0..20 {{ {body} }} }}"
    );
    for n in [1, 3, 16] {
        check(&text, &[Buffer::empty(2 * 20 * count * 8)], &[n], 2);
    }
}

#[test]
fn cursors_of_nonlinear_indices() {
    let text = "
tile k indexed (@0 x: f32[4, 8] input, @1 y: f32[32] output) tasks %t: 2 {
  loop serial %j in 0..16 step 2 {
    loop serial %u in 0..2 {
      %a = load f32 @0[2*%t + floordiv(%j, 8), mod(%j, 8) + %u]
      %b = load f32 @0[mod(%j, 4), %u]
      %c = add f32 %a, %b
      store f32 @1[16*%t + %j + %u], %c
    }
  }
}";
    check(text, &[Buffer::of(&numbers(32)), Buffer::empty(128)], &[], 2);
}
