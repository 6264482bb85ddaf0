//! Panels: what a fold multiplies, brought to scratch memory by the crew of a task for some points of the folded axis at a time.
//!
//! A panel has a row for each point of the task's block that its expression depends on, and a column for each point of the folded
//! axis; or the other way round, if that is how what it reads lies. Rows are longer than what is in them by 16 bytes where
//! that keeps neighbouring ones in different banks of memory. There may be several *slots* of one form, for chunks that follow
//! each other. Beyond the end of an axis a panel is 0.

use super::access::Lanes;
use super::by_panels::Product;
use super::team::Side;
use super::{Key, Lowering, Point, Value, offset_key, typed};
use mlc_ir::program::{Expr, ExprKind};
use mlc_ir::tile::{Access, InRange, Inst, Op, Operand, Type};
use mlc_ir::{DType, Index, Name, Result};

/// Points of the folded axis that are brought at once.
pub(super) struct Chunk {
    pub axis: Name,
    pub size: i64,
    /// Chunks of the axis.
    pub count: Index,
    /// The end of the axis, if the last chunk reaches beyond it.
    pub end: Option<Index>,
}

/// An expression whose values lie in a panel.
#[derive(Clone)]
pub(super) struct Panel {
    expr: Expr,
    axis: Name,
    /// The sides it depends on, the first one slowest.
    pub sides: Vec<Side>,
    rows: i64,
    steps: i64,
    /// Whether the points of the block lie side by side, not those of the folded axis.
    pub across: bool,
    /// Elements that are moved at once.
    width: u16,
    /// Chunks there is room for. With one, members read what they fill it with next; otherwise it is copied.
    pub slots: i64,
    /// The one that is read.
    pub slot: Index,
    /// Its parameter, and that of what a member has read for it.
    near: u32,
    read: u32,
}

/// Bytes that one instruction moves, and the fewest that a copy by itself does.
const MOVED: i64 = 16;
const LEAST: i64 = 4;

impl Panel {
    fn ty(&self) -> Type {
        typed(self.expr.dtype(), self.width)
    }

    /// Vectors of a slot.
    fn count(&self) -> i64 {
        self.rows * self.steps / i64::from(self.width)
    }

    /// Vectors that a member of so many brings.
    fn each(&self, members: i64) -> i64 {
        (self.count() + members - 1) / members
    }

    fn index(&self, slot: &Index, row: Index, step: Index) -> Vec<Index> {
        if self.across { vec![slot.clone(), step, row] } else { vec![slot.clone(), row, step] }
    }

    /// An element of the slot that is read.
    pub fn element(&self, row: Index, step: Index) -> Access {
        Access::Indexed { buffer: self.near, index: self.index(&self.slot, row, step) }
    }
}

impl Lowering<'_> {
    /// The panels of a fold, with so many slots if they can be copied.
    pub(super) fn panels(&mut self, product: &Product, point: &Point, slots: i64) -> Vec<Panel> {
        let mut panels: Vec<Panel> = Vec::new();
        for expr in factors(&product.stage.value) {
            let axes = self.axes_of(&expr);
            if axes.contains(&product.chunk.axis) && !panels.iter().any(|panel| panel.expr.id() == expr.id()) {
                let sides = product.sides.iter().filter(|side| side.points() > 1 && axes.contains(&side.axis));
                let panel = self.panel(expr, &product.chunk, sides.cloned().collect(), point);
                panels.push(panel);
            }
        }
        let copied = slots > 1 && panels.iter().all(|panel| self.is_copied(panel));
        for panel in &mut panels {
            let dtype = panel.expr.dtype();
            let (outer, inner) = if panel.across { (panel.steps, panel.rows) } else { (panel.rows, panel.steps) };
            panel.slots = if copied { slots } else { 1 };
            panel.near = self.make("panel", dtype, &[panel.slots, outer, padded(inner, dtype, panel.across)]);
            if !copied {
                let each = panel.each(product.members);
                panel.read = self.make("read", dtype, &[product.members, each, i64::from(panel.width)]);
            }
        }
        panels
    }

    fn panel(&self, expr: Expr, chunk: &Chunk, mut sides: Vec<Side>, point: &Point) -> Panel {
        let widest = (MOVED / expr.dtype().bytes() as i64) as u16;
        let follows = |axis: &Name, lanes: u16| self.lie_together(&expr, axis, lanes, point);
        let whole = |end: &Option<Index>| {
            end.as_ref().is_none_or(|end| self.facts.rem(end, &Index::from(i64::from(widest))).is(0))
        };
        let across = sides.iter().position(|side| follows(&side.axis, 2)).filter(|_| !follows(&chunk.axis, 2));
        let (axis, end, points) = match across {
            Some(place) => {
                let side = sides.remove(place);
                sides.push(side.clone());
                (side.axis.clone(), side.end.clone(), side.points())
            }
            None => (chunk.axis.clone(), chunk.end.clone(), chunk.size),
        };
        let wide = whole(&end) && points % i64::from(widest) == 0 && follows(&axis, widest);
        Panel {
            expr,
            axis: chunk.axis.clone(),
            rows: sides.iter().map(Side::points).product(),
            sides,
            steps: chunk.size,
            across: across.is_some(),
            width: if wide { widest } else { 1 },
            slots: 1,
            slot: Index::zero(),
            near: u32::MAX,
            read: u32::MAX,
        }
    }

    /// Whether nothing has to be done with what is brought but to copy it, some bytes at once.
    fn is_copied(&self, panel: &Panel) -> bool {
        let ExprKind::Load { buffer, .. } = panel.expr.kind() else { return false };
        let bytes = panel.expr.dtype().bytes() as i64 * i64::from(panel.width);
        bytes >= LEAST && !self.writes.contains(buffer) && panel.expr.dtype() != DType::Bool
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

    /// Has a member bring its part of a panel, for the chunk that begins at a point, to a slot, if some tests hold.
    pub(super) fn bring(
        &mut self,
        product: &Product,
        panel: &Panel,
        begin: &Point,
        (more, slot): (&[InRange], &Index),
        member: &Index,
    ) -> Result<()> {
        for n in 0..panel.each(product.members) {
            let number = member.clone() + n * product.members;
            let exists: Vec<InRange> = more.iter().cloned().chain(self.exists(panel, &number)).collect();
            let (at, inside) = self.vector(panel, &product.chunk, begin, &number);
            if panel.slots > 1 {
                let (row, step) = self.first(panel, &number);
                let to = Access::Indexed { buffer: panel.near, index: panel.index(slot, row, step) };
                self.only_if(exists, |this| this.copy(panel, to, inside, &at))?;
                continue;
            }
            let value = self.value_if(&panel.expr, [exists, inside].concat(), &at)?;
            let index = vec![member.clone(), n.into(), Index::zero()];
            let to = Access::Indexed { buffer: panel.read, index };
            self.push(Inst::Store { to, value: value.operand, ty: panel.ty(), first: None });
        }
        Ok(())
    }

    /// The point of a panel's `number`-th vector, and what has to be tested of it.
    fn vector(&self, panel: &Panel, chunk: &Chunk, begin: &Point, number: &Index) -> (Point, Vec<InRange>) {
        let (mut row, step) = self.first(panel, number);
        let mut tests = Vec::new();
        let place = begin.axes[&chunk.axis].clone() + step;
        let mut at = begin.with(&chunk.axis, place.clone());
        let width = |along: bool| if along { i64::from(panel.width) } else { 1 };
        if let Some(end) = &chunk.end {
            let index = place + (width(!panel.across) - 1);
            tests.push(InRange { index, low: Index::zero(), high: end.clone() });
        }
        for (place, side) in panel.sides.iter().enumerate().rev() {
            let points = Index::from(side.points());
            let own = if place == 0 { row.clone() } else { self.facts.rem(&row, &points) };
            row = self.facts.div(&row, &points);
            let value = side.base.clone() + own;
            at = at.with(&side.axis, value.clone());
            let last = panel.across && place + 1 == panel.sides.len();
            tests.extend(side.holds(&value, width(last)));
        }
        at.vector = (panel.width > 1).then(|| {
            let axis = if panel.across { panel.sides.last().map(|side| &side.axis) } else { None };
            (axis.unwrap_or(&chunk.axis).clone(), panel.width)
        });
        tests.retain(|test| !test.proven(&self.facts));
        (at, tests)
    }

    /// Copies a vector to its place, or zeros if it is none.
    fn copy(&mut self, panel: &Panel, to: Access, inside: Vec<InRange>, at: &Point) -> Result<()> {
        let ExprKind::Load { buffer, index } = panel.expr.kind() else { return Ok(()) };
        let from = match self.place(*buffer, index, at)? {
            Lanes::Consecutive(from) | Lanes::Same(from) => from,
            Lanes::Apart(_) => return Err(mlc_ir::Error::internal("a copy of what lies apart")),
        };
        let ty = panel.ty();
        let copy = Inst::Copy { to: to.clone(), from, ty, first: None };
        if inside.is_empty() {
            self.push(copy);
            return Ok(());
        }
        let nothing = Inst::Store { to, value: zero(ty.dtype), ty, first: None };
        self.push(Inst::If { all: inside, then: vec![copy], otherwise: vec![nothing] });
        Ok(())
    }

    /// The value of an expression where all tests hold, else 0.
    fn value_if(&mut self, expr: &Expr, tests: Vec<InRange>, point: &Point) -> Result<Value> {
        if tests.is_empty() {
            return self.eval(expr, point);
        }
        let ty = typed(expr.dtype(), point.lanes());
        let cell = self.cell(ty, zero(ty.dtype));
        self.only_if(tests, |this| {
            let value = this.eval(expr, point)?.operand;
            this.push(Inst::Set { cell: cell.clone(), value });
            Ok(())
        })?;
        Ok(Value { operand: Operand::Ref(cell), ty })
    }

    /// Writes what a member has read into a panel.
    pub(super) fn fill(&mut self, product: &Product, panel: &Panel, member: &Index) -> Result<()> {
        let ty = panel.ty();
        for n in 0..panel.each(product.members) {
            let number = member.clone() + n * product.members;
            let exists = self.exists(panel, &number).into_iter().collect();
            self.only_if(exists, |this| {
                let index = vec![member.clone(), n.into(), Index::zero()];
                let value = this.define(ty, Op::Load(Access::Indexed { buffer: panel.read, index }, None));
                let (row, step) = this.first(panel, &number);
                let to = panel.element(row, step);
                this.push(Inst::Store { to, value: value.operand, ty, first: None });
                Ok(())
            })?;
        }
        Ok(())
    }

    /// What has to be tested where a panel may have fewer vectors: the slower of row and step is within the panel.
    fn exists(&self, panel: &Panel, number: &Index) -> Option<InRange> {
        let (row, step) = self.first(panel, number);
        let (index, high) = if panel.across { (step, panel.steps) } else { (row, panel.rows) };
        let test = InRange { index, low: Index::zero(), high: high.into() };
        (!test.proven(&self.facts)).then_some(test)
    }

    /// Row and step of the first element of a panel's `number`-th vector.
    fn first(&self, panel: &Panel, number: &Index) -> (Index, Index) {
        let width = i64::from(panel.width);
        let inner = Index::from(if panel.across { panel.rows } else { panel.steps } / width);
        let (outer, inner) = (self.facts.div(number, &inner), self.facts.rem(number, &inner) * width);
        if panel.across { (inner, outer) } else { (outer, inner) }
    }

    /// The value of an expression at a point from the panel that it lies in.
    pub(super) fn near_value(&mut self, expr: &Expr, point: &Point) -> Option<Value> {
        let panel = self.near.iter().find(|panel| panel.expr.id() == expr.id())?;
        let index = |point: &Point| {
            let row = panel.sides.iter().fold(Index::zero(), |row, side| {
                row * side.points() + point.axes.get(&offset_key(&side.axis)).cloned().unwrap_or_default()
            });
            let step = point.axes.get(&offset_key(&panel.axis)).cloned().unwrap_or_default();
            panel.index(&panel.slot, self.facts.simplify(&row), step)
        };
        let place = self.lanes_at(panel.near, point, &index);
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
}

/// Elements of a row: neighbouring rows of a power of two of bytes would lie in the same banks. Where rows are read whole,
/// 16 bytes at once, the next one begins so far from them; where words are read across four rows, twice as far.
fn padded(elements: i64, dtype: DType, across: bool) -> i64 {
    let bytes = dtype.bytes() as i64;
    let more = if across && bytes == LEAST { 2 * MOVED } else { MOVED };
    if elements * bytes % (2 * MOVED) == 0 { elements + more / bytes } else { elements }
}

/// The factors of a product as memory has them: what widens them is done where they are read.
pub(crate) fn factors(value: &Expr) -> Vec<Expr> {
    let factors = super::product(value).map_or(vec![value.clone()], |(a, b)| vec![a, b]);
    factors.iter().map(narrowest).collect()
}

fn narrowest(factor: &Expr) -> Expr {
    match factor.kind() {
        ExprKind::Cast(narrow) if narrow.dtype().bytes() < factor.dtype().bytes() => narrowest(narrow),
        _ => factor.clone(),
    }
}

fn zero(dtype: DType) -> Operand {
    if dtype.is_float() { Operand::Float(0.0) } else { Operand::Int(0) }
}
