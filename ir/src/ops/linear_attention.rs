use super::OpDef;
use super::attend::split_heads;
use crate::compute::{Compute, T};
use crate::onnx::OnnxNode;
use crate::program::{Expr, StoreMode};
use crate::tile::Monoid;
use crate::{DType, Error, Index, Result};

/// Attention with a state instead of a history (ONNX `LinearAttention`): for each step `S = exp(decay) * S`, then
/// `S = S + k * v` or, by the delta rule, `S = S + k * beta * (v - S^T k)`, and `y = scale * q^T S`.
///
/// `update_rule` is `linear`, `gated`, `delta` or `gated_delta`. The state `[B, H, Dk, Dv]`, kept in F32, is input 3 and
/// output 1. Queries may have more heads than keys.
#[derive(Debug)]
pub struct LinearAttention {
    heads: (i64, i64),
    scale: Option<f64>,
    gated: bool,
    delta: bool,
}

impl LinearAttention {
    pub(super) fn parse(node: &OnnxNode) -> Result<LinearAttention> {
        let rule = node.string("update_rule", "gated_delta")?;
        let heads = (node.int("q_num_heads", 0)?, node.int("kv_num_heads", 0)?);
        if heads.1 < 1 || heads.0 % heads.1 != 0 {
            return Err(Error::invalid(format!("{} heads of queries cannot share {} of keys", heads.0, heads.1)));
        }
        Ok(LinearAttention {
            heads,
            scale: node.optional_float("scale")?.filter(|&scale| scale != 0.0).map(f64::from),
            gated: rule.contains("gated"),
            delta: rule.contains("delta"),
        })
    }
}

/// What a step reads, heads split: `[B, H, T, D]`.
struct Operands {
    q: T,
    k: T,
    v: T,
    decay: Option<T>,
    beta: Option<T>,
    scale: Expr,
    state: T,
    wide: DType,
}

impl OpDef for LinearAttention {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (q, k, v) = (c.input(0)?, c.input(1)?, c.input(2)?);
        let (past, decay, beta) = (c.optional(3), c.optional(4), c.optional(5));
        let dtype = q.dtype;
        let wide = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
        let (q, k, v) =
            (split_heads(c, &q, self.heads.0)?, split_heads(c, &k, self.heads.1)?, split_heads(c, &v, self.heads.1)?);
        let (time, keys, values) = (q.shape[2].clone(), k.shape[3].clone(), v.shape[3].clone());
        let shape = [q.shape[0].clone(), self.heads.1.into(), keys.clone(), values.clone()];
        c.demand(&q, "the query", &[shape[0].clone(), self.heads.0.into(), time.clone(), keys.clone()])?;
        c.demand(&k, "the key", &[shape[0].clone(), shape[1].clone(), time.clone(), keys.clone()])?;
        c.demand(&v, "the value", &[shape[0].clone(), shape[1].clone(), time.clone(), values.clone()])?;
        let split = |c: &mut Compute, t: Option<T>, wanted: bool, heads: i64| match t {
            Some(t) if wanted => split_heads(c, &t, heads).map(Some),
            None if wanted => Err(Error::invalid("the update rule of LinearAttention needs a decay or beta")),
            _ => Ok(None),
        };
        let decay = split(c, decay, self.gated, self.heads.1)?;
        let shared = beta.as_ref().is_some_and(|beta| beta.rank() == 3 && beta.shape[2].is(1));
        let beta = split(c, beta, self.delta, if shared { 1 } else { self.heads.1 })?;
        for past in past.iter() {
            c.demand(past, "the state", &shape)?;
        }
        let state = c.buffer(wide, &shape);
        c.store(&state, &shape, StoreMode::Set, |i| {
            let first = past.as_ref().map_or(Expr::float(wide, 0.0), |past| past.at(i.to_vec()).cast(wide));
            (i.to_vec(), first)
        });
        let scale = match self.scale {
            Some(scale) => Expr::float(wide, scale),
            None => Expr::float(wide, 1.0) / Expr::index(keys).cast(wide).sqrt(),
        };
        let o = Operands { q, k, v, decay, beta, scale, state, wide };
        let y = c.buffer(dtype, &[shape[0].clone(), time.clone(), self.heads.0.into(), values.clone()]);
        c.repeat(&time, |c, t| {
            self.step(c, &o, &y, t);
            Ok(())
        })?;
        let y = c.reshape(&y, &[shape[0].clone(), time, values * self.heads.0]);
        let present = past.map_or(dtype, |past| past.dtype);
        let present = c.map(present, &shape, |i| o.state.at(i.to_vec()));
        c.output(0, y);
        c.output(1, present);
        Ok(())
    }
}

impl LinearAttention {
    fn step(&self, c: &mut Compute, o: &Operands, y: &T, t: &Index) {
        let Operands { q, k, v, decay, beta, scale, state, wide } = o;
        let wide = *wide;
        let at = |x: &T, b: &Index, h: &Index, d: &Index| {
            x.at(x.broadcast_index(&[b.clone(), h.clone(), t.clone(), d.clone()])).cast(wide)
        };
        // The decayed state at `[b, h, k, v]`.
        let decayed = |i: &[Index]| {
            let old = state.at(i.to_vec());
            decay.iter().fold(old, |old, decay| old * at(decay, &i[0], &i[1], &i[2]).exp())
        };
        let mut rows = state.shape.clone();
        let keys = rows.remove(2);
        let seen = beta.as_ref().map(|_| {
            c.reduce(Monoid::Sum, wide, &rows, std::slice::from_ref(&keys), |i, r| {
                decayed(&[i[0].clone(), i[1].clone(), r[0].clone(), i[2].clone()]) * at(k, &i[0], &i[1], &r[0])
            })
        });
        c.store(state, &state.shape, StoreMode::Set, |i| {
            let mut value = at(v, &i[0], &i[1], &i[3]);
            if let (Some(seen), Some(beta)) = (&seen, beta) {
                let seen = seen.at(vec![i[0].clone(), i[1].clone(), i[3].clone()]);
                value = (value - seen) * at(beta, &i[0], &i[1], &Index::zero());
            }
            (i.to_vec(), decayed(i) + at(k, &i[0], &i[1], &i[2]) * value)
        });
        let shape = [rows[0].clone(), self.heads.0.into(), rows[2].clone()];
        let facts = c.scope(&shape, &[]);
        let group = Index::from(self.heads.0 / self.heads.1);
        let read = c.reduce(Monoid::Sum, wide, &shape, &[keys], |i, r| {
            let head = facts.div(&i[1], &group);
            at(q, &i[0], &i[1], &r[0]) * state.at(vec![i[0].clone(), head, r[0].clone(), i[2].clone()])
        });
        c.store(y, &shape, StoreMode::Set, |i| {
            let target = vec![i[0].clone(), t.clone(), i[1].clone(), i[2].clone()];
            (target, read.at(i.to_vec()) * scale)
        });
    }
}
