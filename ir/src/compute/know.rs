//! Small integer results are evaluated while a stage is built; so shapes computed by operators stay expressions.

use super::Compute;
use crate::program::{Axis, Expr, Known, evaluate};
use crate::tensor::Scalar;
use crate::tile::Monoid;
use crate::{Index, Tensor};

/// How many elements are at most evaluated while building.
const KNOWN_LIMIT: i64 = 512;

impl Compute<'_> {
    /// Evaluates a stage at every point, if there are few and all is known.
    pub(super) fn know(
        &self,
        shape: &[Index],
        axes: &[Axis],
        monoid: Option<Monoid>,
        value: &Expr,
        reduced: &[Axis],
    ) -> Option<Vec<Known>> {
        let count = |extents: &[Axis]| extents.iter().try_fold(1i64, |n, axis| n.checked_mul(axis.extent.as_const()?));
        let (points, folds) = (count(axes)?, count(reduced)?);
        if points.checked_mul(folds)? > KNOWN_LIMIT || shape.len() > 2 {
            return None;
        }
        let element = |point: i64| {
            let at = |fold: i64| {
                self.know_at(value, &|name| coordinate(axes, point, name).or_else(|| coordinate(reduced, fold, name)))
            };
            match monoid {
                None => at(0),
                Some(monoid) => self.fold_known(monoid, (0..folds).map(at)),
            }
        };
        (0..points).map(element).collect()
    }

    /// The value of an expression where the axes have these values, if it is known while building.
    pub(super) fn know_at(&self, value: &Expr, axes: &dyn Fn(&str) -> Option<i64>) -> Option<Known> {
        let load = |buffer: u32, index: &[i64]| {
            let (shape, known) = self.known.get(&buffer)?;
            let place = shape.iter().zip(index).try_fold(0i64, |at, (dim, i)| Some(at * dim.as_const()? + i))?;
            known.get(usize::try_from(place).ok()?).cloned()
        };
        evaluate(value, &self.program.facts, axes, &load)
    }

    fn fold_known(&self, monoid: Monoid, values: impl Iterator<Item = Option<Known>>) -> Option<Known> {
        let mut result: Option<Index> = None;
        for value in values {
            let Known::Index(value) = value? else { return None };
            result = Some(match result {
                None => value,
                Some(so_far) => match monoid {
                    Monoid::Sum => so_far + value,
                    Monoid::Prod => so_far * value,
                    Monoid::Max => self.program.facts.max(&so_far, &value),
                    Monoid::Min => self.program.facts.min(&so_far, &value),
                    Monoid::And | Monoid::Or => return None,
                },
            });
        }
        match (result, monoid) {
            (None, Monoid::Sum) => Some(Known::Index(Index::zero())),
            (None, Monoid::Prod) => Some(Known::Index(Index::from(1))),
            (result, _) => result.map(Known::Index),
        }
    }
}

/// Row-major coordinate `name` of the `point`-th point of a domain whose extents are numbers.
pub(super) fn coordinate(axes: &[Axis], mut point: i64, name: &str) -> Option<i64> {
    for axis in axes.iter().rev() {
        let extent = axis.extent.as_const()?;
        if &*axis.name == name {
            return Some(point % extent);
        }
        point /= extent;
    }
    None
}

/// The elements of a small constant.
pub fn known_of(tensor: &Tensor) -> Option<Vec<Known>> {
    if tensor.len() as i64 > KNOWN_LIMIT || tensor.shape().len() > 2 {
        return None;
    }
    let known = |scalar| match scalar {
        Scalar::Int(n) => Known::Index(Index::from(n)),
        Scalar::Float(x) => Known::Float(x),
    };
    Some(tensor.scalars().map(known).collect())
}
