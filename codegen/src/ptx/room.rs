//! Where the scratch buffers of a tile lie.
//!
//! In: a tile, and which of its scratch buffers are registers.  Out: a [`Place`] for each. Of the others, what fits lies *near*: in
//! the memory that a block shares, or in a thread's own; the smallest first. The rest, and what has a size known at run time only, lies *far*: in memory of the
//! device, a piece for each worker, that is a block or a thread.
//!
//! Invariant: a tile with something far is run by as many workers as there are pieces, each of which takes one task after the
//! other, so that this memory does not grow with the tasks.

use super::crew;
use mlc_ir::Index;
use mlc_ir::tile::{Param, Space, Tile};
use std::collections::BTreeSet;

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

/// Where all do.
pub(super) struct Room {
    /// In the order of the parameters.
    pub places: Vec<Place>,
    /// Bytes of near memory.
    pub near: i64,
    /// Bytes of a worker's piece of far memory.
    pub far: Index,
}

impl Room {
    pub fn of(tile: &Tile, own: &BTreeSet<u32>) -> Room {
        let most = if crew(tile).is_some() { MOST_SHARED } else { MOST_LOCAL };
        let scratch: Vec<(u32, &Param)> =
            (0..).zip(&tile.params).filter(|(_, param)| param.space == Space::Scratch).collect();
        let mut room = Room { places: vec![Place::Own; scratch.len()], near: 0, far: Index::zero() };
        let placed = scratch.iter().enumerate().filter(|(_, (number, _))| !own.contains(number));
        let mut sizes: Vec<(usize, Index)> = placed.map(|(place, (_, param))| (place, param.scratch_bytes())).collect();
        sizes.sort_by_key(|(_, bytes)| bytes.as_const().unwrap_or(i64::MAX));
        for (buffer, bytes) in sizes {
            room.places[buffer] = match bytes.as_const() {
                Some(bytes) if bytes <= most - room.near => {
                    room.near += bytes;
                    Place::Near(room.near - bytes)
                }
                _ => {
                    let end = room.far.clone() + bytes;
                    Place::Far(std::mem::replace(&mut room.far, end))
                }
            };
        }
        room
    }

    /// Whether tasks are taken in turn, by as many workers as there are pieces of far memory.
    pub fn in_turn(&self) -> bool {
        !self.far.is(0)
    }
}
