//! Threads of a warp, between which memory is exchanged.

use super::{compiled, expected, floats, launched, numbers, without};
use mlc_ir::tile::interp::Buffer;

/// Two products one after the other, by each of two warps: the first one's results are rows of the second's factor, by way of
/// memory that the warp's threads share.
const CHAINED: &str = "tile k indexed (@0 x: f16[2, 16, 24] input, @1 y: f32[2, 16, 8] output, @2 near: f16[2, 16, 24] scratch) tasks %t: 1 {
  loop abreast %w in 0..2 {
    loop serial %r in 0..2 {
      %a = fragment f16x256 mma.f16 a @0[%w, 0, 0] along 1
      loop unroll %n in 0..2 {
        %b[%n] = fragment f16x128 mma.f16 b transposed @0[%w, 8*%n, 8] along 1
        cell %s: f32x128 = 0.0
        dot mma.f16 %s, %a, %b[%n]
        %h[%n] = convert f16x128 f32x128 %s
        storefragment f16x128 mma.f16 c @2[%w, 0, 8*%n] along 1, %h[%n]
      }
      store f16 @2[%w, 3, 13], 2.0
      %p = fragment f16x256 mma.f16 a @2[%w, 0, 0] along 1
      %q = fragment f16x128 mma.f16 b transposed @0[%w, 0, 0] along 1
      cell %z: f32x128 = 1.0
      dot mma.f16 %z, %p, %q
      storefragment f32x128 mma.f16 c @1[%w, 0, 0] along 1, %z
    }
  }
}";

#[test]
fn threads_of_a_warp_wait_for_each_other() {
    let x: Vec<half::f16> = numbers(2 * 16 * 24, 5).into_iter().map(half::f16::from_f32).collect();
    let buffers = [Buffer::of(&x), Buffer::filled(vec![0; 2 * 16 * 8 * 4])];
    let wanted = floats(expected(CHAINED, &buffers, 1)[1].bytes());
    let ptx = compiled(CHAINED, "sm_80").unwrap();
    let run = |ptx: &str| launched(ptx, 64, &buffers, 1).map(|(left, _)| floats(&left[1]));
    let found = run(&ptx).unwrap_or_else(|why| panic!("{why}\n{ptx}"));
    for (found, wanted) in found.iter().zip(&wanted) {
        assert!((found - wanted).abs() <= 1e-3 * wanted.abs(), "{found}, not {wanted}");
    }
    // One before the single element, one behind it, one where the loop begins again; and one that is not needed, between
    // columns of one buffer.
    let barrier = "\tbar.warp.sync -1;\n";
    let missed = (0..ptx.matches(barrier).count()).filter(|number| run(&without(&ptx, barrier, *number)).is_err());
    assert_eq!((missed.count(), ptx.matches(barrier).count()), (3, 4), "{ptx}");
}
