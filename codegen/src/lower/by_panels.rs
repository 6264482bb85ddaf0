//! A fold whose block is a whole crew's: the crew brings panels of what is multiplied to scratch memory, and each member adds
//! the products of its points.
//!
//! While members multiply one chunk of the folded axis, what they read of the next is on its way. Sums and what has been read
//! are each member's own: buffers that an emitter may hold in registers, since all accesses to them say which member and
//! which number.

use super::nest::{Cells, identity};
use super::panels::{Chunk, Panel};
use super::team::{Side, members};
use super::{Lowering, Point, offset_key, typed};
use mlc_ir::program::{Reduce, Stage};
use mlc_ir::tile::{Access, InRange, Inst, Op, Operand, Type};
use mlc_ir::{Error, Index, Name, Result};

/// Steps of a chunk that are written out.
const WRITTEN: i64 = 4;

/// A fold by panels.
struct Product {
    stage: Stage,
    reduce: Reduce,
    chunk: Chunk,
    sides: Vec<Side>,
    members: i64,
    /// The parameter of the sums, and their type.
    sums: u32,
    ty: Type,
}

impl Lowering<'_> {
    /// Writes all stages of a kernel whose fold goes by panels, at a task's block.
    pub(super) fn by_panels(&mut self, (axis, size): (&Name, u32), point: &Point) -> Result<()> {
        let point = Point { vector: None, end: None, ..point.clone() };
        let stage = self.kernel.stages[0].clone();
        let reduce = stage.reduce.clone().ok_or_else(|| Error::internal("panels of no fold"))?;
        let sides = self.sides(&point);
        let members = members(&sides);
        let extent = self.kernel.extent(axis).cloned().unwrap_or_default();
        let size = i64::from(size);
        let whole = self.facts.rem(&extent, &Index::from(size)).is(0);
        let chunk = Chunk { axis: axis.clone(), size, end: (!whole).then(|| extent.clone()) };
        let points = self.member_points(&point, &sides, &Index::zero());
        let ty = typed(stage.value.dtype(), points[0].lanes());
        let sums = self.make("sums", ty.dtype, &[members, points.len() as i64, i64::from(ty.lanes)]);
        let product = Product { stage, reduce, chunk, sides, members, sums, ty };
        self.sum_nothing(&product, points.len())?;
        self.folded_loops(&product, &product.reduce.axes, &point, &extent)?;
        self.team(&product, |this, member| {
            let points = this.member_points(&point, &product.sides, member);
            this.settle_points(&product, member, &points)
        })
    }

    fn team(&mut self, product: &Product, write: impl FnOnce(&mut Self, &Index) -> Result<()>) -> Result<()> {
        self.abreast(&"member".into(), product.members as u32, write)
    }

    fn sum(&self, product: &Product, member: &Index, number: usize) -> Access {
        let index = vec![member.clone(), Index::from(number as i64), Index::zero()];
        Access::Indexed { buffer: product.sums, index }
    }

    fn sum_nothing(&mut self, product: &Product, points: usize) -> Result<()> {
        let value = identity(product.reduce.monoid, product.ty.dtype);
        self.team(product, |this, member| {
            for number in 0..points {
                let to = this.sum(product, member, number);
                this.push(Inst::Store { to, value: value.clone(), ty: product.ty, first: None });
            }
            Ok(())
        })
    }

    /// Loops over the folded axes, the innermost by chunks.
    fn folded_loops(&mut self, product: &Product, axes: &[Name], point: &Point, extent: &Index) -> Result<()> {
        if let [axis, rest @ ..] = axes
            && !rest.is_empty()
        {
            let count = self.kernel.extent(axis).cloned().unwrap_or_default();
            if count.is(1) {
                return self.folded_loops(product, rest, &point.with(axis, Index::zero()), extent);
            }
            let variable = self.open_loop(axis, &count);
            self.folded_loops(product, rest, &point.with(axis, Index::var(variable)), extent)?;
            self.close_loop();
            return Ok(());
        }
        let Chunk { axis, size, .. } = &product.chunk;
        let panels = self.panels(&product.stage, &product.chunk, &product.sides, product.members, point);
        let chunks = self.facts.simplify(&extent.ceil_div(&Index::from(*size)));
        self.read_panels(product, &panels, (point, &Index::zero()), &[])?;
        let variable = (!chunks.is(1)).then(|| self.open_loop(axis, &chunks));
        let number = variable.clone().map_or(Index::zero(), Index::var);
        self.team(product, |this, member| {
            panels.iter().try_for_each(|panel| this.fill_panel(panel, (member, product.members)))
        })?;
        if variable.is_some() {
            let next = number.clone() + 1;
            let more = InRange { index: next.clone(), low: Index::zero(), high: chunks };
            self.read_panels(product, &panels, (point, &(next * *size)), &[more])?;
        }
        self.near = panels;
        self.team(product, |this, member| this.multiply(product, member, &point.with(axis, number * *size)))?;
        self.near = vec![];
        if variable.is_some() {
            self.close_loop();
        }
        Ok(())
    }

    fn read_panels(
        &mut self,
        product: &Product,
        panels: &[Panel],
        at: (&Point, &Index),
        tests: &[InRange],
    ) -> Result<()> {
        self.team(product, |this, member| {
            let read = |panel: &Panel| this.read_panel(panel, &product.chunk, at, tests, (member, product.members));
            panels.iter().try_for_each(read)
        })
    }

    /// Adds a chunk's products to a member's sums; the point is where the chunk begins.
    fn multiply(&mut self, product: &Product, member: &Index, point: &Point) -> Result<()> {
        let Product { stage, reduce, chunk, ty, .. } = product;
        let points = self.member_points(point, &product.sides, member);
        let mut cells = Vec::new();
        for number in 0..points.len() {
            let from = self.sum(product, member, number);
            let sum = self.define(*ty, Op::Load(from, None));
            cells.push(Cells { wide: vec![], narrow: Some(self.cell(*ty, sum.operand)), lanes: ty.lanes });
        }
        let begin = point.axes[&chunk.axis].clone();
        let written = if chunk.size % WRITTEN == 0 { WRITTEN } else { 1 };
        let variable = self.open_loop(&chunk.axis, &Index::from(chunk.size / written));
        for n in 0..written {
            let offset = Index::var(variable.clone()) * written + n;
            for (point, cells) in points.iter().zip(&cells) {
                let mut point = point.with(&chunk.axis, begin.clone() + offset.clone());
                point.axes.insert(offset_key(&chunk.axis), offset.clone());
                self.accumulate(stage, reduce, &point, cells, 0)?;
            }
        }
        self.close_loop();
        for (number, cells) in cells.into_iter().enumerate() {
            let (to, ty) = (self.sum(product, member, number), *ty);
            let value = cells.narrow.map(Operand::Ref).ok_or_else(|| Error::internal("a sum is lost"))?;
            self.push(Inst::Store { to, value, ty, first: None });
        }
        Ok(())
    }

    /// What becomes of a member's sums: for each of its columns the rows one after the other.
    fn settle_points(&mut self, product: &Product, member: &Index, points: &[Point]) -> Result<()> {
        let Some((columns, rows)) = product.sides.split_last() else { return Err(Error::internal("no outer axis")) };
        let maps = 1..self.kernel.stages.len();
        let others: Vec<Name> = rows.iter().map(|side| side.axis.clone()).collect();
        for column in 0..columns.block() {
            let numbers = (column..points.len()).step_by(columns.block());
            let first = columns.cut(&points[column]);
            self.only_if(self.inside(columns, &first), |this| {
                for number in maps.clone().filter(|_| !rows.is_empty()) {
                    this.hoist(&this.kernel.stages[number].value.clone(), &others, std::slice::from_ref(&first))?;
                }
                for number in numbers {
                    let point = columns.cut(&points[number]);
                    let tests = rows.iter().flat_map(|side| this.inside(side, &point)).collect();
                    this.only_if(tests, |this| {
                        let from = this.sum(product, member, number);
                        let value = this.define(product.ty, Op::Load(from, None));
                        this.settle(0, &value, &point)?;
                        maps.clone().try_for_each(|number| this.stage_at(number, std::slice::from_ref(&point)))
                    })?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// What has to be tested of a point, or its vector, on one side.
    fn inside(&self, side: &Side, point: &Point) -> Vec<InRange> {
        let first = &point.axes[&side.axis];
        let vector = if point.end.is_some() { 1 } else { i64::from(side.lanes) };
        side.holds(first, vector).into_iter().filter(|test| !test.proven(&self.facts)).collect()
    }
}
