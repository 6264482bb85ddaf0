use super::OpDef;
use super::random::{mask, seed};
use crate::compute::Compute;
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::{DType, Result};

/// `y = x` (ONNX `Dropout` when not training): another name for the same tensor. While training, elements are 0 with the
/// probability `ratio`, and the others are divided by `1 - ratio`. Output 1 tells which elements stay.
///
/// Since opset 10 the mask is `Bool`, before it has the type of `x`. Since opset 12 ratio and mode are inputs; a mode that
/// is only known at run time counts as training.
#[derive(Debug)]
pub struct Dropout {
    truth: bool,
    training: bool,
    ratio: f32,
    seed: Option<u64>,
}

impl Dropout {
    pub(super) fn parse(node: &OnnxNode) -> Result<Dropout> {
        Ok(Dropout {
            truth: node.opset >= 10,
            training: node.opset < 7 && !node.flag("is_test", false)?,
            ratio: node.float("ratio", 0.5)?,
            seed: seed(node)?,
        })
    }
}

impl OpDef for Dropout {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        let known = |place: usize| c.optional(place).and_then(|t| c.floats(&t, "").ok());
        let given = c.optional(2).is_some() && known(2) != Some(vec![0.0]);
        let kept = if self.truth { DType::Bool } else { x.dtype };
        if !(self.training || given) || known(1) == Some(vec![0.0]) {
            let ones = c.map(kept, &x.shape, |_| Expr::float(kept, 1.0));
            c.output(0, x);
            c.output(1, ones);
            return Ok(());
        }
        let scalar = |place: usize| c.optional(place).map(|t| c.one(&t, "ratio and mode of Dropout")).transpose();
        let (ratio, mode) = (scalar(1)?, scalar(2)?);
        let ratio = ratio.map_or_else(|| Expr::float(DType::F32, self.ratio.into()), |ratio| ratio.cast(DType::F32));
        let ratio = mode.map_or_else(|| ratio.clone(), |mode| mode.cast(DType::Bool).select(&ratio, &ratio.like(0.0)));
        let kept_elements = mask(c, self.seed, &x, &ratio);
        let y = c.map(x.dtype, &x.shape, |i| {
            let element = x.at(i.to_vec());
            let scale = (ratio.like(1.0) / (ratio.like(1.0) - ratio)).cast(element.dtype());
            kept_elements.at(i.to_vec()).select(&(&element * &scale), &element.like(0.0))
        });
        c.output(0, y);
        let mask = if self.truth { kept_elements } else { c.map(kept, &x.shape, |i| kept_elements.raw(i.to_vec())) };
        c.output(1, mask);
        Ok(())
    }
}
