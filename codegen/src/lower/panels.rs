//! Panels: what a fold multiplies, brought to scratch memory by the crew of a task for some points of the folded axis at a time.
//!
//! A panel has a row for each point of the task's block that its expression depends on, and a column for each point of the folded
//! axis; or the other way round, if that is how what it reads lies. Rows are longer than what is in them by 16 bytes where
//! that keeps neighbouring ones in different banks of memory.
//! Beyond the end of an axis a panel is 0.

use super::access::Lanes;
use super::team::Side;
use super::{Key, Lowering, Point, Value, offset_key, typed};
use mlc_ir::program::{Expr, ExprKind, Stage};
use mlc_ir::tile::{Access, InRange, Inst, Op, Operand, Param, Space};
use mlc_ir::{DType, Index, Name, Result};

/// Points of the folded axis that are brought at once.
pub(super) struct Chunk {
    pub axis: Name,
    pub size: i64,
    /// The end of the axis, if the last chunk reaches beyond it.
    pub end: Option<Index>,
}

/// An expression whose values lie in a panel.
pub(super) struct Panel {
    expr: Expr,
    axis: Name,
    /// The sides it depends on, the first one slowest.
    sides: Vec<Side>,
    rows: i64,
    steps: i64,
    /// Whether the points of the block lie side by side, not those of the folded axis.
    across: bool,
    /// Elements that a member moves at once.
    width: u16,
    /// Its parameter, and that of what a member has read for it.
    near: u32,
    read: u32,
}

/// Bytes that one instruction moves.
const MOVED: i64 = 16;

impl Panel {
    fn count(&self) -> i64 {
        self.rows * self.steps / i64::from(self.width)
    }

    /// Vectors that a member of so many brings.
    fn each(&self, members: i64) -> i64 {
        (self.count() + members - 1) / members
    }

    fn index(&self, row: Index, step: Index) -> Vec<Index> {
        if self.across { vec![step, row] } else { vec![row, step] }
    }
}

impl Lowering<'_> {
    /// The panels of a fold.
    pub(super) fn panels(
        &mut self,
        stage: &Stage,
        chunk: &Chunk,
        sides: &[Side],
        members: i64,
        point: &Point,
    ) -> Vec<Panel> {
        let factors = super::product(&stage.value).map_or(vec![stage.value.clone()], |(a, b)| vec![a, b]);
        let mut panels: Vec<Panel> = Vec::new();
        for factor in factors {
            let expr = stored(&factor);
            let axes = self.axes_of(&expr);
            if axes.contains(&chunk.axis) && !panels.iter().any(|panel| panel.expr.id() == expr.id()) {
                let sides = sides.iter().filter(|side| side.points() > 1 && axes.contains(&side.axis));
                panels.push(self.panel(expr, chunk, sides.cloned().collect(), members, point));
            }
        }
        panels
    }

    fn panel(&mut self, expr: Expr, chunk: &Chunk, mut sides: Vec<Side>, members: i64, point: &Point) -> Panel {
        let dtype = expr.dtype();
        let widest = (MOVED / dtype.bytes() as i64) as u16;
        let follows = |this: &Self, axis: &Name, lanes: u16| this.lie_together(&expr, axis, lanes, point);
        let along = |end: &Option<Index>, this: &Self| {
            end.as_ref().is_none_or(|end| this.facts.rem(end, &Index::from(i64::from(widest))).is(0))
        };
        let across = sides.iter().position(|side| follows(self, &side.axis, 2));
        let across = across.filter(|_| !follows(self, &chunk.axis, 2));
        let (axis, end, points) = match across {
            Some(place) => {
                let side = sides.remove(place);
                sides.push(side.clone());
                (side.axis.clone(), side.end.clone(), side.points())
            }
            None => (chunk.axis.clone(), chunk.end.clone(), chunk.size),
        };
        let wide = along(&end, self) && points % i64::from(widest) == 0 && follows(self, &axis, widest);
        let rows: i64 = sides.iter().map(Side::points).product();
        let across = across.is_some();
        let (outer, inner) = if across { (chunk.size, rows) } else { (rows, chunk.size) };
        let near = self.make("panel", dtype, &[outer, padded(inner, dtype)]);
        let width = if wide { widest } else { 1 };
        let (axis, steps) = (chunk.axis.clone(), chunk.size);
        let mut panel = Panel { expr, axis, sides, rows, steps, across, width, near, read: near };
        panel.read = self.make("read", dtype, &[members, panel.each(members), i64::from(width)]);
        panel
    }

    /// Whether what an expression reads lies side by side along an axis, whatever its tests say.
    fn lie_together(&self, expr: &Expr, axis: &Name, lanes: u16, point: &Point) -> bool {
        let mut together = true;
        let mut point = point.clone();
        point.axes.entry(axis.clone()).or_default();
        point.vector = Some((axis.clone(), lanes));
        let loads = crate::schedule::loads(expr);
        expr.visit(&mut |e| {
            if let ExprKind::Guard { all, .. } = e.kind() {
                together &= all.iter().all(|test| self.uniform_test(test, &point));
            }
        });
        let consecutive = |(buffer, index): &(u32, Vec<Index>)| {
            matches!(self.place(*buffer, index, &point), Ok(Lanes::Consecutive(_)))
        };
        together && loads.len() == 1 && loads.iter().all(consecutive)
    }

    /// Has a member read its part of a panel for the chunk that begins at a point, if some tests hold.
    pub(super) fn read_panel(
        &mut self,
        panel: &Panel,
        chunk: &Chunk,
        (point, begin): (&Point, &Index),
        tests: &[InRange],
        (member, members): (&Index, i64),
    ) -> Result<()> {
        let ty = typed(panel.expr.dtype(), panel.width);
        for n in 0..panel.each(members) {
            let number = member.clone() + n * members;
            let mut all: Vec<InRange> = tests.to_vec();
            all.push(InRange { index: number.clone(), low: Index::zero(), high: panel.count().into() });
            let (row, step) = self.element(panel, &number);
            let place = begin.clone() + step;
            let mut at = point.with(&chunk.axis, place.clone());
            let width = |along: bool| if along { i64::from(panel.width) } else { 1 };
            if let Some(end) = &chunk.end {
                let index = place + (width(!panel.across) - 1);
                all.push(InRange { index, low: Index::zero(), high: end.clone() });
            }
            let mut rest = row;
            for (place, side) in panel.sides.iter().enumerate().rev() {
                let offset = self.facts.rem(&rest, &Index::from(side.points()));
                rest = self.facts.div(&rest, &Index::from(side.points()));
                let value = side.base.clone() + offset;
                at = at.with(&side.axis, value.clone());
                let last = panel.across && place + 1 == panel.sides.len();
                all.extend(side.holds(&value, width(last)));
            }
            at.vector = (panel.width > 1).then(|| {
                let axis = if panel.across { panel.sides.last().map(|side| &side.axis) } else { None };
                (axis.unwrap_or(&chunk.axis).clone(), panel.width)
            });
            all.retain(|test| !test.proven(&self.facts));
            let value = self.value_if(&panel.expr, all, &at)?;
            let index = vec![member.clone(), n.into(), Index::zero()];
            let to = Access::Indexed { buffer: panel.read, index };
            self.push(Inst::Store { to, value: value.operand, ty, first: None });
        }
        Ok(())
    }

    /// The value of an expression where all tests hold, else 0.
    fn value_if(&mut self, expr: &Expr, tests: Vec<InRange>, point: &Point) -> Result<Value> {
        if tests.is_empty() {
            return self.eval(expr, point);
        }
        let ty = typed(expr.dtype(), point.lanes());
        let zero = if ty.dtype.is_float() { Operand::Float(0.0) } else { Operand::Int(0) };
        let cell = self.cell(ty, zero);
        self.only_if(tests, |this| {
            let value = this.eval(expr, point)?.operand;
            this.push(Inst::Set { cell: cell.clone(), value });
            Ok(())
        })?;
        Ok(Value { operand: Operand::Ref(cell), ty })
    }

    /// Writes what a member has read into a panel.
    pub(super) fn fill_panel(&mut self, panel: &Panel, (member, members): (&Index, i64)) -> Result<()> {
        let ty = typed(panel.expr.dtype(), panel.width);
        for n in 0..panel.each(members) {
            let number = member.clone() + n * members;
            let inside = InRange { index: number.clone(), low: Index::zero(), high: panel.count().into() };
            let tests = if inside.proven(&self.facts) { vec![] } else { vec![inside] };
            self.only_if(tests, |this| {
                let index = vec![member.clone(), n.into(), Index::zero()];
                let value = this.define(ty, Op::Load(Access::Indexed { buffer: panel.read, index }, None));
                let (row, step) = this.element(panel, &number);
                let to = Access::Indexed { buffer: panel.near, index: panel.index(row, step) };
                this.push(Inst::Store { to, value: value.operand, ty, first: None });
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Row and step of the first element of a panel's `number`-th vector.
    fn element(&self, panel: &Panel, number: &Index) -> (Index, Index) {
        let width = i64::from(panel.width);
        let inner = Index::from(if panel.across { panel.rows } else { panel.steps } / width);
        let (outer, inner) = (self.facts.div(number, &inner), self.facts.rem(number, &inner) * width);
        if panel.across { (inner, outer) } else { (outer, inner) }
    }

    /// The value of an expression at a point from the panel that it lies in.
    pub(super) fn near_value(&mut self, expr: &Expr, point: &Point) -> Option<Value> {
        let panel = self.near.iter().find(|panel| panel.expr.id() == expr.id())?;
        let near = panel.near;
        let index = |point: &Point| {
            let row = panel.sides.iter().fold(Index::zero(), |row, side| {
                row * side.points() + point.axes.get(&offset_key(&side.axis)).cloned().unwrap_or_default()
            });
            let step = point.axes.get(&offset_key(&panel.axis)).cloned().unwrap_or_default();
            panel.index(self.facts.simplify(&row), step)
        };
        let place = self.lanes_at(near, point, &index);
        let (dtype, lanes) = (expr.dtype(), point.lanes());
        Some(match place {
            Lanes::Same(from) => self.load_near(dtype, lanes, from, false),
            Lanes::Consecutive(from) => self.load_near(dtype, lanes, from, true),
            Lanes::Apart(places) => {
                let scalars = places.into_iter().map(|from| self.load_near(dtype, 1, from, true).operand).collect();
                self.pack(typed(dtype, lanes), scalars)
            }
        })
    }

    fn load_near(&mut self, dtype: DType, lanes: u16, from: Access, consecutive: bool) -> Value {
        let Access::Indexed { buffer, index } = &from else { unreachable!("lowering makes indexed accesses") };
        let key = Key::Load(*buffer, index.clone(), lanes, consecutive, None);
        if let Some(value) = self.known(&key) {
            return value;
        }
        let op = if consecutive || lanes == 1 { Op::Load(from, None) } else { Op::Broadcast(from) };
        let value = self.define(typed(dtype, lanes), op);
        self.remember(key, &value);
        value
    }

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

/// Elements of a row: neighbouring rows of a power of two of bytes would lie in the same banks.
fn padded(elements: i64, dtype: DType) -> i64 {
    let bytes = dtype.bytes() as i64;
    if elements * bytes % (2 * MOVED) == 0 { elements + MOVED / bytes } else { elements }
}

/// A factor as memory has it: what widens it can be done where it is read.
fn stored(factor: &Expr) -> Expr {
    match factor.kind() {
        ExprKind::Cast(narrow) if narrow.dtype().bytes() < factor.dtype().bytes() => stored(narrow),
        _ => factor.clone(),
    }
}
