//! Constant tensors: elements in row-major order, little-endian, owned or part of a mapped file.

use crate::{DType, Error, Result};
use half::{bf16, f16};
use std::fmt;
use std::sync::Arc;

/// Bytes that several tensors may share, such as a mapped file.
pub type SharedBytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// A dense tensor. Cloning shares the bytes.
#[derive(Clone)]
pub struct Tensor {
    dtype: DType,
    shape: Vec<usize>,
    data: SharedBytes,
    offset: usize,
}

/// One element, wide enough for every type: unsigned 64-bit integers keep their bits, `Bool` is 0 or 1.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Scalar {
    /// Of a floating-point type.
    Float(f64),
    /// Of an integer type or `Bool`.
    Int(i64),
}

impl Tensor {
    /// A tensor over `data[offset..]`, which must hold enough bytes.
    pub fn mapped(dtype: DType, shape: Vec<usize>, data: SharedBytes, offset: usize) -> Result<Tensor> {
        let bytes = shape.iter().try_fold(dtype.bytes(), |n, dim| n.checked_mul(*dim));
        let have = (*data).as_ref().len().saturating_sub(offset);
        match bytes {
            Some(bytes) if bytes <= have => Ok(Tensor { dtype, shape, data, offset }),
            _ => Err(Error::invalid(format!("a tensor {dtype}{shape:?} needs more than the {have} bytes it has"))),
        }
    }

    /// A tensor that owns its bytes; their number must be right.
    pub fn new(dtype: DType, shape: Vec<usize>, bytes: Vec<u8>) -> Result<Tensor> {
        let have = bytes.len();
        let tensor = Tensor::mapped(dtype, shape, Arc::new(bytes), 0)?;
        if tensor.bytes().len() == have {
            return Ok(tensor);
        }
        Err(Error::invalid(format!("a tensor {dtype}{:?} has {have} bytes, too many", tensor.shape)))
    }

    /// A tensor from elements, converted to `dtype` as [`Scalar::store`] does.
    pub fn from_scalars(dtype: DType, shape: Vec<usize>, scalars: &[Scalar]) -> Result<Tensor> {
        let mut bytes = vec![0; scalars.len() * dtype.bytes()];
        for (scalar, place) in scalars.iter().zip(bytes.chunks_exact_mut(dtype.bytes())) {
            scalar.store(dtype, place);
        }
        Tensor::new(dtype, shape, bytes)
    }

    /// A rank-1 tensor of `I64`.
    pub fn from_i64s(values: &[i64]) -> Tensor {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Tensor { dtype: DType::I64, shape: vec![values.len()], data: Arc::new(bytes), offset: 0 }
    }

    /// A tensor of `F32`; the number of values must fit the shape.
    pub fn from_f32s(shape: Vec<usize>, values: &[f32]) -> Result<Tensor> {
        Tensor::new(DType::F32, shape, values.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Extents, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All elements, little-endian; not aligned.
    pub fn bytes(&self) -> &[u8] {
        &(*self.data).as_ref()[self.offset..self.offset + self.len() * self.dtype.bytes()]
    }

    /// The same elements with another shape of as many.
    pub fn reshaped(&self, shape: Vec<usize>) -> Result<Tensor> {
        if shape.iter().product::<usize>() != self.len() {
            return Err(Error::invalid(format!("cannot reshape {:?} to {shape:?}", self.shape)));
        }
        Ok(Tensor { shape, ..self.clone() })
    }

    /// The element at a row-major position.
    ///
    /// # Panics
    /// If it is out of range.
    pub fn get(&self, position: usize) -> Scalar {
        let size = self.dtype.bytes();
        Scalar::load(self.dtype, &self.bytes()[position * size..(position + 1) * size])
    }

    /// All elements in row-major order.
    pub fn scalars(&self) -> impl Iterator<Item = Scalar> + '_ {
        self.bytes().chunks_exact(self.dtype.bytes()).map(|bytes| Scalar::load(self.dtype, bytes))
    }

    /// All elements as integers, if the type is one (or `Bool`).
    pub fn to_i64s(&self) -> Option<Vec<i64>> {
        self.scalars().map(|s| if let Scalar::Int(n) = s { Some(n) } else { None }).collect()
    }
}

impl PartialEq for Tensor {
    fn eq(&self, other: &Tensor) -> bool {
        self.dtype == other.dtype && self.shape == other.shape && self.bytes() == other.bytes()
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}{:?}", self.dtype, self.shape)
    }
}

impl Scalar {
    /// Reads an element; `bytes` has the size of the type.
    pub fn load(dtype: DType, bytes: &[u8]) -> Scalar {
        let mut wide = [0; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        let bits = u64::from_le_bytes(wide);
        match dtype {
            DType::F64 => Scalar::Float(f64::from_bits(bits)),
            DType::F32 => Scalar::Float(f32::from_bits(bits as u32).into()),
            DType::F16 => Scalar::Float(f16::from_bits(bits as u16).into()),
            DType::BF16 => Scalar::Float(bf16::from_bits(bits as u16).into()),
            DType::I64 | DType::U64 => Scalar::Int(bits as i64),
            DType::I32 => Scalar::Int((bits as i32).into()),
            DType::I16 => Scalar::Int((bits as i16).into()),
            DType::I8 => Scalar::Int((bits as i8).into()),
            DType::U32 | DType::U16 | DType::U8 => Scalar::Int(bits as i64),
            DType::Bool => Scalar::Int((bits != 0).into()),
        }
    }

    /// Writes an element: floats are rounded to nearest even, integers keep their low bits; between the two kinds as
    /// [`Scalar::cast`].
    pub fn store(self, dtype: DType, bytes: &mut [u8]) {
        let bits = match (dtype, self.cast(dtype)) {
            (DType::F64, Scalar::Float(x)) => x.to_bits(),
            (DType::F32, Scalar::Float(x)) => (x as f32).to_bits().into(),
            (DType::F16, Scalar::Float(x)) => f16::from_f64(x).to_bits().into(),
            (DType::BF16, Scalar::Float(x)) => bf16::from_f64(x).to_bits().into(),
            (_, Scalar::Float(x)) => x as u64,
            (_, Scalar::Int(n)) => n as u64,
        };
        bytes.copy_from_slice(&bits.to_le_bytes()[..dtype.bytes()]);
    }

    /// The value rounded or wrapped to a type: float to int truncates and saturates (NaN is 0), to `Bool` is `!= 0`.
    pub fn cast(self, to: DType) -> Scalar {
        match (to, self) {
            (DType::Bool, Scalar::Float(x)) => Scalar::Int((x != 0.0).into()),
            (DType::Bool, Scalar::Int(n)) => Scalar::Int((n != 0).into()),
            (DType::F64, Scalar::Float(_)) => self,
            (DType::F32, Scalar::Float(x)) => Scalar::Float((x as f32).into()),
            (DType::F16, Scalar::Float(x)) => Scalar::Float(f16::from_f64(x).into()),
            (DType::BF16, Scalar::Float(x)) => Scalar::Float(bf16::from_f64(x).into()),
            (_, Scalar::Float(x)) => Scalar::Int(float_to_int(x, to)),
            (_, Scalar::Int(n)) if to.is_float() => Scalar::Float(n as f64).cast(to),
            (DType::I32, Scalar::Int(n)) => Scalar::Int((n as i32).into()),
            (DType::I16, Scalar::Int(n)) => Scalar::Int((n as i16).into()),
            (DType::I8, Scalar::Int(n)) => Scalar::Int((n as i8).into()),
            (DType::U32, Scalar::Int(n)) => Scalar::Int((n as u32).into()),
            (DType::U16, Scalar::Int(n)) => Scalar::Int((n as u16).into()),
            (DType::U8, Scalar::Int(n)) => Scalar::Int((n as u8).into()),
            (_, Scalar::Int(_)) => self,
        }
    }

    /// As a float; an integer is converted.
    pub fn float(self) -> f64 {
        match self {
            Scalar::Float(x) => x,
            Scalar::Int(n) => n as f64,
        }
    }

    /// As an integer; a float is truncated.
    pub fn int(self) -> i64 {
        match self {
            Scalar::Float(x) => x as i64,
            Scalar::Int(n) => n,
        }
    }

    /// Whether the bits are the same (NaN equals NaN, -0 is not 0).
    pub fn same(self, other: Scalar) -> bool {
        match (self, other) {
            (Scalar::Float(a), Scalar::Float(b)) => a.to_bits() == b.to_bits(),
            _ => self == other,
        }
    }
}

fn float_to_int(x: f64, to: DType) -> i64 {
    match to {
        DType::I32 => (x as i32).into(),
        DType::I16 => (x as i16).into(),
        DType::I8 => (x as i8).into(),
        DType::U64 => (x as u64) as i64,
        DType::U32 => (x as u32).into(),
        DType::U16 => (x as u16).into(),
        DType::U8 => (x as u8).into(),
        _ => x as i64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_read_back() {
        for dtype in DType::all() {
            let scalars = if dtype.is_float() {
                vec![Scalar::Float(1.5), Scalar::Float(-2.0), Scalar::Float(f64::INFINITY)]
            } else {
                vec![Scalar::Int(1), Scalar::Int(0), Scalar::Int(1)]
            };
            let tensor = Tensor::from_scalars(dtype, vec![3], &scalars).unwrap();
            assert_eq!(tensor.scalars().collect::<Vec<_>>(), scalars, "{dtype}");
        }
    }

    #[test]
    fn sizes_are_checked() {
        assert!(Tensor::new(DType::F32, vec![2], vec![0; 4]).is_err());
        assert!(Tensor::new(DType::F32, vec![2], vec![0; 12]).is_err());
        assert!(Tensor::new(DType::F32, vec![usize::MAX, 8], vec![]).is_err());
    }
}
