//! Cutting an axis into full blocks and what is left.

use super::Lowering;
use mlc_ir::{Index, Name};

/// A part of an axis: `count` blocks of the same form, from `base` on.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    base: Index,
    /// Number of blocks.
    pub count: Index,
    /// Vectors (or points) in a block.
    pub block: u32,
    /// Lanes of each; 1 for points.
    pub lanes: u16,
}

impl Segment {
    /// The first point of the `n`-th block.
    pub fn at(&self, n: &Index) -> Index {
        self.base.clone() + n.clone() * (i64::from(self.block) * i64::from(self.lanes))
    }
}

impl Lowering<'_> {
    /// The segments of an axis, by its block and lanes in the plan: full blocks, then whole vectors, then points.
    pub(super) fn segments(&self, axis: &Name, base: &Index) -> Vec<Segment> {
        let extent = self.kernel.extent(axis).cloned().unwrap_or_default();
        let (block, lanes) = (self.plan.block(axis), self.plan.lanes(axis));
        let mut segments = Vec::new();
        let mut base = base.clone();
        let mut left = extent;
        let mut sizes = vec![(block, lanes)];
        if let Some(left) = left.as_const().filter(|_| lanes == 1) {
            // What is left of a number of points is one smaller block.
            sizes.push(((left % i64::from(block)) as u32, 1));
        } else if lanes > 1 && block > 1 {
            let vectors = left.as_const().map_or(1, |n| n % (i64::from(block) * i64::from(lanes)) / i64::from(lanes));
            sizes.push((vectors as u32, lanes));
        }
        sizes.push((1, 1));
        for (block, lanes) in sizes {
            let width = Index::from(i64::from(block) * i64::from(lanes));
            if width.is(0) || left.is(0) {
                continue;
            }
            let count = self.facts.div(&left, &width);
            if count.is(0) {
                continue;
            }
            let taken = &count * &width;
            segments.push(Segment { base: base.clone(), count, block, lanes });
            left = self.facts.simplify(&(left - taken.clone()));
            base = base + taken;
        }
        segments
    }
}
