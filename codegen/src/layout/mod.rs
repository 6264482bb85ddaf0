//! How buffers lie in memory: an order of their dims, and for weights a tile of one dim innermost.
//!
//! In: a program.  Out: a [`Layout`] for each buffer. Kernels index dims, never flat memory, so a layout changes no
//! kernel.
//! Invariant: inputs and outputs of the program are row-major.

mod assign;
mod unfold;
mod widen;

pub use assign::assign;
pub(crate) use assign::assign_by;

use mlc_ir::{Facts, Index};

/// Order of the dims in memory, outermost first, and an optional tile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Dims, outermost first.
    pub order: Vec<usize>,
    /// A dim that is cut into pieces of a number of elements, which lie innermost; the last piece is filled up with 0.
    pub tile: Option<(usize, i64)>,
}

impl Layout {
    /// Row-major. Dims of extent 1 are put first, where they change nothing, so that the last one is contiguous.
    pub fn row_major(shape: &[Index]) -> Layout {
        let (mut order, rest): (Vec<usize>, Vec<usize>) = (0..shape.len()).partition(|&d| shape[d].is(1));
        order.extend(rest);
        Layout { order, tile: None }
    }

    /// Whether elements of a shape lie in row-major order.
    pub fn is_row_major(&self, shape: &[Index]) -> bool {
        self.tile.is_none() && self.order.iter().filter(|&&d| !shape[d].is(1)).is_sorted()
    }

    /// Extents in memory, outermost first.
    pub fn dims(&self, shape: &[Index]) -> Vec<Index> {
        let mut dims: Vec<Index> = self.order.iter().map(|&d| shape[d].clone()).collect();
        if let Some((axis, n)) = self.tile {
            let place = self.place(axis);
            dims[place] = dims[place].ceil_div(&Index::from(n));
            dims.push(Index::from(n));
        }
        dims
    }

    /// Indices in memory, outermost first.
    pub fn index(&self, index: &[Index], facts: &Facts) -> Vec<Index> {
        let mut result: Vec<Index> = self.order.iter().map(|&d| index[d].clone()).collect();
        if let Some((axis, n)) = self.tile {
            let place = self.place(axis);
            let n = Index::from(n);
            let inner = facts.rem(&result[place], &n);
            result[place] = facts.div(&result[place], &n);
            result.push(inner);
        }
        result
    }

    /// The dim that is contiguous.
    pub fn innermost(&self) -> Option<usize> {
        self.tile.map(|tile| tile.0).or(self.order.last().copied())
    }

    fn place(&self, axis: usize) -> usize {
        self.order.iter().position(|&d| d == axis).unwrap_or(0)
    }
}
