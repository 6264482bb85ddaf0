//! The equations of recurrent cells.

use super::recurrent::{Cell, Kind};
use crate::Index;
use crate::compute::{Compute, T, compute_type};
use crate::program::Expr;
use crate::tile::Monoid;

impl Cell<'_> {
    /// Computes the new state from the old.
    pub(super) fn build(&self, c: &mut Compute) {
        match self.op.kind {
            Kind::Rnn => self.rnn(c),
            Kind::Gru => self.gru(c),
            Kind::Lstm => self.lstm(c),
        }
    }

    /// `h * R^T` for `count` gates from gate `first` on; `h` gives the elements of `h`.
    fn product(&self, c: &mut Compute, first: i64, count: i64, h: &dyn Fn(&Index, &Index) -> Expr) -> T {
        let hidden = self.extent();
        let shape = [self.hidden.shape[1].clone(), hidden.clone() * count];
        let wide = compute_type(self.r.dtype);
        c.reduce(Monoid::Sum, wide, &shape, std::slice::from_ref(&hidden), |i, k| {
            let row = hidden.clone() * first + i[1].clone();
            h(&i[0], &k[0]) * self.r.at(vec![self.direction.clone(), row, k[0].clone()])
        })
    }

    /// The products of the old state.
    fn recurrent(&self, c: &mut Compute, count: i64) -> T {
        if let Some(weights) = self.quantized {
            let hidden = c.map(self.hidden.dtype, &self.hidden.shape[1..], |i| self.old(self.hidden, i));
            let shape = [hidden.shape[0].clone(), self.extent() * count];
            return weights.product(c, &hidden, &shape, &|i| (i[..1].to_vec(), self.direction.clone(), i[1].clone()));
        }
        self.product(c, 0, count, &|b, k| self.old(self.hidden, &[b.clone(), k.clone()]))
    }

    /// Gate `gate` of a product of several.
    fn gate(&self, product: &T, gate: i64, i: &[Index]) -> Expr {
        product.at(vec![i[0].clone(), self.extent() * gate + i[1].clone()])
    }

    fn rnn(&self, c: &mut Compute) {
        let product = self.recurrent(c, 1);
        self.update(c, self.hidden, |i| self.activate(0, &(self.input(0, i) + self.gate(&product, 0, i))));
    }

    fn lstm(&self, c: &mut Compute) {
        let product = self.recurrent(c, 4);
        let gate = |gate: i64, i: &[Index]| self.input(gate, i) + self.gate(&product, gate, i);
        self.update(c, self.cell, |i| {
            let old = self.old(self.cell, i);
            let input = self.activate(0, &(gate(0, i) + self.peephole(0, i, &old)));
            let forget = if self.op.input_forget {
                input.like(1.0) - &input
            } else {
                self.activate(0, &(gate(2, i) + self.peephole(2, i, &old)))
            };
            forget * old + input * self.activate(1, &gate(3, i))
        });
        self.update(c, self.hidden, |i| {
            let new = self.old(self.cell, i);
            let output = self.activate(0, &(gate(1, i) + self.peephole(1, i, &new)));
            output * self.activate_state(&new)
        });
    }

    fn gru(&self, c: &mut Compute) {
        let linear = self.op.linear_before_reset;
        let product = self.recurrent(c, if linear { 3 } else { 2 });
        let update = |i: &[Index]| self.activate(0, &(self.input(0, i) + self.gate(&product, 0, i)));
        let reset = |i: &[Index]| self.activate(0, &(self.input(1, i) + self.gate(&product, 1, i)));
        let candidate = if linear {
            c.map(product.dtype, &self.hidden.shape[1..], |i| {
                let bias = self.bias.map(|bias| {
                    let row = self.extent() * (Kind::Gru.gates() + 2) + i[1].clone();
                    bias.at(vec![self.direction.clone(), row])
                });
                let linear = bias.into_iter().fold(self.gate(&product, 2, i), |sum, bias| sum + bias);
                self.activate(1, &(self.input(2, i) + reset(i) * linear))
            })
        } else {
            let kept = c.map(product.dtype, &self.hidden.shape[1..], |i| reset(i) * self.old(self.hidden, i));
            let own = self.product(c, 2, 1, &|b, k| kept.at(vec![b.clone(), k.clone()]));
            c.map(product.dtype, &self.hidden.shape[1..], |i| {
                self.activate(1, &(self.input(2, i) + self.gate(&own, 0, i)))
            })
        };
        self.update(c, self.hidden, |i| {
            let z = update(i);
            (z.like(1.0) - &z) * candidate.at(i.to_vec()) + z * self.old(self.hidden, i)
        });
    }
}
