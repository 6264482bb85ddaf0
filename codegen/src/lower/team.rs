//! The members of a crew that share the block of a task.
//!
//! Along an outer axis that is dealt out to a crew of `n`, a task has `n` times the points of a member's block. Each member
//! takes every `n`-th vector, so that neighbours take what lies side by side. The last tasks of an axis may reach beyond
//! its end; what is there is computed from zeros, and stored nowhere.

use super::{Lowering, Point, block_key, offset_key};
use mlc_ir::tile::InRange;
use mlc_ir::{Index, Name};

/// What a task has of an outer axis.
#[derive(Clone, Debug)]
pub(super) struct Side {
    pub axis: Name,
    /// Its first point.
    pub base: Index,
    /// The end of the axis, if a task may reach beyond it.
    pub end: Option<Index>,
    /// Members along the axis, vectors (or points) of each, and lanes of a vector.
    crew: i64,
    block: i64,
    pub lanes: u16,
}

impl Side {
    /// How many points there are.
    pub fn points(&self) -> i64 {
        self.crew * self.block * i64::from(self.lanes)
    }

    /// Vectors, or points, of one member.
    pub fn block(&self) -> usize {
        self.block as usize
    }

    /// A point of a vector that may reach beyond the end of the axis, if vectors of this side may.
    pub fn cut(&self, point: &Point) -> Point {
        let apart = |end: &&Index| self.lanes > 1 && end.as_const().is_none_or(|n| n % i64::from(self.lanes) != 0);
        Point { end: self.end.as_ref().filter(apart).cloned(), ..point.clone() }
    }

    /// Whether some points, from one on, are points of the axis.
    pub fn holds(&self, first: &Index, points: i64) -> Option<InRange> {
        let end = self.end.clone()?;
        let last = first.clone() + (points - 1);
        Some(InRange { index: last, low: Index::zero(), high: end })
    }
}

impl Lowering<'_> {
    /// What the task at a point has of each outer axis; the axis of the lanes comes last.
    pub(super) fn sides(&self, point: &Point) -> Vec<Side> {
        let side = |axis: &Name| {
            let extent = self.kernel.extent(axis).cloned().unwrap_or_default();
            let (crew, block) = (i64::from(self.plan.crew(0, axis)), i64::from(self.plan.block(0, axis)));
            let lanes = self.plan.lanes(0, axis);
            let mut side = Side { axis: axis.clone(), base: point.axes[axis].clone(), end: None, crew, block, lanes };
            let whole = self.facts.rem(&extent, &Index::from(side.points())).is(0);
            side.end = (!whole).then_some(extent);
            side
        };
        let mut sides: Vec<Side> = self.plan.outer.iter().map(side).collect();
        sides.sort_by_key(|side| side.lanes > 1);
        sides
    }

    /// The points that one member of a task's crew has, the axis of the lanes running fastest.
    pub(super) fn member_points(&self, point: &Point, sides: &[Side], member: &Index) -> Vec<Point> {
        let mut points = vec![point.clone()];
        let mut rest = member.clone();
        let mut places = Vec::new();
        for side in sides.iter().rev() {
            let crew = Index::from(side.crew);
            places.push(self.facts.rem(&rest, &crew));
            rest = self.facts.div(&rest, &crew);
        }
        for (side, place) in sides.iter().zip(places.iter().rev()) {
            let spread = |point: &Point| {
                let one = |n: i64| side.at(point, (place.clone() + n * side.crew) * i64::from(side.lanes));
                (0..side.block).map(one).collect::<Vec<_>>()
            };
            points = points.iter().flat_map(spread).collect();
        }
        points
    }
}

impl Side {
    /// The point at a distance from the task's first one along the axis.
    pub fn at(&self, point: &Point, offset: Index) -> Point {
        let mut point = point.with(&self.axis, self.base.clone() + offset.clone());
        point.axes.remove(&block_key(&self.axis));
        point.axes.insert(offset_key(&self.axis), offset);
        if self.lanes > 1 {
            point.vector = Some((self.axis.clone(), self.lanes));
        }
        point.end = None;
        point
    }
}

/// How many members a team has.
pub(super) fn members(sides: &[Side]) -> i64 {
    sides.iter().map(|side| side.crew).product()
}
