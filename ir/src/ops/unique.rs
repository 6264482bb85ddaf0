use super::OpDef;
use super::top_k::{before, same};
use crate::compute::{Compute, T};
use crate::onnx::OnnxNode;
use crate::program::{Expr, StoreMode};
use crate::tile::{InRange, Monoid};
use crate::{DType, Index, Result};

/// The distinct elements, or slices along `axis`, of a tensor (ONNX `Unique`): sorted, or in the order in which they first
/// appear. Then the place of each one's first appearance, where each element went, and how often each appears.
#[derive(Debug)]
pub struct Unique {
    axis: Option<i64>,
    sorted: bool,
}

impl Unique {
    pub(super) fn parse(node: &OnnxNode) -> Result<Unique> {
        Ok(Unique { axis: node.optional_int("axis")?, sorted: node.flag("sorted", true)? })
    }
}

impl OpDef for Unique {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let mut x = c.input(0)?;
        let axis = match self.axis {
            Some(axis) => x.axis(axis)?,
            None => {
                let size = x.size();
                x = c.reshape(&x, &[size]);
                0
            }
        };
        let n = [x.shape[axis].clone()];
        let items = Items::new(c, &x, axis);
        let integer = |holds: Expr| holds.cast(DType::I64);
        let count = c.reduce(Monoid::Sum, DType::I64, &n, &n, |i, r| integer(items.same(&i[0], &r[0])));
        let first = c.reduce(Monoid::Min, DType::I64, &n, &n, |i, r| {
            items.same(&i[0], &r[0]).select(&Expr::index(r[0].clone()), &Expr::index(n[0].clone()))
        });
        let is_first = |i: &Index| first.at(vec![i.clone()]).equals(&Expr::index(i.clone()));
        let inverse = c.reduce(Monoid::Sum, DType::I64, &n, &n, |i, r| {
            let earlier = Expr::index(r[0].clone()).lt(&first.at(i.to_vec()));
            integer(is_first(&r[0]) & if self.sorted { items.before(&r[0], &i[0]) } else { earlier })
        });
        let total = c.reduce(Monoid::Sum, DType::I64, &[], &n, |_, r| integer(is_first(&r[0])));
        let total = c.value("count", &total.at(vec![]), n[0].as_const());
        let mut shape = x.shape.clone();
        shape[axis] = total.clone();
        let distinct = c.buffer(x.dtype, &shape);
        let [places, counts] = [(); 2].map(|()| c.buffer(DType::I64, &[total.clone()]));
        let slots = Slots { first, inverse: inverse.clone(), total };
        c.store_where(&distinct, &x.shape, StoreMode::Set, |i| {
            let (tests, to) = slots.of(&i[axis]);
            (tests, [&i[..axis], &[to], &i[axis + 1..]].concat(), x.raw(i.to_vec()))
        });
        c.store_where(&places, &n, StoreMode::Set, |i| {
            let (tests, to) = slots.of(&i[0]);
            (tests, vec![to], Expr::index(i[0].clone()))
        });
        c.store_where(&counts, &n, StoreMode::Set, |i| {
            let (tests, to) = slots.of(&i[0]);
            (tests, vec![to], count.at(i.to_vec()))
        });
        [distinct, places, inverse, counts].into_iter().enumerate().for_each(|(place, t)| c.output(place, t));
        Ok(())
    }
}

/// Where items go that appear for the first time.
struct Slots {
    /// The first place of the same item.
    first: T,
    inverse: T,
    total: Index,
}

impl Slots {
    /// The tests of whether an item is the first of its kind, and where it goes.
    fn of(&self, i: &Index) -> (Vec<InRange>, Index) {
        let place = Index::at(self.first.buffer, vec![i.clone()]);
        let to = Index::at(self.inverse.buffer, vec![i.clone()]);
        let first = InRange { index: place, low: i.clone(), high: i.clone() + 1 };
        (vec![first, InRange::extent(to.clone(), self.total.clone())], to)
    }
}

/// The things that are compared: elements of a vector, or slices in lexicographic order.
enum Items {
    Elements(T),
    /// Tables of `same` and `before` for every pair.
    Slices(T, T),
}

impl Items {
    fn new(c: &mut Compute, x: &T, axis: usize) -> Items {
        if x.rank() == 1 {
            return Items::Elements(x.clone());
        }
        let (n, rest) = (x.shape[axis].clone(), [&x.shape[..axis], &x.shape[axis + 1..]].concat());
        let pairs = [n.clone(), n];
        let (size, facts) = (Index::product(&rest), c.facts().clone());
        let element = |item: &Index, flat: Index| {
            let inner = crate::reshape::reshape_index(&facts, &rest, &[size.clone()], &[flat]);
            x.at([&inner[..axis], &[item.clone()], &inner[axis..]].concat())
        };
        let differs = c.reduce(Monoid::Min, DType::I64, &pairs, &[size.clone()], |i, r| {
            let equal = same(&element(&i[0], r[0].clone()), &element(&i[1], r[0].clone()));
            equal.select(&Expr::index(size.clone()), &Expr::index(r[0].clone()))
        });
        let same = c.map(DType::Bool, &pairs, |i| differs.at(i.to_vec()).equals(&Expr::index(size.clone())));
        let less = c.map(DType::Bool, &pairs, |i| {
            let place = Index::at(differs.buffer, i.to_vec());
            let less = before(&element(&i[0], place.clone()), &element(&i[1], place.clone()));
            less.guard(vec![InRange::extent(place, size.clone())], crate::Scalar::Int(0))
        });
        Items::Slices(same, less)
    }

    fn same(&self, a: &Index, b: &Index) -> Expr {
        let pair = vec![a.clone(), b.clone()];
        match self {
            Items::Elements(x) => same(&x.at(vec![a.clone()]), &x.at(vec![b.clone()])),
            Items::Slices(same, _) => same.at(pair),
        }
    }

    fn before(&self, a: &Index, b: &Index) -> Expr {
        let pair = vec![a.clone(), b.clone()];
        match self {
            Items::Elements(x) => before(&x.at(vec![a.clone()]), &x.at(vec![b.clone()])),
            Items::Slices(_, before) => before.at(pair),
        }
    }
}
