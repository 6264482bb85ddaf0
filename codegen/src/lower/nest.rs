//! The stages of a kernel at a block of points: inner loops, folds and stores.

use super::access::Lanes;
use super::segment::Segment;
use super::{Key, Lowering, Point, Value, typed};
use mlc_ir::program::{Expr, ExprKind, Reduce, Stage, Store, StoreMode};
use mlc_ir::tile::{Binary, Compare, Inst, Monoid, Op, Operand, Ref, Type};
use mlc_ir::{DType, Error, Index, Name, Result};
use std::ops::Range;

/// The accumulators of one point: a vector for each position in a vectorised block of the folded axis, and a scalar.
pub(super) struct Cells {
    pub wide: Vec<Ref>,
    pub narrow: Option<Ref>,
    pub lanes: u16,
}

impl Lowering<'_> {
    /// Writes all stages at a block of points. Some nests have all points of the block written out, so that these share what
    /// they load; in others the points come one after the other.
    pub(super) fn block(&mut self, point: &Point) -> Result<()> {
        if let Some((axis, size, slots)) = &self.plan.panel {
            return self.by_panels((axis, *size, *slots), point);
        }
        let points = self.block_points(point);
        for run in self.plan.runs() {
            match run.single && points.len() > 1 {
                true => self.one_by_one(&run.nests, &self.blocks(point), point)?,
                false => self.nests(&run.nests, &points)?,
            }
        }
        Ok(())
    }

    /// Loops over the points of a block.
    fn one_by_one(&mut self, nests: &[Range<usize>], blocks: &[(Name, i64)], point: &Point) -> Result<()> {
        let Some(((axis, block), rest)) = blocks.split_first() else {
            return self.nests(nests, std::slice::from_ref(point));
        };
        if *block == 1 {
            return self.one_by_one(nests, rest, &point.in_block(axis, Index::zero()));
        }
        let variable = self.open_loop(axis, &Index::from(*block));
        self.one_by_one(nests, rest, &point.in_block(axis, Index::var(variable)))?;
        self.close_loop();
        Ok(())
    }

    fn nests(&mut self, nests: &[Range<usize>], points: &[Point]) -> Result<()> {
        for nest in nests {
            self.nest = nest.start;
            let own = self.inner(nest.start);
            if own.is_empty() || nest.clone().any(|number| self.must_visit(number)) {
                self.inner_loops(nest, &own, points)?;
            }
        }
        Ok(())
    }

    /// The inner axes of a stage's value.
    fn inner(&self, number: usize) -> Vec<Name> {
        let axes = &self.kernel.stages[number].axes;
        axes.iter().filter(|name| !self.plan.outer.contains(name)).cloned().collect()
    }

    /// Whether a stage is computed where it stands, not only where it is read.
    fn must_visit(&self, number: usize) -> bool {
        let stage = &self.kernel.stages[number];
        let kept = self.plan.kept.contains(&number) && self.plan.filled_by(self.kernel, number).is_none();
        stage.store.is_some() || stage.reduce.is_some() || kept
    }

    /// Loops over the inner axes that the stages of a nest have.
    fn inner_loops(&mut self, nest: &Range<usize>, own: &[Name], points: &[Point]) -> Result<()> {
        let Some((axis, rest)) = own.split_first() else { return self.stages_at(nest, points) };
        self.hoist_stages(nest, own, points)?;
        match self.crew_along(std::slice::from_ref(axis)) {
            Some((_, crew)) => self.abreast(axis, crew, |this, _| this.inner_segments(nest, axis, rest, points)),
            None => self.inner_segments(nest, axis, rest, points),
        }
    }

    /// Evaluates what the stages of a nest compute from other axes than its own.
    fn hoist_stages(&mut self, nest: &Range<usize>, own: &[Name], points: &[Point]) -> Result<()> {
        for number in nest.clone() {
            let stage = &self.kernel.stages[number];
            if !self.must_visit(number) {
                continue;
            }
            let folded = stage.reduce.iter().flat_map(|reduce| &reduce.axes);
            let inside: Vec<Name> = own.iter().chain(folded).cloned().collect();
            self.hoist(&stage.value.clone(), &inside, points)?;
        }
        Ok(())
    }

    fn inner_segments(&mut self, nest: &Range<usize>, axis: &Name, rest: &[Name], points: &[Point]) -> Result<()> {
        for segment in self.segments(axis) {
            let variable = self.open_blocks(axis, &segment.count);
            let low = segment.at(&variable.clone().map_or(Index::zero(), Index::var));
            let spread = points.iter().flat_map(|point| spread(point, axis, &segment, &low)).collect::<Vec<_>>();
            self.inner_loops(nest, rest, &spread)?;
            if variable.is_some() {
                self.close_loop();
            }
        }
        Ok(())
    }

    /// The stages of a nest where all their axes are known: a fold at all points, then the maps that follow, point by point,
    /// so that few values live at a time.
    fn stages_at(&mut self, nest: &Range<usize>, points: &[Point]) -> Result<()> {
        let mut maps = nest.clone();
        if self.kernel.stages[nest.start].reduce.is_some() {
            self.stage_at(nest.start, points)?;
            maps.next();
        }
        let inner = !self.inner(nest.start).is_empty();
        for point in points {
            for number in maps.clone().filter(|number| !inner || self.must_visit(*number)).collect::<Vec<_>>() {
                self.stage_at(number, std::slice::from_ref(point))?;
            }
        }
        Ok(())
    }

    /// A stage whose axes are all known: its fold, if it has one, and where its value goes.
    pub(super) fn stage_at(&mut self, number: usize, points: &[Point]) -> Result<()> {
        let stage = &self.kernel.stages[number].clone();
        let values = match &stage.reduce {
            None => points.iter().map(|point| self.eval(&stage.value, point)).collect::<Result<Vec<_>>>()?,
            Some(reduce) => self.fold(stage, reduce, points)?,
        };
        points.iter().zip(values).try_for_each(|(point, value)| self.settle(number, &value, point))
    }

    /// Where a stage's value at a point goes.
    pub(super) fn settle(&mut self, number: usize, value: &Value, point: &Point) -> Result<()> {
        let key = self.stage_key(number, point);
        self.remember(key, value);
        self.keep(number, value, point)?;
        match &self.kernel.stages[number].store {
            Some(store) => self.store(store, value, point),
            None => Ok(()),
        }
    }

    fn fold(&mut self, stage: &Stage, reduce: &Reduce, points: &[Point]) -> Result<Vec<Value>> {
        match self.crew_along(&reduce.axes) {
            Some((axis, crew)) => self.fold_by_crew(stage, reduce, points, (&axis, crew)),
            None => self.fold_alone(stage, reduce, points),
        }
    }

    pub(super) fn fold_alone(&mut self, stage: &Stage, reduce: &Reduce, points: &[Point]) -> Result<Vec<Value>> {
        let dtype = stage.value.dtype();
        let cells: Vec<Cells> =
            points.iter().map(|point| self.cells(reduce, dtype, point)).collect::<Result<Vec<_>>>()?;
        self.fold_loops(stage, reduce, &reduce.axes, points, &cells)?;
        points.iter().zip(&cells).map(|(point, cells)| self.folded(reduce.monoid, dtype, point, cells)).collect()
    }

    fn cells(&mut self, reduce: &Reduce, dtype: DType, point: &Point) -> Result<Cells> {
        let identity = identity(reduce.monoid, dtype);
        let axis = reduce.axes.iter().find(|axis| self.plan.lanes(self.nest, axis) > 1);
        let Some(axis) = axis.filter(|_| point.vector.is_none()) else {
            let narrow = Some(self.cell(typed(dtype, point.lanes()), identity));
            return Ok(Cells { wide: vec![], narrow, lanes: point.lanes() });
        };
        let segments = self.folded_segments(axis);
        let vectors = segments.iter().filter(|s| s.lanes > 1).map(|s| s.block).max().unwrap_or(0);
        let lanes = self.plan.lanes(self.nest, axis);
        let wide = (0..vectors).map(|_| self.cell(typed(dtype, lanes), identity.clone())).collect();
        let scalar = segments.iter().any(|s| s.lanes == 1);
        let narrow = scalar.then(|| self.cell(typed(dtype, 1), identity));
        Ok(Cells { wide, narrow, lanes })
    }

    fn fold_loops(
        &mut self,
        stage: &Stage,
        reduce: &Reduce,
        axes: &[Name],
        points: &[Point],
        cells: &[Cells],
    ) -> Result<()> {
        let Some((axis, rest)) = axes.split_first() else {
            for (point, cells) in points.iter().zip(cells) {
                self.accumulate(stage, reduce, point, cells, 0)?;
            }
            return Ok(());
        };
        self.hoist(&stage.value, axes, points)?;
        for segment in self.folded_segments(axis) {
            let variable = self.open_blocks(axis, &segment.count);
            let low = segment.at(&variable.clone().map_or(Index::zero(), Index::var));
            if segment.lanes > 1 || segment.block > 1 {
                self.fold_block(stage, reduce, (axis, rest), (&segment, &low), points, cells)?;
            } else {
                let next: Vec<Point> = points.iter().map(|point| point.with(axis, low.clone())).collect();
                self.fold_loops(stage, reduce, rest, &next, cells)?;
            }
            if variable.is_some() {
                self.close_loop();
            }
        }
        Ok(())
    }

    /// A block of a folded axis; a vectorised one must be the innermost.
    fn fold_block(
        &mut self,
        stage: &Stage,
        reduce: &Reduce,
        (axis, rest): (&Name, &[Name]),
        (segment, low): (&Segment, &Index),
        points: &[Point],
        cells: &[Cells],
    ) -> Result<()> {
        if segment.lanes > 1 && !rest.is_empty() {
            return Err(Error::internal("a vectorised fold must be along its innermost axis"));
        }
        let spreads: Vec<Vec<Point>> = points.iter().map(|point| spread(point, axis, segment, low)).collect();
        // Step by step of the folded axis, all points at each: what two points share is then near.
        for n in 0..segment.block as usize {
            let inner: Vec<Point> = spreads.iter().map(|spread| spread[n].clone()).collect();
            if segment.lanes == 1 {
                self.fold_loops(stage, reduce, rest, &inner, cells)?;
                continue;
            }
            for (inner, cells) in inner.iter().zip(cells) {
                self.accumulate(stage, reduce, inner, cells, n)?;
            }
        }
        Ok(())
    }

    /// Folds the value at a point into its cell.
    pub(super) fn accumulate(
        &mut self,
        stage: &Stage,
        reduce: &Reduce,
        point: &Point,
        cells: &Cells,
        n: usize,
    ) -> Result<()> {
        let wide = point.lanes() > 1 && !cells.wide.is_empty();
        let cell = if wide { Some(&cells.wide[n]) } else { cells.narrow.as_ref() };
        let cell = cell.ok_or_else(|| Error::internal("a fold has no accumulator"))?.clone();
        let ty = typed(stage.value.dtype(), point.lanes());
        let first = if wide { point.first() } else { None };
        if first.is_none()
            && let (Monoid::Sum, Some((a, b)), Some(row)) = (reduce.monoid, product(&stage.value), row(ty))
        {
            let (a, b) = (self.eval(&a, point)?.operand, self.eval(&b, point)?.operand);
            self.push(Inst::Dot { row, cell, a, b });
            return Ok(());
        }
        let mut value = self.eval(&stage.value, point)?;
        if let Some(first) = first {
            let (live, nothing) = (self.first_lanes(first, ty.lanes), identity(reduce.monoid, ty.dtype));
            value = self.define(ty, Op::Select(live, value.operand, nothing));
        }
        let folded = self.combine(reduce.monoid, ty, Operand::Ref(cell.clone()), value.operand);
        self.push(Inst::Set { cell, value: folded.operand });
        Ok(())
    }

    /// Which lanes are the first ones, as bools.
    fn first_lanes(&mut self, first: Index, lanes: u16) -> Operand {
        let key = Key::First(first.clone(), lanes);
        if let Some(known) = self.known(&key) {
            return known.operand;
        }
        let (one, all) = (typed(DType::I32, 1), typed(DType::I32, lanes));
        let first = self.define(one, Op::Index(first));
        let first = self.splat(first, lanes);
        let number = self.define(all, Op::Iota);
        let live = self.define(typed(DType::Bool, lanes), Op::Compare(Compare::Lt, all, number.operand, first.operand));
        self.remember(key, &live);
        live.operand
    }

    /// One step of a fold of two values.
    fn combine(&mut self, monoid: Monoid, ty: Type, a: Operand, b: Operand) -> Value {
        let extreme = match monoid {
            Monoid::Sum => return self.define(ty, Op::Binary(Binary::Add, a, b)),
            Monoid::Prod => return self.define(ty, Op::Binary(Binary::Mul, a, b)),
            Monoid::And => return self.define(ty, Op::Binary(Binary::And, a, b)),
            Monoid::Or => return self.define(ty, Op::Binary(Binary::Or, a, b)),
            Monoid::Max => Binary::Max,
            Monoid::Min => Binary::Min,
        };
        // `a > b ? a : b` is b if either is NaN: right if b is, so only a NaN in a needs care.
        let best = self.define(ty, Op::Binary(extreme, a.clone(), b));
        if !ty.dtype.is_float() {
            return best;
        }
        let nan = self.define(typed(DType::Bool, ty.lanes), Op::Compare(Compare::Ne, ty, a.clone(), a.clone()));
        self.define(ty, Op::Select(nan.operand, a, best.operand))
    }

    /// The value of a fold from its accumulators.
    fn folded(&mut self, monoid: Monoid, dtype: DType, point: &Point, cells: &Cells) -> Result<Value> {
        let wide: Vec<Operand> = cells.wide.iter().cloned().map(Operand::Ref).collect();
        let narrow = cells.narrow.clone().map(Operand::Ref);
        if wide.is_empty() {
            let operand = narrow.ok_or_else(|| Error::internal("a fold has no accumulator"))?;
            return Ok(Value { operand, ty: typed(dtype, point.lanes()) });
        }
        let (scalar, wide) = (typed(dtype, 1), self.in_pairs(monoid, typed(dtype, cells.lanes), wide)?);
        let reduced = self.define(scalar, Op::Reduce(monoid, wide.operand));
        Ok(match narrow {
            Some(narrow) => self.combine(monoid, scalar, reduced.operand, narrow),
            None => reduced,
        })
    }

    /// Some values as one, by pairs, pairs of pairs and so on.
    pub(super) fn in_pairs(&mut self, monoid: Monoid, ty: Type, mut values: Vec<Operand>) -> Result<Value> {
        while values.len() > 1 {
            let pairs = values.chunks(2).map(<[Operand]>::to_vec).collect::<Vec<_>>();
            values = pairs
                .into_iter()
                .map(|pair| match <[Operand; 2]>::try_from(pair) {
                    Ok([a, b]) => self.combine(monoid, ty, a, b).operand,
                    Err(mut single) => single.remove(0),
                })
                .collect();
        }
        let operand = values.pop().ok_or_else(|| Error::internal("a fold of nothing"))?;
        Ok(Value { operand, ty })
    }

    fn store(&mut self, store: &Store, value: &Value, point: &Point) -> Result<()> {
        let dtype = self.program.buffer(store.buffer).dtype;
        let value = self.splat(value.clone(), point.lanes());
        let value = match value.ty.dtype == dtype {
            true => value,
            false => self.define(typed(dtype, point.lanes()), Op::Convert(value.ty, value.operand)),
        };
        if !store.only.iter().all(|test| self.uniform_test(test, point)) {
            return Err(Error::internal("the lanes of a store do not share its condition"));
        }
        let tests = self.tests_at(&store.only, &point.lane(0));
        self.only_if(tests, |this| this.store_all(store, &value, point))
    }

    fn store_all(&mut self, store: &Store, value: &Value, point: &Point) -> Result<()> {
        let scalar = typed(value.ty.dtype, 1);
        match self.place(store.buffer, &store.index, point)? {
            Lanes::Consecutive(to) => {
                let first = point.first();
                self.push(Inst::Store { to, value: value.operand.clone(), ty: value.ty, first });
            }
            Lanes::Same(to) => {
                let mut operand = value.operand.clone();
                if let StoreMode::Combine(monoid) = store.mode {
                    let old = self.define(scalar, Op::Load(to.clone(), None));
                    operand = self.combine(monoid, scalar, old.operand, operand).operand;
                }
                self.push(Inst::Store { to, value: operand, ty: scalar, first: None });
            }
            Lanes::Apart(places) => {
                let live = usize::from(self.live(point)?);
                for (lane, to) in places.into_iter().take(live).enumerate() {
                    let lane = self.define(scalar, Op::Lane(value.operand.clone(), lane as u16));
                    self.push(Inst::Store { to, value: lane.operand, ty: scalar, first: None });
                }
            }
        }
        Ok(())
    }
}

/// The points of a segment's block of an axis.
fn spread(point: &Point, axis: &Name, segment: &Segment, low: &Index) -> Vec<Point> {
    let width = i64::from(segment.lanes);
    let place = |n: u32| {
        let mut inner = point.with(axis, low.clone() + i64::from(n) * width);
        if segment.lanes > 1 {
            inner.vector = Some((axis.clone(), segment.lanes));
            inner.end = segment.end.clone();
        }
        inner
    };
    (0..segment.block).map(place).collect()
}

/// The factors, if an expression is a product.
pub(crate) fn product(expr: &Expr) -> Option<(Expr, Expr)> {
    match expr.kind() {
        ExprKind::Binary(Binary::Mul, a, b) => Some((a.clone(), b.clone())),
        _ => None,
    }
}

/// The row of the matrix table that multiplies and accumulates lanes of a type.
fn row(ty: Type) -> Option<Name> {
    matches!(ty.dtype, DType::F32 | DType::F64).then(|| ty.to_string().into())
}

pub(super) fn identity(monoid: Monoid, dtype: DType) -> Operand {
    super::eval::constant(mlc_ir::program::interp::identity(monoid, dtype))
}
