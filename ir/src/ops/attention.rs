use super::OpDef;
use super::attend::{Attend, Mask, Probabilities, join_heads, split_heads};
use super::concat::concat;
use super::quantize::optional_dtype;
use crate::compute::{Compute, T, compute_type};
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::{DType, Error, Index, Result};

/// `softmax(cap(q * k^T * scale) + mask) * v` for each head (ONNX `Attention`).
///
/// `is_causal`, windows, a mask (`Bool` or added) and the lengths of the keys decide what a query sees; one that sees nothing
/// gives 0. A mask shorter than the keys hides the rest. Keys and values may have fewer heads, and may follow cached ones; outputs 1 and 2
/// are the caches. Tensors of rank 3 have their heads in the last axis. Output 3 is the scores: raw, capped, masked or as
/// probabilities, as `qk_matmul_output_mode` says.
#[derive(Debug)]
pub struct Attention {
    causal: bool,
    heads: Option<(i64, i64)>,
    attend: Attend,
    output_mode: i64,
    /// How far before and after itself a query sees.
    window: (Option<i64>, Option<i64>),
}

impl Attention {
    pub(super) fn parse(node: &OnnxNode) -> Result<Attention> {
        let heads = (node.optional_int("q_num_heads")?, node.optional_int("kv_num_heads")?);
        let window = |name: &str| Ok::<_, Error>(node.optional_int(name)?.filter(|&size| size >= 0));
        Ok(Attention {
            causal: node.flag("is_causal", false)?,
            heads: heads.0.zip(heads.1),
            attend: Attend {
                scale: node.optional_float("scale")?.map(f64::from),
                softcap: node.float("softcap", 0.0)?.into(),
                precision: optional_dtype(node, "softmax_precision")?,
            },
            output_mode: node.int("qk_matmul_output_mode", 0)?,
            window: (window("left_window_size")?, window("right_window_size")?),
        })
    }

    /// The tensor with its heads in an axis of their own.
    fn heads(&self, c: &mut Compute, t: T, query: bool) -> Result<T> {
        match (t.rank(), self.heads) {
            (4, _) => Ok(t),
            (3, Some((q, kv))) => split_heads(c, &t, if query { q } else { kv }),
            (3, None) => Err(Error::invalid("attention over tensors of rank 3 needs the numbers of heads")),
            (rank, _) => Err(Error::invalid(format!("attention over a tensor of rank {rank}"))),
        }
    }
}

impl OpDef for Attention {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let query = c.input(0)?;
        let (flat, dtype) = (query.rank() == 3, query.dtype);
        let q = self.heads(c, query, true)?;
        let (k, v) = (c.input(1)?, c.input(2)?);
        let (mut k, mut v) = (self.heads(c, k, false)?, self.heads(c, v, false)?);
        let mut past = None;
        if let (Some(past_k), Some(past_v)) = (c.optional(4), c.optional(5)) {
            past = Some(past_k.shape.get(2).cloned().unwrap_or_default());
            k = concat(c, vec![past_k, k], 2)?;
            v = concat(c, vec![past_v, v], 2)?;
        }
        let lengths = c.optional(6);
        let (queries, keys) = (q.shape[2].clone(), k.shape[2].clone());
        let offset = |i: &[Index]| match (&past, &lengths) {
            (None, Some(lengths)) => lengths.at(vec![i[0].clone()]).cast(DType::I64) - Expr::index(queries.clone()),
            (past, _) => Expr::index(past.clone().unwrap_or_default()),
        };
        let place = |i: &[Index]| Expr::index(i[2].clone()) + offset(i);
        let key = |i: &[Index]| Expr::index(i[3].clone());
        let (place, key) = (&place, &key);
        let mut mask = Mask::new(compute_type(dtype));
        if let Some(given) = c.optional(3) {
            mask.add(c, &given, &[q.shape[0].clone(), q.shape[1].clone(), queries.clone(), keys])?;
        }
        if self.causal {
            mask.keep(|i| key(i).le(&place(i)));
        }
        if let Some(left) = self.window.0 {
            let left = Expr::int(DType::I64, left);
            mask.keep(move |i| place(i).le(&(key(i) + &left)));
        }
        if let Some(right) = self.window.1 {
            let right = Expr::int(DType::I64, right);
            mask.keep(move |i| key(i).le(&(place(i) + &right)));
        }
        if let Some(lengths) = &lengths {
            mask.keep(|i| key(i).lt(&lengths.at(vec![i[0].clone()]).cast(DType::I64)));
        }
        let scores = self.attend.scores(c, &q, &k, &mask)?;
        let probabilities = self.attend.probabilities(c, &scores.masked, !mask.is_empty(), None);
        let Probabilities(p) = &probabilities;
        let y = probabilities.times(c, dtype, &v)?;
        let y = if flat { join_heads(c, &y) } else { y };
        let shown = match self.output_mode {
            1 => &scores.capped,
            2 => &scores.masked,
            3 => p,
            _ => &scores.raw,
        };
        let shown = c.map(dtype, &shown.shape, |i| shown.at(i.to_vec()));
        for (place, t) in [y, k, v, shown].into_iter().enumerate() {
            c.output(place, t);
        }
        Ok(())
    }
}
