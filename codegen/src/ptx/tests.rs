//! Blocks of threads, run by the interpreter of PTX.

use super::{Capability, crew, emit, module};
use crate::linear::linearize;
use mlc_ir::Facts;
use mlc_ir::tile::parse;

/// Turns rows round by way of scratch memory, twice, so that the second copy overwrites what the first one reads.
const TURNED: &str =
    "tile k indexed (@0 x: f32[2, 64] input, @1 y: f32[2, 64] output, @2 s: f32[64] scratch) tasks %t: 2 {
  loop serial %r in 0..2 {
    loop abreast %i in 0..64 {
      %v = load f32 @0[%t, %i]
      store f32 @2[%i], %v
    }
    loop abreast %j in 0..64 {
      %w = load f32 @2[63 - %j]
      store f32 @1[%t, %j], %w
    }
  }
}";

fn turned(text: &str) -> Result<Vec<f32>, String> {
    let module = mlc_ptx_interp::Module::parse(text)?;
    let mut device = mlc_ptx_interp::Device::new();
    let x: Vec<u8> = (0..128u8).flat_map(|n| f32::from(n).to_le_bytes()).collect();
    let (from, to) = (device.allocate(x.len()), device.allocate(x.len()));
    device.write(from, &x)?;
    let params: Vec<u8> = [from, to, 2].iter().flat_map(|n: &u64| n.to_le_bytes()).collect();
    module.entries[0].launch([2, 1, 1], 64, &params, &mut device)?;
    let mut y = vec![0; x.len()];
    device.read(to, &mut y)?;
    Ok(y.chunks_exact(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).collect())
}

#[test]
fn every_barrier_is_needed() {
    let tile = linearize(&parse(TURNED).unwrap(), &Facts::default()).unwrap();
    assert_eq!(crew(&tile), Some(64));
    let text = module(Capability::ALL[0].1, &[&emit(&tile, "k", Capability::ALL[0].1).unwrap()]);
    let expected: Vec<f32> = (0..128u8).map(|n| f32::from(if n < 64 { 63 - n } else { 191 - n })).collect();
    assert_eq!(turned(&text), Ok(expected));
    let barrier = "\tbar.sync 0;\n";
    let barriers: Vec<usize> = text.match_indices(barrier).map(|found| found.0).collect();
    assert_eq!(barriers.len(), 2, "{text}");
    for place in barriers {
        let (before, after) = text.split_at(place);
        let without = format!("{before}{}", &after[barrier.len()..]);
        assert!(turned(&without).is_err(), "a race is not found without a barrier\n{without}");
    }
}
