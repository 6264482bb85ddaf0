use super::OpDef;
use super::attend::{join_heads, split_heads};
use super::concat::concat;
use crate::compute::{Compute, T};
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::{DType, Error, Index, Result};

/// Turns pairs of elements by an angle that grows with the position: `(a cos - b sin, a sin + b cos)` (ONNX
/// `RotaryEmbedding`, also ONNX Runtime's with its order of inputs).
///
/// Pairs are halves of a head or, `interleaved`, neighbours. `rotary_embedding_dim` turns the first elements only. The
/// caches of cosines and sines are rows by `position_ids`, or given for each batch. ONNX Runtime's positions may be
/// one offset.
#[derive(Debug)]
pub struct RotaryEmbedding {
    interleaved: bool,
    heads: Option<i64>,
    size: i64,
    /// Where positions and caches are among the inputs.
    inputs: [usize; 3],
}

impl RotaryEmbedding {
    pub(super) fn parse(node: &OnnxNode) -> Result<RotaryEmbedding> {
        Ok(RotaryEmbedding {
            interleaved: node.flag("interleaved", false)?,
            heads: node.optional_int("num_heads")?.filter(|&n| n > 0),
            size: node.int("rotary_embedding_dim", 0)?,
            inputs: if node.domain == "com.microsoft" { [1, 2, 3] } else { [3, 1, 2] },
        })
    }
}

impl OpDef for RotaryEmbedding {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        let (positions, cos, sin) = (c.optional(self.inputs[0]), c.input(self.inputs[1])?, c.input(self.inputs[2])?);
        let flat = x.rank() == 3;
        let x = match (flat, self.heads) {
            (false, _) => x,
            (true, Some(heads)) => split_heads(c, &x, heads)?,
            (true, None) => {
                // A head is twice a row of the cache.
                let row = cos.shape[cos.rank() - 1].as_const().zip(x.shape[2].as_const()).filter(|row| row.0 > 0);
                let heads = row.map(|(row, size)| size / (2 * row));
                split_heads(c, &x, heads.ok_or_else(|| Error::invalid("attribute `num_heads` is missing"))?)?
            }
        };
        let y = rotary(c, &x, &Angles { positions, cos, sin, interleaved: self.interleaved }, self.size)?;
        let y = if flat { join_heads(c, &y) } else { y };
        c.output(0, y);
        Ok(())
    }
}

/// How far to turn.
pub(super) struct Angles {
    /// `[B, S]`, or one element to be added to the place in the sequence.
    pub positions: Option<T>,
    /// `[rows, pairs]`, or `[B, S, pairs]` without positions.
    pub cos: T,
    pub sin: T,
    pub interleaved: bool,
}

impl Angles {
    /// Element `pair` for `[b, s]`.
    fn at(&self, cache: &T, b: &Index, s: &Index, pair: &Index) -> Expr {
        let row = match &self.positions {
            None => return cache.at(vec![b.clone(), s.clone(), pair.clone()]),
            Some(t) if t.rank() == 2 => t.lookup(vec![b.clone(), s.clone()], &cache.shape[0]),
            Some(t) => (s.clone() + Index::at(t.buffer, vec![Index::zero(); t.rank()])).rem(&cache.shape[0]),
        };
        cache.at(vec![row, pair.clone()])
    }
}

/// `x` `[B, H, S, D]` with its first `size` elements of each head turned; all if `size` is 0.
pub(super) fn rotary(c: &mut Compute, x: &T, angles: &Angles, size: i64) -> Result<T> {
    if x.rank() != 4 {
        return Err(Error::invalid(format!("RotaryEmbedding of a rank-{} tensor", x.rank())));
    }
    let whole = x.shape[3].clone();
    let turned = if size > 0 { size.into() } else { whole.clone() };
    let pairs = turned.div(&2.into());
    check(c, x, angles, &pairs)?;
    let (shape, half, pair) = if angles.interleaved {
        ([&x.shape[..3], &[pairs.clone(), 2.into()]].concat(), 4, 3)
    } else {
        ([&x.shape[..3], &[2.into(), pairs.clone()]].concat(), 3, 4)
    };
    let y = c.map(x.dtype, &shape, |i| {
        let at = |half: Index| {
            let place = if angles.interleaved { i[pair].clone() * 2 + half } else { &half * &pairs + i[pair].clone() };
            x.at([&i[..3], &[place]].concat())
        };
        let (own, other) = (at(i[half].clone()), at(Index::from(1) - i[half].clone()));
        // -1 for the first of a pair, 1 for the second.
        let sign = Expr::index(i[half].clone() * 2 - 1).cast(own.dtype());
        let angle = |cache: &T| angles.at(cache, &i[0], &i[2], &i[pair]).cast(own.dtype());
        &own * angle(&angles.cos) + sign * other * angle(&angles.sin)
    });
    let y = c.reshape(&y, &[&x.shape[..3], &[turned.clone()]].concat());
    if turned == whole {
        return Ok(y);
    }
    let rest = [&x.shape[..3], &[whole - turned.clone()]].concat();
    let rest = c.map(x.dtype, &rest, |i| x.raw([&i[..3], &[i[3].clone() + turned.clone()]].concat()));
    concat(c, vec![y, rest], 3)
}

fn check(c: &mut Compute, x: &T, angles: &Angles, pairs: &Index) -> Result<()> {
    let rank = if angles.positions.is_some() { 2 } else { 3 };
    for cache in [&angles.cos, &angles.sin] {
        if cache.rank() != rank {
            return Err(Error::invalid(format!("a cache of rank {} for RotaryEmbedding, not {rank}", cache.rank())));
        }
        c.same_dim(&cache.shape[rank - 1], pairs)?;
        if rank == 3 {
            c.same_dim(&cache.shape[0], &x.shape[0])?;
            c.same_dim(&cache.shape[1], &x.shape[2])?;
        }
    }
    match &angles.positions {
        Some(t) if t.dtype != DType::I64 && t.dtype != DType::I32 => Err(Error::invalid("positions must be integers")),
        Some(t) if t.rank() == 2 => c.demand(t, "the positions", &[x.shape[0].clone(), x.shape[2].clone()]),
        Some(t) if t.rank() > 2 => Err(Error::invalid("positions have rank 2 at most")),
        _ => Ok(()),
    }
}
