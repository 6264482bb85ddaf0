use super::OpDef;
use crate::compute::{Compute, T, compute_type};
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::tile::{InRange, Monoid};
use crate::{DType, Error, Index, Result, Scalar};

/// Running sums (ONNX `CumSum`) or products (`CumProd`) along an axis, given as an input.
///
/// `exclusive` leaves out the element itself, `reverse` runs from the end.
#[derive(Debug)]
pub struct Cumulative {
    monoid: Monoid,
    exclusive: bool,
    reverse: bool,
}

impl Cumulative {
    pub(super) fn parse(node: &OnnxNode) -> Result<Cumulative> {
        let monoid = if node.op_type == "CumProd" { Monoid::Prod } else { Monoid::Sum };
        Ok(Cumulative { monoid, exclusive: node.flag("exclusive", false)?, reverse: node.flag("reverse", false)? })
    }
}

impl OpDef for Cumulative {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        let axis = c.ints(&c.input(1)?, "the axis of a running sum")?;
        let axis = x.axis(*axis.first().ok_or_else(|| Error::invalid("the axis is missing"))?)?;
        if x.dtype == DType::Bool {
            return Err(Error::invalid("a running sum does not take Bool"));
        }
        let order = Order { exclusive: self.exclusive, reverse: self.reverse };
        let y = running(c, self.monoid, x.dtype, &x.shape, axis, order, |i| x.at(i));
        c.output(0, y);
        Ok(())
    }
}

/// Which elements before (or after) the own one count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    pub(super) exclusive: bool,
    pub(super) reverse: bool,
}

/// An axis up to this extent is folded directly: every element looks at all before it.
const DIRECT: i64 = 512;

/// Sum or product of `f` along an axis up to each place. Long axes are cut into blocks, whose totals are added up first.
pub(super) fn running(
    c: &mut Compute,
    monoid: Monoid,
    dtype: DType,
    shape: &[Index],
    axis: usize,
    order: Order,
    f: impl Fn(Vec<Index>) -> Expr,
) -> T {
    let extent = shape[axis].clone();
    let neutral = if monoid == Monoid::Prod { Scalar::Int(1) } else { Scalar::Int(0) };
    // `own` is the place that is asked for, `other` one that may count.
    let counts = |own: &Index, other: &Index, order: Order| {
        let distance = if order.reverse { other.clone() - own.clone() } else { own.clone() - other.clone() };
        InRange { index: distance, low: Index::from(i64::from(order.exclusive)), high: extent.clone() }
    };
    let with = |i: &[Index], place: Index| [&i[..axis], &[place], &i[axis + 1..]].concat();
    if c.facts().le(&extent, &DIRECT.into()) {
        return c.reduce(monoid, dtype, shape, &[extent.clone()], |i, r| {
            f(with(i, r[0].clone())).guard(vec![counts(&i[axis], &r[0], order)], neutral)
        });
    }
    let (wide, block) = (compute_type(dtype), Index::from(DIRECT));
    let blocks = extent.ceil_div(&block);
    let outer = with(shape, blocks.clone());
    let inside = |place: &Index| InRange::extent(place.clone(), extent.clone());
    let totals = c.reduce(monoid, wide, &outer, &[block.clone()], |i, r| {
        let place = &i[axis] * &block + r[0].clone();
        f(with(i, place.clone())).guard(vec![inside(&place)], neutral)
    });
    let whole = Order { exclusive: true, ..order };
    let before = c.reduce(monoid, wide, &outer, &[blocks], |i, r| {
        totals.at(with(i, r[0].clone())).guard(vec![counts(&i[axis], &r[0], whole)], neutral)
    });
    let within = c.reduce(monoid, wide, shape, &[block.clone()], |i, r| {
        let place = i[axis].div(&block) * block.clone() + r[0].clone();
        f(with(i, place.clone())).guard(vec![inside(&place), counts(&i[axis], &place, order)], neutral)
    });
    c.map(dtype, shape, |i| {
        let (a, b) = (before.at(with(i, i[axis].div(&block))), within.at(i.to_vec()));
        if monoid == Monoid::Prod { a * b } else { a + b }
    })
}
