//! Where the scratch buffers of a tile lie: one after the other in the memory of the worker that runs a task.

use super::{Space, Tile};
use crate::Index;

/// Alignment of each buffer.
const ALIGN: i64 = 64;

impl Tile {
    /// For each parameter the distance in bytes from the scratch argument, if it is scratch; and the bytes of all of them.
    pub fn scratch(&self) -> (Vec<Option<Index>>, Index) {
        self.scratch_of(&|_| true)
    }

    /// The same of some of them, by the numbers of their parameters.
    pub fn scratch_of(&self, own: &dyn Fn(u32) -> bool) -> (Vec<Option<Index>>, Index) {
        let mut used = Index::zero();
        let place = self.params.iter().enumerate().map(|(number, param)| {
            (param.space == Space::Scratch && own(number as u32)).then(|| {
                let bytes = Index::product(&param.dims) * param.dtype.bytes() as i64;
                let end = used.clone() + bytes.ceil_div(&Index::from(ALIGN)) * ALIGN;
                std::mem::replace(&mut used, end)
            })
        });
        let places = place.collect();
        (places, used)
    }
}
