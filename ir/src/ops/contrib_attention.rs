//! What the attention operators of ONNX Runtime share.

use super::attend::{Attend, Mask, join_heads};
use crate::compute::{Compute, T, compute_type};
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::{DType, Error, Index, Result};

/// Their common attributes.
#[derive(Debug)]
pub(super) struct Common {
    pub heads: i64,
    pub causal: bool,
    pub attend: Attend,
    /// Added to the scores of hidden keys.
    pub filter: f64,
}

impl Common {
    pub(super) fn parse(node: &OnnxNode) -> Result<Common> {
        let heads = node.optional_int("num_heads")?.filter(|&n| n > 0);
        Ok(Common {
            heads: heads.ok_or_else(|| Error::invalid("attribute `num_heads` must be a positive integer"))?,
            causal: node.flag("unidirectional", false)?,
            attend: Attend {
                scale: node.optional_float("scale")?.filter(|&scale| scale != 0.0).map(f64::from),
                softcap: node.float("softcap", 0.0)?.into(),
                precision: None,
            },
            filter: node.float("mask_filter_value", -10000.0)?.into(),
        })
    }

    /// Attention of heads `[B, H, S, D]`, of which the first `past` keys are cached; the result has its heads joined.
    pub(super) fn attend(
        &self,
        c: &mut Compute,
        [q, k, v]: [&T; 3],
        padding: Option<&T>,
        bias: Option<&T>,
        past: &Index,
    ) -> Result<T> {
        let mut mask = Mask::new(compute_type(q.dtype));
        if let Some(padding) = padding {
            hide_padding(&mut mask, padding, self.filter, q, k)?;
        }
        if let Some(bias) = bias {
            mask.add(c, bias, &[&q.shape[..3], &k.shape[2..3]].concat())?;
        }
        if self.causal {
            mask.keep(|i| Expr::index(i[3].clone()).le(&Expr::index(i[2].clone() + past.clone())));
        }
        let scores = self.attend.scores(c, q, k, &mask)?;
        let p = self.attend.probabilities(c, &scores.masked, self.causal || bias.is_some(), None);
        let y = p.times(c, q.dtype, v)?;
        Ok(join_heads(c, &y))
    }
}

/// Adds `filter` to the scores of keys that are padding. The mask is the length of each row, then perhaps its start, or
/// says of each key (and query) whether it is seen.
fn hide_padding<'a>(mask: &mut Mask<'a>, padding: &'a T, filter: f64, q: &T, k: &T) -> Result<()> {
    let (batch, queries, keys) = (q.shape[0].clone(), &q.shape[2], &k.shape[2]);
    let shape = padding.shape.as_slice();
    let key = |i: &[Index]| Expr::index(i[3].clone());
    let is = |dims: &[&Index]| {
        let may_be = |(x, y): (&Index, &&Index)| x == *y || x.as_const().is_none() || y.as_const().is_none();
        shape.len() == dims.len() && shape.iter().zip(dims).all(may_be)
    };
    if is(&[&batch]) {
        mask.choose(filter, move |i| key(i).lt(&padding.at(vec![i[0].clone()]).cast(DType::I64)));
    } else if is(&[&(batch.clone() * 2)]) {
        mask.choose(filter, move |i| {
            let at = |place: Index| padding.at(vec![place]).cast(DType::I64);
            key(i).lt(&at(i[0].clone())) & at(i[0].clone() + batch.clone()).le(&key(i))
        });
    } else if is(&[&batch, keys]) || is(&[&batch, queries, keys]) {
        let rank = shape.len();
        mask.choose(filter, move |i| {
            let query = if rank == 3 { &i[2..3] } else { &[] };
            let seen = padding.at([&i[..1], query, &i[3..]].concat());
            seen.like(0.0).lt(&seen)
        });
    } else {
        return Err(Error::unsupported("an attention mask of this shape is not supported"));
    }
    Ok(())
}
