//! Where the scratch buffers of a tile lie: one after the other in the memory of the worker that runs a task.

use super::{Param, Space, Tile};
use crate::Index;

/// Alignment of each buffer.
const ALIGN: i64 = 64;

impl Param {
    /// Bytes that the next buffer of a worker's memory begins after.
    pub fn scratch_bytes(&self) -> Index {
        let bytes = Index::product(&self.dims) * self.dtype.bytes() as i64;
        bytes.ceil_div(&Index::from(ALIGN)) * ALIGN
    }
}

impl Tile {
    /// For each parameter the distance in bytes from the scratch argument, if it is scratch; and the bytes of all of them.
    pub fn scratch(&self) -> (Vec<Option<Index>>, Index) {
        let mut used = Index::zero();
        let place = self.params.iter().map(|param| {
            (param.space == Space::Scratch).then(|| {
                let end = used.clone() + param.scratch_bytes();
                std::mem::replace(&mut used, end)
            })
        });
        let places = place.collect();
        (places, used)
    }
}
