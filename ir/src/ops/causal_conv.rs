use super::OpDef;
use super::activation::sigmoid;
use super::concat::concat;
use super::conv::{Convolution, add_channel};
use super::window::WindowAttributes;
use crate::compute::{Compute, compute_type};
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::{Error, Index, Result};

/// Depthwise convolution of `[B, C, L]` that looks back only: `z = [past, x]`, `y = silu(z * w + bias)` (ONNX
/// `CausalConvWithState`). Output 1 is the end of `z`, the `past` of the next call. Without `past` it is 0.
#[derive(Debug)]
pub struct CausalConvWithState {
    silu: bool,
}

impl CausalConvWithState {
    pub(super) fn parse(node: &OnnxNode) -> Result<CausalConvWithState> {
        match node.string("activation", "none")?.as_str() {
            "none" | "" => Ok(CausalConvWithState { silu: false }),
            "silu" | "swish" => Ok(CausalConvWithState { silu: true }),
            other => Err(Error::invalid(format!("attribute `activation` is `{other}`"))),
        }
    }
}

impl OpDef for CausalConvWithState {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (x, w, bias) = (c.input(0)?, c.input(1)?, c.optional(2));
        if x.rank() != 3 || w.rank() != 3 {
            return Err(Error::invalid("CausalConvWithState needs a tensor and a kernel of rank 3"));
        }
        let channels = x.shape[1].as_const().ok_or_else(|| Error::unsupported("the channels must be a number"))?;
        let kept = w.shape[2].clone() - 1;
        let state = [x.shape[0].clone(), x.shape[1].clone(), kept.clone()];
        let past = match c.optional(3) {
            Some(past) => past,
            None => c.map(x.dtype, &state, |_| Expr::float(compute_type(x.dtype), 0.0)),
        };
        c.demand(&past, "the state", &state)?;
        let z = concat(c, vec![past, x.clone()], 2)?;
        let shape = Convolution::new(c, &WindowAttributes::default(), channels, &z, &w)?;
        let wide = compute_type(x.dtype);
        let mut y = shape.sum(c, wide, &|i| z.at(i), &|i| w.at(i).cast(wide));
        if let Some(bias) = &bias {
            y = add_channel(c, wide, &y, bias)?;
        }
        let y = c.map(x.dtype, &x.shape, |i| {
            let y = y.at(i.to_vec());
            if self.silu { &y * sigmoid(&y) } else { y }
        });
        let present = c.map(x.dtype, &state, |i| {
            let last: Index = i[2].clone() + x.shape[2].clone();
            z.raw(vec![i[0].clone(), i[1].clone(), last])
        });
        c.output(0, y);
        c.output(1, present);
        Ok(())
    }
}
