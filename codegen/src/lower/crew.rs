//! Work that the crew of a task shares.
//!
//! An axis that a nest deals out to a crew of `n` is walked by a loop abreast of `n` members; each takes every `n`-th block,
//! so that neighbours take what lies side by side. A fold along such an axis is one of each member's part, then a tree over
//! the results, which lie in scratch memory: its order depends on the schedule alone, not on who runs it.

use super::{Lowering, Point, Value, typed};
use mlc_ir::program::{Reduce, Stage};
use mlc_ir::tile::{Access, Inst, LoopKind, Monoid, Op, Type};
use mlc_ir::{Index, Name, Result};

/// The member of the crew whose part of an axis is written.
pub(super) struct Member {
    axis: Name,
    number: Index,
    crew: i64,
}

/// Results that one member folds into one, while there are more.
const ARITY: u32 = 4;

impl Lowering<'_> {
    /// The crew that walks one of some axes in the present nest, if no member of it is at work already.
    pub(super) fn crew_along(&self, axes: &[Name]) -> Option<(Name, u32)> {
        let crewed = axes.iter().map(|axis| (axis.clone(), self.plan.crew(self.nest, axis)));
        crewed.filter(|_| self.member.is_none()).find(|(_, crew)| *crew > 1)
    }

    /// Writes the part that each member of a crew has of an axis.
    pub(super) fn abreast<R>(
        &mut self,
        axis: &Name,
        crew: u32,
        write: impl FnOnce(&mut Self, &Index) -> Result<R>,
    ) -> Result<R> {
        let count = Index::from(i64::from(crew));
        let variable = self.open(LoopKind::Abreast, axis, (Index::zero(), count.clone(), 1), &count);
        let number = Index::var(variable);
        self.member = Some(Member { axis: axis.clone(), number: number.clone(), crew: i64::from(crew) });
        let written = write(self, &number);
        self.member = None;
        self.close_loop();
        written
    }

    /// Opens the loop over the blocks of an axis, those of the member at work if there is one; returns the number of the block.
    /// One block of all needs no loop.
    pub(super) fn open_blocks(&mut self, axis: &Name, count: &Index) -> Option<Name> {
        let own = self.member.as_ref().filter(|member| member.axis == *axis);
        match own.map(|member| (member.number.clone(), count.clone(), member.crew)) {
            Some(range) => Some(self.open(LoopKind::Serial, axis, range, count)),
            None if count.is(1) => None,
            None => Some(self.open_loop(axis, count)),
        }
    }

    /// A fold along an axis that a crew walks.
    pub(super) fn fold_by_crew(
        &mut self,
        stage: &Stage,
        reduce: &Reduce,
        points: &[Point],
        (axis, crew): (&Name, u32),
    ) -> Result<Vec<Value>> {
        self.hoist(&stage.value, &reduce.axes, points)?;
        let (dtype, monoid) = (stage.value.dtype(), reduce.monoid);
        let partial = self.make("partial", dtype, &[points.len() as i64, i64::from(crew), 1]);
        let ty = self.abreast(axis, crew, |this, member| {
            let values = this.fold_alone(stage, reduce, points)?;
            let ty = values.first().map_or(typed(dtype, 1), |value| value.ty);
            for (point, value) in values.into_iter().enumerate() {
                let to = this.partial(partial, point, member.clone());
                this.push(Inst::Store { to, value: value.operand, ty, first: None });
            }
            Ok(ty)
        })?;
        self.widen(partial, ty.lanes);
        let mut left = crew;
        while left > ARITY && left.is_multiple_of(ARITY) {
            left /= ARITY;
            self.abreast(axis, left, |this, member| {
                let places: Vec<Index> = (0..ARITY).map(|n| member.clone() + i64::from(n * left)).collect();
                for point in 0..points.len() {
                    let value = this.joined(monoid, ty, partial, point, &places)?;
                    let to = this.partial(partial, point, member.clone());
                    this.push(Inst::Store { to, value: value.operand, ty, first: None });
                }
                Ok(())
            })?;
        }
        let places: Vec<Index> = (0..i64::from(left)).map(Index::from).collect();
        (0..points.len()).map(|point| self.joined(monoid, ty, partial, point, &places)).collect()
    }

    /// Some of a fold's results as one, by halves.
    fn joined(&mut self, monoid: Monoid, ty: Type, partial: u32, point: usize, places: &[Index]) -> Result<Value> {
        let places = places.iter().map(|place| self.partial(partial, point, place.clone())).collect::<Vec<_>>();
        let values = places.into_iter().map(|from| self.define(ty, Op::Load(from, None)).operand).collect();
        self.in_pairs(monoid, ty, values)
    }

    /// Where a member's result of a fold lies.
    fn partial(&self, buffer: u32, point: usize, member: Index) -> Access {
        Access::Indexed { buffer, index: vec![Index::from(point as i64), member, Index::zero()] }
    }
}
