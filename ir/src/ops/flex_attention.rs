use super::OpDef;
use super::attend::{Attend, Mask, Probabilities};
use super::body::inline;
use super::quantize::optional_dtype;
use crate::compute::{Compute, T};
use crate::graph::Graph;
use crate::onnx::{Attribute, OnnxNode};
use crate::{DType, Error, Result};

/// Attention whose scores and probabilities go through graphs of the model (ONNX preview `FlexAttention`): `score_mod` before
/// the softmax, `prob_mod` after it. Scores are F32 or `softmax_precision`.
#[derive(Debug)]
pub struct FlexAttention {
    attend: Attend,
    score_mod: Option<Box<Graph>>,
    prob_mod: Option<Box<Graph>>,
}

impl FlexAttention {
    pub(super) fn parse(node: &OnnxNode) -> Result<FlexAttention> {
        let graph = |name: &str| match node.attributes.get(name) {
            None => Ok(None),
            Some(Attribute::Graph(graph)) => Ok(Some(graph.clone())),
            Some(_) => Err(Error::invalid(format!("attribute `{name}` of FlexAttention must be a graph"))),
        };
        Ok(FlexAttention {
            attend: Attend {
                scale: node.optional_float("scale")?.map(f64::from),
                softcap: 0.0,
                precision: optional_dtype(node, "softmax_precision")?,
            },
            score_mod: graph("score_mod")?,
            prob_mod: graph("prob_mod")?,
        })
    }
}

impl OpDef for FlexAttention {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (q, k, v) = (c.input(0)?, c.input(1)?, c.input(2)?);
        let wide = match (self.attend.precision, q.dtype) {
            (Some(dtype), _) => dtype,
            (None, DType::F64) => DType::F64,
            _ => DType::F32,
        };
        let mut scores = self.attend.scores(c, &q, &k, &Mask::new(wide))?.masked;
        scores = c.map(wide, &scores.shape, |i| scores.at(i.to_vec()));
        scores = modified(c, self.score_mod.as_deref(), scores)?;
        let Probabilities(mut p) = self.attend.probabilities(c, &scores, false, None);
        p = modified(c, self.prob_mod.as_deref(), p)?;
        let y = Probabilities(p).times(c, q.dtype, &v)?;
        c.output(0, y);
        Ok(())
    }
}

/// What a body makes of a tensor; what it captures follows the node's three inputs.
fn modified(c: &mut Compute, body: Option<&Graph>, t: T) -> Result<T> {
    let Some(body) = body else { return Ok(t) };
    let captured = (3..c.input_count()).map(|place| c.optional(place));
    let arguments: Vec<Option<T>> = [Some(t)].into_iter().chain(captured).collect();
    let results = inline(c, body, &arguments)?;
    results.into_iter().next().ok_or_else(|| Error::invalid("a body of FlexAttention has no output"))
}
