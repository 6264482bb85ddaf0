//! Random numbers: a hash of the seed, the node and the place of the element, so that they do not depend on threads and
//! every run gives the same. ONNX fixes no generator.

use super::OpDef;
use super::cumulative::{Order, running};
use super::softmax::softmax;
use crate::compute::{Compute, T, compute_type};
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::tile::{Binary, Math, Monoid};
use crate::{DType, Error, Index, Result, Scalar};
use std::f64::consts::TAU;

/// Random numbers of a shape given by an attribute (ONNX `RandomUniform`, `RandomNormal`) or by a tensor
/// (`RandomUniformLike`, `RandomNormalLike`).
#[derive(Debug)]
pub struct Random {
    shape: Option<Vec<i64>>,
    dtype: Option<DType>,
    seed: Option<u64>,
    normal: bool,
    /// Added, and multiplied before.
    shift: f64,
    scale: f64,
}

impl Random {
    pub(super) fn parse(node: &OnnxNode) -> Result<Random> {
        let like = node.op_type.ends_with("Like");
        let normal = node.op_type.starts_with("RandomNormal");
        let shape = if like { None } else { node.ints("shape")?.or(Some(vec![])) };
        if shape.iter().flatten().any(|&n| n < 0) {
            return Err(Error::invalid("the shape of random numbers has a negative dim"));
        }
        let number = |name: &str, default: f32| Ok::<f64, Error>(node.float(name, default)?.into());
        let (shift, scale) = if normal {
            (number("mean", 0.0)?, number("scale", 1.0)?)
        } else {
            let low = number("low", 0.0)?;
            (low, number("high", 1.0)? - low)
        };
        Ok(Random {
            shape,
            dtype: dtype(node, if like { None } else { Some(DType::F32) })?,
            seed: seed(node)?,
            normal,
            shift,
            scale,
        })
    }
}

impl OpDef for Random {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (shape, dtype) = match &self.shape {
            Some(shape) => (shape.iter().map(|&n| n.into()).collect(), self.dtype.unwrap_or(DType::F32)),
            None => {
                let x = c.input(0)?;
                (x.shape, self.dtype.unwrap_or(x.dtype))
            }
        };
        if !dtype.is_float() {
            return Err(Error::invalid(format!("random numbers of type {dtype}")));
        }
        let keys = [key(c, self.seed), key(c, self.seed)];
        let y = c.map(dtype, &shape, |i| {
            let first = uniform(keys[0], &shape, i);
            let value = if self.normal {
                // Box and Muller's method; `1 - u` is never 0.
                let radius = ((first.like(1.0) - first).math(Math::Log) * -2.0).sqrt();
                radius * (uniform(keys[1], &shape, i) * TAU).math(Math::Cos)
            } else {
                first
            };
            value.cast(if dtype == DType::F64 { DType::F64 } else { DType::F32 }) * self.scale + self.shift
        });
        c.output(0, y);
        Ok(())
    }
}

/// 1 with the probability that each element of `x` is, else 0 (ONNX `Bernoulli`).
#[derive(Debug)]
pub struct Bernoulli {
    dtype: Option<DType>,
    seed: Option<u64>,
}

impl Bernoulli {
    pub(super) fn parse(node: &OnnxNode) -> Result<Bernoulli> {
        Ok(Bernoulli { dtype: dtype(node, None)?, seed: seed(node)? })
    }
}

impl OpDef for Bernoulli {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        let key = key(c, self.seed);
        let y = c.map(self.dtype.unwrap_or(x.dtype), &x.shape, |i| {
            uniform(key, &x.shape, i).lt(&x.at(i.to_vec()).cast(DType::F32))
        });
        c.output(0, y);
        Ok(())
    }
}

/// Classes drawn with the probabilities whose logarithms are given, a row a batch (ONNX `Multinomial`).
#[derive(Debug)]
pub struct Multinomial {
    dtype: DType,
    samples: i64,
    seed: Option<u64>,
}

impl Multinomial {
    pub(super) fn parse(node: &OnnxNode) -> Result<Multinomial> {
        let samples = node.int("sample_size", 1)?;
        if samples < 0 {
            return Err(Error::invalid("the sample_size of Multinomial is negative"));
        }
        Ok(Multinomial { dtype: node.dtype("dtype", Some(DType::I32))?, samples, seed: seed(node)? })
    }
}

impl OpDef for Multinomial {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        if x.rank() != 2 || !x.dtype.is_float() {
            return Err(Error::invalid("Multinomial needs a matrix of floats"));
        }
        let wide = c.map(compute_type(x.dtype), &x.shape, |i| x.at(i.to_vec()));
        let shares = softmax(c, &wide, &[1]);
        let order = Order { exclusive: false, reverse: false };
        let sums = running(c, Monoid::Sum, shares.dtype, &x.shape, 1, order, |i| shares.at(i));
        let (shape, classes) = ([x.shape[0].clone(), self.samples.into()], x.shape[1].clone());
        let key = key(c, self.seed);
        let y = c.reduce(Monoid::Sum, self.dtype, &shape, &[classes.clone() - 1], |i, r| {
            let drawn = uniform(key, &shape, i);
            sums.at(vec![i[0].clone(), r[0].clone()]).le(&drawn.cast(sums.dtype)).cast(DType::I64)
        });
        c.output(0, y);
        Ok(())
    }
}

fn dtype(node: &OnnxNode, default: Option<DType>) -> Result<Option<DType>> {
    if node.has("dtype") { node.dtype("dtype", None).map(Some) } else { Ok(default) }
}

/// The attribute `seed`.
pub(super) fn seed(node: &OnnxNode) -> Result<Option<u64>> {
    Ok(match node.attributes.get("seed") {
        Some(crate::onnx::Attribute::Int(n)) => Some(*n as u64),
        _ => node.optional_float("seed")?.map(|seed| seed.to_bits().into()),
    })
}

/// What makes a node's numbers its own.
pub(super) fn key(c: &mut Compute, seed: Option<u64>) -> u64 {
    let name = c.fresh("key");
    let start = 0xcbf2_9ce4_8422_2325 ^ seed.unwrap_or(0).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    name.bytes().fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A number in `0..1`, F32: the mixing function of SplitMix64 of the key and the place.
pub(super) fn uniform(key: u64, shape: &[Index], i: &[Index]) -> Expr {
    let number = |n: u64| Expr::constant(DType::U64, Scalar::Int(n as i64));
    let flat = shape.iter().zip(i).fold(Index::zero(), |flat, (extent, i)| &flat * extent + i.clone());
    let place = Expr::index(flat).cast(DType::U64);
    let mixed = |x: Expr, shift: u64| x.binary(Binary::Xor, &x.binary(Binary::Shr, &number(shift)));
    let x = (place + number(1)) * number(0x9e37_79b9_7f4a_7c15) + number(key);
    let x = mixed(x, 30) * number(0xbf58_476d_1ce4_e5b9);
    let x = mixed(x, 27) * number(0x94d0_49bb_1331_11eb);
    let high = mixed(x, 31).binary(Binary::Shr, &number(40));
    high.cast(DType::I64).cast(DType::F32) * (1.0 / f64::from(1 << 24))
}

/// A mask that is false with the probability `ratio`.
pub(super) fn mask(c: &mut Compute, seed: Option<u64>, x: &T, ratio: &Expr) -> T {
    let key = key(c, seed);
    c.map(DType::Bool, &x.shape, |i| ratio.le(&uniform(key, &x.shape, i)))
}
