//! Tensors of the caller: borrowed inputs and owned outputs.
#![allow(unsafe_code)] // sees elements as bytes and back.

use mlc_abi::dtype;

use crate::error::{Error, Reason};

/// A Rust type that elements can be read and written as.
///
/// # Safety
///
/// Every bit pattern of its size is a value, and it has no padding.
pub unsafe trait Element: Copy + 'static {
    /// The element types it can stand for, by ONNX number; the first is what a slice of it is taken for.
    const DTYPES: &'static [u32];
}

macro_rules! elements {
    ($($type:ty: $dtypes:expr),* $(,)?) => {
        // SAFETY: all are plain numbers.
        $(unsafe impl Element for $type { const DTYPES: &'static [u32] = &$dtypes; })*
    };
}

// A byte also stands for a bool, 16 bits also for both kinds of half.
elements! {
    f32: [1], u8: [2, 9], i8: [3], u16: [4, 10, 16], i16: [5], i32: [6], i64: [7], f64: [11], u32: [12], u64: [13],
}

fn wrong(what: String) -> Error {
    Reason::Input(what).into()
}

/// The bytes of a tensor with this shape.
fn size(number: u32, shape: &[i64]) -> Result<usize, Error> {
    let element = dtype::find(number).ok_or_else(|| wrong(format!("unknown dtype number {number}")))?;
    let count = shape.iter().try_fold(
        i64::from(element.bytes),
        |product, &dim| {
            if dim < 0 { None } else { product.checked_mul(dim) }
        },
    );
    let size = count.and_then(|it| isize::try_from(it).ok());
    size.map(isize::unsigned_abs).ok_or_else(|| wrong(format!("shape {shape:?} is negative or too large")))
}

/// An input: someone else's elements with a type and a shape.
#[derive(Clone, Copy, Debug)]
pub struct TensorView<'a> {
    dtype: u32,
    shape: &'a [i64],
    data: &'a [u8],
}

impl<'a> TensorView<'a> {
    /// A slice of numbers as a tensor.
    pub fn of<T: Element>(data: &'a [T], shape: &'a [i64]) -> Result<Self, Error> {
        // SAFETY: an `Element` has no padding, so its bytes are all initialized; the size is that of the slice.
        let bytes = unsafe { std::slice::from_raw_parts(data.as_ptr().cast::<u8>(), size_of_val(data)) };
        TensorView::from_bytes(T::DTYPES[0], shape, bytes)
    }

    /// Bytes as a tensor of an element type given by ONNX number. They must be aligned as the type needs.
    pub fn from_bytes(dtype: u32, shape: &'a [i64], data: &'a [u8]) -> Result<Self, Error> {
        let expected = size(dtype, shape)?;
        let name = dtype::name(dtype);
        if data.len() != expected {
            return Err(wrong(format!("{name} tensor of shape {shape:?} has {} bytes, not {expected}", data.len())));
        }
        let align = dtype::find(dtype).map_or(1, |it| it.bytes as usize);
        if !data.as_ptr().addr().is_multiple_of(align) && !data.is_empty() {
            return Err(wrong(format!("the data of a {name} tensor must be aligned to {align} bytes")));
        }
        Ok(TensorView { dtype, shape, data })
    }

    /// Element type, by ONNX number.
    pub fn dtype(&self) -> u32 {
        self.dtype
    }

    /// Shape.
    pub fn shape(&self) -> &'a [i64] {
        self.shape
    }

    /// Elements.
    pub fn bytes(&self) -> &'a [u8] {
        self.data
    }
}

/// One line of the cache, the alignment of outputs.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// An output: owned elements with a type and a shape.
#[derive(Clone, Debug, Default)]
pub struct TensorBuf {
    dtype: u32,
    shape: Vec<i64>,
    bytes: usize,
    lines: Vec<Line>,
}

impl TensorBuf {
    /// Makes room for a tensor; what was there may stay.
    pub(crate) fn reserve(&mut self, dtype: u32, shape: &[i64]) -> Result<(), Error> {
        let bytes = size(dtype, shape)?;
        let lines = bytes.div_ceil(64).max(1);
        if self.lines.len() < lines {
            let more = lines - self.lines.len();
            self.lines.try_reserve(more).map_err(|error| Reason::Resources(error.to_string()))?;
            self.lines.resize(lines, Line([0; 64]));
        }
        (self.dtype, self.bytes) = (dtype, bytes);
        self.shape.clear();
        self.shape.extend(shape);
        Ok(())
    }

    /// Takes the actual shape, which is not larger than the one room was made for.
    pub(crate) fn settle(&mut self, shape: &[i64]) -> Result<(), Error> {
        let bytes = size(self.dtype, shape)?;
        if bytes > self.lines.len() * 64 {
            return Err(wrong(format!("the model wrote a shape {shape:?} larger than planned")));
        }
        self.bytes = bytes;
        self.shape.clear();
        self.shape.extend(shape);
        Ok(())
    }

    pub(crate) fn pointer(&mut self) -> *mut u8 {
        self.lines.as_mut_ptr().cast()
    }

    /// Element type, by ONNX number.
    pub fn dtype(&self) -> u32 {
        self.dtype
    }

    /// Shape.
    pub fn shape(&self) -> &[i64] {
        &self.shape
    }

    /// Elements as bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the lines are initialized and at least so many bytes, as `reserve` and `settle` check.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.bytes) }
    }

    /// Elements as numbers.
    pub fn as_slice<T: Element>(&self) -> Result<&[T], Error> {
        if !T::DTYPES.contains(&self.dtype) {
            let (found, asked) = (dtype::name(self.dtype), dtype::name(T::DTYPES[0]));
            return Err(wrong(format!("a tensor of {found} cannot be read as {asked}")));
        }
        // SAFETY: as for `bytes`; lines are aligned for every element, and every bit pattern is one.
        Ok(unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.bytes / size_of::<T>()) })
    }

    /// The same tensor as an input.
    pub fn view(&self) -> TensorView<'_> {
        TensorView { dtype: self.dtype, shape: &self.shape, data: self.bytes() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_checked() {
        assert!(TensorView::of(&[0f32; 6], &[2, 3]).is_ok());
        assert!(TensorView::of(&[0f32; 6], &[2, 4]).is_err());
        assert!(TensorView::of(&[0f32; 6], &[-2, -3]).is_err());
        assert!(TensorView::of(&[0f32; 0], &[i64::MAX, 0]).is_err());
        assert!(TensorView::of(&[0f32; 1], &[]).is_ok());
        assert!(TensorView::from_bytes(99, &[], &[]).is_err());
        let bytes = TensorBuf { lines: vec![Line([0; 64])], bytes: 64, ..TensorBuf::default() };
        assert!(TensorView::from_bytes(1, &[1], &bytes.bytes()[1..5]).is_err());
    }

    #[test]
    fn a_buffer_is_read_as_what_it_is() {
        let mut buf = TensorBuf::default();
        assert!(buf.reserve(1, &[2, 3]).is_ok());
        assert_eq!(buf.as_slice::<f32>().map(<[f32]>::len), Ok(6));
        assert!(buf.as_slice::<i32>().is_err());
        assert!(buf.settle(&[1, 3]).is_ok());
        assert_eq!(buf.bytes().len(), 12);
        assert!(buf.settle(&[100, 3]).is_err());
    }
}
