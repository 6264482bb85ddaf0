//! Features of `ai.onnx.ml`: simple functions of numbers.

use super::OpDef;
use crate::compute::{Compute, T};
use crate::onnx::{Attribute, OnnxNode};
use crate::program::Expr;
use crate::tile::Monoid;
use crate::{DType, Error, Index, Result, Tensor};

/// The elements at given places of the last axis (`ai.onnx.ml` `ArrayFeatureExtractor`). A vector gives one row.
#[derive(Debug)]
pub struct ArrayFeatureExtractor;

impl ArrayFeatureExtractor {
    pub(super) fn parse(_: &OnnxNode) -> Result<ArrayFeatureExtractor> {
        Ok(ArrayFeatureExtractor)
    }
}

impl OpDef for ArrayFeatureExtractor {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (x, places) = (c.input(0)?, c.input(1)?);
        if x.rank() == 0 || !places.dtype.is_int() {
            return Err(Error::invalid("ArrayFeatureExtractor needs an array and integer places"));
        }
        let count = places.size();
        let places = c.reshape(&places, &[count.clone()]);
        let (outer, last) = x.shape.split_at(x.rank() - 1);
        let shape = if outer.is_empty() { vec![Index::from(1), count] } else { [outer, &[count]].concat() };
        let y = c.gather(&x, &shape, |c, i| {
            let place = c.lookup(&places, vec![i[i.len() - 1].clone()], &last[0]);
            [&i[..outer.len()], &[place]].concat()
        });
        c.output(0, y);
        Ok(())
    }
}

/// `x > threshold ? 1 : 0` (`ai.onnx.ml` `Binarizer`).
#[derive(Debug)]
pub struct Binarizer {
    threshold: f64,
}

impl Binarizer {
    pub(super) fn parse(node: &OnnxNode) -> Result<Binarizer> {
        Ok(Binarizer { threshold: node.float("threshold", 0.0)?.into() })
    }
}

impl OpDef for Binarizer {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        let y = c
            .map(x.dtype, &x.shape, |i| Expr::float(DType::F64, self.threshold).lt(&x.at(i.to_vec()).cast(DType::F64)));
        c.output(0, y);
        Ok(())
    }
}

/// `(x - offset) * scale`, as F32, with one offset and scale, or one for each feature (`ai.onnx.ml` `Scaler`).
#[derive(Debug)]
pub struct Scaler {
    offset: Vec<f32>,
    scale: Vec<f32>,
}

impl Scaler {
    pub(super) fn parse(node: &OnnxNode) -> Result<Scaler> {
        let list = |name: &str| Ok::<_, Error>(node.floats(name)?.unwrap_or_default());
        Ok(Scaler { offset: list("offset")?, scale: list("scale")? })
    }
}

impl OpDef for Scaler {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        let (offset, scale) = (features(c, &self.offset, 0.0, &x)?, features(c, &self.scale, 1.0, &x)?);
        let y = c.map(DType::F32, &x.shape, |i| {
            (x.at(i.to_vec()).cast(DType::F32) - offset.broadcast(i)) * scale.broadcast(i)
        });
        c.output(0, y);
        Ok(())
    }
}

/// `x == replaced ? imputed : x`, with one value, or one for each feature (`ai.onnx.ml` `Imputer`). `replaced` may be NaN.
#[derive(Debug)]
pub struct Imputer {
    floats: Vec<f32>,
    ints: Vec<i64>,
    replaced: f32,
    replaced_int: i64,
}

impl Imputer {
    pub(super) fn parse(node: &OnnxNode) -> Result<Imputer> {
        Ok(Imputer {
            floats: node.floats("imputed_value_floats")?.unwrap_or_default(),
            ints: node.ints("imputed_value_int64s")?.unwrap_or_default(),
            replaced: node.float("replaced_value_float", 0.0)?,
            replaced_int: node.int("replaced_value_int64", 0)?,
        })
    }
}

impl OpDef for Imputer {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        let values = if x.dtype.is_float() {
            features(c, &self.floats, 0.0, &x)?
        } else {
            fitting(self.ints.len(), &x)?;
            c.constant(Tensor::from_i64s(&self.ints))
        };
        let y = c.map(x.dtype, &x.shape, |i| {
            let element = x.at(i.to_vec());
            let hit = match x.dtype.is_float() {
                true if self.replaced.is_nan() => element.is_nan(),
                true => element.equals(&element.like(self.replaced.into())),
                false => element.equals(&Expr::int(element.dtype(), self.replaced_int)),
            };
            hit.select(&values.broadcast(i).cast(element.dtype()), &element)
        });
        c.output(0, y);
        Ok(())
    }
}

/// Rows divided by their largest value, their sum of absolute values, or their length (`ai.onnx.ml` `Normalizer`). A row for
/// which that is 0 stays.
#[derive(Debug)]
pub struct Normalizer {
    norm: String,
}

impl Normalizer {
    pub(super) fn parse(node: &OnnxNode) -> Result<Normalizer> {
        let norm = node.string("norm", "MAX")?;
        match norm.as_str() {
            "MAX" | "L1" | "L2" => Ok(Normalizer { norm }),
            other => Err(Error::invalid(format!("Normalizer has no norm `{other}`"))),
        }
    }
}

impl OpDef for Normalizer {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        let last = x.rank().checked_sub(1).ok_or_else(|| Error::invalid("Normalizer needs rows"))?;
        let norm = match self.norm.as_str() {
            "MAX" => c.fold(Monoid::Max, DType::F32, &x, &[last], |x| x.cast(DType::F32)),
            "L1" => c.fold(Monoid::Sum, DType::F32, &x, &[last], |x| x.cast(DType::F32).abs()),
            _ => c.fold(Monoid::Sum, DType::F32, &x, &[last], |x| x.cast(DType::F32) * x.cast(DType::F32)),
        };
        let y = c.map(DType::F32, &x.shape, |i| {
            let (x, norm) = (x.at(i.to_vec()).cast(DType::F32), norm.broadcast(i));
            let norm = if self.norm == "L2" { norm.sqrt() } else { norm };
            norm.equals(&norm.like(0.0)).select(&x, &(&x / &norm))
        });
        c.output(0, y);
        Ok(())
    }
}

fn fitting(count: usize, x: &T) -> Result<()> {
    let last = x.shape.last().and_then(|dim| dim.as_const());
    if count == 1 || last.is_none_or(|n| n == count as i64) {
        return Ok(());
    }
    Err(Error::invalid(format!("{count} values for {} features", last.unwrap_or(0))))
}

/// A constant that broadcasts along the features.
fn features(c: &mut Compute, values: &[f32], default: f32, x: &T) -> Result<T> {
    let values = if values.is_empty() { &[default] } else { values };
    fitting(values.len(), x)?;
    if x.rank() == 0 {
        return Ok(c.constant(Tensor::from_f32s(vec![], &values[..1])?));
    }
    Ok(c.constant(Tensor::from_f32s(vec![values.len()], values)?))
}

/// Features of several tensors side by side, as F32 (`ai.onnx.ml` `FeatureVectorizer`).
#[derive(Debug)]
pub struct FeatureVectorizer;

impl FeatureVectorizer {
    pub(super) fn parse(node: &OnnxNode) -> Result<FeatureVectorizer> {
        match node.attributes.get("inputdimensions") {
            None | Some(Attribute::Ints(_)) => Ok(FeatureVectorizer),
            Some(_) => Err(Error::invalid("inputdimensions must be a list of integers")),
        }
    }
}

impl OpDef for FeatureVectorizer {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let inputs = (0..c.input_count()).map(|place| c.input(place)).collect::<Result<Vec<_>>>()?;
        let rows = inputs.first().and_then(|t| t.shape.first()).cloned();
        let rows = rows.filter(|_| inputs.iter().all(|t| t.rank() == 2));
        let rows = rows.ok_or_else(|| Error::invalid("FeatureVectorizer needs matrices"))?;
        let width = inputs.iter().fold(Index::zero(), |sum, t| sum + t.shape[1].clone());
        let y = c.buffer(DType::F32, &[rows.clone(), width]);
        let mut start = Index::zero();
        for t in &inputs {
            c.same_dim(&rows, &t.shape[0])?;
            c.store(&y, &t.shape, crate::program::StoreMode::Set, |i| {
                (vec![i[0].clone(), i[1].clone() + start.clone()], t.raw(i.to_vec()))
            });
            start = start + t.shape[1].clone();
        }
        c.output(0, y);
        Ok(())
    }
}
