use super::OpDef;
use super::attend::split_heads;
use super::concat::concat;
use super::contrib_attention::Common;
use crate::compute::{Compute, T};
use crate::onnx::OnnxNode;
use crate::{Error, Index, Result};

/// Attention on queries, keys and values (ONNX Runtime `MultiHeadAttention`) with one bias for all of them.
///
/// Keys and values may be packed with the queries, `[B, S, heads, 3, D]`, or with each other, `[B, S, heads, 2, D]`, or have
/// their heads split. Caches are inputs 6 and 7, outputs 1 and 2.
#[derive(Debug)]
pub struct MultiHeadAttention {
    common: Common,
}

impl MultiHeadAttention {
    pub(super) fn parse(node: &OnnxNode) -> Result<MultiHeadAttention> {
        Ok(MultiHeadAttention { common: Common::parse(node)? })
    }

    /// Heads `[B, H, S, D]` of one of the operands, with its part of the bias, which begins at `start`.
    fn heads(&self, c: &mut Compute, t: &T, bias: Option<&T>, start: &Index) -> Result<T> {
        let t = match bias.filter(|_| t.rank() == 3) {
            Some(bias) => c.map(t.dtype, &t.shape, |i| t.at(i.to_vec()) + bias.at(vec![i[2].clone() + start.clone()])),
            None => t.clone(),
        };
        if t.rank() == 4 { Ok(t) } else { split_heads(c, &t, self.common.heads) }
    }
}

/// One of the packed tensors of `[B, S, H, n, D]`, as `[B, S, H * D]`.
fn unpacked(c: &mut Compute, t: &T, which: i64) -> T {
    let shape = [&t.shape[..3], &t.shape[4..]].concat();
    let part = c.map(t.dtype, &shape, |i| t.raw([&i[..3], &[which.into()], &i[3..]].concat()));
    c.reshape(&part, &[t.shape[0].clone(), t.shape[1].clone(), &t.shape[2] * &t.shape[4]])
}

/// Queries, keys and values, unpacked.
fn operands(c: &mut Compute) -> Result<[T; 3]> {
    let (q, k, v) = (c.input(0)?, c.optional(1), c.optional(2));
    match (q.rank(), k, v) {
        (5, ..) => Ok([0, 1, 2].map(|which| unpacked(c, &q, which))),
        (_, Some(packed), _) if packed.rank() == 5 => Ok([q, unpacked(c, &packed, 0), unpacked(c, &packed, 1)]),
        (_, Some(k), Some(v)) => Ok([q, k, v]),
        _ => Err(Error::invalid("MultiHeadAttention needs keys and values")),
    }
}

impl OpDef for MultiHeadAttention {
    fn build(&self, c: &mut Compute) -> Result<()> {
        if c.optional(8).is_some() || c.optional(9).is_some() {
            return Err(Error::unsupported("MultiHeadAttention with caches shared between beams is not supported"));
        }
        let operands = operands(c)?;
        let bias = c.optional(3);
        let mut starts = vec![Index::zero()];
        for t in &operands {
            if t.rank() != 3 && t.rank() != 4 {
                return Err(Error::invalid(format!("MultiHeadAttention of a tensor of rank {}", t.rank())));
            }
            let heads = if t.rank() == 3 { Index::from(1) } else { t.shape[1].clone() };
            starts.push(starts[starts.len() - 1].clone() + &heads * &t.shape[t.rank() - 1]);
        }
        if let Some(bias) = &bias {
            c.demand(bias, "the bias", &starts[3..])?;
        }
        let [q, mut k, mut v] = [0, 1, 2].map(|which| self.heads(c, &operands[which], bias.as_ref(), &starts[which]));
        let mut past = Index::zero();
        if let (Some(past_k), Some(past_v)) = (c.optional(6), c.optional(7)) {
            past = past_k.shape.get(2).cloned().unwrap_or_default();
            k = concat(c, vec![past_k, k?], 2);
            v = concat(c, vec![past_v, v?], 2);
        }
        let (q, k, v) = (q?, k?, v?);
        let (padding, added) = (c.optional(4), c.optional(5));
        let y = self.common.attend(c, [&q, &k, &v], padding.as_ref(), added.as_ref(), &past)?;
        c.output(0, y);
        c.output(1, k);
        c.output(2, v);
        Ok(())
    }
}
