use super::OpDef;
use super::activation::sigmoid;
use super::named_activation::Activation;
use crate::compute::{Compute, T};
use crate::onnx::{Attribute, OnnxNode};
use crate::program::Expr;
use crate::{Error, Index, Result};

/// GELU of ONNX Runtime: `Gelu` and `BiasGelu` by erf, `FastGelu` by tanh, both of `x + bias`; `QuickGelu` is
/// `x * sigmoid(alpha * x)`; `BiasSplitGelu` halves the last axis of `x + bias` and gives `left * gelu(right)`.
#[derive(Debug)]
pub struct BiasGelu {
    form: Form,
    gelu: Activation,
}

#[derive(Debug)]
enum Form {
    Plain,
    Quick(f64),
    Split,
}

impl BiasGelu {
    pub(super) fn parse(node: &OnnxNode) -> Result<BiasGelu> {
        let form = match node.op_type.as_str() {
            "QuickGelu" => Form::Quick(node.float("alpha", 1.702)?.into()),
            "BiasSplitGelu" => Form::Split,
            _ => Form::Plain,
        };
        let approximate = if node.op_type == "FastGelu" { "tanh" } else { "none" };
        let gelu = OnnxNode::new("Gelu").with("approximate", Attribute::String(approximate.into()));
        Ok(BiasGelu { form, gelu: Activation::of_node(&gelu)? })
    }
}

impl OpDef for BiasGelu {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (x, bias) = (c.input(0)?, c.optional(1));
        if bias.as_ref().is_some_and(|bias| bias.rank() > x.rank()) {
            return Err(Error::invalid("the bias of a GELU has more axes than its operand"));
        }
        let mut shape = match &bias {
            Some(bias) => c.broadcast_shape(&[&x.shape, &bias.shape])?,
            None => x.shape.clone(),
        };
        let last = x.axis(-1)?;
        if let Form::Split = self.form {
            shape[last] = c.facts().div(&shape[last], &2.into());
        }
        let half = shape[last].clone();
        let sum = |i: &[Index]| bias.iter().fold(x.at(i.to_vec()), |x, bias: &T| x + bias.broadcast(i));
        let y = c.map(x.dtype, &shape, |i| match &self.form {
            Form::Plain => self.gelu.of(&sum(i)),
            Form::Quick(alpha) => {
                let x: Expr = sum(i);
                &x * sigmoid(&(&x * *alpha))
            }
            Form::Split => {
                let mut right = i.to_vec();
                right[last] = right[last].clone() + half;
                sum(i) * self.gelu.of(&sum(&right))
            }
        });
        c.output(0, y);
        Ok(())
    }
}
