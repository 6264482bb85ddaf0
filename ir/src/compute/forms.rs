//! Forms many operators share, made of maps, folds and stores.

use super::know::coordinate;
use super::{Compute, T, axes, shape_text};
use crate::program::{Expr, Known, Step};
use crate::tensor::Scalar;
use crate::tile::Monoid;
use crate::{DType, Error, Facts, Index, Result, Tensor};

/// How many elements a [`Compute::table`] has at most that is a constant.
const TABLE_LIMIT: i64 = 1 << 16;

impl Compute<'_> {
    /// Folds `f(x)` over some axes of a tensor, which stay with extent 1.
    pub fn fold(&mut self, monoid: Monoid, dtype: DType, x: &T, axes: &[usize], f: impl FnOnce(Expr) -> Expr) -> T {
        self.fold_at(monoid, dtype, &x.shape, axes, |i| f(x.at(i.to_vec())))
    }

    /// Folds `f(i)` over some axes of a domain, which stay with extent 1.
    pub fn fold_at(
        &mut self,
        monoid: Monoid,
        dtype: DType,
        domain: &[Index],
        axes: &[usize],
        f: impl FnOnce(&[Index]) -> Expr,
    ) -> T {
        let one = Index::from(1);
        let kept = domain.iter().enumerate().map(|(a, dim)| if axes.contains(&a) { &one } else { dim });
        let shape: Vec<Index> = kept.cloned().collect();
        let over: Vec<Index> = axes.iter().map(|&a| domain[a].clone()).collect();
        self.reduce(monoid, dtype, &shape, &over, |i, r| {
            let place = |a: usize| axes.iter().position(|&x| x == a).map_or(&i[a], |at| &r[at]);
            let full: Vec<Index> = (0..domain.len()).map(|a| place(a).clone()).collect();
            f(&full)
        })
    }

    /// The same elements in row-major order with another shape; the sizes must be equal.
    pub fn reshape(&mut self, x: &T, shape: &[Index]) -> T {
        let facts = self.facts().clone();
        self.map(x.dtype, shape, |i| x.raw(crate::reshape::reshape_index(&facts, &x.shape, shape, i)))
    }

    /// `y[i] = x[perm i]`
    pub fn transpose(&mut self, x: &T, perm: &[usize]) -> T {
        let shape: Vec<Index> = perm.iter().map(|&p| x.shape[p].clone()).collect();
        self.map(x.dtype, &shape, |i| {
            let mut index = vec![Index::zero(); perm.len()];
            perm.iter().zip(i).for_each(|(&p, i)| index[p] = i.clone());
            x.raw(index)
        })
    }

    /// The same tensor, with elements the op knows by itself.
    pub fn with_known(&mut self, mut t: T, known: Option<Vec<Known>>) -> T {
        if let Some(known) = &known {
            self.known.insert(t.buffer, (t.shape.clone(), known.clone()));
        }
        t.known = known;
        t
    }

    /// `y[i] = x[index(i)]`, without conversion, or 0 where the index is outside. `index` may look elements up.
    pub fn gather(&mut self, x: &T, shape: &[Index], index: impl FnOnce(&Compute, &[Index]) -> Vec<Index>) -> T {
        let i: Vec<Index> = (0..shape.len()).map(|place| Index::var(format!("i{place}"))).collect();
        let (index, facts) = (index(self, &i), self.facts_at(shape));
        self.map(x.dtype, shape, |_| x.raw_or(&facts, index, Scalar::Int(0)))
    }

    /// As [`Compute::map`], but a constant if its elements can be computed while building: a table of weights or indices.
    pub fn table(&mut self, dtype: DType, shape: &[Index], f: impl FnOnce(&[Index]) -> Expr) -> T {
        let axes = axes("i", shape);
        let index: Vec<Index> = axes.iter().map(|axis| Index::var(axis.name.clone())).collect();
        let value = f(&index).cast(dtype);
        let extents: Option<Vec<i64>> = shape.iter().map(Index::as_const).collect();
        let tensor = extents.and_then(|extents| {
            let points = extents.iter().try_fold(1i64, |n, extent| n.checked_mul(*extent))?;
            if points > TABLE_LIMIT {
                return None;
            }
            let element = |point: i64| match self.know_at(&value, &|name| coordinate(&axes, point, name))? {
                Known::Index(index) => index.as_const().map(Scalar::Int),
                Known::Float(x) => Some(Scalar::Float(x)),
            };
            let scalars: Vec<Scalar> = (0..points).map(element).collect::<Option<_>>()?;
            Tensor::from_scalars(dtype, extents.iter().map(|&n| n as usize).collect(), &scalars).ok()
        });
        match tensor {
            Some(tensor) => self.constant(tensor),
            None => self.map(dtype, shape, |_| value),
        }
    }

    /// What is known inside a kernel over a domain and reduced axes: the ranges of the indices its closure is given.
    pub fn scope(&self, domain: &[Index], over: &[Index]) -> Facts {
        let mut facts = self.facts().clone();
        for axis in axes("i", domain).iter().chain(&axes("r", over)) {
            facts.axis(axis.name.clone(), &axis.extent);
        }
        facts
    }

    /// Runs what `body` builds `trips` times, one after the other; it is given the number of the run.
    pub fn repeat(&mut self, trips: &Index, body: impl FnOnce(&mut Self, &Index) -> Result<()>) -> Result<()> {
        if trips.is(1) {
            return body(self, &Index::zero());
        }
        let counter = self.fresh("trip");
        self.program.facts.symbol(counter.clone(), 0, trips.as_const().map(|n| (n - 1).max(0)));
        let (body, ()) = self.nested(|c| {
            let trip = c.facts().rem(&Index::sym(counter.clone()), trips);
            body(c, &trip)
        })?;
        self.step(Step::Loop { counter, trips: trips.clone(), condition: None, ran: None, body });
        Ok(())
    }

    /// Demands that a tensor has a shape.
    pub fn demand(&mut self, t: &T, what: &str, shape: &[Index]) -> Result<()> {
        let fits = t.rank() == shape.len() && t.shape.iter().zip(shape).all(|(a, b)| self.same_dim(a, b).is_ok());
        if fits {
            return Ok(());
        }
        Err(Error::invalid(format!("{what} has shape {}, not {}", shape_text(&t.shape), shape_text(shape))))
    }

    /// What another operator makes of these inputs, built at this place.
    pub fn delegate(&mut self, op: &dyn crate::ops::OpDef, inputs: Vec<Option<T>>) -> Result<Vec<Option<T>>> {
        let own = (std::mem::replace(&mut self.inputs, inputs), std::mem::take(&mut self.outputs));
        let result = op.build(self);
        self.inputs = own.0;
        let outputs = std::mem::replace(&mut self.outputs, own.1);
        result.map(|()| outputs)
    }
}
