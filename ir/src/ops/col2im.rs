use super::OpDef;
use super::window::{WindowAttributes, Windows};
use crate::compute::{Compute, compute_type, inside};
use crate::onnx::OnnxNode;
use crate::tensor::Scalar;
use crate::tile::Monoid;
use crate::{Error, Index, Result};

/// Adds the windows `[N, C * kernel, windows]` of an image back to where they were taken from (ONNX `Col2Im`): each element of the image
/// gathers those of the windows that cover it.
#[derive(Debug)]
pub struct Col2Im {
    windows: WindowAttributes,
}

impl Col2Im {
    pub(super) fn parse(node: &OnnxNode) -> Result<Col2Im> {
        Ok(Col2Im { windows: WindowAttributes::parse(node)? })
    }
}

impl OpDef for Col2Im {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (x, image, block) = (c.input(0)?, c.input(1)?, c.input(2)?);
        let image = c.dims(&image, "the image shape given to Col2Im")?;
        let block = c.dims(&block, "the block shape given to Col2Im")?;
        if x.rank() != 3 {
            return Err(Error::invalid(format!("Col2Im of a rank-{} tensor", x.rank())));
        }
        let windows = self.windows.place(c, &image, &block)?;
        let taps = Index::product(&block);
        let channels = c.facts().div(&x.shape[1], &taps);
        c.same_dim(&x.shape[1], &(&channels * &taps))?;
        c.same_dim(&x.shape[2], &Index::product(&windows.out))?;
        let shape = [&[x.shape[0].clone(), channels], image.as_slice()].concat();
        let facts = c.scope(&shape, &block);
        let flat = |i: &[Index], dims: &[Index]| {
            i.iter().zip(dims).fold(Index::zero(), |flat, (i, dim)| &flat * dim + i.clone())
        };
        let y = c.reduce(Monoid::Sum, compute_type(x.dtype), &shape, &block, |i, k| {
            let (window, tests) = covering(&windows, &facts, &i[2..], k);
            let row = &i[1] * &taps + flat(k, &block);
            x.at(vec![i[0].clone(), row, flat(&window, &windows.out)]).guard(tests, Scalar::Int(0))
        });
        let y = c.map(x.dtype, &shape, |i| y.at(i.to_vec()));
        c.output(0, y);
        Ok(())
    }
}

/// The window whose element `k` is at a position, and the tests that there is one.
fn covering(
    w: &Windows,
    facts: &crate::Facts,
    position: &[Index],
    k: &[Index],
) -> (Vec<Index>, Vec<crate::tile::InRange>) {
    let (mut window, mut tests) = (vec![], vec![]);
    for axis in 0..position.len() {
        let start = position[axis].clone() + w.low[axis].clone() - k[axis].clone() * w.dilations[axis];
        let stride = Index::from(w.strides[axis]);
        window.push(facts.div(&start, &stride));
        tests.push((facts.rem(&start, &stride), Index::from(1)));
        tests.push((window[axis].clone(), w.out[axis].clone()));
    }
    (window, inside(facts, tests))
}
