//! Dealing the blocks of some outer axes out to tasks.
//!
//! Each axis of a task list is cut into *chunks* of so many blocks, segment by segment, so that a chunk's blocks are of
//! one form. A task is a chunk of each; the last axis's chunks run fastest. The blocks of an axis are then a loop over
//! those of the task's chunk, one for each segment, which is empty if the chunk is another one's.

use super::segment::Segment;
use super::{Lowering, Point};
use mlc_ir::{Index, Name, Result};

/// The variable that numbers tasks.
pub(super) const TASK: &str = "t";

/// An axis that is dealt out.
pub(super) struct Share {
    pub axis: Name,
    /// Blocks of a chunk.
    grain: i64,
    /// Each segment, and its first chunk.
    parts: Vec<(Segment, Index)>,
    /// Of all segments.
    chunks: Index,
    /// The number of a task's chunk.
    chunk: Index,
}

impl Lowering<'_> {
    /// The shares of each task by the plan, and the number of tasks.
    pub(super) fn deal(&mut self) -> (Vec<Share>, Index) {
        let mut shares: Vec<Share> = self.plan.tasks.iter().map(|(axis, grain)| self.share(axis, *grain)).collect();
        let count = Index::product(shares.iter().map(|share| &share.chunks));
        self.facts.axis(TASK, &count);
        let mut rest = Index::var(TASK);
        for (place, share) in shares.iter_mut().enumerate().rev() {
            share.chunk = if place == 0 { rest.clone() } else { self.facts.rem(&rest, &share.chunks) };
            rest = self.facts.div(&rest, &share.chunks);
        }
        (shares, count)
    }

    fn share(&self, axis: &Name, grain: u32) -> Share {
        let grain = i64::from(grain);
        let (mut parts, mut chunks) = (Vec::new(), Index::zero());
        for segment in self.segments(axis) {
            let own = self.facts.div(&(segment.count.clone() + (grain - 1)), &Index::from(grain));
            parts.push((segment, chunks.clone()));
            chunks = chunks + own;
        }
        Share { axis: axis.clone(), grain, parts, chunks, chunk: Index::zero() }
    }

    /// Writes a task's blocks of an axis.
    pub(super) fn share_loops(&mut self, depth: usize, share: &Share, point: &Point, shares: &[Share]) -> Result<()> {
        let (axis, chunk) = (&share.axis, &share.chunk);
        if chunk.as_var().is_some() {
            return self.parts(depth, share, chunk, point, shares);
        }
        // Its name, for it is a long expression.
        let end = self.facts.min(&share.chunks, &(chunk.clone() + 1));
        let variable = self.open_range(axis, chunk.clone(), end, &share.chunks);
        self.parts(depth, share, &Index::var(variable), point, shares)?;
        self.close_loop();
        Ok(())
    }

    fn parts(&mut self, depth: usize, share: &Share, chunk: &Index, point: &Point, shares: &[Share]) -> Result<()> {
        let (axis, grain) = (&share.axis, share.grain);
        for (segment, first) in &share.parts {
            if share.parts.len() == 1 && grain == 1 {
                return self.outer_block(depth + 1, axis, segment, segment.at(chunk), point, shares);
            }
            let begin = (chunk.clone() - first.clone()) * grain;
            let end = self.facts.min(&segment.count, &(begin.clone() + grain));
            let begin = self.facts.max(&Index::zero(), &begin);
            let variable = self.open_range(axis, begin, end, &segment.count);
            self.outer_block(depth + 1, axis, segment, segment.at(&Index::var(variable)), point, shares)?;
            self.close_loop();
        }
        Ok(())
    }
}
