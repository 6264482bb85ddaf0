use super::OpDef;
use super::window::{WindowAttributes, Windows};
use crate::compute::{Compute, T, compute_type};
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::tensor::Scalar;
use crate::tile::Monoid;
use crate::{DType, Error, Index, Result};

/// `y[n, m, o] = sum x[n, c, o*stride + k*dilation - pad] * w[m, c, k] + b[m]` over channels `c` of the group and `k`
/// (ONNX `Conv`), with any number of spatial axes.
///
/// What lies outside of `x` counts as 0. `auto_pad` `SAME_LOWER` puts the odd element of padding first.
#[derive(Debug)]
pub struct Conv {
    windows: WindowAttributes,
    groups: i64,
}

impl Conv {
    pub(super) fn parse(node: &OnnxNode) -> Result<Conv> {
        Ok(Conv { windows: WindowAttributes::parse(node)?, groups: node.int("group", 1)? })
    }
}

impl OpDef for Conv {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (x, w, bias) = (c.input(0)?, c.input(1)?, c.optional(2));
        let y = conv(c, &self.windows, self.groups, &x, &w, bias.as_ref())?;
        c.output(0, y);
        Ok(())
    }
}

/// Convolution of floats; 16-bit ones are summed in F32 and rounded once.
pub(super) fn conv(
    c: &mut Compute,
    windows: &WindowAttributes,
    groups: i64,
    x: &T,
    w: &T,
    bias: Option<&T>,
) -> Result<T> {
    let shape = Convolution::new(c, windows, groups, x, w)?;
    let wide = compute_type(x.dtype);
    let dtype = if bias.is_some() { wide } else { x.dtype };
    let y = shape.sum(c, dtype, &|i| x.at(i), &|i| w.at(i).cast(wide));
    match bias {
        Some(bias) => add_channel(c, x.dtype, &y, bias),
        None => Ok(y),
    }
}

/// `y[n, m, ..] + bias[m]`
pub(super) fn add_channel(c: &mut Compute, dtype: DType, y: &T, bias: &T) -> Result<T> {
    if bias.rank() != 1 {
        return Err(Error::invalid(format!("the bias has rank {}, not 1", bias.rank())));
    }
    c.same_dim(&bias.shape[0], &y.shape[1])?;
    Ok(c.map(dtype, &y.shape, |i| {
        let y = y.at(i.to_vec());
        let bias = bias.at(vec![i[1].clone()]).cast(y.dtype());
        y + bias
    }))
}

/// A convolution of `[N, C, ..]` with `[M, C/groups, ..]`.
pub(super) struct Convolution {
    batch: Index,
    /// Channels of one group, in and out.
    inputs: Index,
    outputs: Index,
    groups: i64,
    windows: Windows,
}

impl Convolution {
    pub(super) fn new(c: &mut Compute, windows: &WindowAttributes, groups: i64, x: &T, w: &T) -> Result<Convolution> {
        if x.rank() < 3 || w.rank() != x.rank() {
            return Err(Error::invalid(format!("a convolution of rank {} with a rank-{} kernel", x.rank(), w.rank())));
        }
        let outputs = per_group(c, &w.shape[0], groups)?;
        c.same_dim(&x.shape[1], &(w.shape[1].clone() * groups))?;
        if let Some(kernel) = &windows.kernel {
            let stated = kernel.iter().map(|&k| Index::from(k));
            stated.zip(&w.shape[2..]).try_for_each(|(k, dim)| c.same_dim(&k, dim).map(|_| ()))?;
        }
        let windows = windows.place(c, &x.shape[2..], &w.shape[2..])?;
        Ok(Convolution { batch: x.shape[0].clone(), inputs: w.shape[1].clone(), outputs, groups, windows })
    }

    /// The sum of products; `x` and `w` give their elements, also those outside of `x` as 0.
    pub(super) fn sum(
        &self,
        c: &mut Compute,
        dtype: DType,
        x: &dyn Fn(Vec<Index>) -> Expr,
        w: &dyn Fn(Vec<Index>) -> Expr,
    ) -> T {
        let Convolution { batch, inputs, outputs, groups, windows } = self;
        let depthwise = inputs.is(1) && outputs.is(1) && *groups > 1;
        let grouped = *groups > 1 && !depthwise;
        let channels = outputs.clone() * *groups;
        let mut shape = vec![batch.clone()];
        if grouped {
            shape.extend([Index::from(*groups), outputs.clone()]);
        } else {
            shape.push(channels.clone());
        }
        let lead = shape.len();
        shape.extend(windows.out.iter().cloned());
        let mut over = if depthwise { vec![] } else { vec![inputs.clone()] };
        over.extend(windows.kernel.iter().cloned());
        let facts = c.scope(&shape, &over);
        let y = c.reduce(Monoid::Sum, dtype, &shape, &over, |i, r| {
            let k = if depthwise { r } else { &r[1..] };
            let position = windows.position(&i[lead..], k);
            let tests = windows.tests(&facts, &position);
            let (channel, filter, own) = if depthwise {
                (i[1].clone(), i[1].clone(), Index::zero())
            } else if grouped {
                (&i[1] * inputs + r[0].clone(), &i[1] * outputs + i[2].clone(), r[0].clone())
            } else {
                (r[0].clone(), i[1].clone(), r[0].clone())
            };
            let x = x([vec![i[0].clone(), channel], position].concat()).guard(tests, Scalar::Int(0));
            x * w([&[filter, own], k].concat())
        });
        if grouped { c.reshape(&y, &[&[batch.clone(), channels], windows.out.as_slice()].concat()) } else { y }
    }
}

/// The channels of one group.
pub(super) fn per_group(c: &Compute, channels: &Index, groups: i64) -> Result<Index> {
    let divides = groups > 0 && channels.as_const().is_none_or(|n| n % groups == 0);
    if !divides {
        return Err(Error::invalid(format!("{channels} channels in {groups} groups")));
    }
    Ok(c.facts().div(channels, &groups.into()))
}
