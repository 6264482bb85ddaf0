//! A fold whose block is a whole crew's: the crew brings panels of what is multiplied to scratch memory, chunk by chunk of the
//! folded axes, and its members, or its warps, add the products.
//!
//! While one chunk is multiplied, later ones are on their way: copied by themselves, where that is all there is to do; or else
//! read by the members, who write what they have read to the panel when its turn has come. Sums, and what has been read, are
//! each member's own: buffers that an emitter may hold in registers, since all accesses to them say which member and which
//! number.

use super::matrices::Matrices;
use super::panels::{Chunk, Panel};
use super::team::{Side, members};
use super::{Lowering, Point};
use mlc_ir::program::{Reduce, Stage};
use mlc_ir::tile::{Access, InRange, Inst, Type};
use mlc_ir::{Error, Index, Name, Result};

/// A fold by panels.
pub(super) struct Product {
    pub stage: Stage,
    pub reduce: Reduce,
    pub chunk: Chunk,
    pub sides: Vec<Side>,
    pub members: i64,
    /// The parameter of the sums, their type, and how many a member or warp has.
    pub sums: u32,
    pub ty: Type,
    pub each: usize,
    /// The matrices that warps multiply; without, members multiply points.
    pub matrices: Option<Matrices>,
}

/// The chunks of all folded axes.
struct Chunks {
    /// The axes besides that of the panels, the slowest first, and their extents.
    outer: Vec<(Name, Index)>,
    count: Index,
    /// The task's point.
    point: Point,
}

impl Lowering<'_> {
    /// Writes all stages of a kernel whose fold goes by panels, at a task's block.
    pub(super) fn by_panels(&mut self, (axis, size, slots): (&Name, u32, u32), point: &Point) -> Result<()> {
        let point = Point { vector: None, end: None, ..point.clone() };
        let mut product = self.product(axis, i64::from(size), &point)?;
        let mut panels = self.panels(&product, &point, i64::from(slots));
        self.nothing(&product)?;
        self.chunks(&product, &mut panels, &point)?;
        match product.matrices.take() {
            Some(matrices) => self.settle_matrices(&product, &matrices, &panels, &point),
            None => self.team(&product, |this, member| {
                let points = this.member_points(&point, &product.sides, member);
                this.settle_points(&product, member, &points)
            }),
        }
    }

    fn product(&mut self, axis: &Name, size: i64, point: &Point) -> Result<Product> {
        let stage = self.kernel.stages[0].clone();
        let reduce = stage.reduce.clone().ok_or_else(|| Error::internal("panels of no fold"))?;
        let sides = self.sides(point);
        let extent = self.kernel.extent(axis).cloned().unwrap_or_default();
        let whole = self.facts.rem(&extent, &Index::from(size)).is(0);
        let count = self.facts.simplify(&extent.ceil_div(&Index::from(size)));
        let chunk = Chunk { axis: axis.clone(), size, count, end: (!whole).then_some(extent) };
        let dtype = stage.value.dtype();
        let matrices = Matrices::new(self.plan.matrix.as_ref(), &sides)?;
        let (members, each, ty) = match &matrices {
            Some(matrices) => (matrices.members(), matrices.each(), matrices.sum()),
            None => {
                let points = self.member_points(point, &sides, &Index::zero());
                (members(&sides), points.len(), super::typed(dtype, points[0].lanes()))
            }
        };
        if ty.dtype != dtype {
            return Err(Error::internal(format!("sums of {dtype} in a row whose are {ty}")));
        }
        let sums = match &matrices {
            Some(matrices) => self.make("sums", dtype, &matrices.sums()),
            None => self.make("sums", dtype, &[members, each as i64, i64::from(ty.lanes)]),
        };
        Ok(Product { stage, reduce, chunk, sides, members, sums, ty, each, matrices })
    }

    /// Writes what each member of the crew does.
    pub(super) fn team<R>(
        &mut self,
        product: &Product,
        write: impl FnOnce(&mut Self, &Index) -> Result<R>,
    ) -> Result<R> {
        self.abreast(&"member".into(), product.members as u32, write)
    }

    /// Where a member's sum is.
    pub(super) fn sum(&self, product: &Product, member: &Index, number: usize) -> Access {
        let index = vec![member.clone(), Index::from(number as i64), Index::zero()];
        Access::Indexed { buffer: product.sums, index }
    }

    /// Begins with sums of nothing.
    fn nothing(&mut self, product: &Product) -> Result<()> {
        let value = super::nest::identity(product.reduce.monoid, product.ty.dtype);
        if let Some(matrices) = &product.matrices {
            return self.no_matrices(product, matrices, &value);
        }
        self.team(product, |this, member| {
            for number in 0..product.each {
                let to = this.sum(product, member, number);
                this.push(Inst::Store { to, value: value.clone(), ty: product.ty, first: None });
            }
            Ok(())
        })
    }

    /// Walks the chunks of all folded axes.
    fn chunks(&mut self, product: &Product, panels: &mut [Panel], point: &Point) -> Result<()> {
        let chunks = self.all_chunks(product, point);
        let slots = panels.iter().map(|panel| panel.slots).min().unwrap_or(1);
        let ahead = (slots - 1).max(1);
        for number in 0..ahead {
            self.send_for(product, panels, &chunks, &Index::from(number))?;
        }
        let variable = (!chunks.count.is(1)).then(|| self.open_loop(&product.chunk.axis, &chunks.count));
        let number = variable.clone().map_or(Index::zero(), Index::var);
        if slots > 1 {
            self.push(Inst::Wait(slots as u32 - 2));
        } else {
            self.team(product, |this, member| panels.iter().try_for_each(|panel| this.fill(product, panel, member)))?;
        }
        if variable.is_some() {
            self.send_for(product, panels, &chunks, &(number.clone() + ahead))?;
        }
        for panel in panels.iter_mut() {
            panel.slot = self.facts.rem(&number, &Index::from(panel.slots));
        }
        self.multiply(product, panels, &self.begin(product, &chunks, &number))?;
        if variable.is_some() {
            self.close_loop();
        }
        Ok(())
    }

    fn all_chunks(&self, product: &Product, point: &Point) -> Chunks {
        let outer = product.reduce.axes.iter().filter(|axis| **axis != product.chunk.axis);
        let outer: Vec<(Name, Index)> =
            outer.map(|axis| (axis.clone(), self.kernel.extent(axis).cloned().unwrap_or_default())).collect();
        let count = Index::product(outer.iter().map(|axis| &axis.1).chain([&product.chunk.count]));
        Chunks { outer, count, point: point.clone() }
    }

    /// Has the crew bring the panels of a chunk, if there is one of that number.
    fn send_for(&mut self, product: &Product, panels: &[Panel], chunks: &Chunks, number: &Index) -> Result<()> {
        let begin = self.begin(product, chunks, number);
        // There is if the slowest of its axes is within its extent.
        let (index, high) = match chunks.outer.first() {
            Some((axis, extent)) => (begin.axes[axis].clone(), extent.clone()),
            None => (number.clone(), chunks.count.clone()),
        };
        let exists = InRange { index, low: Index::zero(), high };
        let exists = if exists.proven(&self.facts) { vec![] } else { vec![exists] };
        self.team(product, |this, member| {
            panels.iter().try_for_each(|panel| {
                let slot = this.facts.rem(number, &Index::from(panel.slots));
                this.bring(product, panel, &begin, (&exists, &slot), member)
            })
        })?;
        if panels.iter().any(|panel| panel.slots > 1) {
            self.push(Inst::Commit);
        }
        Ok(())
    }

    /// Adds the products of the chunk that begins at a point and lies in the panels.
    fn multiply(&mut self, product: &Product, panels: &[Panel], begin: &Point) -> Result<()> {
        if let Some(matrices) = &product.matrices {
            return self.multiply_matrices(product, matrices, panels);
        }
        self.near = panels.to_vec();
        let written = self.team(product, |this, member| this.multiply_points(product, member, begin));
        self.near = vec![];
        written
    }

    /// Where a chunk begins, by its number: the slowest axis has no remainder taken.
    fn begin(&self, product: &Product, chunks: &Chunks, number: &Index) -> Point {
        let (chunk, mut rest) = match chunks.outer[..] {
            [] => (number.clone(), Index::zero()),
            _ => (self.facts.rem(number, &product.chunk.count), self.facts.div(number, &product.chunk.count)),
        };
        let mut point = chunks.point.with(&product.chunk.axis, chunk * product.chunk.size);
        for (place, (axis, extent)) in chunks.outer.iter().enumerate().rev() {
            let own = if place == 0 { rest.clone() } else { self.facts.rem(&rest, extent) };
            rest = self.facts.div(&rest, extent);
            point = point.with(axis, own);
        }
        point
    }
}
