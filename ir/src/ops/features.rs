//! Operators of `ai.onnx.ml` that prepare features.

use super::OpDef;
use crate::compute::Compute;
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::tile::Monoid;
use crate::{DType, Error, Index, Result, Tensor};

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
            (key.equals(&x) | (key.is_nan() & x.is_nan()))
                .select(&Expr::index(r[0].clone()), &Expr::index(count.clone()))
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
