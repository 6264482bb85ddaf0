use super::OpDef;
use super::normalize::statistics;
use crate::compute::{Compute, T, compute_type};
use crate::onnx::OnnxNode;
use crate::{Error, Index, Result};

/// `y = (x - mean) / sqrt(variance + epsilon) * scale[c] + bias[c]` over the spatial axes (ONNX `InstanceNormalization`).
#[derive(Debug)]
pub struct InstanceNormalization {
    epsilon: f64,
}

impl InstanceNormalization {
    pub(super) fn parse(node: &OnnxNode) -> Result<InstanceNormalization> {
        Ok(InstanceNormalization { epsilon: node.float("epsilon", 1e-5)?.into() })
    }
}

impl OpDef for InstanceNormalization {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (x, scale, bias) = (c.input(0)?, c.input(1)?, c.input(2)?);
        check(&x, &scale, &bias)?;
        c.same_dim(&scale.shape[0], &x.shape[1])?;
        let axes: Vec<usize> = (2..x.rank()).collect();
        let wide = compute_type(x.dtype);
        let (mean, inverse) = statistics(c, &x, &axes, wide, self.epsilon);
        let y = c.map(x.dtype, &x.shape, |i| {
            let channel = |t: &T| t.at(vec![i[1].clone()]).cast(wide);
            (x.at(i.to_vec()) - mean.broadcast(i)) * inverse.broadcast(i) * channel(&scale) + channel(&bias)
        });
        c.output(0, y);
        Ok(())
    }
}

fn check(x: &T, scale: &T, bias: &T) -> Result<()> {
    if x.rank() < 3 || scale.rank() != 1 || bias.rank() != 1 {
        return Err(Error::invalid("a channel-wise normalization needs rank 3 or more, and scale and bias of rank 1"));
    }
    Ok(())
}

/// As [`InstanceNormalization`], over groups of channels (ONNX `GroupNormalization`).
///
/// Before opset 21 there is one scale and bias a group, from it on one a channel. Statistics are computed in F32.
#[derive(Debug)]
pub struct GroupNormalization {
    epsilon: f64,
    groups: i64,
    per_channel: bool,
}

impl GroupNormalization {
    pub(super) fn parse(node: &OnnxNode) -> Result<GroupNormalization> {
        let groups = node.optional_int("num_groups")?.filter(|&n| n > 0);
        Ok(GroupNormalization {
            epsilon: node.float("epsilon", 1e-5)?.into(),
            groups: groups.ok_or_else(|| Error::invalid("attribute `num_groups` must be a positive integer"))?,
            per_channel: node.opset >= 21,
        })
    }
}

impl GroupNormalization {
    /// With one scale and bias a channel.
    pub(super) fn per_channel(groups: i64, epsilon: f64) -> Result<GroupNormalization> {
        if groups < 1 {
            return Err(Error::invalid(format!("normalization over {groups} groups")));
        }
        Ok(GroupNormalization { epsilon, groups, per_channel: true })
    }
}

impl OpDef for GroupNormalization {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (x, scale, bias) = (c.input(0)?, c.input(1)?, c.input(2)?);
        check(&x, &scale, &bias)?;
        let channels = super::conv::per_group(c, &x.shape[1], self.groups)?;
        let stated = if self.per_channel { x.shape[1].clone() } else { self.groups.into() };
        c.same_dim(&scale.shape[0], &stated)?;
        c.same_dim(&bias.shape[0], &stated)?;
        let grouped = [&[x.shape[0].clone(), self.groups.into(), channels.clone()], &x.shape[2..]].concat();
        let split = c.reshape(&x, &grouped);
        let axes: Vec<usize> = (2..grouped.len()).collect();
        let wide = compute_type(x.dtype);
        let (mean, inverse) = statistics(c, &split, &axes, wide, self.epsilon);
        // The normalized value is rounded to the type of `x` before it is scaled.
        let y = c.map(x.dtype, &grouped, |i| {
            let normal = (split.at(i.to_vec()) - mean.broadcast(i)) * inverse.broadcast(i);
            let channel: Index = if self.per_channel { &i[1] * &channels + i[2].clone() } else { i[1].clone() };
            let at = |t: &T| t.at(vec![channel.clone()]).cast(wide);
            normal.cast(x.dtype).cast(wide) * at(&scale) + at(&bias)
        });
        let y = c.reshape(&y, &x.shape);
        c.output(0, y);
        Ok(())
    }
}
