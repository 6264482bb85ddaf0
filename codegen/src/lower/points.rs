//! The part of a product by panels that members compute point by point.

use super::by_panels::Product;
use super::nest::Cells;
use super::team::Side;
use super::{Lowering, Point, offset_key};
use mlc_ir::tile::{InRange, Inst, Op, Operand};
use mlc_ir::{Error, Index, Name, Result};

/// Steps of a chunk that are written out.
const WRITTEN: i64 = 4;

impl Lowering<'_> {
    /// Adds a chunk's products to a member's sums; the point is where the chunk begins.
    pub(super) fn multiply_points(&mut self, product: &Product, member: &Index, point: &Point) -> Result<()> {
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
    pub(super) fn settle_points(&mut self, product: &Product, member: &Index, points: &[Point]) -> Result<()> {
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
                        this.settle_product(&value, &point)
                    })?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// What becomes of a sum at a point.
    pub(super) fn settle_product(&mut self, value: &super::Value, point: &Point) -> Result<()> {
        self.settle(0, value, point)?;
        (1..self.kernel.stages.len()).try_for_each(|number| self.stage_at(number, std::slice::from_ref(point)))
    }

    /// What has to be tested of a point, or its vector, on one side.
    pub(super) fn inside(&self, side: &Side, point: &Point) -> Vec<InRange> {
        let first = &point.axes[&side.axis];
        let vector = if point.end.is_some() { 1 } else { i64::from(side.lanes) };
        side.holds(first, vector).into_iter().filter(|test| !test.proven(&self.facts)).collect()
    }
}
