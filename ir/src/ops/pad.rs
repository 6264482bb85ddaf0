use super::OpDef;
use crate::compute::{Compute, T, inside};
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::{DType, Error, Index, Result, Scalar};

/// Adds elements before and after on each axis (ONNX `Pad`); negative numbers crop.
///
/// `mode`: `constant` adds `value`; `edge` repeats the outermost element; `reflect` mirrors without repeating it, more than
/// once if need be; `wrap` continues at the other side. Before opset 11 pads and value are attributes.
#[derive(Debug)]
pub struct Pad {
    pads: Option<Vec<i64>>,
    value: f32,
    mode: Mode,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Constant,
    Edge,
    Reflect,
    Wrap,
}

impl Pad {
    pub(super) fn parse(node: &OnnxNode) -> Result<Pad> {
        let mode = match node.string("mode", "constant")?.as_str() {
            "constant" => Mode::Constant,
            "edge" => Mode::Edge,
            "reflect" => Mode::Reflect,
            "wrap" => Mode::Wrap,
            other => return Err(Error::invalid(format!("Pad has no mode `{other}`"))),
        };
        let pads = if node.has("paddings") { node.ints("paddings")? } else { node.ints("pads")? };
        Ok(Pad { pads, value: node.float("value", 0.0)?, mode })
    }

    /// How much is added before and after each axis.
    fn pads(&self, c: &Compute, x: &T) -> Result<Vec<(Index, Index)>> {
        let pads = match &self.pads {
            Some(pads) => pads.iter().map(|&n| Index::from(n)).collect(),
            None => c.dims(&c.input(1)?, "the pads of Pad")?,
        };
        let axes = match c.optional(3) {
            Some(axes) => c.ints(&axes, "the axes of Pad")?,
            None => (0..x.rank() as i64).collect(),
        };
        if pads.len() != 2 * axes.len() {
            return Err(Error::invalid(format!("Pad has {} pads for {} axes", pads.len(), axes.len())));
        }
        let mut result = vec![(Index::zero(), Index::zero()); x.rank()];
        for (place, &axis) in axes.iter().enumerate() {
            result[x.axis(axis)?] = (pads[place].clone(), pads[place + axes.len()].clone());
        }
        Ok(result)
    }
}

impl OpDef for Pad {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        let pads = self.pads(c, &x)?;
        let value = c.optional(2).filter(|t| !t.size().is(0)).map(|t| c.one(&t, "the value of Pad")).transpose()?;
        let y = match self.mode {
            Mode::Constant => constant(c, &x, &pads, |x| match &value {
                Some(value) => value.cast(x.dtype()),
                None => x.like(self.value.into()),
            }),
            mode => {
                let shape = padded(&x.shape, &pads);
                let facts = c.facts_at(&shape);
                let map = |((i, dim), (low, high)): ((&Index, &Index), &(Index, Index))| {
                    let zero = Index::zero();
                    // Negative pads crop first.
                    let (front, back) = (facts.max(&zero, &-low.clone()), facts.max(&zero, &-high.clone()));
                    let left = dim.clone() - front.clone() - back;
                    front + source(&facts, mode, i.clone() - facts.max(&zero, low), &left)
                };
                c.gather(&x, &shape, |_, i| i.iter().zip(&x.shape).zip(&pads).map(map).collect())
            }
        };
        c.output(0, y);
        Ok(())
    }
}

fn padded(shape: &[Index], pads: &[(Index, Index)]) -> Vec<Index> {
    shape.iter().zip(pads).map(|(dim, (low, high))| dim.clone() + low.clone() + high.clone()).collect()
}

/// The place, in `0..extent`, whose element stands at place `i` of the padded axis.
fn source(facts: &crate::Facts, mode: Mode, i: Index, extent: &Index) -> Index {
    match mode {
        Mode::Edge => facts.max(&Index::zero(), &facts.min(&i, &(extent.clone() - 1))),
        Mode::Reflect => {
            let period = facts.max(&Index::from(1), &(extent.clone() * 2 - 2));
            let phase = facts.rem(&i, &period);
            facts.min(&phase, &(period - phase.clone()))
        }
        Mode::Wrap | Mode::Constant => facts.rem(&i, extent),
    }
}

/// `x` between elements of the value `fill` gives for one of its elements.
pub(super) fn constant(c: &mut Compute, x: &T, pads: &[(Index, Index)], fill: impl FnOnce(&Expr) -> Expr) -> T {
    let shape = padded(&x.shape, pads);
    let facts = c.facts_at(&shape);
    c.map(x.dtype, &shape, |i| {
        let index: Vec<Index> = i.iter().zip(pads).map(|(i, (low, _))| i.clone() - low.clone()).collect();
        let tests = inside(&facts, index.iter().cloned().zip(x.shape.iter().cloned()));
        let element = x.at(index);
        let fill = fill(&element);
        match fill.as_const() {
            Some(number) => element.guard(tests, number),
            None => {
                let within = Expr::int(DType::Bool, 1).guard(tests.clone(), Scalar::Int(0));
                within.select(&element.guard(tests, Scalar::Int(0)), &fill)
            }
        }
    })
}
