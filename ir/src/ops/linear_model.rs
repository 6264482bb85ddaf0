use super::OpDef;
use super::ml::{Post, classes, feature_type, first_maximum, floats, labels, numbers, rows};
use crate::compute::{Compute, T};
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::tile::Monoid;
use crate::{DType, Error, Index, Result};

/// `x * coefficients^T + intercepts`, then a transform (ONNX ML `LinearRegressor`); the classifier gives the best class,
/// and the scores as output 1 (`LinearClassifier`).
///
/// One row of coefficients for two classes scores the second, which wins above 0; of this form ONNX says nothing, and as in
/// ONNX Runtime the scores are `1 - s` and `s`, with the transform `LOGISTIC` those of `-s` and `s`.
#[derive(Debug)]
pub struct LinearModel {
    coefficients: Vec<f64>,
    intercepts: Vec<f64>,
    post: Post,
    /// Classes of a classifier, or targets of a regressor.
    form: Form,
}

#[derive(Debug)]
enum Form {
    Classifier(Vec<i64>),
    Regressor(usize),
}

impl LinearModel {
    pub(super) fn parse(node: &OnnxNode) -> Result<LinearModel> {
        let form = if node.op_type == "LinearClassifier" {
            Form::Classifier(classes(node, "classlabels_ints")?)
        } else {
            let targets = usize::try_from(node.int("targets", 1)?).ok().filter(|&n| n > 0);
            Form::Regressor(targets.ok_or_else(|| Error::invalid("attribute `targets` must be positive"))?)
        };
        let (coefficients, intercepts) = (floats(node, "coefficients")?, floats(node, "intercepts")?);
        Ok(LinearModel { coefficients, intercepts, post: Post::parse(node)?, form })
    }

    /// Scores `[rows, targets]`.
    fn scores(&self, c: &mut Compute, x: &T, targets: usize) -> Result<T> {
        let wide = feature_type(x);
        let features = self.coefficients.len() / targets;
        c.same_dim(&x.shape[1], &(features as i64).into())?;
        let coefficients = numbers(c, wide, &[targets, features], &self.coefficients)?;
        let shape = [x.shape[0].clone(), Index::from(targets as i64)];
        let product = c.reduce(Monoid::Sum, wide, &shape, &[x.shape[1].clone()], |i, r| {
            let x = x.at(vec![i[0].clone(), r[0].clone()]).cast(wide);
            x * coefficients.at(vec![i[1].clone(), r[0].clone()])
        });
        if self.intercepts.is_empty() {
            return Ok(product);
        }
        let intercepts = numbers(c, wide, &[targets], &self.intercepts)?;
        Ok(c.map(wide, &shape, |i| product.at(i.to_vec()) + intercepts.at(vec![i[1].clone()])))
    }

    /// The better of two classes of which the second is scored, and their transformed scores.
    fn second(&self, c: &mut Compute, single: &T) -> (T, T) {
        let score = |i: &[Index]| single.at(vec![i[0].clone(), Index::zero()]);
        let best = c.map(DType::I64, &single.shape[..1], |i| score(i).like(0.0).lt(&score(i)));
        let logistic = self.post == Post::Logistic;
        let both = c.map(single.dtype, &[single.shape[0].clone(), 2.into()], |i| {
            let other = if logistic { -score(i) } else { score(i).like(1.0) - score(i) };
            Expr::index(i[1].clone()).equals(&Expr::int(DType::I64, 0)).select(&other, &score(i))
        });
        (best, if logistic { self.post.apply(c, &both) } else { both })
    }
}

impl OpDef for LinearModel {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        let x = rows(c, &x)?;
        let classes = match &self.form {
            Form::Regressor(targets) => {
                let scores = self.scores(c, &x, *targets)?;
                let y = self.post.apply(c, &scores);
                let y = c.map(DType::F32, &y.shape, |i| y.at(i.to_vec()));
                c.output(0, y);
                return Ok(());
            }
            Form::Classifier(classes) => classes,
        };
        let features = x.shape[1].as_const().filter(|&n| n > 0);
        let features = features.ok_or_else(|| Error::unsupported("the number of features must be known"))?;
        let scores = self.scores(c, &x, (self.coefficients.len() / features as usize).max(1))?;
        let (best, y) = if scores.shape[1].is(1) && classes.len() == 2 {
            self.second(c, &scores)
        } else {
            (first_maximum(c, &scores), self.post.apply(c, &scores))
        };
        let label = labels(c, classes, &best);
        let y = c.map(DType::F32, &y.shape, |i| y.at(i.to_vec()));
        c.output(0, label);
        c.output(1, y);
        Ok(())
    }
}
