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

#[test]
fn lookups_and_branches() {
    let text = "tile gather indexed (@0 x: f32[9, n] input, @1 at: i32[6] input, @2 y: f32[6, n] output,
        @3 r: f32[n, 3] scratch, @4 s: f32[2, 8] scratch) symbols n tasks %t: 6 {
          cell %c: f32 = 0.0
          loop serial %i in 0..n {
            if 2 <= %i < n - 1 and 0 <= %t < 5 {
              %a = load f32 @0[at(@1, %t), %i]
              store f32 @4[1, mod(%i, 8)], %a
              set %c = %a
            } else {
              store f32 @4[1, mod(%i, 8)], -1.0
              set %c = 3.0
            }
            store f32 @3[%i, 2], %c
            %b = load f32 @4[1, mod(%i, 8)]
            %e = load f32 @3[%i, 2]
            %d = add f32 %b, %e
            store f32 @2[%t, %i], %d
          }
        }";
    let rows: Vec<i32> = vec![8, 0, 3, 3, 1, 100];
    for n in [0, 1, 5, 20] {
        let buffers = [Buffer::of(&numbers(9 * n)), Buffer::of(&rows), Buffer::empty(24 * n)];
        agree(&tile(text), &buffers, &[n as i64]);
    }
}

#[test]
fn index_arithmetic() {
    let terms = [
        "floordiv(%i - 9, 7)",
        "mod(%i - 9, 7)",
        "floordiv(%i - 9, 8)",
        "mod(%i - 9, 8)",
        "floordiv(%t*n - %i, n)",
        "mod(%t*n - 5*%i, n)",
        "min(%i, n - %t) + max(-%i, 3*%t - n*n)",
        "n*n*%t - %i*%t*n + 3",
        "floordiv(%i*n, 1000003)",
        "floordiv(%t*9223372036854775, 3)",
    ];
    for term in terms {
        let text = format!(
            "tile index indexed (@0 y: i64[3, 20] output) symbols n tasks %t: 3 {{
               loop serial %i in 2..20 step 3 {{
                 %a = index i64 {term}
                 store i64 @0[%t, %i], %a
               }}
             }}"
        );
        for n in [1, 7, 1000] {
            agree(&tile(&text), &[Buffer::empty(480)], &[n]);
        }
    }
}

#[test]
fn functions_in_a_kernel_compile_everywhere() {
    for function in mlc_ir::tile::Math::ALL {
        for ty in ["f32", "f32x4", "f64", "f64x4"] {
            let args = if function.arity() == 2 { "%a, 0.5" } else { "%a" };
            let (dtype, lanes) = ty.split_once('x').unwrap_or((ty, "1"));
            let text = format!(
                "tile f indexed (@0 x: {dtype}[{lanes}] input, @1 y: {dtype}[{lanes}] output) tasks %t: 1 {{
                   %a = load {ty} @0[0]
                   %r = math {ty} {} ({args})
                   store {ty} @1[0], %r
                 }}",
                function.name()
            );
            let linear = crate::linear::linearize(&tile(&text), &mlc_ir::Facts::default()).unwrap();
            super::compiles_everywhere(&linear);
        }
    }
}

/// Values that are used several times, far apart, and more of them than any processor has registers.
#[test]
fn more_values_than_registers() {
    // Whether they may be read from memory depends on the place of the operand.
    let sides = [("%v{a}", "%v{b}"), ("%v0", "%v{a}"), ("%v{a}", "%v0"), ("%v{odd}", "%v{even}")];
    let sizes = [(8, 20), (8, 46), (16, 40), (16, 90)];
    for ((lanes, count), (left, right)) in sizes.into_iter().flat_map(|size| sides.map(|side| (size, side))) {
        let mut body = String::new();
        for n in 0..count {
            body += &format!("%x{n} = load f32x{lanes} @0[{n}, 0]\n%v{n} = mul f32x{lanes} %x{n}, %x{n}\n");
        }
        for (turn, stride) in [7, 11, 1].into_iter().enumerate() {
            for n in 0..count {
                let (a, b) = (n * stride % count, (n + turn * 5) % count);
                let named = [("{a}", a), ("{b}", b), ("{odd}", a / 2 * 2 + 1), ("{even}", b / 2 * 2)];
                let operand =
                    |side: &str| named.iter().fold(side.to_string(), |s, (name, n)| s.replace(name, &n.to_string()));
                body += &format!("%s{turn}.{n} = sub f32x{lanes} {}, {}\n", operand(left), operand(right));
                body += &format!("store f32x{lanes} @1[{turn}, {n}, 0], %s{turn}.{n}\n");
            }
        }
        let text = format!(
            "tile crowd indexed (@0 x: f32[{count}, {lanes}] input, @1 y: f32[3, {count}, {lanes}] output)
             tasks %t: 1 {{ {body} }}"
        );
        agree(&tile(&text), &[Buffer::of(&numbers(count * lanes)), Buffer::empty(12 * count * lanes)], &[]);
    }
}
