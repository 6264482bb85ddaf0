use super::OpDef;
use crate::compute::Compute;
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::{DType, Error, Result};

/// `y = x` (ONNX `Dropout` when not training): another name for the same tensor. Output 1 is a mask of ones.
///
/// Since opset 10 the mask is `Bool`, before it has the type of `x`. Since opset 12 the inputs `ratio` and
/// `training_mode` exist; training is only supported with ratio 0, which drops nothing.
#[derive(Debug)]
pub struct Dropout {
    truth: bool,
    training: bool,
}

impl Dropout {
    pub(super) fn parse(node: &OnnxNode) -> Result<Dropout> {
        Ok(Dropout { truth: node.opset >= 10, training: node.opset < 7 && !node.flag("is_test", false)? })
    }
}

impl OpDef for Dropout {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        let mut training = self.training;
        if let Some(mode) = c.optional(2) {
            let drops = match c.optional(1) {
                Some(ratio) => c.floats(&ratio, "the ratio of Dropout").map_or(true, |ratio| ratio != [0.0]),
                None => true,
            };
            training |= drops && c.ints(&mode, "the training_mode of Dropout")? != [0];
        }
        if training {
            return Err(Error::unsupported("Dropout while training is not supported"));
        }
        let mask = if self.truth { DType::Bool } else { x.dtype };
        let ones = c.map(mask, &x.shape, |_| Expr::float(mask, 1.0));
        c.output(0, x);
        c.output(1, ones);
        Ok(())
    }
}
