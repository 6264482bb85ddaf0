//! Recurrent weights stored in 8 bits, for an LSTM whose operands are quantized as they come.

use super::quantize::{centered, dynamic_quantize};
use crate::compute::{Compute, T};
use crate::program::Expr;
use crate::tile::Monoid;
use crate::{DType, Error, Index, Result};

/// `(q - zero) * scale`, with a parameter a direction, or a direction and row.
pub(super) struct Weights {
    /// `[D, rows, columns]`
    q: T,
    scale: T,
    zero: T,
}

/// What a point of a product is of: where the row of the left factor begins, the direction, and the row of the weights.
pub(super) type Place<'a> = &'a dyn Fn(&[Index]) -> (Vec<Index>, Index, Index);

impl Weights {
    /// Of weights `[D, rows, columns]`, whose scale and zero point are inputs `first` and the one behind it.
    pub(super) fn new(c: &mut Compute, q: T, first: usize) -> Result<Weights> {
        let (scale, zero) = (c.input(first)?, c.input(first + 1)?);
        for parameter in [&scale, &zero] {
            if parameter.rank() != 1 && parameter.rank() != 2 {
                return Err(Error::invalid(format!("a scale or zero point of rank {}, not 1 or 2", parameter.rank())));
            }
            c.demand(parameter, "a scale or zero point", &q.shape[..parameter.rank()])?;
        }
        Ok(Weights { q, scale, zero })
    }

    /// `x * weights^T`, where all of `x` is quantized with one scale.
    pub(super) fn product(&self, c: &mut Compute, x: &T, shape: &[Index], place: Place) -> T {
        let columns = self.q.shape[2..].to_vec();
        let (x, x_scale, x_zero) = dynamic_quantize(c, x);
        let parameter = |t: &T, d: &Index, row: &Index| -> Expr { t.at([d.clone(), row.clone()][..t.rank()].to_vec()) };
        let sum = c.reduce(Monoid::Sum, DType::I32, shape, &columns, |i, k| {
            let (start, d, row) = place(i);
            let zero = parameter(&self.zero, &d, &row);
            let weight = centered(&self.q.at(vec![d, row, k[0].clone()]), Some(zero));
            centered(&x.at([&start, k].concat()), Some(x_zero.at(vec![]))) * weight
        });
        c.map(DType::F32, shape, |i| {
            let (_, d, row) = place(i);
            sum.at(i.to_vec()).cast(DType::F32) * (x_scale.at(vec![]) * parameter(&self.scale, &d, &row))
        })
    }
}
