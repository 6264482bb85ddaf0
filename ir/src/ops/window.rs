//! Windows of convolutions and pools: where they lie, and how many there are.

use crate::compute::{Compute, inside};
use crate::onnx::OnnxNode;
use crate::tile::InRange;
use crate::{Error, Facts, Index, Result};

/// The attributes that place windows, as the model states them.
#[derive(Clone, Debug, Default)]
pub(super) struct WindowAttributes {
    pub kernel: Option<Vec<i64>>,
    strides: Option<Vec<i64>>,
    dilations: Option<Vec<i64>>,
    pads: Option<Vec<i64>>,
    same: Option<Same>,
    ceil: bool,
}

/// `auto_pad`: as many windows as strides fit, and where the odd element of padding goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Same {
    Upper,
    Lower,
}

/// Windows over the spatial axes of a tensor, one entry an axis in every list.
#[derive(Clone, Debug)]
pub(super) struct Windows {
    /// Extents of what they slide over.
    pub extents: Vec<Index>,
    /// Elements of a window.
    pub kernel: Vec<Index>,
    pub strides: Vec<i64>,
    pub dilations: Vec<i64>,
    /// Padding before and after.
    pub low: Vec<Index>,
    pub high: Vec<Index>,
    /// How many windows there are.
    pub out: Vec<Index>,
}

impl WindowAttributes {
    pub(super) fn parse(node: &OnnxNode) -> Result<WindowAttributes> {
        let auto = node.string("auto_pad", "NOTSET")?;
        let same = match auto.as_str() {
            "SAME_UPPER" => Some(Same::Upper),
            "SAME_LOWER" => Some(Same::Lower),
            "NOTSET" | "VALID" | "" => None,
            other => return Err(Error::invalid(format!("attribute `auto_pad` is `{other}`"))),
        };
        Ok(WindowAttributes {
            kernel: node.ints("kernel_shape")?,
            strides: node.ints("strides")?,
            dilations: node.ints("dilations")?,
            pads: if auto == "VALID" { None } else { node.ints("pads")? },
            same,
            ceil: node.flag("ceil_mode", false)?,
        })
    }

    /// `auto_pad`, if it is one that computes the pads.
    pub(super) fn same(&self) -> Option<Same> {
        self.same
    }

    /// The kernel that the attribute must state.
    pub(super) fn kernel(&self) -> Result<Vec<Index>> {
        let kernel = self.kernel.as_ref().ok_or_else(|| Error::invalid("attribute `kernel_shape` is missing"))?;
        if kernel.iter().any(|&k| k < 1) {
            return Err(Error::invalid(format!("attribute `kernel_shape` is {kernel:?}")));
        }
        Ok(kernel.iter().map(|&k| k.into()).collect())
    }

    /// Strides of `n` axes.
    pub(super) fn strides(&self, n: usize) -> Result<Vec<i64>> {
        positive("strides", &self.strides, n)
    }

    /// Dilations of `n` axes.
    pub(super) fn dilations(&self, n: usize) -> Result<Vec<i64>> {
        positive("dilations", &self.dilations, n)
    }

    /// Pads before and after `n` axes, as the attribute states them.
    pub(super) fn pads(&self, n: usize) -> Result<(Vec<Index>, Vec<Index>)> {
        let pads = list("pads", &self.pads, 2 * n, 0)?;
        let index = |pads: &[i64]| pads.iter().map(|&p| p.into()).collect();
        Ok((index(&pads[..n]), index(&pads[n..])))
    }

    /// Where windows of a kernel lie on axes of these extents.
    pub(super) fn place(&self, c: &Compute, extents: &[Index], kernel: &[Index]) -> Result<Windows> {
        let n = extents.len();
        if kernel.len() != n {
            return Err(Error::invalid(format!("a kernel of rank {} on {n} spatial axes", kernel.len())));
        }
        let (strides, dilations) = (self.strides(n)?, self.dilations(n)?);
        let (low, high) = self.pads(n)?;
        let (extents, kernel) = (extents.to_vec(), kernel.to_vec());
        let mut windows = Windows { extents, kernel, strides, dilations, low, high, out: vec![] };
        for axis in 0..n {
            let count = self.count(c.facts(), &mut windows, axis);
            if count.as_const().is_some_and(|count| count < 0) {
                return Err(Error::invalid("a window is larger than what it slides over"));
            }
            windows.out.push(count);
        }
        Ok(windows)
    }

    /// The number of windows on an axis; sets the pads if they follow from it.
    fn count(&self, facts: &Facts, w: &mut Windows, axis: usize) -> Index {
        let (extent, stride) = (w.extents[axis].clone(), Index::from(w.strides[axis]));
        let reach = w.reach(axis);
        if let Some(same) = self.same {
            let count = facts.div(&(extent.clone() + stride.clone() - 1), &stride);
            let total = facts.max(&(&(count.clone() - 1) * &stride + reach - extent), &Index::zero());
            (w.low[axis], w.high[axis]) = same.split(facts, &total);
            return count;
        }
        let padded = extent.clone() + w.low[axis].clone() + w.high[axis].clone();
        let free = padded - reach;
        if !self.ceil {
            return facts.div(&free, &stride) + 1;
        }
        // A window that would start in the padding after the tensor is dropped.
        let started = facts.div(&(extent + w.low[axis].clone() + stride.clone() - 1), &stride);
        facts.min(&(facts.div(&(free + stride.clone() - 1), &stride) + 1), &started)
    }
}

impl Same {
    /// Splits padding in two.
    pub(super) fn split(self, facts: &Facts, total: &Index) -> (Index, Index) {
        let smaller = facts.div(total, &2.into());
        let larger = total.clone() - smaller.clone();
        if self == Same::Upper { (smaller, larger) } else { (larger, smaller) }
    }
}

impl Windows {
    /// Elements from the first to the last of a window.
    pub(super) fn reach(&self, axis: usize) -> Index {
        (self.kernel[axis].clone() - 1) * self.dilations[axis] + 1
    }

    /// Where element `k` of window `o` lies; outside of the extents it is padding.
    pub(super) fn position(&self, o: &[Index], k: &[Index]) -> Vec<Index> {
        let place = |axis: usize| {
            let start = o[axis].clone() * self.strides[axis] - self.low[axis].clone();
            start + k[axis].clone() * self.dilations[axis]
        };
        (0..self.out.len()).map(place).collect()
    }

    /// The tests that a position is no padding, without those that `facts` prove.
    pub(super) fn tests(&self, facts: &Facts, position: &[Index]) -> Vec<InRange> {
        inside(facts, position.iter().cloned().zip(self.extents.iter().cloned()))
    }
}

fn positive(name: &str, given: &Option<Vec<i64>>, n: usize) -> Result<Vec<i64>> {
    let list = list(name, given, n, 1)?;
    if list.iter().any(|&x| x < 1) {
        return Err(Error::invalid(format!("attribute `{name}` is {list:?}")));
    }
    Ok(list)
}

/// An attribute with one number an axis.
pub(super) fn list(name: &str, given: &Option<Vec<i64>>, n: usize, default: i64) -> Result<Vec<i64>> {
    match given {
        None => Ok(vec![default; n]),
        Some(list) if list.len() == n => Ok(list.clone()),
        Some(list) => Err(Error::invalid(format!("attribute `{name}` has {} entries, not {n}", list.len()))),
    }
}
