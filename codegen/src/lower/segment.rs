//! Cutting an axis into full blocks and what is left.

use super::Lowering;
use crate::schedule::NARROWEST;
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
    /// Members of a crew that have a block each.
    crew: u32,
    /// The end of the axis, if vectors may go beyond it.
    pub end: Option<Index>,
}

impl Segment {
    /// The first point of the `n`-th block.
    pub fn at(&self, n: &Index) -> Index {
        self.base.clone() + n.clone() * (i64::from(self.crew) * i64::from(self.block) * i64::from(self.lanes))
    }
}

impl Lowering<'_> {
    /// The segments of an axis, by its block and lanes in the plan: full blocks, smaller ones, narrower vectors, points.
    pub(super) fn segments(&self, axis: &Name) -> Vec<Segment> {
        let (block, lanes) = (self.plan.block(self.nest, axis), self.plan.lanes(self.nest, axis));
        if self.plan.panel.is_some() && self.plan.outer.contains(axis) {
            return vec![self.shared(axis, block, lanes)];
        }
        if self.plan.masked(self.nest, axis) {
            return self.masked(axis, block, lanes);
        }
        let mut sizes = self.whole(axis);
        if lanes == 1 {
            sizes.extend(halves(block / 2, 1).map(|block| (block, 1)));
        }
        sizes.extend(halves(u32::from(lanes / 2), u32::from(NARROWEST)).map(|lanes| (1, lanes as u16)));
        self.cut(axis, sizes)
    }

    /// Blocks of a whole crew, of which the last may reach beyond the axis.
    fn shared(&self, axis: &Name, block: u32, lanes: u16) -> Segment {
        let crew = self.plan.crew(self.nest, axis);
        let width = Index::from(i64::from(crew) * i64::from(block) * i64::from(lanes));
        let extent = self.kernel.extent(axis).cloned().unwrap_or_default();
        let count = self.facts.simplify(&extent.ceil_div(&width));
        Segment { base: Index::zero(), count, block, lanes, crew, end: None }
    }

    /// Full blocks, then vectors for all that is left, in one block if their number is known.
    fn masked(&self, axis: &Name, block: u32, lanes: u16) -> Vec<Segment> {
        let extent = self.kernel.extent(axis).cloned().unwrap_or_default();
        let mut segments = self.cut(axis, vec![(block, lanes)]);
        segments.retain(|segment| segment.lanes > 1);
        let width = Index::from(i64::from(block) * i64::from(lanes));
        let base = self.facts.div(&extent, &width) * width;
        let left = self.facts.simplify(&(extent.clone() - base.clone()));
        let vectors = left.ceil_div(&Index::from(i64::from(lanes)));
        let (count, block) = match vectors.as_const() {
            Some(0) => return segments,
            Some(vectors) => (Index::from(1), vectors as u32),
            None => (self.facts.simplify(&vectors), 1),
        };
        segments.push(Segment { base, count, block, lanes, crew: 1, end: Some(extent) });
        segments
    }

    /// The segments of a folded axis: vectors of one width, because each has an accumulator, then points if the last vector
    /// may not go beyond the axis.
    pub(super) fn folded_segments(&self, axis: &Name) -> Vec<Segment> {
        if self.plan.masked(self.nest, axis) {
            return self.masked(axis, self.plan.block(self.nest, axis), self.plan.lanes(self.nest, axis));
        }
        let sizes = self.whole(axis);
        self.cut(axis, sizes)
    }

    /// Full blocks and, in one smaller block, the vectors or points that are left.
    fn whole(&self, axis: &Name) -> Vec<(u32, u16)> {
        let (block, lanes) = (self.plan.block(self.nest, axis), self.plan.lanes(self.nest, axis));
        let width = i64::from(block) * i64::from(lanes);
        let extent = self.kernel.extent(axis).and_then(Index::as_const);
        let left = extent.map(|n| (n % width / i64::from(lanes)) as u32);
        match left {
            Some(left) => vec![(block, lanes), (left, lanes)],
            None if lanes > 1 => vec![(block, lanes), (1, lanes)],
            None => vec![(block, lanes)],
        }
    }

    /// As many blocks of each size as what is left allows.
    fn cut(&self, axis: &Name, mut sizes: Vec<(u32, u16)>) -> Vec<Segment> {
        sizes.push((1, 1));
        let mut segments = Vec::new();
        let (mut base, mut left) = (Index::zero(), self.kernel.extent(axis).cloned().unwrap_or_default());
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
            segments.push(Segment { base: base.clone(), count, block, lanes, crew: 1, end: None });
            left = self.facts.simplify(&(left - taken.clone()));
            base = base + taken;
        }
        segments
    }
}

/// A number, and its halves down to the least that is worth it.
fn halves(from: u32, least: u32) -> impl Iterator<Item = u32> {
    std::iter::successors(Some(from), |n| Some(n / 2)).take_while(move |n| *n > 1 && *n >= least)
}
