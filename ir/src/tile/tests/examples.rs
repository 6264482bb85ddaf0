//! Kernels as lowering writes them: verified, run, compared with a loop in Rust.

use super::{tile, verified};
use crate::Facts;
use crate::tile::interp::{Buffer, Cause, run};
use crate::tile::verify;

pub(super) const SILU: &str = "
tile silu indexed (@0 x: f32[n] input, @1 y: f32[n] output) symbols n tasks %t: cdiv(n, 64) {
  loop serial %i in 0..cdiv(min(64, n - 64*%t), 16) {
    %v = load f32x16 @0[64*%t + 16*%i], first n - 64*%t - 16*%i
    %q = neg f32x16 %v
    %e = math f32x16 exp (%q)
    %d = add f32x16 %e, 1.0
    %r = div f32x16 %v, %d
    store f32x16 @1[64*%t + 16*%i], %r, first n - 64*%t - 16*%i
  }
}";

const ROW_SUM: &str = "
tile row_sum indexed (@0 x: f32[r, 16*c] input, @1 y: f32[r] output) symbols r, c tasks %r: r {
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

const GEMM: &str = "
tile gemm indexed (@0 A: f32[M, K] input, @1 B: f32[4, K, 8] input, @2 C: f32[M, 32] output)
  symbols M, K tasks %t: 4*floordiv(M, 4) {
  loop serial %m in 4*floordiv(%t, 4) .. 4*floordiv(%t, 4) + 4 step 4 {
    cell %c: f32x4[4, 2] = 0.0
    loop serial %k in 0..K {
      loop unroll %j in 0..2 { %b[%j] = load f32x4 @1[mod(%t, 4), %k, 4*%j] }
      loop unroll %i in 0..4 {
        %a = bcast f32x4 @0[%m + %i, %k]
        loop unroll %j in 0..2 { dot f32x4 %c[%i, %j], %a, %b[%j] }
      }
    }
    loop unroll %i in 0..4 {
      loop unroll %j in 0..2 { store f32x4 @2[%m + %i, 8*mod(%t, 4) + 4*%j], %c[%i, %j] }
    }
  }
}";

fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 37 % 101) as f32 - 50.0) / 8.0).collect()
}

#[test]
fn silu_has_a_tail() {
    let silu = tile(SILU);
    assert_eq!(verify(&silu, &Facts::default()), Ok(vec![]));
    for n in [0, 1, 15, 16, 63, 64, 65, 200] {
        let x = numbers(n);
        let mut buffers = [Buffer::of(&x), Buffer::empty(4 * n).watched()];
        run(&silu, &mut buffers, &[n as i64], 0..(n as i64 + 63) / 64).unwrap();
        let expected: Vec<f32> = x.iter().map(|x| x / ((-*x as f64).exp() as f32 + 1.0)).collect();
        assert_eq!(buffers[1].elements::<f32>().unwrap(), expected, "{n}");
    }
}

#[test]
fn a_dropped_mask_is_found_by_verifier_and_interpreter() {
    let broken = tile(&SILU.replace(", first n - 64*%t - 16*%i\n  }", "\n  }"));
    let error = verify(&broken, &Facts::default()).unwrap_err().to_string();
    assert!(error.contains("tile `silu`: `store f32x16 @1[16*%i + 64*%t], %r`: cannot prove"), "{error}");
    assert!(error.contains("16*%i + 64*%t + 16 <= n"), "{error}");
    let mut buffers = [Buffer::of(&numbers(65)), Buffer::empty(260)];
    let trap = run(&broken, &mut buffers, &[65], 0..2).unwrap_err();
    assert!(matches!(trap.cause, Cause::OutOfBounds(_)), "{trap}");
}

#[test]
fn row_sum_halves_its_lanes() {
    let sum = tile(ROW_SUM);
    assert_eq!(verify(&sum, &Facts::default()), Ok(vec![]));
    let x = numbers(3 * 48);
    let mut buffers = [Buffer::of(&x), Buffer::empty(12).watched()];
    run(&sum, &mut buffers, &[3, 3], 0..3).unwrap();
    let expected: Vec<f32> = x.chunks(48).map(|row| row.iter().sum()).collect();
    assert_eq!(buffers[1].elements::<f32>().unwrap(), expected);
}

#[test]
fn gemm_fills_every_block_once() {
    let gemm = tile(GEMM);
    let mut facts = Facts::default();
    facts.symbol("M", 1, None);
    assert_eq!(verify(&gemm, &facts), Ok(vec![]));
    let (m, k, n) = (8, 5, 32);
    let (a, b) = (numbers(m * k), numbers(n * k));
    let mut buffers = [Buffer::of(&a), Buffer::of(&b), Buffer::empty(4 * m * n).watched()];
    run(&gemm, &mut buffers, &[m as i64, k as i64], 0..8).unwrap();
    let c = buffers[2].elements::<f32>().unwrap();
    for (place, found) in c.iter().enumerate() {
        let (row, col) = (place / n, place % n);
        let weight = |k0: usize| b[(col / 8 * k + k0) * 8 + col % 8];
        let expected = (0..k).fold(0.0, |sum, k0| a[row * k + k0].mul_add(weight(k0), sum));
        assert_eq!(*found, expected, "{row} {col}");
    }
}

#[test]
fn a_linear_tile_runs_on_cursors() {
    let linear = verified(
        "tile dot linear (@0 x: f32[16] input, @1 y: f32[2] output) tasks %t: 2 {
           cell %s: f32x4 = 0.0
           cursor %p = @0 + 32*%t advance %i by 16
           cursor %q = @1 + 4*%t
           loop serial %i in 0..2 {
             %v = load f32x4 [%p + 0 in @0]
             dot f32x4 %s, %v, %v
           }
           %m = reduce f32 sum %s
           store f32 [%q + 0 in @1], %m
         }",
    );
    let x: Vec<f32> = (0..16).map(|x| x as f32).collect();
    let mut buffers = [Buffer::of(&x), Buffer::empty(8).watched()];
    run(&linear, &mut buffers, &[], 0..2).unwrap();
    assert_eq!(buffers[1].elements::<f32>().unwrap(), [140.0, 1100.0]);
    let beyond = tile(&linear.to_string().replace("%p + 0", "%p + 4"));
    let trap = run(&beyond, &mut buffers, &[], 1..2).unwrap_err();
    assert!(matches!(trap.cause, Cause::OutOfBounds(_)), "{trap}");
}

#[test]
fn a_million_elements_are_quick() {
    let n = 1 << 20;
    let mut buffers = [Buffer::of(&vec![1.5f32; n]), Buffer::empty(4 * n)];
    let begin = std::time::Instant::now();
    run(&tile(SILU), &mut buffers, &[n as i64], 0..n as i64 / 64).unwrap();
    // An unoptimised build on a busy machine gets ten times what it needs.
    assert!(begin.elapsed().as_secs() < 10, "{:?}", begin.elapsed());
}
