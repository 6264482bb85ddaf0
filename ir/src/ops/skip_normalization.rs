use super::OpDef;
use super::layer_normalization::{layer_normalization, rms_normalization};
use super::qlinear_contrib::dequantized;
use crate::compute::{Compute, T, compute_type};
use crate::onnx::OnnxNode;
use crate::tile::Monoid;
use crate::{DType, Error, Index, Result};

/// Normalization of `x + skip + bias` over the last axis (ONNX Runtime `SkipLayerNormalization`,
/// `SkipSimplifiedLayerNormalization`). Output 3 is the sum.
#[derive(Debug)]
pub struct SkipNormalization {
    epsilon: f64,
    simplified: bool,
}

impl SkipNormalization {
    pub(super) fn parse(node: &OnnxNode) -> Result<SkipNormalization> {
        Ok(SkipNormalization {
            epsilon: node.float("epsilon", 1e-12)?.into(),
            simplified: node.op_type == "SkipSimplifiedLayerNormalization",
        })
    }
}

impl OpDef for SkipNormalization {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (x, skip, scale) = (c.input(0)?, c.input(1)?, c.input(2)?);
        let (shift, bias) = if self.simplified { (None, c.optional(3)) } else { (c.optional(3), c.optional(4)) };
        let last = x.axis(-1)?;
        for other in [Some(&skip), Some(&scale), shift.as_ref(), bias.as_ref()].into_iter().flatten() {
            if other.rank() > x.rank() {
                return Err(Error::invalid("an operand of a skip normalization has more axes than its input"));
            }
            c.broadcast_shape(&[&x.shape, &other.shape])?;
        }
        let sum = c.map(x.dtype, &x.shape, |i| {
            let sum = x.at(i.to_vec()) + skip.broadcast(i);
            bias.iter().fold(sum, |sum, bias| sum + bias.broadcast(i))
        });
        if self.simplified {
            let (y, inverse) = rms_normalization(c, &sum, &scale, last, self.epsilon);
            c.output(0, y);
            c.output(1, inverse.clone());
            c.output(2, inverse);
        } else {
            let (y, mean, inverse) = layer_normalization(c, &sum, &scale, shift.as_ref(), last, self.epsilon);
            c.output(0, y);
            c.output(1, mean);
            c.output(2, inverse);
        }
        c.output(3, sum);
        Ok(())
    }
}

/// The sum of word, position and segment embeddings, normalized (ONNX Runtime `EmbedLayerNormalization`). Output 1 is how
/// many elements of each row of the mask are 1, output 2 the sum.
#[derive(Debug)]
pub struct EmbedLayerNormalization {
    epsilon: f64,
}

impl EmbedLayerNormalization {
    pub(super) fn parse(node: &OnnxNode) -> Result<EmbedLayerNormalization> {
        Ok(EmbedLayerNormalization { epsilon: node.float("epsilon", 1e-12)?.into() })
    }
}

impl OpDef for EmbedLayerNormalization {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (ids, segments) = (c.input(0)?, c.optional(1));
        let (words, positions, segment_table) = (c.input(2)?, c.input(3)?, c.optional(4));
        let (scale, shift, mask, places) = (c.input(5)?, c.input(6)?, c.optional(7), c.optional(8));
        let tables = [Some(&words), Some(&positions), segment_table.as_ref()];
        if ids.rank() != 2 || tables.iter().flatten().any(|table| table.rank() != 2) {
            return Err(Error::invalid("EmbedLayerNormalization needs ids and tables of rank 2"));
        }
        for other in [segments.as_ref(), mask.as_ref(), places.as_ref()].into_iter().flatten() {
            if other.rank() != 2 {
                return Err(Error::invalid("the segments, mask and positions of EmbedLayerNormalization have rank 2"));
            }
            c.broadcast_shape(&[&ids.shape, &other.shape])?;
        }
        let shape = [ids.shape.as_slice(), &words.shape[1..]].concat();
        let row = |table: &T, at: &T, i: &[Index]| {
            let row = at.lookup(at.broadcast_index(&i[..2]), &table.shape[0]);
            table.at(vec![row, i[2].clone()])
        };
        let sum = c.map(words.dtype, &shape, |i| {
            let position = match &places {
                Some(places) => row(&positions, places, i),
                None => positions.at(vec![i[1].rem(&positions.shape[0]), i[2].clone()]),
            };
            let sum = row(&words, &ids, i) + position;
            match (&segment_table, &segments) {
                (Some(table), Some(segments)) => sum + row(table, segments, i),
                _ => sum,
            }
        });
        let (y, ..) = layer_normalization(c, &sum, &scale, Some(&shift), 2, self.epsilon);
        let counts = c.reduce(Monoid::Sum, DType::I32, &ids.shape[..1], &ids.shape[1..], |i, r| match &mask {
            Some(mask) => {
                let element = mask.at(vec![i[0].clone(), r[0].clone()]);
                element.equals(&element.like(1.0)).cast(DType::I32)
            }
            None => crate::program::Expr::int(DType::I32, 0),
        });
        c.output(0, y);
        c.output(1, counts);
        c.output(2, sum);
        Ok(())
    }
}

/// [`EmbedLayerNormalization`] of tables, scale and shift in 8 bits (ONNX Runtime `QEmbedLayerNormalization`): their scales are
/// inputs 8 to 12, their zero points inputs 13 to 17.
#[derive(Debug)]
pub struct QuantizedEmbedLayerNormalization {
    plain: EmbedLayerNormalization,
}

impl QuantizedEmbedLayerNormalization {
    pub(super) fn parse(node: &OnnxNode) -> Result<QuantizedEmbedLayerNormalization> {
        Ok(QuantizedEmbedLayerNormalization { plain: EmbedLayerNormalization::parse(node)? })
    }
}

impl OpDef for QuantizedEmbedLayerNormalization {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let mut inputs: Vec<Option<T>> = (0..8).map(|place| c.optional(place)).collect();
        for (place, t) in inputs[2..7].iter_mut().enumerate() {
            let Some(q) = t.take() else { continue };
            let (scale, zero) = (c.input(8 + place)?, c.input(13 + place)?);
            if !scale.size().is(1) || !zero.size().is(1) {
                return Err(Error::invalid("the scales and zero points of QEmbedLayerNormalization must be scalars"));
            }
            *t = Some(dequantized(c, &q, &scale, Some(&zero)));
        }
        let outputs = c.delegate(&self.plain, inputs)?;
        outputs.into_iter().flatten().enumerate().for_each(|(place, t)| c.output(place, t));
        Ok(())
    }
}

/// `x + bias + skip`, the bias along the last axis (ONNX Runtime `BiasAdd`).
#[derive(Debug)]
pub struct BiasAdd;

impl BiasAdd {
    pub(super) fn parse(_: &OnnxNode) -> Result<BiasAdd> {
        Ok(BiasAdd)
    }
}

impl OpDef for BiasAdd {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (x, bias, skip) = (c.input(0)?, c.input(1)?, c.input(2)?);
        if bias.rank() > x.rank() {
            return Err(Error::invalid("the bias has more axes than its operand"));
        }
        c.broadcast_shape(&[&x.shape, &bias.shape])?;
        c.demand(&skip, "the summand", &x.shape)?;
        let y = c.map(x.dtype, &x.shape, |i| x.at(i.to_vec()) + bias.broadcast(i) + skip.at(i.to_vec()));
        c.output(0, y);
        Ok(())
    }
}

/// Normalization over groups of channels, then SiLU if `activation` is 1 (ONNX Runtime `GroupNorm`); `SkipGroupNorm` first
/// adds `skip` and a bias, and gives the sum as output 1. Channels come last unless `channels_last` is 0.
#[derive(Debug)]
pub struct GroupNorm {
    epsilon: f64,
    groups: i64,
    silu: bool,
    channels_last: bool,
    skip: bool,
}

impl GroupNorm {
    pub(super) fn parse(node: &OnnxNode) -> Result<GroupNorm> {
        Ok(GroupNorm {
            epsilon: node.float("epsilon", 1e-5)?.into(),
            groups: node.int("groups", 1)?,
            silu: node.int("activation", 0)? == 1,
            channels_last: node.flag("channels_last", true)?,
            skip: node.op_type == "SkipGroupNorm",
        })
    }
}

impl OpDef for GroupNorm {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (mut x, scale, shift) = (c.input(0)?, c.input(1)?, c.input(2)?);
        if self.skip {
            let (skip, bias) = (c.input(3)?, c.optional(4));
            c.broadcast_shape(&[&x.shape, &skip.shape])?;
            let channel = if self.channels_last { x.rank() - 1 } else { 1 };
            let sum = c.map(x.dtype, &x.shape, |i| {
                let sum = x.at(i.to_vec()) + skip.broadcast(i);
                bias.iter().fold(sum, |sum, bias| sum + bias.at(vec![i[channel].clone()]))
            });
            c.output(1, sum.clone());
            x = sum;
        }
        if self.channels_last {
            x = super::qlinear::channels_first(c, &x)?;
        }
        let op = super::instance_normalization::GroupNormalization::per_channel(self.groups, self.epsilon)?;
        let built = c.delegate(&op, vec![Some(x), Some(scale), Some(shift)])?;
        let mut y = built.into_iter().next().flatten().ok_or_else(|| Error::internal("no result"))?;
        if self.silu {
            y = c.map(y.dtype, &y.shape, |i| {
                let y = y.at(i.to_vec()).cast(compute_type(y.dtype));
                &y * super::activation::sigmoid(&y)
            });
        }
        let y = if self.channels_last { super::qlinear::channels_last(c, &y) } else { y };
        c.output(0, y);
        Ok(())
    }
}
