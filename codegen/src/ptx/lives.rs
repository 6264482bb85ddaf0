//! When the scratch buffers of a tile are in use, so that some can lie in one piece of memory.
//!
//! A buffer is in use from its first access to its last, in the order of the text. Of a loop that may run more than once all
//! of it counts, for what one iteration has written the next may read.

use mlc_ir::tile::{Access, Inst, Op, Tile};
use std::collections::HashMap;
use std::ops::RangeInclusive;

/// When buffers are in use, by the numbers of instructions.
pub(super) type Lives = HashMap<u32, RangeInclusive<usize>>;

/// The lives of all buffers of a tile.
pub(super) fn lives(tile: &Tile) -> Lives {
    let (mut lives, mut count) = (Lives::new(), 0);
    walk(&tile.body, &mut count, &mut lives);
    lives
}

fn walk(body: &[Inst], count: &mut usize, lives: &mut Lives) {
    for inst in body {
        *count += 1;
        match inst {
            Inst::Loop { low, high, step, body, .. } => {
                let mut inside = Lives::new();
                let begin = *count;
                walk(body, count, &mut inside);
                let once = (high.clone() - low.clone()).as_const().is_some_and(|trips| trips <= *step);
                for (buffer, life) in inside {
                    lengthen(lives, buffer, if once { life } else { begin..=*count });
                }
            }
            Inst::If { then, otherwise, .. } => {
                walk(then, count, lives);
                walk(otherwise, count, lives);
            }
            Inst::Let { op: Op::Load(from, _) | Op::Broadcast(from) | Op::Fragment(from, _), .. } => {
                touch(lives, from, *count);
            }
            Inst::Store { to, .. } | Inst::StoreFragment { to, .. } => touch(lives, to, *count),
            Inst::Copy { to, from, .. } => {
                touch(lives, to, *count);
                touch(lives, from, *count);
            }
            _ => {}
        }
    }
}

fn touch(lives: &mut Lives, access: &Access, now: usize) {
    let (Access::Linear { buffer, .. } | Access::Indexed { buffer, .. }) = access;
    lengthen(lives, *buffer, now..=now);
}

fn lengthen(lives: &mut Lives, buffer: u32, by: RangeInclusive<usize>) {
    let life = lives.entry(buffer).or_insert_with(|| by.clone());
    *life = (*life.start()).min(*by.start())..=(*life.end()).max(*by.end());
}

/// Whether two buffers are in use at the same time.
pub(super) fn meet(lives: &Lives, a: u32, b: u32) -> bool {
    match (lives.get(&a), lives.get(&b)) {
        (Some(a), Some(b)) => a.start() <= b.end() && b.start() <= a.end(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlc_ir::tile::parse;

    #[test]
    fn loops_that_run_again_keep_what_they_touch() {
        let text = "tile k indexed (@0 x: f32[64] input, @1 y: f32[64] output, @2 a: f32[64] scratch, @3 b: f32[64] scratch, @4 c: f32[64] scratch) tasks %t: 1 {
  loop serial %i in 0..4 {
    store f32 @2[%i], 1.0
    %v = load f32 @2[%i]
    store f32 @3[%i], %v
  }
  loop serial %k in 0..1 {
    store f32 @4[0], 1.0
    %w = load f32 @3[1]
    store f32 @1[0], %w
  }
}";
        let lives = lives(&parse(text).unwrap());
        assert!(meet(&lives, 2, 3), "one loop has both");
        assert!(!meet(&lives, 2, 4), "the first is used no more");
        assert!(meet(&lives, 3, 4), "what is written before is read later");
    }
}
