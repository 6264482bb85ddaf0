//! Entries with scratch memory, run by the interpreter of PTX.

use crate::linear::linearize;
use crate::ptx::{Capability, Entry, crew, emit, module};
use mlc_ir::Facts;
use mlc_ir::index::Leaf;
use mlc_ir::tile::{Tile, parse};

/// Turns rows round by way of scratch memory, twice, so that the second copy overwrites what the first one reads.
const TURNED: &str =
    "tile k indexed (@0 x: f32[ROWS, 64] input, @1 y: f32[ROWS, 64] output, @2 s: f32[KEPT] scratch) symbols n tasks %t: ROWS {
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

/// The same once.
const TURNED_ONCE: &str =
    "tile k indexed (@0 x: f32[ROWS, 64] input, @1 y: f32[ROWS, 64] output, @2 s: f32[KEPT] scratch) symbols n tasks %t: ROWS {
  loop abreast %i in 0..64 {
    %v = load f32 @0[%t, %i]
    store f32 @2[%i], %v
  }
  loop abreast %j in 0..64 {
    %w = load f32 @2[63 - %j]
    store f32 @1[%t, %j], %w
  }
}";

/// The same by one thread for each row.
const TURNED_ALONE: &str =
    "tile k indexed (@0 x: f32[ROWS, 64] input, @1 y: f32[ROWS, 64] output, @2 s: f32[KEPT] scratch) symbols n tasks %t: ROWS {
  loop serial %i in 0..64 {
    %v = load f32 @0[%t, %i]
    store f32 @2[%i], %v
  }
  loop serial %j in 0..64 {
    %w = load f32 @2[63 - %j]
    store f32 @1[%t, %j], %w
  }
}";

/// What a symbol is.
const SYMBOL: i64 = 64;

fn tile(text: &str, rows: usize, kept: &str) -> Tile {
    let text = text.replace("ROWS", &rows.to_string()).replace("KEPT", kept);
    linearize(&parse(&text).unwrap(), &Facts::default()).unwrap()
}

fn entry(tile: &Tile) -> Entry {
    let entry = emit(tile, "k", Capability::ALL[0].1).unwrap();
    Entry { text: module(Capability::ALL[0].1, &[&entry.text]), ..entry }
}

/// Runs the entry of a tile by so many blocks of threads; wrong results are an error too.
fn turned(text: &str, tile: &Tile, blocks: u32, threads: u32) -> Result<(), String> {
    let module = mlc_ptx_interp::Module::parse(text)?;
    let mut device = mlc_ptx_interp::Device::new();
    let rows = tile.tasks.1.as_const().unwrap_or(0) as usize;
    let x: Vec<f32> = (0..64 * rows).map(|n| n as f32).collect();
    let bytes: Vec<u8> = x.iter().flat_map(|n| n.to_le_bytes()).collect();
    let (from, to) = (device.allocate(bytes.len()), device.allocate(bytes.len()));
    device.write(from, &bytes)?;
    let far = entry(tile).far.eval(&mut |leaf| matches!(leaf, Leaf::Sym(_)).then_some(SYMBOL));
    let workers = if crew(tile).is_some() { blocks } else { blocks * threads };
    let far = device.allocate(far.unwrap_or(0) as usize * workers as usize);
    let params: Vec<u8> = [from, to, SYMBOL as u64, rows as u64, far].iter().flat_map(|n| n.to_le_bytes()).collect();
    module.entries[0].launch([blocks, 1, 1], threads, &params, &mut device)?;
    let mut y = vec![0; bytes.len()];
    device.read(to, &mut y)?;
    let y: Vec<f32> =
        y.chunks_exact(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).collect();
    let expected: Vec<f32> = x.chunks(64).flat_map(|row| row.iter().rev().copied()).collect();
    if y == expected { Ok(()) } else { Err(format!("{y:?}")) }
}

/// Runs a tile as it is, and without each of its barriers.
fn every_barrier_is_needed(tile: &Tile, blocks: u32, barriers: usize) {
    assert_eq!(crew(tile), Some(64));
    let text = entry(tile).text;
    assert_eq!(turned(&text, tile, blocks, 64), Ok(()), "{text}");
    let barrier = "\tbar.sync 0;\n";
    let found: Vec<usize> = text.match_indices(barrier).map(|found| found.0).collect();
    assert_eq!(found.len(), barriers, "{text}");
    for place in found {
        let (before, after) = text.split_at(place);
        let without = format!("{before}{}", &after[barrier.len()..]);
        let why = turned(&without, tile, blocks, 64).err().unwrap_or_default();
        let found = ["a race", "never written"].iter().any(|what| why.contains(what));
        assert!(found, "a race is not found without a barrier: {why}\n{without}");
    }
}

#[test]
fn every_barrier_of_shared_memory_is_needed() {
    let tile = tile(TURNED, 2, "64");
    let entry = entry(&tile);
    assert!(entry.text.contains(".shared") && entry.far.is(0));
    every_barrier_is_needed(&tile, 2, 2);
}

/// What has a size known at run time only, or is larger than the memory that a block shares.
#[test]
fn every_barrier_of_far_memory_is_needed() {
    for kept in ["n", "12289"] {
        for (text, rows) in [(TURNED, 2), (TURNED_ONCE, 5)] {
            let tile = tile(text, rows, kept);
            let entry = entry(&tile);
            assert!(!entry.text.contains(".shared") && !entry.far.is(0), "{kept}");
            every_barrier_is_needed(&tile, 2, 2);
        }
    }
}

#[test]
fn threads_have_pieces_of_far_memory() {
    for kept in ["n", "1025"] {
        let tile = tile(TURNED_ALONE, 200, kept);
        let entry = entry(&tile);
        assert!(!entry.text.contains(".local") && !entry.far.is(0), "{kept}");
        // With fewer threads than tasks, and more.
        for (blocks, threads) in [(2, 32), (2, 128)] {
            assert_eq!(turned(&entry.text, &tile, blocks, threads), Ok(()), "{}", entry.text);
        }
    }
}

#[test]
fn what_fits_stays_near_and_the_smallest_first() {
    let text = TURNED.replace("@2 s: f32[KEPT] scratch", "@2 s: f32[12288] scratch, @3 u: f32[16] scratch");
    let tile = tile(&text.replacen("    loop", "    store f32 @3[0], 1.0\n    loop", 1), 2, "");
    let Entry { text, far, .. } = entry(&tile);
    assert!(far.is(4 * 12288) && text.contains(".shared .align 64 .b8 scratch[64];"), "{text}");
    assert_eq!(turned(&text, &tile, 2, 64), Ok(()), "{text}");
}
