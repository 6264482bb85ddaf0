use super::OpDef;
use super::attend::{Mask, join_heads, split_heads};
use super::contrib_attention::Common;
use super::rotary::{Angles, rotary};
use crate::compute::{Compute, T, compute_type, inside};
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::tensor::Scalar;
use crate::tile::InRange;
use crate::{DType, Error, Index, Result};

/// Causal attention whose heads share keys, with a cache (ONNX Runtime `GroupQueryAttention`).
///
/// `seqlens_k + 1` is how many keys each row has in all; the new ones are written behind those in use of the cache
/// `[B, heads, S, D]`, which may be larger. Queries may hold keys and values too. With `do_rotary` queries and new keys are
/// turned first. `local_window_size` bounds how far back a query sees; a sink is one more score of each head. Queries behind
/// the length of their row are padding, and what they give has no meaning.
#[derive(Debug)]
pub struct GroupQueryAttention {
    common: Common,
    kv_heads: i64,
    window: Option<i64>,
    rotary: bool,
    interleaved: bool,
    smooth: bool,
}

impl GroupQueryAttention {
    pub(super) fn parse(node: &OnnxNode) -> Result<GroupQueryAttention> {
        let kv_heads = node.optional_int("kv_num_heads")?.filter(|&n| n > 0);
        Ok(GroupQueryAttention {
            common: Common::parse(node)?,
            kv_heads: kv_heads.ok_or_else(|| Error::invalid("attribute `kv_num_heads` must be a positive integer"))?,
            window: node.optional_int("local_window_size")?.filter(|&size| size > 0),
            rotary: node.flag("do_rotary", false)?,
            interleaved: node.flag("rotary_interleaved", false)?,
            smooth: node.int("smooth_softmax", 0)? == 1,
        })
    }

    /// Heads of queries, keys and values.
    fn heads(&self, c: &mut Compute) -> Result<[T; 3]> {
        let q = c.input(0)?;
        let counts = [self.common.heads, self.kv_heads, self.kv_heads];
        if let (Some(k), Some(v)) = (c.optional(1), c.optional(2)) {
            return Ok([
                split_heads(c, &q, counts[0])?,
                split_heads(c, &k, counts[1])?,
                split_heads(c, &v, counts[2])?,
            ]);
        }
        let all = split_heads(c, &q, counts.iter().sum())?;
        let mut start = 0;
        Ok(counts.map(|count| {
            let shape = [&all.shape[..1], &[Index::from(count)], &all.shape[2..]].concat();
            let part = c.map(all.dtype, &shape, |i| {
                all.raw(vec![i[0].clone(), i[1].clone() + start, i[2].clone(), i[3].clone()])
            });
            start += count;
            part
        }))
    }

    /// The score of nothing, one a head, if there is one.
    fn sink(&self, c: &mut Compute) -> Result<Option<T>> {
        let heads = [Index::from(self.common.heads)];
        match c.optional(11) {
            Some(sink) => c.demand(&sink, "the sink", &heads).map(|()| Some(sink)),
            None if self.smooth => Ok(Some(c.table(DType::F32, &heads, |_| Expr::float(DType::F32, 0.0)))),
            None => Ok(None),
        }
    }

    fn attend(&self, c: &mut Compute, q: &T, k: &T, v: &T, used: &T) -> Result<T> {
        let sink = self.sink(c)?;
        let place = |i: &[Index]| Expr::index(i[2].clone()) + used.at(vec![i[0].clone()]);
        let key = |i: &[Index]| Expr::index(i[3].clone());
        let mut mask = Mask::new(compute_type(q.dtype));
        mask.keep(|i| key(i).le(&place(i)));
        if let Some(window) = self.window {
            let (window, place, key) = (Expr::int(DType::I64, window), &place, &key);
            mask.keep(move |i| place(i).lt(&(key(i) + &window)));
        }
        if let Some(bias) = c.optional(10) {
            mask.add(c, &bias, &[&q.shape[..3], &k.shape[2..3]].concat())?;
        }
        let scores = self.common.attend.scores(c, q, k, &mask)?;
        let p = self.common.attend.probabilities(c, &scores.masked, true, sink.as_ref());
        let y = p.times(c, q.dtype, v)?;
        Ok(join_heads(c, &y))
    }

    /// Queries and new keys turned by their positions.
    fn turned(&self, c: &mut Compute, q: T, k: T, used: &T) -> Result<(T, T)> {
        if !self.rotary {
            return Ok((q, k));
        }
        let positions = match c.optional(9) {
            Some(positions) => positions,
            None => c.map(DType::I64, &[q.shape[0].clone(), q.shape[2].clone()], |i| {
                used.at(vec![i[0].clone()]) + Expr::index(i[1].clone())
            }),
        };
        let (cos, sin) = (c.input(7)?, c.input(8)?);
        let size = cos.shape.last().and_then(Index::as_const).unwrap_or(0) * 2;
        let angles = Angles { positions: Some(positions), cos, sin, interleaved: self.interleaved };
        Ok((rotary(c, &q, &angles, size)?, rotary(c, &k, &angles, size)?))
    }
}

/// The keys or values in the cache, then the new ones: `[B, heads, room, D]`.
fn present(c: &mut Compute, past: Option<&T>, new: &T, room: &Index, used: &T) -> Result<T> {
    let shape = [&new.shape[..2], std::slice::from_ref(room), &new.shape[3..]].concat();
    if let Some(past) = past {
        if past.dtype != new.dtype || past.rank() != 4 {
            return Err(Error::unsupported("a cache of another type than the keys is not supported"));
        }
        for axis in [0, 1, 3] {
            c.same_dim(&past.shape[axis], &shape[axis])?;
        }
    }
    let facts = c.scope(&shape, &[]);
    Ok(c.map(new.dtype, &shape, |i| {
        let at = |place: &Index| vec![i[0].clone(), i[1].clone(), place.clone(), i[3].clone()];
        let place = i[2].clone() - Index::at(used.buffer, vec![i[0].clone()]);
        let is_new = vec![InRange::extent(place.clone(), new.shape[2].clone())];
        let fresh = new.raw(at(&place)).guard(is_new.clone(), Scalar::Int(0));
        let Some(past) = past else { return fresh };
        let cached = inside(&facts, [(i[2].clone(), past.shape[2].clone())]);
        let old = past.raw(at(&i[2])).guard(cached, Scalar::Int(0));
        Expr::int(DType::Bool, 1).guard(is_new, Scalar::Int(0)).select(&fresh, &old)
    }))
}

impl OpDef for GroupQueryAttention {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let [q, k, v] = self.heads(c)?;
        let (past_k, past_v) = (c.optional(3), c.optional(4));
        let (lengths, total) = (c.input(5)?, c.input(6)?);
        let (batch, queries) = (q.shape[0].clone(), q.shape[2].clone());
        let lengths = c.reshape(&lengths, std::slice::from_ref(&batch));
        let total = total.at(vec![Index::zero(); total.rank()]).cast(DType::I64);
        let total = c.value("total", &total, None);
        // How many keys of the cache each row uses: none in a first call, whose queries are all there is.
        let used = c.map(DType::I64, &[batch], |i| {
            let number = |index: &Index| Expr::index(index.clone());
            let used = lengths.at(i.to_vec()).cast(DType::I64) + Expr::int(DType::I64, 1) - number(&queries);
            let first = number(&queries).equals(&number(&total));
            if past_k.is_none() { used.like(0.0) } else { first.select(&used.like(0.0), &used) }
        });
        let (q, k) = self.turned(c, q, k, &used)?;
        let room = match past_k.as_ref().and_then(|past| past.shape.get(2)) {
            Some(past) => c.facts().max(past, &total),
            None => total.clone(),
        };
        let present_k = present(c, past_k.as_ref(), &k, &room, &used)?;
        let present_v = present(c, past_v.as_ref(), &v, &room, &used)?;
        let visible = |t: &T| {
            let mut t = t.clone();
            t.shape[2] = total.clone();
            t
        };
        let y = self.attend(c, &q, &visible(&present_k), &visible(&present_v), &used)?;
        c.output(0, y);
        c.output(1, present_k);
        c.output(2, present_v);
        Ok(())
    }
}
