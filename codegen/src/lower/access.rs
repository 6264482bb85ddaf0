//! Places in memory at a point, and how its lanes lie there.

use super::{Lowering, Point};
use mlc_ir::index::Atom;
use mlc_ir::tile::{Access, InRange};
use mlc_ir::{Index, Result};

/// How the lanes of a point lie in memory.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Lanes {
    /// All in one element.
    Same(Access),
    /// One after the other.
    Consecutive(Access),
    /// Anywhere: the place of each.
    Apart(Vec<Access>),
}

impl Lowering<'_> {
    /// The parameter that is a buffer of the program; one that the verifier refuses if the kernel does not list it.
    pub(super) fn param(&self, buffer: u32) -> u32 {
        self.buffers.iter().position(|&b| b == buffer).map_or(u32::MAX, |place| place as u32)
    }

    /// An index expression over axes, as one over loop variables.
    pub(super) fn index_at(&self, index: &Index, point: &Point) -> Index {
        let placed = index.rebuild(&self.facts, &|atom| match atom {
            Atom::Var(name) => point.axes.get(name).cloned(),
            Atom::At(buffer, at) => {
                let at: Vec<Index> = at.iter().map(|i| self.index_at(i, point)).collect();
                let at = self.layouts[*buffer as usize].index(&at, &self.facts);
                Some(Index::at(self.param(*buffer), at))
            }
            _ => None,
        });
        self.facts.simplify(&placed)
    }

    /// The tests of a guard at a point, without those that always hold.
    pub(super) fn tests_at(&self, tests: &[InRange], point: &Point) -> Vec<InRange> {
        let at = |test: &InRange| test.map(&|index| self.index_at(index, point));
        tests.iter().map(at).filter(|test| !test.proven(&self.facts)).collect()
    }

    /// Whether an expression has the same value in all lanes of a point.
    pub(super) fn uniform(&self, index: &Index, point: &Point) -> bool {
        point.vector.as_ref().is_none_or(|(axis, _)| !index.mentions(axis))
    }

    /// Whether a test holds in all lanes of a point or in none.
    pub(super) fn uniform_test(&self, test: &InRange, point: &Point) -> bool {
        [&test.index, &test.low, &test.high].into_iter().all(|index| self.uniform(index, point))
    }

    fn memory_index(&self, buffer: u32, index: &[Index], point: &Point) -> Vec<Index> {
        let index: Vec<Index> = index.iter().map(|i| self.index_at(i, point)).collect();
        let index = self.layouts[buffer as usize].index(&index, &self.facts);
        index.iter().map(|i| self.facts.simplify(i)).collect()
    }

    /// Where the lanes of a point lie in a buffer.
    pub(super) fn place(&self, buffer: u32, index: &[Index], point: &Point) -> Result<Lanes> {
        if index.iter().all(|i| self.uniform(i, point)) {
            let index = self.memory_index(buffer, index, &point.lane(0));
            return Ok(Lanes::Same(Access::Indexed { buffer: self.param(buffer), index }));
        }
        Ok(self.lanes_at(self.param(buffer), point, &|lane| self.memory_index(buffer, index, lane)))
    }

    /// Where the lanes of a point lie in a parameter, by the place of each.
    pub(super) fn lanes_at(&self, param: u32, point: &Point, at: &dyn Fn(&Point) -> Vec<Index>) -> Lanes {
        let access = |index: Vec<Index>| Access::Indexed { buffer: param, index };
        let lanes: Vec<Vec<Index>> = (0..point.lanes()).map(|lane| at(&point.lane(lane))).collect();
        let first = lanes[0].clone();
        let follows = |(lane, index): (usize, &Vec<Index>)| {
            let (outer, inner) = index.split_at(index.len() - 1);
            outer == &first[..outer.len()] && inner[0] == first[outer.len()].clone() + lane as i64
        };
        if !first.is_empty() && lanes.iter().enumerate().all(follows) {
            return Lanes::Consecutive(access(first));
        }
        if lanes.iter().all(|lane| *lane == first) {
            return Lanes::Same(access(first));
        }
        Lanes::Apart(lanes.into_iter().map(access).collect())
    }
}
