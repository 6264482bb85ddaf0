use super::OpDef;
use crate::compute::{Compute, T};
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::tensor::Scalar;
use crate::tile::{Math, Monoid};
use crate::{DType, Error, Index, Result, Tensor};
use std::f64::consts::TAU;

/// A matrix of a transform is a constant up to this many elements.
const MATRIX_LIMIT: i64 = 1 << 20;

/// Discrete Fourier transform along an axis (ONNX `DFT`), as a product with a matrix in F64.
///
/// The last axis holds a real number or a complex one. `dft_length` cuts or pads. `onesided` keeps the first half; with
/// `inverse` it takes that half and gives real numbers. The inverse divides by the length. Since opset 20 the axis is an
/// input, by default -2.
#[derive(Debug)]
pub struct Dft {
    axis: Option<i64>,
    inverse: bool,
    onesided: bool,
}

impl Dft {
    pub(super) fn parse(node: &OnnxNode) -> Result<Dft> {
        let axis = if node.opset < 20 { Some(node.int("axis", 1)?) } else { None };
        Ok(Dft { axis, inverse: node.flag("inverse", false)?, onesided: node.flag("onesided", false)? })
    }
}

impl OpDef for Dft {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        let axis = match (self.axis, c.optional(2)) {
            (Some(axis), _) => axis,
            (None, Some(axis)) => one(&c.ints(&axis, "the axis given to DFT")?)?,
            (None, None) => -2,
        };
        let axis = x.axis(axis)?;
        if axis + 1 == x.rank() {
            return Err(Error::invalid("the last axis of DFT holds real and imaginary parts"));
        }
        let real = self.inverse && self.onesided;
        let length = match c.optional(1) {
            Some(length) => one(&c.dims(&length, "the length given to DFT")?)?,
            None if real => (x.shape[axis].clone() - 1) * 2,
            None => x.shape[axis].clone(),
        };
        let half = length.div(&2.into()) + 1;
        let parts = x.shape[x.rank() - 1].clone();
        let used = if real { half.clone() } else { length.clone() };
        let transform = Transform {
            inputs: c.facts().min(&x.shape[axis], &used),
            outputs: if self.onesided && !self.inverse { half } else { length.clone() },
            length,
            parts: if real { 1 } else { 2 },
            sign: if self.inverse { 1.0 } else { -1.0 },
            halved: real,
            divided: self.inverse,
        };
        let factor = transform.factors(c);
        let mut shape = x.shape.clone();
        shape[axis] = transform.outputs.clone();
        shape[x.rank() - 1] = transform.parts.into();
        let y = c.reduce(Monoid::Sum, x.dtype, &shape, &[transform.inputs.clone(), parts], |i, r| {
            let mut at = i.to_vec();
            (at[axis], at[i.len() - 1]) = (r[0].clone(), r[1].clone());
            x.at(at).cast(DType::F64) * factor(&r[0], &r[1], &i[axis], &i[i.len() - 1])
        });
        c.output(0, y);
        Ok(())
    }
}

fn one<I: Clone>(list: &[I]) -> Result<I> {
    list.first().cloned().ok_or_else(|| Error::invalid("an empty tensor where a number is needed"))
}

/// A linear map of complex numbers: `sum over n of x[n] * exp(sign * 2 pi i * n * k / length)`.
struct Transform {
    inputs: Index,
    outputs: Index,
    length: Index,
    /// Parts of a result: 1 if it is real.
    parts: i64,
    sign: f64,
    /// The inputs are the first half of a symmetric spectrum.
    halved: bool,
    divided: bool,
}

/// What part `q` of result `k` gets from part `p` of input `n`: a function of `(n, p, k, q)`.
type Factor = Box<dyn Fn(&Index, &Index, &Index, &Index) -> Expr>;

impl Transform {
    fn factors(&self, c: &mut Compute) -> Factor {
        if let Some(matrix) = self.matrix() {
            let matrix = c.constant(matrix);
            return Box::new(move |n, p, k, q| matrix.at(vec![n.clone(), p.clone(), k.clone(), q.clone()]));
        }
        let length = self.length.clone();
        let turn = c.table(DType::F64, &[2.into(), length.clone()], |i| {
            let real = |index: &Index| Expr::index(index.clone()).cast(DType::F64);
            let angle = real(&i[1]) * TAU / real(&length);
            Expr::index(i[0].clone())
                .equals(&Expr::int(DType::I64, 0))
                .select(&angle.math(Math::Cos), &angle.math(Math::Sin))
        });
        let (sign, halved, divided) = (self.sign, self.halved, self.divided);
        Box::new(move |n, p, k, q| {
            let at = |which: i64| turn.at(vec![which.into(), (n * k).rem(&length)]);
            let is = |a: &Index, b: i64| Expr::index(a.clone()).equals(&Expr::int(DType::I64, b));
            let sine = at(1) * sign;
            let cross = is(q, 0).select(&-sine.clone(), &sine);
            let factor = Expr::index(p.clone()).equals(&Expr::index(q.clone())).select(&at(0), &cross);
            let twice = halved.then(|| {
                (is(n, 0) | Expr::index(n.clone() * 2).equals(&Expr::index(length.clone())))
                    .select(&factor.like(1.0), &factor.like(2.0))
            });
            let factor = twice.into_iter().fold(factor, |factor, twice| factor * twice);
            if divided { factor / Expr::index(length.clone()).cast(DType::F64) } else { factor }
        })
    }

    /// `[n, p, k, q]`, if the extents are numbers and not too large.
    fn matrix(&self) -> Option<Tensor> {
        let (n, k, length) = (self.inputs.as_const()?, self.outputs.as_const()?, self.length.as_const()?);
        if n.checked_mul(k)?.checked_mul(2 * self.parts)? > MATRIX_LIMIT || length < 1 {
            return None;
        }
        let mut elements = Vec::new();
        for n in 0..n {
            let twice = self.halved && n != 0 && 2 * n != length;
            let size = if twice { 2.0 } else { 1.0 } / if self.divided { length as f64 } else { 1.0 };
            for p in 0..2 {
                for k in 0..k {
                    let angle = TAU * ((n * k) % length) as f64 / length as f64;
                    let (sine, cosine) = (self.sign * angle.sin(), angle.cos());
                    for q in 0..self.parts {
                        let factor = if p == q {
                            cosine
                        } else if q == 0 {
                            -sine
                        } else {
                            sine
                        };
                        elements.push(Scalar::Float(size * factor));
                    }
                }
            }
        }
        Tensor::from_scalars(DType::F64, vec![n as usize, 2, k as usize, self.parts as usize], &elements).ok()
    }
}

/// Short-time Fourier transform: windows of the signal, `frame_step` apart, multiplied by `window` and transformed (ONNX
/// `STFT`). There is no padding.
#[derive(Debug)]
pub struct Stft {
    onesided: bool,
}

impl Stft {
    pub(super) fn parse(node: &OnnxNode) -> Result<Stft> {
        Ok(Stft { onesided: node.flag("onesided", true)? })
    }
}

impl OpDef for Stft {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (x, step, window) = (c.input(0)?, c.input(1)?, c.optional(2));
        let step = one(&c.ints(&step, "the frame step given to STFT")?)?;
        let length = match (c.optional(3), &window) {
            (Some(length), _) => one(&c.dims(&length, "the frame length given to STFT")?)?,
            (None, Some(window)) => one(&window.shape)?,
            (None, None) => return Err(Error::invalid("STFT needs a window or a frame length")),
        };
        if step < 1 || !(2..=3).contains(&x.rank()) || window.as_ref().is_some_and(|w| w.rank() != 1) {
            return Err(Error::invalid("STFT needs a signal of rank 2 or 3, a window of rank 1 and a positive step"));
        }
        for window in window.iter() {
            c.same_dim(&window.shape[0], &length)?;
        }
        let parts = x.shape.get(2).cloned().unwrap_or_else(|| 1.into());
        let frames = (x.shape[1].clone() - length.clone()).div(&step.into()) + 1;
        let framed = frame(c, &x, window.as_ref(), &[x.shape[0].clone(), frames, length.clone(), parts.clone()], step);
        let transform = Transform {
            inputs: length.clone(),
            outputs: if self.onesided { length.div(&2.into()) + 1 } else { length.clone() },
            length,
            parts: 2,
            sign: -1.0,
            halved: false,
            divided: false,
        };
        let factor = transform.factors(c);
        let shape = [framed.shape[0].clone(), framed.shape[1].clone(), transform.outputs.clone(), 2.into()];
        let y = c.reduce(Monoid::Sum, x.dtype, &shape, &[transform.inputs.clone(), parts], |i, r| {
            framed.at([&i[..2], r].concat()) * factor(&r[0], &r[1], &i[2], &i[3])
        });
        c.output(0, y);
        Ok(())
    }
}

/// `[batch, frame, n, part]`, multiplied by the window.
fn frame(c: &mut Compute, x: &T, window: Option<&T>, shape: &[Index], step: i64) -> T {
    c.map(DType::F64, shape, |i| {
        let mut at = vec![i[0].clone(), i[1].clone() * step + i[2].clone()];
        if x.rank() == 3 {
            at.push(i[3].clone());
        }
        let element = x.at(at).cast(DType::F64);
        window.into_iter().fold(element, |x, window| x * window.at(vec![i[2].clone()]).cast(DType::F64))
    })
}
