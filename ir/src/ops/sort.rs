//! Stable orders of elements along an axis.

use super::top_k::{before, same};
use crate::compute::{Compute, T};
use crate::program::{Expr, Step, StoreMode};
use crate::tile::{Binary, Monoid};
use crate::{DType, Index, Result};

/// Up to this extent every element is compared with all others, which takes one kernel.
const DIRECT: i64 = 2048;

/// How many elements along `axis` come before each in a stable sort.
pub(super) fn ranks(c: &mut Compute, x: &T, axis: usize, descending: bool) -> Result<T> {
    let precedes = |a: &Expr, b: &Expr| if descending { before(b, a) } else { before(a, b) };
    let extent = &x.shape[axis];
    if c.facts().le(extent, &DIRECT.into()) {
        return Ok(c.reduce(Monoid::Sum, DType::I64, &x.shape, &[extent.clone()], |i, r| {
            let (own, other) = (x.at(i.to_vec()), x.at(with(i, axis, r[0].clone())));
            let earlier = Expr::index(r[0].clone()).lt(&Expr::index(i[axis].clone()));
            (precedes(&other, &own) | (same(&own, &other) & earlier)).cast(DType::I64)
        }));
    }
    let order = Merge::new(c, x, axis).order(c, &precedes)?;
    let rank = c.buffer(DType::I64, &x.shape);
    c.store(&rank, &x.shape, StoreMode::Scatter, |i| {
        (with(i, axis, order.lookup(i.to_vec(), extent)), Expr::index(i[axis].clone()))
    });
    Ok(rank)
}

/// The index with another place on the axis.
fn with(i: &[Index], axis: usize, place: Index) -> Vec<Index> {
    [&i[..axis], &[place], &i[axis + 1..]].concat()
}

fn number(n: i64) -> Expr {
    Expr::int(DType::I64, n)
}

/// Repeats while a condition, which the body changes, is true.
fn repeat_while(c: &mut Compute, condition: &T, body: impl FnOnce(&mut Compute) -> Result<()>) -> Result<()> {
    let counter = c.fresh("trip");
    c.program().facts.symbol(counter.clone(), 0, None);
    let (body, ()) = c.nested(body)?;
    c.step(Step::Loop { counter, trips: i64::MAX.into(), condition: Some(condition.buffer), ran: None, body });
    Ok(())
}

/// A merge sort in which all elements move at once: sorted runs of a length become runs of twice the length. An element goes
/// as far behind the start of the pair as there are elements before it, in its own run and, by bisection, in the other.
struct Merge<'a> {
    x: &'a T,
    axis: usize,
    /// Which element of `x` stands at a place.
    order: T,
    /// Of the runs.
    length: T,
    /// How many elements of the other run are found to come before, and how many more are tried.
    found: T,
    step: T,
}

impl<'a> Merge<'a> {
    fn new(c: &mut Compute, x: &'a T, axis: usize) -> Merge<'a> {
        let [order, found] = [(); 2].map(|()| c.buffer(DType::I64, &x.shape));
        let [length, step] = [(); 2].map(|()| c.buffer(DType::I64, &[]));
        Merge { x, axis, order, length, found, step }
    }

    /// The order in which all is one run.
    fn order(self, c: &mut Compute, precedes: &dyn Fn(&Expr, &Expr) -> Expr) -> Result<T> {
        let (all, axis) = (&self.x.shape, self.axis);
        let (moved, unsorted) = (c.buffer(DType::I64, all), c.buffer(DType::Bool, &[]));
        let extent = Expr::index(all[axis].clone());
        let set = |c: &mut Compute, length: Expr| {
            c.store(&self.length, &[], StoreMode::Set, |_| (vec![], length));
            c.store(&unsorted, &[], StoreMode::Set, |_| (vec![], self.length.at(vec![]).lt(&extent)));
        };
        c.store(&self.order, all, StoreMode::Set, |i| (i.to_vec(), Expr::index(i[axis].clone())));
        set(c, number(1));
        repeat_while(c, &unsorted, |c| {
            self.search(c, precedes)?;
            let target = c.map(DType::I64, all, |i| {
                let (own, other) = self.runs(i);
                own.min(&other) + (Expr::index(i[axis].clone()) - own) + self.found.at(i.to_vec())
            });
            c.store(&moved, all, StoreMode::Scatter, |i| {
                (with(i, axis, target.lookup(i.to_vec(), &all[axis])), self.order.at(i.to_vec()))
            });
            c.store(&self.order, all, StoreMode::Set, |i| (i.to_vec(), moved.at(i.to_vec())));
            set(c, self.length.at(vec![]) + self.length.at(vec![]));
            Ok(())
        })?;
        Ok(self.order)
    }

    /// Where the run of a place starts, and the other of the pair.
    fn runs(&self, i: &[Index]) -> (Expr, Expr) {
        let length = self.length.at(vec![]);
        let run = Expr::index(i[self.axis].clone()) / length.clone();
        (&run * &length, run.binary(Binary::Xor, &number(1)) * length)
    }

    /// The element that stands at a place.
    fn element(&self, i: &[Index], place: Index) -> Expr {
        let extent = &self.x.shape[self.axis];
        let which = self.order.lookup(with(i, self.axis, place), extent);
        self.x.at(with(i, self.axis, which))
    }

    /// Finds for each element how many of the other run come before it.
    fn search(&self, c: &mut Compute, precedes: &dyn Fn(&Expr, &Expr) -> Expr) -> Result<()> {
        let (all, axis) = (&self.x.shape, self.axis);
        let trying = c.buffer(DType::Bool, &[]);
        let set = |c: &mut Compute, step: Expr| {
            c.store(&self.step, &[], StoreMode::Set, |_| (vec![], step));
            c.store(&trying, &[], StoreMode::Set, |_| (vec![], number(1).le(&self.step.at(vec![]))));
        };
        c.store(&self.found, all, StoreMode::Set, |i| (i.to_vec(), number(0)));
        set(c, self.length.at(vec![]));
        repeat_while(c, &trying, |c| {
            let tried = |i: &[Index]| self.found.at(i.to_vec()) + self.step.at(vec![]);
            let last = c.map(DType::I64, all, |i| self.runs(i).1 + tried(i) - number(1));
            c.store(&self.found, all, StoreMode::Set, |i| {
                let (own, other) = self.runs(i);
                let inside = last.at(i.to_vec()).lt(&Expr::index(all[axis].clone()));
                let there = tried(i).le(&self.length.at(vec![])) & inside;
                // Where there is none, the remainder names some element.
                let element = self.element(i, last.lookup(i.to_vec(), &all[axis]));
                let this = self.element(i, i[axis].clone());
                let first = precedes(&element, &this) | (same(&element, &this) & other.lt(&own));
                (i.to_vec(), (there & first).select(&tried(i), &self.found.at(i.to_vec())))
            });
            set(c, self.step.at(vec![]) / number(2));
            Ok(())
        })
    }
}
