use super::OpDef;
use crate::compute::{Compute, T, compute_type};
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::tile::Monoid;
use crate::{Error, Index, Result};

/// `y = (x - mean) * (scale / sqrt(variance + epsilon)) + bias`, one of each a channel (ONNX `BatchNormalization`).
///
/// In training (`training_mode` from opset 14, more than one output before) mean and variance are those of the batch, and
/// outputs 1 and 2 are `old * momentum + batch * (1 - momentum)`.
#[derive(Debug)]
pub struct BatchNormalization {
    epsilon: f64,
    momentum: f64,
    training: bool,
}

impl BatchNormalization {
    pub(super) fn parse(node: &OnnxNode) -> Result<BatchNormalization> {
        if node.opset < 9 && !node.flag("spatial", true)? {
            return Err(Error::unsupported("BatchNormalization with `spatial` 0 is not supported"));
        }
        let training = match node.opset {
            14.. => node.flag("training_mode", false)?,
            7..14 => node.outputs > 1,
            _ => !node.flag("is_test", false)?,
        };
        Ok(BatchNormalization {
            epsilon: node.float("epsilon", 1e-5)?.into(),
            momentum: node.float("momentum", 0.9)?.into(),
            training,
        })
    }
}

impl OpDef for BatchNormalization {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (x, scale, bias) = (c.input(0)?, c.input(1)?, c.input(2)?);
        let (mut mean, mut variance) = (c.input(3)?, c.input(4)?);
        if x.rank() < 2 {
            return Err(Error::invalid(format!("BatchNormalization of a rank-{} tensor", x.rank())));
        }
        for channel in [&scale, &bias, &mean, &variance] {
            if channel.rank() != 1 {
                return Err(Error::invalid("scale, bias, mean and variance must have rank 1"));
            }
            c.same_dim(&channel.shape[0], &x.shape[1])?;
        }
        if self.training {
            let (batch_mean, batch_variance) = batch_statistics(c, &x);
            for (place, (old, new)) in [(1, (&mean, &batch_mean)), (2, (&variance, &batch_variance))] {
                let running = c.map(old.dtype, &old.shape, |i| {
                    let old = old.at(i.to_vec());
                    let new = new.at(i.to_vec()).cast(old.dtype());
                    old * self.momentum + new * (1.0 - self.momentum)
                });
                c.output(place, running);
            }
            (mean, variance) = (batch_mean, batch_variance);
        }
        let y = scale_channels(c, &x, [&scale, &bias, &mean, &variance], self.epsilon);
        c.output(0, y);
        Ok(())
    }
}

/// Mean and variance over all axes but the channels.
fn batch_statistics(c: &mut Compute, x: &T) -> (T, T) {
    let wide = compute_type(x.dtype);
    let over: Vec<Index> = [&x.shape[..1], &x.shape[2..]].concat();
    let count = Expr::index(Index::product(&over)).cast(wide);
    let channels = [x.shape[1].clone()];
    let at = |i: &[Index], r: &[Index]| x.at([&r[..1], i, &r[1..]].concat());
    let sum = c.reduce(Monoid::Sum, wide, &channels, &over, at);
    let mean = c.map(wide, &channels, |i| &sum.at(i.to_vec()) / &count);
    let squares = c.reduce(Monoid::Sum, wide, &channels, &over, |i, r| {
        let centered = at(i, r) - mean.at(i.to_vec());
        &centered * &centered
    });
    let variance = c.map(wide, &channels, |i| &squares.at(i.to_vec()) / &count);
    (mean, variance)
}

fn scale_channels(c: &mut Compute, x: &T, [scale, bias, mean, variance]: [&T; 4], epsilon: f64) -> T {
    let wide = compute_type(x.dtype);
    let factor = c.map(wide, &scale.shape, |i| {
        let variance = variance.at(i.to_vec()).cast(wide);
        scale.at(i.to_vec()).cast(wide) / (variance + epsilon).sqrt()
    });
    c.map(x.dtype, &x.shape, |i| {
        let channel = |t: &T| t.at(vec![i[1].clone()]).cast(wide);
        (x.at(i.to_vec()) - channel(mean)) * channel(&factor) + channel(bias)
    })
}
