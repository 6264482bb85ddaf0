//! Which elements satisfy a condition: how many there are is only known when the model runs.

use super::OpDef;
use super::cumulative::{Order, running};
use crate::compute::{Compute, T};
use crate::onnx::OnnxNode;
use crate::program::{Expr, StoreMode};
use crate::reshape::reshape_index;
use crate::tile::{Compare, InRange, Monoid};
use crate::{DType, Error, Index, Result};

/// The coordinates of the elements that are not 0, in row-major order, one column each (ONNX `NonZero`).
#[derive(Debug)]
pub struct NonZero;

impl NonZero {
    pub(super) fn parse(_: &OnnxNode) -> Result<NonZero> {
        Ok(NonZero)
    }
}

impl OpDef for NonZero {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        let (size, facts) = (x.size(), c.facts().clone());
        let places = compact(c, &size, |i| {
            let element = x.at(reshape_index(&facts, &x.shape, &[size.clone()], &[i]));
            element.compare(Compare::Ne, &element.like(0.0))
        });
        let count = places.shape[0].clone();
        let y = c.buffer(DType::I64, &[Index::from(x.rank() as i64), count.clone()]);
        for d in 0..x.rank() {
            c.store(&y, &[count.clone()], StoreMode::Set, |i| {
                let flat = Index::at(places.buffer, i.to_vec());
                let stride = Index::product(&x.shape[d + 1..]);
                (vec![Index::from(d as i64), i[0].clone()], Expr::index(flat.div(&stride).rem(&x.shape[d])))
            });
        }
        c.output(0, y);
        Ok(())
    }
}

/// The elements along `axis`, or of the flattened tensor, where `condition` is true (ONNX `Compress`). The condition may
/// be shorter than the axis.
#[derive(Debug)]
pub struct Compress {
    axis: Option<i64>,
}

impl Compress {
    pub(super) fn parse(node: &OnnxNode) -> Result<Compress> {
        Ok(Compress { axis: node.optional_int("axis")? })
    }
}

impl OpDef for Compress {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (mut x, condition) = (c.input(0)?, c.input(1)?);
        let axis = match self.axis {
            Some(axis) => x.axis(axis)?,
            None => {
                let size = x.size();
                x = c.reshape(&x, &[size]);
                0
            }
        };
        if condition.rank() != 1 || condition.dtype != DType::Bool {
            return Err(Error::invalid("Compress needs a vector of Bool"));
        }
        if let (Some(length), Some(extent)) = (condition.shape[0].as_const(), x.shape[axis].as_const())
            && length > extent
        {
            return Err(Error::invalid(format!("Compress has {length} conditions for {extent} elements")));
        }
        let places = compact(c, &condition.shape[0], |i| condition.raw(vec![i]));
        let mut shape = x.shape.clone();
        shape[axis] = places.shape[0].clone();
        let y = c.gather(&x, &shape, |c, i| {
            let mut index = i.to_vec();
            index[axis] = c.lookup(&places, vec![i[axis].clone()], &x.shape[axis]);
            index
        });
        c.output(0, y);
        Ok(())
    }
}

/// The places in `0..extent` where a condition holds, in order; how many they are becomes a symbol.
pub(super) fn compact(c: &mut Compute, extent: &Index, holds: impl FnOnce(Index) -> Expr) -> T {
    let mask = c.map(DType::I64, &[extent.clone()], |i| holds(i[0].clone()));
    let order = Order { exclusive: true, reverse: false };
    let target = running(c, Monoid::Sum, DType::I64, &[extent.clone()], 0, order, |i| mask.at(i));
    let total = c.reduce(Monoid::Sum, DType::I64, &[], &[extent.clone()], |_, r| mask.at(r.to_vec()));
    let count = c.value("count", &total.at(vec![]), extent.as_const());
    let places = c.buffer(DType::I64, &[count.clone()]);
    c.store_where(&places, &[extent.clone()], StoreMode::Set, |i| {
        let to = Index::at(target.buffer, i.to_vec());
        let holds = InRange { index: Index::at(mask.buffer, i.to_vec()), low: Index::from(1), high: Index::from(2) };
        (vec![holds, InRange::extent(to.clone(), count)], vec![to], Expr::index(i[0].clone()))
    });
    places
}
