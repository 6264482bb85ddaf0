use super::OpDef;
use super::conv::{add_channel, per_group};
use super::resample::Filter;
use super::window::{WindowAttributes, Windows};
use crate::compute::{Compute, T, compute_type};
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::tensor::Scalar;
use crate::tile::{InRange, Monoid, Unary};
use crate::{DType, Error, Index, Result};

/// Convolution whose elements are sampled away from their places, by linear interpolation (ONNX `DeformConv`): element
/// `(kh, kw)` of the window at `(oh, ow)` is moved by `offset`, and multiplied by `mask` if there is one. 0 lies outside.
#[derive(Debug)]
pub struct DeformConv {
    windows: WindowAttributes,
    groups: i64,
    offset_groups: i64,
}

impl DeformConv {
    pub(super) fn parse(node: &OnnxNode) -> Result<DeformConv> {
        Ok(DeformConv {
            windows: WindowAttributes::parse(node)?,
            groups: node.int("group", 1)?,
            offset_groups: node.int("offset_group", 1)?,
        })
    }

    /// Element numbers `[N, offset group, kh, kw, oh, ow, 2]` and weights of one axis.
    fn axis(&self, c: &mut Compute, offset: &T, windows: &Windows, axis: usize) -> (T, T) {
        let n = windows.out.len();
        let wide = compute_type(offset.dtype);
        let lead = [offset.shape[0].clone(), self.offset_groups.into()];
        let shape = [lead.as_slice(), &windows.kernel, &windows.out, &[Index::from(2)]].concat();
        let position = |i: &[Index]| {
            let (k, o) = (&i[2..2 + n], &i[2 + n..2 + 2 * n]);
            let place = windows.position(o, k)[axis].clone();
            let element = k.iter().zip(&windows.kernel).fold(i[1].clone(), |flat, (k, dim)| &flat * dim + k.clone());
            let channel = element * n as i64 + axis as i64;
            Expr::index(place).cast(wide) + offset.at([&[i[0].clone(), channel], o].concat())
        };
        let place = |i: &[Index]| position(i).unary(Unary::Floor) + Expr::index(i[2 + 2 * n].clone()).cast(wide);
        let places = c.map(DType::I64, &shape, place);
        let weights = c.map(wide, &shape, |i| Filter::Linear.weight(&(position(i) - place(i))));
        (places, weights)
    }
}

impl OpDef for DeformConv {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (x, w, offset) = (c.input(0)?, c.input(1)?, c.input(2)?);
        let (bias, mask) = (c.optional(3), c.optional(4));
        if x.rank() < 3 || w.rank() != x.rank() || offset.rank() != x.rank() {
            return Err(Error::invalid("DeformConv needs a tensor, a kernel and offsets of one rank, 3 or more"));
        }
        let windows = self.windows.place(c, &x.shape[2..], &w.shape[2..])?;
        let n = windows.out.len();
        let per_offset = per_group(c, &x.shape[1], self.offset_groups)?;
        let (inputs, outputs) = (w.shape[1].clone(), per_group(c, &w.shape[0], self.groups)?);
        c.same_dim(&x.shape[1], &(inputs.clone() * self.groups))?;
        let moved = Index::product(&windows.kernel) * self.offset_groups;
        let lead = |c: i64| vec![x.shape[0].clone(), moved.clone() * c];
        c.demand(&offset, "the offset", &[lead(n as i64), windows.out.clone()].concat())?;
        for mask in mask.iter() {
            c.demand(mask, "the mask", &[lead(1), windows.out.clone()].concat())?;
        }
        let tables: Vec<(T, T)> = (0..n).map(|axis| self.axis(c, &offset, &windows, axis)).collect();
        let sampled = sample(c, &x, &tables, &windows, &per_offset, mask.as_ref());
        let shape = [&[x.shape[0].clone(), self.groups.into(), outputs.clone()], windows.out.as_slice()].concat();
        let over = [&[inputs.clone()], windows.kernel.as_slice()].concat();
        let wide = compute_type(x.dtype);
        let y = c.reduce(Monoid::Sum, wide, &shape, &over, |i, r| {
            let (channel, filter) = (&i[1] * &inputs + r[0].clone(), &i[1] * &outputs + i[2].clone());
            let x = sampled.at([&[i[0].clone(), channel], &r[1..], &i[3..]].concat());
            x * w.at([&[filter], r].concat()).cast(wide)
        });
        let flat = [&[x.shape[0].clone(), w.shape[0].clone()], windows.out.as_slice()].concat();
        let y = c.reshape(&y, &flat);
        let y = match &bias {
            Some(bias) => add_channel(c, x.dtype, &y, bias)?,
            None => c.map(x.dtype, &flat, |i| y.at(i.to_vec())),
        };
        c.output(0, y);
        Ok(())
    }
}

/// The elements of all windows, `[N, C, kernel.., out..]`.
fn sample(c: &mut Compute, x: &T, tables: &[(T, T)], windows: &Windows, channels: &Index, mask: Option<&T>) -> T {
    let n = tables.len();
    let shape = [&x.shape[..2], &windows.kernel, &windows.out].concat();
    let wide = compute_type(x.dtype);
    let facts = c.scope(&shape, &[]);
    let group = |i: &[Index]| facts.div(&i[1], channels);
    let sum = c.reduce(Monoid::Sum, wide, &shape, &vec![Index::from(2); n], |i, r| {
        let (mut at, mut tests, mut weight) = (i[..2].to_vec(), vec![], Expr::float(wide, 1.0));
        for (axis, (places, weights)) in tables.iter().enumerate() {
            let tap = [&[i[0].clone(), group(i)], &i[2..], &r[axis..=axis]].concat();
            let place = Index::at(places.buffer, tap.clone());
            tests.push(InRange::extent(place.clone(), x.shape[2 + axis].clone()));
            at.push(place);
            weight = weight * weights.at(tap).cast(wide);
        }
        x.at(at).guard(tests, Scalar::Int(0)) * weight
    });
    let Some(mask) = mask else { return sum };
    c.map(wide, &shape, |i| {
        let k = i[2..2 + n].iter().zip(&windows.kernel).fold(group(i), |flat, (k, dim)| &flat * dim + k.clone());
        sum.at(i.to_vec()) * mask.at([&[i[0].clone(), k], &i[2 + n..]].concat()).cast(wide)
    })
}
