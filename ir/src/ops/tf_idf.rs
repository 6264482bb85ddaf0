use super::OpDef;
use super::ml::floats;
use crate::compute::Compute;
use crate::onnx::OnnxNode;
use crate::program::{Expr, StoreMode};
use crate::tensor::Scalar;
use crate::tile::{InRange, Monoid};
use crate::{DType, Error, Result, Tensor};

/// Counts the n-grams of a pool in each row (ONNX `TfIdfVectorizer` of integers): an n-gram's elements are up to
/// `max_skip_count` apart, all by the same distance. `IDF` counts once, and the weights multiply what is counted.
#[derive(Debug)]
pub struct TfIdfVectorizer {
    /// For each length: the n-grams, one after the other, and their columns.
    grams: Vec<(i64, Vec<i64>, Vec<i64>)>,
    columns: i64,
    skips: i64,
    once: bool,
    weights: Option<Vec<f64>>,
}

impl TfIdfVectorizer {
    pub(super) fn parse(node: &OnnxNode) -> Result<TfIdfVectorizer> {
        let list = |name: &str| Ok::<_, Error>(node.ints(name)?.unwrap_or_default());
        let pool = node.ints("pool_int64s")?;
        let pool = pool.ok_or_else(|| Error::unsupported("TfIdfVectorizer of strings is not supported"))?;
        let (starts, indices) = (list("ngram_counts")?, list("ngram_indexes")?);
        let (shortest, longest) = (node.int("min_gram_length", 1)?, node.int("max_gram_length", 1)?);
        let wrong = || Error::invalid("the pool of TfIdfVectorizer does not fit its counts and indices");
        let (mut grams, mut next) = (vec![], 0usize);
        for (place, &start) in starts.iter().enumerate() {
            let size = place + 1;
            let end = starts.get(size).copied().unwrap_or(pool.len() as i64);
            let (start, end) =
                (usize::try_from(start).map_err(|_| wrong())?, usize::try_from(end).map_err(|_| wrong())?);
            let own = pool.get(start..end).filter(|own| own.len() % size == 0).ok_or_else(wrong)?;
            let columns = indices.get(next..next + own.len() / size).ok_or_else(wrong)?;
            next += columns.len();
            if (shortest..=longest).contains(&(size as i64)) && !columns.is_empty() {
                grams.push((size as i64, own.to_vec(), columns.to_vec()));
            }
        }
        let columns = indices.iter().copied().max().map_or(0, |last| last + 1);
        let mode = node.string("mode", "TF")?;
        let weights = floats(node, "weights")?;
        let mut table = vec![1.0; columns as usize];
        for (&column, &weight) in indices.iter().zip(&weights) {
            *table.get_mut(column as usize).ok_or_else(wrong)? = weight;
        }
        Ok(TfIdfVectorizer {
            grams,
            columns,
            skips: node.int("max_skip_count", 0)?.max(0),
            once: mode == "IDF",
            weights: (mode != "TF" && !weights.is_empty()).then_some(table),
        })
    }
}

impl OpDef for TfIdfVectorizer {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        if !(1..=2).contains(&x.rank()) {
            return Err(Error::invalid(format!("TfIdfVectorizer of a rank-{} tensor", x.rank())));
        }
        let lead = x.shape[..x.rank() - 1].to_vec();
        let length = x.shape[x.rank() - 1].clone();
        let shape = [lead.as_slice(), &[self.columns.into()]].concat();
        let counts = c.buffer(DType::F32, &shape);
        c.store(&counts, &shape, StoreMode::Set, |i| (i.to_vec(), Expr::float(DType::F32, 0.0)));
        for (size, pool, columns) in &self.grams {
            let pool = c.constant(Tensor::from_i64s(pool).reshaped(vec![columns.len(), *size as usize])?);
            let columns = c.constant(Tensor::from_i64s(columns));
            let domain = [lead.as_slice(), &columns.shape].concat();
            let distances = if *size == 1 { 1 } else { self.skips + 1 };
            let found = c.reduce(Monoid::Sum, DType::F32, &domain, &[distances.into(), length.clone()], |i, r| {
                let gram = i[lead.len()].clone();
                let place = |k: i64| r[1].clone() + (r[0].clone() + 1) * k;
                let equal = |k: i64| {
                    let element = x.at([&i[..lead.len()], &[place(k)]].concat()).cast(DType::I64);
                    element.equals(&pool.at(vec![gram.clone(), k.into()]))
                };
                let all = (1..*size).fold(equal(0), |all, k| all & equal(k));
                let last = InRange::extent(place(size - 1), length.clone());
                all.cast(DType::F32).guard(if *size == 1 { vec![] } else { vec![last] }, Scalar::Int(0))
            });
            c.store(&counts, &domain, StoreMode::Combine(Monoid::Sum), |i| {
                let column = columns.lookup(vec![i[lead.len()].clone()], &self.columns.into());
                ([&i[..lead.len()], &[column]].concat(), found.at(i.to_vec()))
            });
        }
        let weights = match &self.weights {
            Some(weights) => Some(super::ml::numbers(c, DType::F32, &[weights.len()], weights)?),
            None => None,
        };
        let y = c.map(DType::F32, &shape, |i| {
            let count = counts.at(i.to_vec());
            let count = if self.once { count.like(0.0).lt(&count).cast(DType::F32) } else { count };
            weights.iter().fold(count, |count, weights| count * weights.at(vec![i[i.len() - 1].clone()]))
        });
        c.output(0, y);
        Ok(())
    }
}
