use super::OpDef;
use crate::compute::{Compute, T, compute_type};
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::tile::Math;
use crate::{DType, Error, Result};

/// One step of training (ONNX preview `Adagrad`, `Adam`, `Momentum`): new tensors and states from old ones and gradients.
///
/// Inputs are the rate, the step `t`, then all tensors, all gradients, all states of a kind; outputs are tensors and states
/// in that order. `norm_coefficient * x` is added to each gradient.
#[derive(Debug)]
pub struct Optimizer {
    kind: Kind,
    decay: f64,
    epsilon: f64,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// `r / (1 + t * decay)`
    Adagrad(f64),
    /// `alpha`, `beta`, and what the result is decayed by.
    Adam(f64, f64, f64),
    /// `alpha`, `beta`, and whether it is Nesterov's.
    Momentum(f64, f64, bool),
}

impl Optimizer {
    pub(super) fn parse(node: &OnnxNode) -> Result<Optimizer> {
        let number = |name: &str, default: f32| Ok::<f64, Error>(node.float(name, default)?.into());
        let kind = match node.op_type.as_str() {
            "Adagrad" => Kind::Adagrad(number("decay_factor", 0.0)?),
            "Adam" => Kind::Adam(number("alpha", 0.9)?, number("beta", 0.999)?, number("norm_coefficient_post", 0.0)?),
            _ => {
                let nesterov = node.string("mode", "standard")? == "nesterov";
                Kind::Momentum(number("alpha", 0.9)?, number("beta", 1.0)?, nesterov)
            }
        };
        Ok(Optimizer { kind, decay: number("norm_coefficient", 0.0)?, epsilon: number("epsilon", 1e-6)? })
    }
}

impl OpDef for Optimizer {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let kinds = if let Kind::Adam(..) = self.kind { 4 } else { 3 };
        let count = c.input_count().saturating_sub(2) / kinds;
        if c.input_count() != 2 + count * kinds {
            return Err(Error::invalid(format!("{} inputs are not {kinds} for each tensor", c.input_count())));
        }
        let (rate, step) = (c.input(0)?, c.input(1)?);
        if !rate.size().is(1) || !step.size().is(1) {
            return Err(Error::invalid("rate and step must be scalars"));
        }
        for k in 0..count {
            let tensors = (0..kinds).map(|kind| c.input(2 + k + kind * count)).collect::<Result<Vec<T>>>()?;
            for t in &tensors[1..] {
                c.demand(t, "a gradient or state", &tensors[0].shape)?;
            }
            let results = self.update(c, &rate, &step, &tensors);
            for (kind, result) in results.into_iter().enumerate() {
                c.output(k + kind * count, result);
            }
        }
        Ok(())
    }
}

impl Optimizer {
    /// The new tensor and states from the old, the gradient and the states.
    fn update(&self, c: &mut Compute, rate: &T, step: &T, tensors: &[T]) -> Vec<T> {
        let (x, gradient) = (&tensors[0], &tensors[1]);
        let wide = compute_type(x.dtype);
        let one = |t: &T| t.at(vec![crate::Index::zero(); t.rank()]).cast(wide);
        let (rate, step) = (one(rate), one(step));
        let gradient = |i: &[crate::Index]| x.at(i.to_vec()) * self.decay + gradient.at(i.to_vec()).cast(wide);
        let map = |c: &mut Compute, f: &dyn Fn(&[crate::Index]) -> Expr| c.map(x.dtype, &x.shape, f);
        let started = step.like(0.0).lt(&step);
        match self.kind {
            Kind::Adagrad(decay) => {
                let rate = rate / (step * decay + 1.0);
                let h = map(c, &|i| tensors[2].at(i.to_vec()) + gradient(i) * gradient(i));
                let y = map(c, &|i| {
                    x.at(i.to_vec()) - gradient(i) * &rate / (h.at(i.to_vec()).sqrt() + self.epsilon)
                });
                vec![y, h]
            }
            Kind::Adam(alpha, beta, post) => {
                let left = |base: f64| {
                    let power = Expr::float(DType::F64, base).math2(Math::Pow, &step.cast(DType::F64));
                    power.like(1.0) - power
                };
                let corrected = (rate.cast(DType::F64) * left(beta).sqrt() / left(alpha)).cast(wide);
                let rate = started.select(&corrected, &rate);
                let v = map(c, &|i| tensors[2].at(i.to_vec()) * alpha + gradient(i) * (1.0 - alpha));
                let h = map(c, &|i| tensors[3].at(i.to_vec()) * beta + gradient(i) * gradient(i) * (1.0 - beta));
                let y = map(c, &|i| {
                    let move_by = v.at(i.to_vec()) * &rate / (h.at(i.to_vec()).sqrt() + self.epsilon);
                    (x.at(i.to_vec()) - move_by) * (1.0 - post)
                });
                vec![y, v, h]
            }
            Kind::Momentum(alpha, beta, nesterov) => {
                let beta = started.select(&step.like(beta), &step.like(1.0));
                let v = map(c, &|i| tensors[2].at(i.to_vec()) * alpha + gradient(i) * &beta);
                let y = map(c, &|i| {
                    let v = v.at(i.to_vec());
                    let direction = if nesterov { gradient(i) + v * alpha } else { v };
                    x.at(i.to_vec()) - direction * &rate
                });
                vec![y, v]
            }
        }
    }
}
