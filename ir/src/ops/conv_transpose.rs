use super::OpDef;
use super::conv::per_group;
use super::window::{Same, WindowAttributes, list};
use crate::compute::{Compute, T, compute_type, inside};
use crate::onnx::OnnxNode;
use crate::tensor::Scalar;
use crate::tile::{InRange, Monoid};
use crate::{Error, Facts, Index, Result};

/// `y[n, m, o] = sum x[n, c, i] * w[c, m, k] + b[m]` over all `i*stride + k*dilation - pad = o` (ONNX `ConvTranspose`).
///
/// `output_shape` and `auto_pad` compute the pads; the odd element goes first unless `SAME_UPPER`. The result is computed
/// as `stride` phases, each an ordinary convolution of `x`, so that no product with an inserted 0 is made.
#[derive(Debug)]
pub struct ConvTranspose {
    windows: WindowAttributes,
    groups: i64,
    output_padding: Option<Vec<i64>>,
    output_shape: Option<Vec<i64>>,
}

impl ConvTranspose {
    pub(super) fn parse(node: &OnnxNode) -> Result<ConvTranspose> {
        Ok(ConvTranspose {
            windows: WindowAttributes::parse(node)?,
            groups: node.int("group", 1)?,
            output_padding: node.ints("output_padding")?,
            output_shape: node.ints("output_shape")?.filter(|shape| !shape.is_empty()),
        })
    }

    /// The geometry of every spatial axis.
    fn axes(&self, c: &Compute, x: &T, w: &T) -> Result<Vec<Axis>> {
        let n = x.rank() - 2;
        let (strides, dilations) = (self.windows.strides(n)?, self.windows.dilations(n)?);
        let padding = list("output_padding", &self.output_padding, n, 0)?;
        let (low, high) = self.windows.pads(n)?;
        let wanted = match &self.output_shape {
            Some(shape) if shape.len() < n => return Err(Error::invalid("attribute `output_shape` is too short")),
            Some(shape) => Some(&shape[shape.len() - n..]),
            None => None,
        };
        let axis = |a: usize| {
            let (extent, kernel) = (x.shape[2 + a].clone(), w.shape[2 + a].clone());
            let (stride, dilation) = (strides[a], dilations[a]);
            let full = (extent.clone() - 1) * stride + (kernel.clone() - 1) * dilation + 1 + padding[a];
            let fixed = wanted.map(|shape| Index::from(shape[a]));
            let fixed = fixed.or_else(|| self.windows.same().map(|_| extent.clone() * stride));
            let (before, out) = match fixed {
                Some(out) => {
                    let total = full - out.clone();
                    let same = self.windows.same().unwrap_or(Same::Lower);
                    (same.split(c.facts(), &total).0, out)
                }
                None => (low[a].clone(), full - low[a].clone() - high[a].clone()),
            };
            Axis { extent, kernel, stride, dilation, before, out }
        };
        Ok((0..n).map(axis).collect())
    }
}

/// One spatial axis.
struct Axis {
    extent: Index,
    kernel: Index,
    stride: i64,
    dilation: i64,
    /// Elements of the full result cut off at the front; may be negative.
    before: Index,
    out: Index,
}

impl Axis {
    /// How many phases the full result has; 1 if `x` is found by division instead.
    fn phases(&self) -> i64 {
        if self.dilation == 1 { self.stride } else { 1 }
    }

    /// Points of each phase.
    fn points(&self, facts: &Facts) -> Index {
        let phases = Index::from(self.phases());
        facts.div(&(self.out.clone() + self.before.clone() + phases.clone() - 1), &phases)
    }

    /// Kernel elements of each phase.
    fn taps(&self, facts: &Facts) -> Index {
        let phases = Index::from(self.phases());
        facts.div(&(self.kernel.clone() + phases.clone() - 1), &phases)
    }

    /// The element of `x`, that of the kernel, and the tests under which they meet at a point of a phase.
    fn meet(&self, facts: &Facts, point: &Index, phase: &Index, tap: &Index) -> (Index, Index, Vec<InRange>) {
        let kernel = tap.clone() * self.phases() + phase.clone();
        let offset = point.clone() - tap.clone() * self.dilation;
        let mut tests = vec![];
        let x = if self.phases() == self.stride {
            offset
        } else {
            tests.push((facts.rem(&offset, &self.stride.into()), Index::from(1)));
            facts.div(&offset, &self.stride.into())
        };
        tests.push((x.clone(), self.extent.clone()));
        tests.push((kernel.clone(), self.kernel.clone()));
        (x, kernel, inside(facts, tests))
    }
}

impl OpDef for ConvTranspose {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (x, w, bias) = (c.input(0)?, c.input(1)?, c.optional(2));
        if x.rank() < 3 || w.rank() != x.rank() || bias.as_ref().is_some_and(|b| b.rank() != 1) {
            return Err(Error::invalid("ConvTranspose needs a tensor and a kernel of one rank, 3 or more"));
        }
        c.same_dim(&x.shape[1], &w.shape[0])?;
        let inputs = per_group(c, &x.shape[1], self.groups)?;
        let axes = self.axes(c, &x, &w)?;
        let phased = phases(c, &x, &w, self.groups, &inputs, &axes);
        let lead = phased.rank() - 2 * axes.len();
        let mut shape = vec![x.shape[0].clone(), w.shape[1].clone() * self.groups];
        shape.extend(axes.iter().map(|a| a.out.clone()));
        let facts = c.scope(&shape, &[]);
        let y = c.map(x.dtype, &shape, |i| {
            let (mut points, mut phases, mut tests) = (vec![], vec![], vec![]);
            for (axis, o) in axes.iter().zip(&i[2..]) {
                let full = o.clone() + axis.before.clone();
                points.push(facts.div(&full, &axis.phases().into()));
                phases.push(facts.rem(&full, &axis.phases().into()));
                tests.push((points[points.len() - 1].clone(), axis.points(&facts)));
            }
            let mut index = vec![i[0].clone()];
            if lead == 3 {
                index.extend([facts.div(&i[1], &w.shape[1]), facts.rem(&i[1], &w.shape[1])]);
            } else {
                index.push(i[1].clone());
            }
            let sum = phased.at([index, points, phases].concat()).guard(inside(&facts, tests), Scalar::Int(0));
            bias.iter().fold(sum, |sum, bias| {
                let bias = bias.at(vec![i[1].clone()]).cast(sum.dtype());
                sum + bias
            })
        });
        c.output(0, y);
        Ok(())
    }
}

/// `t[n, (g,) m, point.., phase..]`: the full result, split into phases.
fn phases(c: &mut Compute, x: &T, w: &T, groups: i64, inputs: &Index, axes: &[Axis]) -> T {
    let n = axes.len();
    let facts = c.facts().clone();
    let mut shape = vec![x.shape[0].clone()];
    if groups > 1 {
        shape.push(groups.into());
    }
    shape.push(w.shape[1].clone());
    let lead = shape.len();
    shape.extend(axes.iter().map(|a| a.points(&facts)));
    shape.extend(axes.iter().map(|a| Index::from(a.phases())));
    let mut over = vec![inputs.clone()];
    over.extend(axes.iter().map(|a| a.taps(&facts)));
    let facts = c.scope(&shape, &over);
    let wide = compute_type(x.dtype);
    c.reduce(Monoid::Sum, wide, &shape, &over, |i, r| {
        let (mut at, mut kernel, mut tests) = (vec![], vec![], vec![]);
        for (a, axis) in axes.iter().enumerate() {
            let (x, k, own) = axis.meet(&facts, &i[lead + a], &i[lead + n + a], &r[1 + a]);
            at.push(x);
            kernel.push(k);
            tests.extend(own);
        }
        let channel = if groups > 1 { &i[1] * inputs + r[0].clone() } else { r[0].clone() };
        let x = x.at([vec![i[0].clone(), channel.clone()], at].concat());
        let w = w.at([vec![channel, i[lead - 1].clone()], kernel].concat()).cast(wide);
        (x * w).guard(tests, Scalar::Int(0))
    })
}
