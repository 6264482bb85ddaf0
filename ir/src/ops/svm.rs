use super::OpDef;
use super::activation::sigmoid;
use super::ml::{Post, classes, first_maximum, floats, labels, numbers, rows};
use crate::compute::{Compute, T};
use crate::onnx::OnnxNode;
use crate::program::{Expr, StoreMode};
use crate::tile::{Math, Monoid};
use crate::{DType, Error, Index, Result};

/// Support vector machines (ONNX ML `SVMRegressor`, `SVMClassifier`): sums of kernels with the support vectors.
///
/// The classifier lets all pairs of classes vote; with `prob_a` the scores of pairs become probabilities by Platt's sigmoid
/// and pairwise coupling. Without support vectors the coefficients are linear. Two classes have the scores `-s` and `s`, to
/// which the transform is applied; ONNX Runtime gives `1 - s` and `s` for `SOFTMAX`.
#[derive(Debug)]
pub struct Svm {
    kernel: Kernel,
    coefficients: Vec<f64>,
    vectors: Vec<f64>,
    rho: Vec<f64>,
    post: Post,
    form: Form,
}

#[derive(Clone, Copy, Debug)]
enum Kernel {
    Linear,
    /// `gamma`, `coef0`, `degree`
    Poly(f64, f64, f64),
    Rbf(f64),
    Sigmoid(f64, f64),
}

#[derive(Debug)]
enum Form {
    Regressor { supports: usize, one_class: bool },
    Classifier { classes: Vec<i64>, per_class: Vec<usize>, platt: Option<(Vec<f64>, Vec<f64>)> },
}

impl Svm {
    pub(super) fn parse(node: &OnnxNode) -> Result<Svm> {
        let parameters = floats(node, "kernel_params")?;
        let parameter = |place: usize| parameters.get(place).copied().unwrap_or(0.0);
        let kernel = match node.string("kernel_type", "LINEAR")?.as_str() {
            "LINEAR" => Kernel::Linear,
            "POLY" => Kernel::Poly(parameter(0), parameter(1), parameter(2)),
            "RBF" => Kernel::Rbf(parameter(0)),
            "SIGMOID" => Kernel::Sigmoid(parameter(0), parameter(1)),
            other => return Err(Error::invalid(format!("attribute `kernel_type` is `{other}`"))),
        };
        let count = |n: i64| usize::try_from(n).map_err(|_| Error::invalid("a negative number of support vectors"));
        let form = if node.op_type == "SVMRegressor" {
            Form::Regressor { supports: count(node.int("n_supports", 0)?)?, one_class: node.flag("one_class", false)? }
        } else {
            let per_class = node.ints("vectors_per_class")?.unwrap_or_default();
            let (a, b) = (floats(node, "prob_a")?, floats(node, "prob_b")?);
            Form::Classifier {
                classes: classes(node, "classlabels_ints")?,
                per_class: per_class.into_iter().map(count).collect::<Result<_>>()?,
                platt: (!a.is_empty()).then_some((a, b)),
            }
        };
        Ok(Svm {
            kernel,
            coefficients: floats(node, "coefficients")?,
            vectors: floats(node, "support_vectors")?,
            rho: floats(node, "rho")?,
            post: Post::parse(node)?,
            form,
        })
    }

    /// Kernels of every row with `count` vectors.
    fn kernels(&self, c: &mut Compute, x: &T, kernel: Kernel, vectors: &[f64], count: usize) -> Result<T> {
        let width = vectors.len() / count.max(1);
        c.same_dim(&x.shape[1], &(width as i64).into())?;
        let vectors = numbers(c, DType::F32, &[count, width], vectors)?;
        let shape = [x.shape[0].clone(), Index::from(count as i64)];
        let dot = c.reduce(Monoid::Sum, DType::F32, &shape, &[x.shape[1].clone()], |i, r| {
            let x = x.at(vec![i[0].clone(), r[0].clone()]).cast(DType::F32);
            let v = vectors.at(vec![i[1].clone(), r[0].clone()]);
            match kernel {
                Kernel::Rbf(_) => (&x - &v) * (&x - &v),
                _ => x * v,
            }
        });
        Ok(c.map(DType::F32, &shape, |i| {
            let dot = dot.at(i.to_vec());
            match kernel {
                Kernel::Linear => dot,
                Kernel::Poly(gamma, offset, degree) => {
                    let base = dot * gamma + offset;
                    base.math2(Math::Pow, &base.like(degree))
                }
                Kernel::Rbf(gamma) => (dot * -gamma).exp(),
                Kernel::Sigmoid(gamma, offset) => (dot * gamma + offset).math(Math::Tanh),
            }
        }))
    }

    /// `kernels * weights^T + offsets`
    fn weighted(c: &mut Compute, kernels: &T, weights: &[f64], offsets: &[f64]) -> Result<T> {
        let count = kernels.shape[1].as_const().unwrap_or(0) as usize;
        let weights = numbers(c, DType::F32, &[offsets.len(), count], weights)?;
        let offsets = numbers(c, DType::F32, &[offsets.len()], offsets)?;
        let shape = [kernels.shape[0].clone(), offsets.shape[0].clone()];
        let sum = c.reduce(Monoid::Sum, DType::F32, &shape, &kernels.shape[1..], |i, r| {
            kernels.at(vec![i[0].clone(), r[0].clone()]) * weights.at(vec![i[1].clone(), r[0].clone()])
        });
        Ok(c.map(DType::F32, &shape, |i| sum.at(i.to_vec()) + offsets.at(vec![i[1].clone()])))
    }

    fn regress(&self, c: &mut Compute, x: &T, supports: usize, one_class: bool) -> Result<T> {
        let rho = self.rho.first().copied().unwrap_or(0.0);
        let sum = if supports > 0 {
            let kernels = self.kernels(c, x, self.kernel, &self.vectors, supports)?;
            Svm::weighted(c, &kernels, &self.coefficients, &[rho])?
        } else {
            let linear = self.kernels(c, x, Kernel::Linear, &self.coefficients, 1)?;
            Svm::weighted(c, &linear, &[1.0], &[rho])?
        };
        if !one_class {
            return Ok(self.post.apply(c, &sum));
        }
        Ok(c.map(DType::F32, &sum.shape, |i| {
            let sum = sum.at(i.to_vec());
            sum.like(0.0).lt(&sum).select(&sum.like(1.0), &sum.like(-1.0))
        }))
    }

    /// The weight of every support vector for every pair of classes.
    fn pair_weights(&self, per_class: &[usize]) -> Option<Vec<f64>> {
        let total: usize = per_class.iter().sum();
        let start: Vec<usize> = (0..per_class.len()).map(|class| per_class[..class].iter().sum()).collect();
        let mut weights = Vec::new();
        for (i, j) in pairs(per_class.len()) {
            let mut row = vec![0.0; total];
            for (class, other) in [(i, j - 1), (j, i)] {
                let own = start[class]..start[class] + per_class[class];
                let from = other * total;
                row[own.clone()].copy_from_slice(self.coefficients.get(from + own.start..from + own.end)?);
            }
            weights.extend(row);
        }
        Some(weights)
    }
}

/// All pairs of classes, in the order of their scores.
fn pairs(classes: usize) -> Vec<(usize, usize)> {
    (0..classes).flat_map(|i| (i + 1..classes).map(move |j| (i, j))).collect()
}

impl OpDef for Svm {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        let x = rows(c, &x)?;
        match &self.form {
            Form::Regressor { supports, one_class } => {
                let y = self.regress(c, &x, *supports, *one_class)?;
                c.output(0, y);
            }
            Form::Classifier { classes, per_class, platt } => {
                let (label, scores) = self.classify(c, &x, classes, per_class, platt.as_ref())?;
                c.output(0, label);
                c.output(1, scores);
            }
        }
        Ok(())
    }
}

impl Svm {
    fn classify(
        &self,
        c: &mut Compute,
        x: &T,
        classes: &[i64],
        per_class: &[usize],
        platt: Option<&(Vec<f64>, Vec<f64>)>,
    ) -> Result<(T, T)> {
        let count = classes.len().max(1);
        if per_class.iter().sum::<usize>() == 0 {
            let dots = self.kernels(c, x, Kernel::Linear, &self.coefficients, count)?;
            let rho = self.rho.first().copied().unwrap_or(0.0);
            let scores = c.map(DType::F32, &dots.shape, |i| dots.at(i.to_vec()) + rho);
            let best = first_maximum(c, &scores);
            return Ok((labels(c, classes, &best), self.post.apply(c, &scores)));
        }
        let wrong = || Error::invalid("the coefficients, vectors and classes of SVMClassifier do not fit");
        let pairs = pairs(per_class.len());
        if per_class.len() != count || self.rho.len() != pairs.len() {
            return Err(wrong());
        }
        let kernels = self.kernels(c, x, self.kernel, &self.vectors, per_class.iter().sum())?;
        let weights = self.pair_weights(per_class).ok_or_else(wrong)?;
        let scores = Svm::weighted(c, &kernels, &weights, &self.rho)?;
        let votes = votes(c, &scores, &pairs, count);
        let positive = self.coefficients.iter().all(|&weight| weight >= 0.0);
        let label = if count == 2 && platt.is_none() && positive {
            c.map(DType::I64, &x.shape[..1], |_| Expr::int(DType::I64, classes[1]))
        } else {
            let best = first_maximum(c, &votes);
            labels(c, classes, &best)
        };
        if let Some((a, b)) = platt {
            let pairwise = pairwise(c, &scores, &pairs, count, a, b)?;
            let probabilities = couple(c, &pairwise, count)?;
            return Ok((label, self.post.apply(c, &probabilities)));
        }
        if count != 2 {
            return Ok((label, self.post.apply(c, &scores)));
        }
        let both = c.map(DType::F32, &[x.shape[0].clone(), 2.into()], |i| {
            scores.at(vec![i[0].clone(), Index::zero()]) * Expr::index(i[1].clone() * 2 - 1).cast(DType::F32)
        });
        Ok((label, self.post.apply(c, &both)))
    }
}

/// How many pairs each class wins.
fn votes(c: &mut Compute, scores: &T, pairs: &[(usize, usize)], classes: usize) -> T {
    let shape = [scores.shape[0].clone(), Index::from(classes as i64)];
    c.map(DType::F32, &shape, |i| {
        let class = Expr::index(i[1].clone());
        let is = |n: usize| class.equals(&Expr::int(DType::I64, n as i64)).cast(DType::F32);
        let vote = |(place, &(first, second)): (usize, &(usize, usize))| {
            let score = scores.at(vec![i[0].clone(), (place as i64).into()]);
            score.like(0.0).lt(&score).select(&is(first), &is(second))
        };
        let votes = pairs.iter().enumerate().map(vote);
        votes.reduce(|a, b| a + b).unwrap_or_else(|| Expr::float(DType::F32, 0.0))
    })
}

/// `[row, i, j]`: the probability of `i` against `j`, by Platt's sigmoid; 0 where they are the same.
fn pairwise(c: &mut Compute, scores: &T, pairs: &[(usize, usize)], classes: usize, a: &[f64], b: &[f64]) -> Result<T> {
    let (a, b) = (numbers(c, DType::F32, &[pairs.len()], a)?, numbers(c, DType::F32, &[pairs.len()], b)?);
    let k = Index::from(classes as i64);
    let all = c.buffer(DType::F32, &[scores.shape[0].clone(), k.clone(), k]);
    c.store(&all, &all.shape, StoreMode::Set, |i| (i.to_vec(), Expr::float(DType::F32, 0.0)));
    for (place, &(i, j)) in pairs.iter().enumerate() {
        let place = Index::from(place as i64);
        for (from, to, first) in [(i, j, true), (j, i, false)] {
            c.store(&all, &scores.shape[..1], StoreMode::Set, |n| {
                let at = |t: &T| t.at(vec![place.clone()]);
                let logit = scores.at(vec![n[0].clone(), place.clone()]) * at(&a) + at(&b);
                let p = sigmoid(&-logit);
                let p = p.max(&p.like(1e-7)).min(&p.like(1.0 - 1e-7));
                let p = if first { p } else { p.like(1.0) - &p };
                (vec![n[0].clone(), (from as i64).into(), (to as i64).into()], p)
            });
        }
    }
    Ok(all)
}

/// Probabilities of the classes that fit those of the pairs: `P` minimizes `P^T Q P`, one coordinate after the other.
fn couple(c: &mut Compute, r: &T, classes: usize) -> Result<T> {
    let (n, k) = (r.shape[0].clone(), Index::from(classes as i64));
    let rows = std::slice::from_ref(&n);
    let same = |a: &Index, b: &Index| Expr::index(a.clone()).equals(&Expr::index(b.clone()));
    let diagonal = c.reduce(Monoid::Sum, DType::F32, &[n.clone(), k.clone()], std::slice::from_ref(&k), |i, j| {
        let p = r.at(vec![i[0].clone(), j[0].clone(), i[1].clone()]);
        &p * &p
    });
    let q = c.map(DType::F32, &r.shape, |i| {
        let product = r.at(vec![i[0].clone(), i[2].clone(), i[1].clone()]) * r.at(i.to_vec());
        same(&i[1], &i[2]).select(&diagonal.at(i[..2].to_vec()), &-product)
    });
    let shape = [n.clone(), k.clone()];
    let (p, qp) = (c.buffer(DType::F32, &shape), c.buffer(DType::F32, &shape));
    let (pqp, step) = (c.buffer(DType::F32, rows), c.buffer(DType::F32, rows));
    c.store(&p, &shape, StoreMode::Set, |i| (i.to_vec(), Expr::float(DType::F32, 1.0 / classes as f64)));
    c.repeat(&Index::from(classes.max(100) as i64), |c, _| {
        let product = c.reduce(Monoid::Sum, DType::F32, &shape, std::slice::from_ref(&k), |i, j| {
            q.at(vec![i[0].clone(), i[1].clone(), j[0].clone()]) * p.at(vec![i[0].clone(), j[0].clone()])
        });
        c.store(&qp, &shape, StoreMode::Set, |i| (i.to_vec(), product.at(i.to_vec())));
        let sum = c.reduce(Monoid::Sum, DType::F32, rows, std::slice::from_ref(&k), |i, j| {
            let at = vec![i[0].clone(), j[0].clone()];
            p.at(at.clone()) * qp.at(at)
        });
        c.store(&pqp, rows, StoreMode::Set, |i| (i.to_vec(), sum.at(i.to_vec())));
        let error = c.reduce(Monoid::Max, DType::F32, rows, std::slice::from_ref(&k), |i, j| {
            (qp.at(vec![i[0].clone(), j[0].clone()]) - sum.at(i.to_vec())).abs()
        });
        c.repeat(&k, |c, t| {
            let at = |x: &T, i: &[Index]| x.at(vec![i[0].clone(), t.clone()]);
            let own = |i: &[Index]| q.at(vec![i[0].clone(), t.clone(), t.clone()]);
            c.store(&step, rows, StoreMode::Set, |i| {
                let error = error.at(i.to_vec());
                let step = (pqp.at(i.to_vec()) - at(&qp, i)) / own(i);
                let done = error.lt(&error.like(0.005 / classes as f64));
                (i.to_vec(), done.select(&step.like(0.0), &step))
            });
            let step = |i: &[Index]| step.at(vec![i[0].clone()]);
            c.store(&pqp, rows, StoreMode::Set, |i| {
                let (step, whole) = (step(i), step(i) + 1.0);
                let moved = pqp.at(i.to_vec()) + &step * (&step * own(i) + at(&qp, i) * 2.0);
                (i.to_vec(), moved / (&whole * &whole))
            });
            c.store(&p, &shape, StoreMode::Set, |i| {
                let own = same(&i[1], t).select(&step(i), &step(i).like(0.0));
                (i.to_vec(), (p.at(i.to_vec()) + own) / (step(i) + 1.0))
            });
            c.store(&qp, &shape, StoreMode::Set, |i| {
                let row = q.at(vec![i[0].clone(), t.clone(), i[1].clone()]);
                (i.to_vec(), (qp.at(i.to_vec()) + step(i) * row) / (step(i) + 1.0))
            });
            Ok(())
        })
    })?;
    Ok(c.map(DType::F32, &shape, |i| p.at(i.to_vec())))
}
