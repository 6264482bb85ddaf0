use super::OpDef;
use super::elementwise::{maximum, minimum};
use crate::compute::{Compute, T, compute_type};
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::tile::{Monoid, Unary};
use crate::{DType, Error, Index, Result};

/// Scale and zero point are scalars, one an element of `axis`, or one a block of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grain {
    axis: i64,
    block: i64,
}

impl Grain {
    pub(super) fn parse(node: &OnnxNode) -> Result<Grain> {
        Ok(Grain { axis: node.int("axis", 1)?, block: node.int("block_size", 0)? })
    }

    /// The parameter `p` for element `i` of a tensor of some shape, as a function of `i`.
    pub(super) fn parameter<'a>(&self, c: &mut Compute, p: &'a T, shape: &[Index]) -> Result<Element<'a>> {
        if p.rank() == 0 || p.rank() == 1 && p.shape[0].is(1) {
            return Ok(Box::new(|_| p.at(vec![Index::zero(); p.rank()])));
        }
        let axis = crate::compute::normalize_axis(self.axis, shape.len())?;
        let block = self.block;
        if block < 0 || block > 0 && p.rank() != shape.len() || block == 0 && p.rank() != 1 {
            return Err(Error::invalid("a scale or zero point is a scalar, or one an element or block of its axis"));
        }
        if block == 0 {
            c.same_dim(&p.shape[0], &shape[axis])?;
            return Ok(Box::new(move |i| p.at(vec![i[axis].clone()])));
        }
        for (d, (own, dim)) in p.shape.iter().zip(shape).enumerate() {
            let blocks = if d == axis { dim.ceil_div(&block.into()) } else { dim.clone() };
            c.same_dim(own, &blocks)?;
        }
        Ok(Box::new(move |i| {
            let mut index = i.to_vec();
            index[axis] = i[axis].div(&block.into());
            p.at(index)
        }))
    }
}

/// An element by its index.
pub(super) type Element<'a> = Box<dyn Fn(&[Index]) -> Expr + 'a>;

/// The least and greatest value of an integer type.
pub(super) fn limits(dtype: DType) -> (f64, f64) {
    let bits = 8 * dtype.bytes() as i32;
    match dtype.is_signed_int() {
        true => (-(2f64.powi(bits - 1)), 2f64.powi(bits - 1) - 1.0),
        false => (0.0, 2f64.powi(bits) - 1.0),
    }
}

/// `saturate(round(x / scale) + zero)`, halves to even; a zero point is added after rounding.
pub(super) fn quantized(x: &Expr, scale: &Expr, zero: Option<Expr>, dtype: DType) -> Expr {
    let scaled = x / scale;
    if dtype.is_float() {
        return scaled.cast(dtype);
    }
    let rounded = scaled.unary(Unary::Round);
    let moved = zero.into_iter().fold(rounded, |x, zero| x.clone() + zero.cast(x.dtype()));
    let (low, high) = limits(dtype);
    moved.max(&moved.like(low)).min(&moved.like(high)).cast(dtype)
}

/// `y = saturate(round(x / scale) + zero_point)`, halves to even (ONNX `QuantizeLinear`).
///
/// The type is that of the zero point, else `output_dtype`, else `U8`. Since opset 23, `precision` is the type of the
/// division.
#[derive(Debug)]
pub struct QuantizeLinear {
    grain: Grain,
    dtype: Option<DType>,
    precision: Option<DType>,
}

/// An element type that is absent if the attribute is 0.
pub(super) fn optional_dtype(node: &OnnxNode, name: &str) -> Result<Option<DType>> {
    if node.int(name, 0)? == 0 { Ok(None) } else { node.dtype(name, None).map(Some) }
}

impl QuantizeLinear {
    pub(super) fn parse(node: &OnnxNode) -> Result<QuantizeLinear> {
        Ok(QuantizeLinear {
            grain: Grain::parse(node)?,
            dtype: optional_dtype(node, "output_dtype")?,
            precision: optional_dtype(node, "precision")?,
        })
    }
}

impl OpDef for QuantizeLinear {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (x, scale, zero) = (c.input(0)?, c.input(1)?, c.optional(2));
        let dtype = zero.as_ref().map(|zero| zero.dtype).or(self.dtype).unwrap_or(DType::U8);
        let wide = compute_type(self.precision.unwrap_or(scale.dtype));
        let scale = self.grain.parameter(c, &scale, &x.shape)?;
        let zero = zero.as_ref().map(|zero| self.grain.parameter(c, zero, &x.shape)).transpose()?;
        let y = c.map(dtype, &x.shape, |i| {
            let zero = zero.as_ref().map(|zero| zero(i));
            quantized(&x.at(i.to_vec()).cast(wide), &scale(i).cast(wide), zero, dtype)
        });
        c.output(0, y);
        Ok(())
    }
}

/// `x - zero` as a number wide enough.
pub(super) fn centered(x: &Expr, zero: Option<Expr>) -> Expr {
    let wide = match x.dtype() {
        DType::I32 | DType::F32 | DType::F64 => x.dtype(),
        dtype if dtype.is_float() => DType::F32,
        _ => DType::I32,
    };
    let x = x.cast(wide);
    zero.into_iter().fold(x, |x, zero| x - zero.cast(wide))
}

/// `y = (x - zero_point) * scale` (ONNX `DequantizeLinear`), in the type of the scale or `output_dtype`.
#[derive(Debug)]
pub struct DequantizeLinear {
    grain: Grain,
    dtype: Option<DType>,
}

impl DequantizeLinear {
    pub(super) fn parse(node: &OnnxNode) -> Result<DequantizeLinear> {
        Ok(DequantizeLinear { grain: Grain::parse(node)?, dtype: optional_dtype(node, "output_dtype")? })
    }
}

impl OpDef for DequantizeLinear {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (x, scale, zero) = (c.input(0)?, c.input(1)?, c.optional(2));
        let dtype = self.dtype.unwrap_or(scale.dtype);
        let scale = self.grain.parameter(c, &scale, &x.shape)?;
        let zero = zero.as_ref().map(|zero| self.grain.parameter(c, zero, &x.shape)).transpose()?;
        let y = c.map(dtype, &x.shape, |i| {
            let scale = scale(i);
            centered(&x.at(i.to_vec()), zero.as_ref().map(|zero| zero(i))).cast(scale.dtype()) * scale
        });
        c.output(0, y);
        Ok(())
    }
}

/// Quantizes to `U8` with the range of the values, 0 included (ONNX `DynamicQuantizeLinear`).
///
/// `scale = (max - min) / 255` (1 if all is 0), `zero_point = saturate(round(-min / scale))`: outputs 1 and 2.
#[derive(Debug)]
pub struct DynamicQuantizeLinear;

impl DynamicQuantizeLinear {
    pub(super) fn parse(_: &OnnxNode) -> Result<DynamicQuantizeLinear> {
        Ok(DynamicQuantizeLinear)
    }
}

impl OpDef for DynamicQuantizeLinear {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        let (y, scale, zero) = dynamic_quantize(c, &x);
        c.output(0, y);
        c.output(1, scale);
        c.output(2, zero);
        Ok(())
    }
}

/// The quantized tensor, its scale and its zero point.
pub(super) fn dynamic_quantize(c: &mut Compute, x: &T) -> (T, T, T) {
    let all = |r: &[Index]| x.at(r.to_vec()).cast(DType::F32);
    let highest = c.reduce(Monoid::Max, DType::F32, &[], &x.shape, |_, r| all(r));
    let lowest = c.reduce(Monoid::Min, DType::F32, &[], &x.shape, |_, r| all(r));
    let low = |lowest: &T| minimum(&lowest.at(vec![]), &Expr::float(DType::F32, 0.0));
    let scale = c.map(DType::F32, &[], |_| {
        let high = maximum(&highest.at(vec![]), &Expr::float(DType::F32, 0.0));
        let scale = (high - low(&lowest)) / 255.0;
        scale.equals(&scale.like(0.0)).select(&scale.like(1.0), &scale)
    });
    let zero = c.map(DType::U8, &[], |_| quantized(&-low(&lowest), &scale.at(vec![]), None, DType::U8));
    let y = c.map(DType::U8, &x.shape, |i| {
        quantized(&x.at(i.to_vec()).cast(DType::F32), &scale.at(vec![]), Some(zero.at(vec![])), DType::U8)
    });
    (y, scale, zero)
}
