//! Operators of `ai.onnx.ml` that prepare features.

use super::OpDef;
use super::ml::{floats, numbers, rows};
use crate::compute::{Compute, T};
use crate::onnx::OnnxNode;
use crate::program::{Expr, StoreMode};
use crate::tile::Monoid;
use crate::{DType, Error, Index, Result, Tensor};

/// Elements of the last axis by number (ONNX ML `ArrayFeatureExtractor`); a vector gives one row.
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
        let Some(last) = x.shape.last().cloned() else {
            return Err(Error::invalid("ArrayFeatureExtractor of a scalar"));
        };
        let places = c.reshape(&places, &[places.size()]);
        let lead = if x.rank() == 1 { vec![1.into()] } else { x.shape[..x.rank() - 1].to_vec() };
        let shape = [lead.as_slice(), &places.shape].concat();
        let y = c.map(x.dtype, &shape, |i| {
            let place = places.lookup(vec![i[i.len() - 1].clone()], &last);
            let lead = if x.rank() == 1 { &[] } else { &i[..i.len() - 1] };
            x.raw([lead, &[place]].concat())
        });
        c.output(0, y);
        Ok(())
    }
}

/// `x > threshold ? 1 : 0` (ONNX ML `Binarizer`).
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
        let y = c.map(x.dtype, &x.shape, |i| {
            let x = x.at(i.to_vec());
            Expr::float(DType::F64, self.threshold).lt(&x.cast(DType::F64))
        });
        c.output(0, y);
        Ok(())
    }
}

/// Columns of several inputs side by side, as F32 (ONNX ML `FeatureVectorizer`); each is cut or padded with 0 to its
/// `inputdimensions`.
#[derive(Debug)]
pub struct FeatureVectorizer {
    widths: Vec<i64>,
}

impl FeatureVectorizer {
    pub(super) fn parse(node: &OnnxNode) -> Result<FeatureVectorizer> {
        Ok(FeatureVectorizer { widths: node.ints("inputdimensions")?.unwrap_or_default() })
    }
}

impl OpDef for FeatureVectorizer {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let parts = (0..c.input_count()).map(|place| c.input(place)).collect::<Result<Vec<T>>>()?;
        if parts.len() != self.widths.len() || self.widths.iter().any(|&width| width < 0) {
            return Err(Error::invalid("FeatureVectorizer needs one width for each input"));
        }
        let parts = parts.iter().map(|part| rows(c, part)).collect::<Result<Vec<T>>>()?;
        let mut count = Index::from(1);
        for part in &parts {
            count = if count.is(1) { part.shape[0].clone() } else { c.same_dim(&count, &part.shape[0])? };
        }
        let y = c.buffer(DType::F32, &[count.clone(), self.widths.iter().sum::<i64>().into()]);
        let mut start = 0;
        for (part, &width) in parts.iter().zip(&self.widths) {
            let shape = [count.clone(), width.into()];
            let facts = c.scope(&shape, &[]);
            c.store(&y, &shape, StoreMode::Set, |i| {
                let tests = crate::compute::inside(&facts, [(i[1].clone(), part.shape[1].clone())]);
                let element = part.at(i.to_vec()).cast(DType::F32).guard(tests, crate::Scalar::Int(0));
                (vec![i[0].clone(), i[1].clone() + start], element)
            });
            start += width;
        }
        c.output(0, y);
        Ok(())
    }
}

/// Replaces one value, which may be NaN, by one number or one a column (ONNX ML `Imputer`).
#[derive(Debug)]
pub struct Imputer {
    values: Vec<f64>,
    replaced: f64,
}

impl Imputer {
    pub(super) fn parse(node: &OnnxNode) -> Result<Imputer> {
        let values = floats(node, "imputed_value_floats")?;
        if !values.is_empty() {
            return Ok(Imputer { values, replaced: node.float("replaced_value_float", 0.0)?.into() });
        }
        let values = node.ints("imputed_value_int64s")?.filter(|values| !values.is_empty());
        let values = values.ok_or_else(|| Error::invalid("Imputer has no values"))?;
        let replaced = node.int("replaced_value_int64", 0)? as f64;
        Ok(Imputer { values: values.into_iter().map(|n| n as f64).collect(), replaced })
    }
}

impl OpDef for Imputer {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        let values = columns(c, x.dtype, &x, &self.values)?;
        let y = c.map(x.dtype, &x.shape, |i| {
            let element = x.at(i.to_vec());
            let missing =
                if self.replaced.is_nan() { element.is_nan() } else { element.equals(&element.like(self.replaced)) };
            missing.select(&values(i), &element)
        });
        c.output(0, y);
        Ok(())
    }
}

/// One number for all columns, or one a column.
fn columns(c: &mut Compute, dtype: DType, x: &T, list: &[f64]) -> Result<impl Fn(&[Index]) -> Expr + use<>> {
    let single = list.len() == 1;
    if !single {
        let width = x.shape.last().cloned().ok_or_else(|| Error::invalid("features of rank 0"))?;
        c.same_dim(&width, &(list.len() as i64).into())?;
    }
    let table = numbers(c, dtype, &[list.len()], list)?;
    Ok(move |i: &[Index]| table.at(vec![if single { Index::zero() } else { i[i.len() - 1].clone() }]))
}

/// `(x - offset) * scale`, as F32, one number for all columns or one a column (ONNX ML `Scaler`).
#[derive(Debug)]
pub struct Scaler {
    offset: Vec<f64>,
    scale: Vec<f64>,
}

impl Scaler {
    pub(super) fn parse(node: &OnnxNode) -> Result<Scaler> {
        let list = |name: &str, default: f64| {
            let list = floats(node, name)?;
            Ok(if list.is_empty() { vec![default] } else { list })
        };
        Ok(Scaler { offset: list("offset", 0.0)?, scale: list("scale", 1.0)? })
    }
}

impl OpDef for Scaler {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        let offset = columns(c, DType::F32, &x, &self.offset)?;
        let scale = columns(c, DType::F32, &x, &self.scale)?;
        let y = c.map(DType::F32, &x.shape, |i| (x.at(i.to_vec()).cast(DType::F32) - offset(i)) * scale(i));
        c.output(0, y);
        Ok(())
    }
}

/// `x / norm` of each row, as F32: the largest element, the sum of magnitudes or the root of the sum of squares (ONNX ML
/// `Normalizer`). A row whose norm is 0 stays.
#[derive(Debug)]
pub struct Normalizer {
    norm: Norm,
}

#[derive(Clone, Copy, Debug)]
enum Norm {
    Max,
    L1,
    L2,
}

impl Normalizer {
    pub(super) fn parse(node: &OnnxNode) -> Result<Normalizer> {
        let norm = match node.string("norm", "MAX")?.as_str() {
            "MAX" => Norm::Max,
            "L1" => Norm::L1,
            "L2" => Norm::L2,
            other => return Err(Error::invalid(format!("attribute `norm` is `{other}`"))),
        };
        Ok(Normalizer { norm })
    }
}

impl OpDef for Normalizer {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        let last = x.axis(-1)?;
        let monoid = if let Norm::Max = self.norm { Monoid::Max } else { Monoid::Sum };
        let norm = c.fold(monoid, DType::F32, &x, &[last], |x| {
            let x = x.cast(DType::F32);
            match self.norm {
                Norm::Max => x,
                Norm::L1 => x.abs(),
                Norm::L2 => &x * &x,
            }
        });
        let y = c.map(DType::F32, &x.shape, |i| {
            let norm = norm.broadcast(i);
            let norm = if let Norm::L2 = self.norm { norm.sqrt() } else { norm };
            let x = x.at(i.to_vec()).cast(DType::F32);
            norm.equals(&norm.like(0.0)).select(&x, &(&x / &norm))
        });
        c.output(0, y);
        Ok(())
    }
}

/// `x == category` for each category, in a new last axis, as F32 (ONNX ML `OneHotEncoder` of integers). A value that is no category gives
/// zeros, also where `zeros` 0 would make it an error.
#[derive(Debug)]
pub struct OneHotEncoder {
    categories: Vec<i64>,
}

impl OneHotEncoder {
    pub(super) fn parse(node: &OnnxNode) -> Result<OneHotEncoder> {
        let categories = node.ints("cats_int64s")?.filter(|list| !list.is_empty());
        let missing = || Error::unsupported("OneHotEncoder of strings is not supported");
        Ok(OneHotEncoder { categories: categories.ok_or_else(missing)? })
    }
}

impl OpDef for OneHotEncoder {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        let table = c.constant(Tensor::from_i64s(&self.categories));
        let shape = [x.shape.as_slice(), &table.shape].concat();
        let y = c.map(DType::F32, &shape, |i| {
            let (category, at) = (i[x.rank()].clone(), i[..x.rank()].to_vec());
            x.at(at).cast(DType::I64).equals(&table.at(vec![category]))
        });
        c.output(0, y);
        Ok(())
    }
}

/// The value of each element's key, or a default (ONNX ML `LabelEncoder` of numbers). A NaN key matches NaN.
#[derive(Debug)]
pub struct LabelEncoder {
    keys: Tensor,
    values: Tensor,
    default: Tensor,
}

impl LabelEncoder {
    pub(super) fn parse(node: &OnnxNode) -> Result<LabelEncoder> {
        let list = |what: &str| -> Result<Option<Tensor>> {
            if let Some(tensor) = node.tensor(&format!("{what}_tensor"))? {
                return Ok(Some(tensor));
            }
            if let Some(list) = node.ints(&format!("{what}_int64s"))? {
                return Ok(Some(Tensor::from_i64s(&list)));
            }
            let list = node.floats(&format!("{what}_floats"))?;
            list.map(|list| Tensor::from_f32s(vec![list.len()], &list)).transpose()
        };
        let missing = || Error::unsupported("LabelEncoder of strings is not supported");
        let keys = list("keys")?.ok_or_else(missing)?;
        let values = list("values")?.ok_or_else(missing)?;
        if keys.shape().len() != 1 || keys.shape() != values.shape() || keys.is_empty() {
            return Err(Error::invalid("LabelEncoder needs as many keys as values"));
        }
        let default = match node.tensor("default_tensor")? {
            Some(tensor) => tensor,
            None if values.dtype().is_float() => Tensor::from_f32s(vec![1], &[node.float("default_float", -0.0)?])?,
            None => Tensor::from_i64s(&[node.int("default_int64", -1)?]),
        };
        Ok(LabelEncoder { keys, values, default: default.reshaped(vec![1])? })
    }
}

impl OpDef for LabelEncoder {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        let (keys, values) = (c.constant(self.keys.clone()), c.constant(self.values.clone()));
        let default = c.constant(self.default.clone());
        let count = keys.shape[0].clone();
        let place = c.reduce(Monoid::Min, DType::I64, &x.shape, std::slice::from_ref(&count), |i, r| {
            let (key, x) = (keys.at(r.to_vec()), x.at(i.to_vec()));
            let key = key.cast(x.dtype());
            (key.equals(&x) | (key.is_nan() & x.is_nan())).select(&Expr::index(r[0].clone()), &Expr::index(count.clone()))
        });
        let y = c.map(values.dtype, &x.shape, |i| {
            let found = place.at(i.to_vec()).lt(&Expr::index(count.clone()));
            let value = values.at(vec![place.lookup(i.to_vec(), &count)]);
            found.select(&value, &default.at(vec![Index::zero()]).cast(value.dtype()))
        });
        c.output(0, y);
        Ok(())
    }
}
