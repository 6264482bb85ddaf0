//! The steps of attention: scores of queries and keys, their mask, probabilities, and the mean of the values.

use crate::compute::{Compute, T, compute_type, inside};
use crate::program::Expr;
use crate::tensor::Scalar;
use crate::tile::{Math, Monoid};
use crate::{DType, Error, Index, Result};

/// Constants of attention.
#[derive(Clone, Debug)]
pub(super) struct Attend {
    /// Of the scores; `1 / sqrt(head size)` if absent.
    pub scale: Option<f64>,
    /// Scores are bent to stay below it, unless it is 0.
    pub softcap: f64,
    /// Type of the softmax.
    pub precision: Option<DType>,
}

/// Scores `[B, H, queries, keys]` at each step.
pub(super) struct Scores {
    pub raw: T,
    pub capped: T,
    pub masked: T,
}

/// Probabilities `[B, H, queries, keys]`.
pub(super) struct Probabilities(pub T);

/// A summand of the mask at `[b, h, query, key]`.
type Term<'a> = Box<dyn Fn(&[Index]) -> Expr + 'a>;

/// What is added to the scores: -inf hides a key.
pub(super) struct Mask<'a> {
    wide: DType,
    terms: Vec<Term<'a>>,
}

impl<'a> Mask<'a> {
    pub(super) fn new(wide: DType) -> Mask<'a> {
        Mask { wide, terms: vec![] }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Hides the keys for which `shown` is false.
    pub(super) fn keep(&mut self, shown: impl Fn(&[Index]) -> Expr + 'a) {
        self.choose(f64::NEG_INFINITY, shown);
    }

    /// Adds a number where `shown` is false.
    pub(super) fn choose(&mut self, hidden: f64, shown: impl Fn(&[Index]) -> Expr + 'a) {
        let wide = self.wide;
        let (zero, hidden) = (Expr::float(wide, 0.0), Expr::float(wide, hidden));
        self.terms.push(Box::new(move |i| shown(i).select(&zero, &hidden)));
    }

    /// Adds a tensor that broadcasts to the scores, or hides where it is false; keys it does not reach are hidden.
    pub(super) fn add(&mut self, c: &mut Compute, mask: &T, shape: &[Index]) -> Result<()> {
        if mask.rank() == 0 || mask.rank() > shape.len() {
            return Err(Error::invalid(format!("an attention mask of rank {}", mask.rank())));
        }
        let (wide, last) = (self.wide, mask.rank() - 1);
        c.broadcast_shape(&[&shape[..3], &mask.shape[..last]])?;
        let keys = mask.shape[last].clone();
        let facts = c.scope(shape, &[]);
        let mask = mask.clone();
        self.terms.push(Box::new(move |i| {
            let mut index = mask.broadcast_index(i);
            let short = !keys.is(1) || i[3].is(0);
            let tests = if short { inside(&facts, [(i[3].clone(), keys.clone())]) } else { vec![] };
            index[last] = if short { i[3].clone() } else { Index::zero() };
            let element = mask.at(index);
            let hidden = Expr::float(wide, f64::NEG_INFINITY);
            let added = match element.dtype() {
                DType::Bool => element.select(&hidden.like(0.0), &hidden),
                _ => element.cast(wide),
            };
            added.guard(tests, Scalar::Float(f64::NEG_INFINITY))
        }));
        Ok(())
    }
}

impl Attend {
    /// Scores of all queries `[B, H, Sq, D]` against all keys `[B, Hk, Sk, D]`; `H` is a multiple of `Hk`.
    pub(super) fn scores(&self, c: &mut Compute, q: &T, k: &T, mask: &Mask) -> Result<Scores> {
        let group = group(c, q, k)?;
        let size = c.same_dim(&q.shape[3], &k.shape[3])?;
        c.same_dim(&q.shape[0], &k.shape[0])?;
        let shape = [&q.shape[..3], &k.shape[2..3]].concat();
        let wide = compute_type(q.dtype);
        let facts = c.scope(&shape, &[]);
        let product = c.reduce(Monoid::Sum, wide, &shape, std::slice::from_ref(&size), |i, r| {
            let head = facts.div(&i[1], &group);
            q.at([&i[..3], r].concat()) * k.at(vec![i[0].clone(), head, i[3].clone(), r[0].clone()]).cast(wide)
        });
        let scale = match self.scale {
            Some(scale) => Expr::float(wide, scale),
            None => Expr::float(wide, 1.0) / Expr::index(size).cast(wide).sqrt(),
        };
        let raw = c.map(wide, &shape, |i| product.at(i.to_vec()) * &scale);
        let capped = if self.softcap == 0.0 {
            raw.clone()
        } else {
            c.map(wide, &shape, |i| (raw.at(i.to_vec()) / self.softcap).math(Math::Tanh) * self.softcap)
        };
        let masked = if mask.is_empty() {
            capped.clone()
        } else {
            c.map(wide, &shape, |i| mask.terms.iter().fold(capped.at(i.to_vec()), |sum, term| sum + term(i)))
        };
        Ok(Scores { raw, capped, masked })
    }

    /// Softmax over the keys. With `hides`, a row that is all -inf gives 0. `sink` is one more score of each head, whose
    /// probability is dropped.
    pub(super) fn probabilities(&self, c: &mut Compute, scores: &T, hides: bool, sink: Option<&T>) -> Probabilities {
        let wide = if self.precision == Some(DType::F64) { DType::F64 } else { scores.dtype };
        let sink = |i: &[Index]| sink.map(|sink| sink.at(vec![i[1].clone()]).cast(wide));
        let score = |i: &[Index]| scores.at(i.to_vec()).cast(wide);
        let mut max = c.fold(Monoid::Max, wide, scores, &[3], |x| x.cast(wide));
        if hides || sink(&vec![Index::zero(); 4]).is_some() {
            let raw = max;
            max = c.map(wide, &raw.shape, |i| {
                let max = sink(i).into_iter().fold(raw.at(i.to_vec()), |max, sink| sink.max(&max));
                max.equals(&max.like(f64::NEG_INFINITY)).select(&max.like(0.0), &max)
            });
        }
        let shifted = |i: &[Index]| (score(i) - max.broadcast(i)).exp();
        let mut sum = c.fold_at(Monoid::Sum, wide, &scores.shape, &[3], shifted);
        if hides || sink(&vec![Index::zero(); 4]).is_some() {
            let raw = sum;
            sum = c.map(wide, &raw.shape, |i| {
                let own = sink(i).map(|sink| (sink - max.broadcast(i)).exp());
                let sum = own.into_iter().fold(raw.at(i.to_vec()), |sum, own| sum + own);
                sum.equals(&sum.like(0.0)).select(&sum.like(1.0), &sum)
            });
        }
        Probabilities(c.map(scores.dtype, &scores.shape, |i| shifted(i) / sum.broadcast(i)))
    }
}

impl Probabilities {
    /// The mean of the values `[B, Hk, Sk, D]`: `[B, H, Sq, D]`.
    pub(super) fn times(&self, c: &mut Compute, dtype: DType, v: &T) -> Result<T> {
        let p = &self.0;
        let group = group(c, p, v)?;
        let keys = c.same_dim(&p.shape[3], &v.shape[2])?;
        c.same_dim(&p.shape[0], &v.shape[0])?;
        let shape = [&p.shape[..3], &v.shape[3..]].concat();
        let facts = c.scope(&shape, &[]);
        Ok(c.reduce(Monoid::Sum, dtype, &shape, &[keys], |i, r| {
            let head = facts.div(&i[1], &group);
            let p = p.at([&i[..3], r].concat());
            let v = v.at(vec![i[0].clone(), head, r[0].clone(), i[3].clone()]).cast(p.dtype());
            p * v
        }))
    }
}

/// How many heads of `q` share one of `k`.
fn group(c: &Compute, q: &T, k: &T) -> Result<Index> {
    if q.rank() != 4 || k.rank() != 4 {
        return Err(Error::invalid("attention needs queries, keys and values of rank 4"));
    }
    let numbers = (q.shape[1].as_const(), k.shape[1].as_const());
    match numbers {
        (Some(q), Some(k)) if k < 1 || q % k != 0 => {
            Err(Error::invalid(format!("{q} heads of queries cannot share {k} heads of keys")))
        }
        _ => Ok(c.facts().div(&q.shape[1], &k.shape[1])),
    }
}

/// `[B, S, H * D]` as `[B, H, S, D]`.
pub(super) fn split_heads(c: &mut Compute, t: &T, heads: i64) -> Result<T> {
    if t.rank() != 3 {
        return Err(Error::invalid(format!("a tensor of rank {} where one of rank 3 is split into heads", t.rank())));
    }
    let size = super::conv::per_group(c, &t.shape[2], heads)?;
    let split = c.reshape(t, &[t.shape[0].clone(), t.shape[1].clone(), heads.into(), size]);
    Ok(c.transpose(&split, &[0, 2, 1, 3]))
}

/// `[B, H, S, D]` as `[B, S, H * D]`.
pub(super) fn join_heads(c: &mut Compute, t: &T) -> T {
    let turned = c.transpose(t, &[0, 2, 1, 3]);
    let size = &t.shape[1] * &t.shape[3];
    c.reshape(&turned, &[t.shape[0].clone(), t.shape[2].clone(), size])
}
