//! Whole kernels.

use super::{agree, numbers, tile};
use mlc_ir::tile::interp::Buffer;

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

#[test]
fn rational_sigmoid_with_a_tail() {
    for lanes in [4, 16] {
        let text = format!(
            "tile soft indexed (@0 x: f32[n] input, @1 y: f32[n] output) symbols n tasks %t: cdiv(n, 64) {{
               loop serial %i in 0..cdiv(min(64, n - 64*%t), {lanes}) {{
                 %v = load f32x{lanes} @0[64*%t + {lanes}*%i], first n - 64*%t - {lanes}*%i
                 %a = abs f32x{lanes} %v
                 %d = add f32x{lanes} %a, 1.0
                 %r = div f32x{lanes} %v, %d
                 store f32x{lanes} @1[64*%t + {lanes}*%i], %r, first n - 64*%t - {lanes}*%i
               }}
             }}"
        );
        for n in [0, 1, 15, 16, 63, 64, 65, 200] {
            agree(&tile(&text), &[Buffer::of(&numbers(n)), Buffer::empty(4 * n)], &[n as i64]);
        }
    }
}

#[test]
fn row_sums() {
    let text = "tile row_sum indexed (@0 x: f32[r, 16*c] input, @1 y: f32[r] output) symbols r, c tasks %r: r {
      cell %s: f32x8[2] = 0.0
      loop serial %i in 0..c {
        loop unroll %u in 0..2 {
          %v = load f32x8 @0[%r, 16*%i + 8*%u]
          %t = add f32x8 %s[%u], %v
          set %s[%u] = %t
        }
      }
      %a = add f32x8 %s[0], %s[1]
      %m = reduce f32 sum %a
      store f32 @1[%r], %m
    }";
    agree(&tile(text), &[Buffer::of(&numbers(144)), Buffer::empty(12)], &[3, 3]);
    agree(&tile(text), &[Buffer::of(&numbers(0)), Buffer::empty(12)], &[3, 0]);
}

/// A block of 6x8 for each pair of row block and panel; `m` says how rows are given.
fn gemm(m: &str, k: &str) -> String {
    let mut symbols = Vec::new();
    for s in [m, k] {
        if s.parse::<u32>().is_err() {
            symbols.push(s);
        }
    }
    let symbols = if symbols.is_empty() { String::new() } else { format!("symbols {}", symbols.join(", ")) };
    format!(
        "tile gemm indexed (@0 A: f32[{m}, {k}] input, @1 B: f32[2, {k}, 8] input, @2 C: f32[{m}, 16] output)
         {symbols} tasks %t: 2 {{
           loop serial %m in 0..floordiv({m}, 6) {{
             cell %c: f32x4[6, 2] = 0.0
             loop serial %k in 0..{k} {{
               loop unroll %j in 0..2 {{ %b[%j] = load f32x4 @1[%t, %k, 4*%j] }}
               loop unroll %i in 0..6 {{
                 %a = bcast f32x4 @0[6*%m + %i, %k]
                 loop unroll %j in 0..2 {{ dot f32x4 %c[%i, %j], %a, %b[%j] }}
               }}
             }}
             loop unroll %i in 0..6 {{
               loop unroll %j in 0..2 {{ store f32x4 @2[6*%m + %i, 8*%t + 4*%j], %c[%i, %j] }}
             }}
           }}
         }}"
    )
}

#[test]
fn gemm_blocks() {
    let (a, b) = (numbers(12 * 32), numbers(32 * 16));
    let buffers = [Buffer::of(&a), Buffer::of(&b), Buffer::empty(12 * 16 * 4)];
    for (m, k, symbols) in
        [("12", "32", vec![]), ("M", "32", vec![12]), ("12", "K", vec![32]), ("M", "K", vec![12, 32])]
    {
        let out = agree(&tile(&gemm(m, k)), &buffers, &symbols);
        for (place, found) in floats(&out[2]).into_iter().enumerate() {
            let (row, col) = (place / 16, place % 16);
            let term = |k: usize| (a[row * 32 + k], b[(col / 8 * 32 + k) * 8 + col % 8]);
            let expected = (0..32).fold(0.0, |sum, k| term(k).0.mul_add(term(k).1, sum));
            assert_eq!(found, expected);
        }
    }
}
