use super::OpDef;
use crate::compute::{Compute, T};
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::tile::Math;
use crate::{DType, Error, Index, Result};

/// A step of an optimizer (`ai.onnx.preview.training` `Adagrad`, `Adam`, `Momentum`): `x` moves against the gradient `g`.
///
/// Inputs are the rate, the number of steps so far, all `x`, all `g`, then the state of each; outputs all new `x`, then
/// their state. `norm_coefficient` adds a share of `x` to `g` before, `norm_coefficient_post` (Adam) takes one from `x` after.
/// `t` is the number of steps.
///
/// - Adagrad: `h += g * g; x -= rate / (1 + t * decay_factor) * g / (sqrt(h) + epsilon)`
/// - Adam: `v` and `h` are running means of `g` and `g * g`; `x -= rate' * v / (sqrt(h) + epsilon)`, where after the first
///   step `rate' = rate * sqrt(1 - beta^t) / (1 - alpha^t)`
/// - Momentum: `v = alpha * v + beta' * g`, with `beta' = 1` in the first step; `x -= rate * v`, or in `mode` nesterov
///   `rate * (g + alpha * v)`
#[derive(Debug)]
pub struct Optimizer {
    kind: Kind,
    alpha: f64,
    beta: f64,
    decay: f64,
    epsilon: f64,
    norm: f64,
    norm_post: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Adagrad,
    Adam,
    Momentum,
    Nesterov,
}

impl Optimizer {
    pub(super) fn parse(node: &OnnxNode) -> Result<Optimizer> {
        let kind = match (node.op_type.as_str(), node.string("mode", "standard")?.as_str()) {
            ("Adagrad", _) => Kind::Adagrad,
            ("Adam", _) => Kind::Adam,
            (_, "standard") => Kind::Momentum,
            (_, "nesterov") => Kind::Nesterov,
            (_, mode) => return Err(Error::invalid(format!("Momentum has no mode `{mode}`"))),
        };
        let number = |name: &str, default: f32| Ok::<f64, Error>(node.float(name, default)?.into());
        Ok(Optimizer {
            kind,
            alpha: number("alpha", 0.9)?,
            beta: number("beta", 0.999)?,
            decay: number("decay_factor", 0.0)?,
            epsilon: number("epsilon", 1e-6)?,
            norm: number("norm_coefficient", 0.0)?,
            norm_post: number("norm_coefficient_post", 0.0)?,
        })
    }

    /// The step of one tensor: its new value and state.
    fn step(&self, c: &mut Compute, rate: &T, count: &T, x: &T, g: &T, state: &[T]) -> Vec<T> {
        let element = |t: &T, i: &[Index]| t.at(i.to_vec());
        let scalar = |t: &T| t.at(vec![Index::zero(); t.rank()]);
        let wide = scalar(rate).dtype();
        let (rate, steps) = (scalar(rate), scalar(count).cast(wide));
        let first = steps.equals(&steps.like(0.0));
        let gradient = |i: &[Index]| element(x, i) * self.norm + element(g, i);
        let mean = |old: Expr, share: f64, new: Expr| old * share + new * (1.0 - share);
        if self.kind == Kind::Adagrad {
            let h = c.map(x.dtype, &x.shape, |i| element(&state[0], i) + gradient(i) * gradient(i));
            let rate = &rate / &(steps * self.decay + 1.0);
            let x = c.map(x.dtype, &x.shape, |i| {
                element(x, i) - gradient(i) * rate / (element(&h, i).sqrt() + self.epsilon)
            });
            return vec![x, h];
        }
        if self.kind == Kind::Adam {
            let v = c.map(x.dtype, &x.shape, |i| mean(element(&state[0], i), self.alpha, gradient(i)));
            let h = c.map(x.dtype, &x.shape, |i| mean(element(&state[1], i), self.beta, gradient(i) * gradient(i)));
            let left = |share: f64| steps.like(1.0) - steps.like(share).math2(Math::Pow, &steps);
            let corrected = &rate * &(left(self.beta).sqrt() / left(self.alpha));
            let rate = first.select(&rate, &corrected);
            let x = c.map(x.dtype, &x.shape, |i| {
                let moved = element(x, i) - element(&v, i) * rate / (element(&h, i).sqrt() + self.epsilon);
                moved * (1.0 - self.norm_post)
            });
            return vec![x, v, h];
        }
        let beta = first.select(&steps.like(1.0), &steps.like(self.beta));
        let v = c.map(x.dtype, &x.shape, |i| element(&state[0], i) * self.alpha + gradient(i) * beta);
        let x = c.map(x.dtype, &x.shape, |i| {
            let v = element(&v, i);
            element(x, i) - if self.kind == Kind::Nesterov { gradient(i) + v * self.alpha } else { v } * rate
        });
        vec![x, v]
    }
}

impl OpDef for Optimizer {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let inputs = (0..c.input_count()).map(|place| c.input(place)).collect::<Result<Vec<_>>>()?;
        let groups = if self.kind == Kind::Adam { 4 } else { 3 };
        let [rate, count, tensors @ ..] = inputs.as_slice() else {
            return Err(Error::invalid("an optimizer needs a rate and a number of steps"));
        };
        let n = tensors.len() / groups;
        let like =
            |place: usize| tensors[place].shape == tensors[place % n].shape && tensors[place].dtype == rate.dtype;
        if n == 0 || tensors.len() % groups != 0 || !rate.dtype.is_float() || count.dtype != DType::I64 {
            return Err(Error::invalid("the inputs of an optimizer come in equal groups"));
        }
        if !(0..tensors.len()).all(like) {
            return Err(Error::invalid("the tensors of an optimizer differ in type or shape"));
        }
        for place in 0..n {
            let state: Vec<T> = (2..groups).map(|group| tensors[group * n + place].clone()).collect();
            let results = self.step(c, rate, count, &tensors[place], &tensors[n + place], &state);
            results.into_iter().enumerate().for_each(|(group, t)| c.output(group * n + place, t));
        }
        Ok(())
    }
}
