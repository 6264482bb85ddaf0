//! Copies that arrive late, where they cannot be late, and with lanes left out.

use super::{assembled, compiled, expected, launched};
use crate::ptx::Capability;
use mlc_ir::tile::interp::Buffer;

/// Rows of 20 numbers from 32 on, a few of which count, turned round; and rows that are not aligned.
const TURNED: &str =
    "tile k indexed (@0 x: f32[2, 64, 20] input, @1 z: f32[64, 3] input, @2 y: f32[2, 64, 20] output, @3 near: f32[64, 20] scratch) tasks %t: 2 {
  loop abreast %i in 0..64 {
    loop unroll %j in 0..5 { copy f32x4 @3[%i, 4*%j], @0[%t, %i, 4*%j], first 18 - 4*%j }
  }
  commit
  wait 0
  loop abreast %m in 0..64 {
    loop serial %j in 0..20 { %v = load f32 @3[63 - %m, %j] store f32 @2[%t, %m, %j], %v }
  }
  loop abreast %n in 0..64 { copy f32x2 @3[%n, 0], @1[%n, 1] }
  commit
  wait 0
  loop abreast %o in 0..64 { %w = load f32 @3[63 - %o, 1] store f32 @2[%t, %o, 19], %w }
}";

#[test]
fn copies_arrive() {
    let x: Vec<f32> = (0..2 * 64 * 20).map(|n| n as f32).collect();
    let z: Vec<f32> = (0..64 * 3).map(|n| -(n as f32)).collect();
    let buffers = [Buffer::of(&x), Buffer::of(&z), Buffer::of(&vec![0.0f32; x.len()])];
    let expected = expected(TURNED, &buffers, 2);
    for (_, capability, _) in Capability::ALL {
        let generation = capability.to_string();
        let ptx = compiled(TURNED, &generation).unwrap();
        let (left, _) = launched(&ptx, 64, &buffers, 2).unwrap_or_else(|why| panic!("{why}\n{ptx}"));
        assert_eq!(left[2], expected[2].bytes(), "{generation}");
        let late = if generation == "sm_75" { 0 } else { 5 };
        assert_eq!(ptx.matches("cp.async.cg").count(), late, "{ptx}");
        assert_eq!(ptx.matches("cp.async.ca").count(), 0, "{ptx}");
        assembled(&ptx, &generation);
    }
}
