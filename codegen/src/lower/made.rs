//! Scratch buffers that lowering makes for its own, besides those of kept stages, which they follow.

use super::Lowering;
use mlc_ir::tile::{Param, Space};
use mlc_ir::{DType, Index};

impl Lowering<'_> {
    /// Makes the rows of a scratch buffer of vectors as long as these.
    pub(super) fn widen(&mut self, buffer: u32, lanes: u16) {
        let number = buffer as usize - self.buffers.len() - self.plan.kept.len();
        if let Some(last) = self.made[number].dims.last_mut() {
            *last = Index::from(i64::from(lanes));
        }
    }

    /// Adds a scratch buffer; returns its parameter.
    pub(super) fn make(&mut self, name: &str, dtype: DType, dims: &[i64]) -> u32 {
        let number = self.made.len();
        self.made.push(Param {
            name: format!("{name}.{number}").into(),
            dtype,
            dims: dims.iter().map(|dim| Index::from(*dim)).collect(),
            space: Space::Scratch,
            slack: 0,
            stream: false,
        });
        (self.buffers.len() + self.plan.kept.len() + number) as u32
    }
}
