//! Where the scratch buffers of a tile lie.
//!
//! In: a tile, and which of its scratch buffers are registers.  Out: a [`Place`] for each. Of the others, what fits lies *near*: in
//! the memory that a block shares, or in a thread's own; the smallest first, and those in one place that are never in use at once.
//! The rest, and what has a size known at run time only, lies *far*: in memory of the device, a piece for each worker, that is a
//! block or a thread.
//!
//! Invariant: a tile with something far is run by as many workers as there are pieces, each of which takes one task after the
//! other, so that this memory does not grow with the tasks.

use super::crew;
use super::lives::{Lives, lives, meet};
use mlc_ir::Index;
use mlc_ir::tile::{Param, Space, Tile};
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

/// A thread's near bytes at most: a driver sets so much aside for every thread that a GPU has room for.
const MOST_LOCAL: i64 = 4096;

/// A block's near bytes at most, on every generation.
const MOST_SHARED: i64 = 48 << 10;

/// Where a scratch buffer lies.
#[derive(Clone)]
pub(super) enum Place {
    /// In registers.
    Own,
    /// So many bytes from the beginning of near memory.
    Near(i64),
    /// So many bytes from the beginning of the worker's piece.
    Far(Index),
}

/// A buffer in near memory.
struct Near {
    number: u32,
    spot: Range<i64>,
}

fn overlap(a: &Range<i64>, b: &Range<i64>) -> bool {
    a.start < b.end && b.start < a.end
}

/// The first room for so many bytes beside the buffers that are in use at the same time.
fn spot(near: &[Near], lives: &Lives, number: u32, bytes: i64) -> Range<i64> {
    let others: Vec<&Range<i64>> =
        near.iter().filter(|other| meet(lives, other.number, number)).map(|other| &other.spot).collect();
    let starts = std::iter::once(0).chain(others.iter().map(|other| other.end));
    let free = starts.map(|start| start..start + bytes).filter(|spot| !others.iter().any(|other| overlap(other, spot)));
    free.min_by_key(|spot| spot.start).unwrap_or(0..bytes)
}

/// Where all do.
pub(super) struct Room {
    /// In the order of the parameters.
    pub places: Vec<Place>,
    /// Bytes of near memory.
    pub near: i64,
    /// Bytes of a worker's piece of far memory.
    pub far: Index,
    /// For buffers that share memory with others, the least of their numbers.
    together: HashMap<u32, u32>,
}

impl Room {
    pub fn of(tile: &Tile, own: &BTreeSet<u32>) -> Room {
        let most = if crew(tile).is_some() { MOST_SHARED } else { MOST_LOCAL };
        let scratch: Vec<(u32, &Param)> =
            (0..).zip(&tile.params).filter(|(_, param)| param.space == Space::Scratch).collect();
        let places = vec![Place::Own; scratch.len()];
        let mut room = Room { places, near: 0, far: Index::zero(), together: HashMap::new() };
        let lives = lives(tile);
        let mut near: Vec<Near> = Vec::new();
        let placed = scratch.iter().enumerate().filter(|(_, (number, _))| !own.contains(number));
        let mut sizes: Vec<(usize, Index)> = placed.map(|(place, (_, param))| (place, param.scratch_bytes())).collect();
        sizes.sort_by_key(|(_, bytes)| bytes.as_const().unwrap_or(i64::MAX));
        for (buffer, bytes) in sizes {
            let number = scratch[buffer].0;
            let spot = bytes.as_const().map(|bytes| spot(&near, &lives, number, bytes));
            room.places[buffer] = match spot.filter(|spot| spot.end <= most) {
                Some(spot) => {
                    room.near = room.near.max(spot.end);
                    near.push(Near { number, spot: spot.clone() });
                    Place::Near(spot.start)
                }
                None => {
                    let end = room.far.clone() + bytes;
                    Place::Far(std::mem::replace(&mut room.far, end))
                }
            };
        }
        room.join(&near);
        room
    }

    /// Puts buffers together that share memory.
    fn join(&mut self, near: &[Near]) {
        for (place, a) in near.iter().enumerate() {
            for b in near[..place].iter().filter(|b| overlap(&a.spot, &b.spot)) {
                let (a, b) = (self.group(a.number), self.group(b.number));
                let all = near.iter().filter(|it| [a, b].contains(&self.group(it.number))).map(|it| it.number);
                let all: Vec<u32> = all.collect();
                self.together.extend(all.into_iter().map(|number| (number, a.min(b))));
            }
        }
    }

    /// A number that a buffer has in common with those it shares memory with.
    pub fn group(&self, buffer: u32) -> u32 {
        self.together.get(&buffer).copied().unwrap_or(buffer)
    }

    /// Whether tasks are taken in turn, by as many workers as there are pieces of far memory.
    pub fn in_turn(&self) -> bool {
        !self.far.is(0)
    }
}
