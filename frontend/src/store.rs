//! Tensors of a model: parts of the mapped file, of other mapped files, or converted.
//!
//! In: a `TensorProto` whose weights `wire` took out.  Out: a [`Tensor`].
//! Invariant: bytes that lie in a file are shared, not copied.

use crate::external::Files;
use crate::{sparse, typed, wire};
use mlc_ir::tensor::SharedBytes;
use mlc_ir::{DType, Error, Result, Tensor};
use onnx_protobuf::tensor_proto::DataLocation;
use onnx_protobuf::{SparseTensorProto, TensorProto};
use protobuf::UnknownValueRef;
use std::ops::Range;
use std::path::Path;

/// More dims than any operator takes.
pub const MAX_RANK: usize = 32;

/// Where tensors come from.
pub struct Source {
    bytes: SharedBytes,
    ranges: Vec<Range<usize>>,
    files: Files,
}

impl Source {
    /// Over the bytes of a model and the ranges of its weights.
    pub fn new(bytes: SharedBytes, ranges: Vec<Range<usize>>, base: Option<&Path>) -> Source {
        Source { bytes, ranges, files: Files::new(base) }
    }

    /// A tensor; `what` names it in messages, such as "tensor `w`".
    pub fn tensor(&self, proto: &TensorProto, what: &str) -> Result<Tensor> {
        let dtype = dtype(proto.data_type, what)?;
        let (shape, size) = shape(&proto.dims, dtype, what)?;
        if proto.segment.is_some() {
            return Err(Error::unsupported(format!("{what} is stored in segments, which is not supported")));
        }
        if proto.data_location.enum_value() == Ok(DataLocation::EXTERNAL) {
            let (bytes, offset) = self.files.find(proto, size, what)?;
            return Tensor::mapped(dtype, shape, bytes, offset);
        }
        let raw = self.marked(proto, wire::RAW);
        let packed = self.marked(proto, wire::PACKED);
        match (raw.last().filter(|raw| !raw.is_empty()), packed.as_slice()) {
            (Some(raw), []) => self.mapped(dtype, shape, size, raw, what),
            (None, [one]) if packs(proto, dtype) => self.mapped(dtype, shape, size, one, what),
            (None, [_, _, ..]) if packs(proto, dtype) => {
                let all = (*self.bytes).as_ref();
                let joined: Vec<u8> = packed.iter().flat_map(|range| &all[range.clone()]).copied().collect();
                check_size(joined.len(), size, what)?;
                Tensor::new(dtype, shape, joined)
            }
            (None, []) => typed::tensor(proto, dtype, shape, what),
            _ => Err(Error::invalid(format!("{what} has its elements in several fields, or in one of another type"))),
        }
    }

    /// A sparse tensor, made dense.
    pub fn sparse(&self, proto: &SparseTensorProto, what: &str) -> Result<Tensor> {
        let values = self.tensor(&proto.values, what)?;
        let indices = self.tensor(&proto.indices, what)?;
        let (shape, size) = shape(&proto.dims, values.dtype(), what)?;
        sparse::dense(&values, &indices, shape, size, what)
    }

    fn mapped(&self, dtype: DType, shape: Vec<usize>, size: usize, at: &Range<usize>, what: &str) -> Result<Tensor> {
        check_size(at.len(), size, what)?;
        Tensor::mapped(dtype, shape, self.bytes.clone(), at.start)
    }

    /// The ranges that fields written by `wire` name.
    fn marked(&self, proto: &TensorProto, mark: u32) -> Vec<Range<usize>> {
        let fields = proto.special_fields.unknown_fields().iter();
        let range = |(field, value)| match value {
            UnknownValueRef::Varint(number) if field == mark => self.ranges.get(number as usize).cloned(),
            _ => None,
        };
        fields.filter_map(range).collect()
    }
}

/// Whether packed fields can only be the elements themselves.
fn packs(proto: &TensorProto, dtype: DType) -> bool {
    matches!(dtype, DType::F32 | DType::F64) && proto.float_data.is_empty() && proto.double_data.is_empty()
}

/// Compares a number of bytes to the one the type and shape ask for.
pub fn check_size(have: usize, need: usize, what: &str) -> Result<()> {
    if have == need {
        return Ok(());
    }
    Err(Error::invalid(format!("{what} has {have} bytes of data, but its type and shape need {need}")))
}

/// An element type `mlc` has.
pub fn dtype(number: i32, what: &str) -> Result<DType> {
    const NAMES: [&str; 27] = [
        "undefined",
        "float32",
        "uint8",
        "int8",
        "uint16",
        "int16",
        "int32",
        "int64",
        "string",
        "bool",
        "float16",
        "float64",
        "uint32",
        "uint64",
        "complex64",
        "complex128",
        "bfloat16",
        "float8e4m3fn",
        "float8e4m3fnuz",
        "float8e5m2",
        "float8e5m2fnuz",
        "uint4",
        "int4",
        "float4e2m1",
        "float8e8m0",
        "uint2",
        "int2",
    ];
    if let Some(dtype) = DType::from_onnx(number) {
        return Ok(dtype);
    }
    match usize::try_from(number).ok().and_then(|n| NAMES.get(n)) {
        Some(_) if number == 0 => Err(Error::invalid(format!("{what} has no element type"))),
        Some(name) => Err(Error::unsupported(format!("{what} has elements of type {name}, which is not supported"))),
        None => Err(Error::invalid(format!("{what} has the unknown element type {number}"))),
    }
}

/// Extents, and the size in bytes.
fn shape(dims: &[i64], dtype: DType, what: &str) -> Result<(Vec<usize>, usize)> {
    if dims.len() > MAX_RANK {
        return Err(Error::unsupported(format!("{what} has {} dims, more than {MAX_RANK}", dims.len())));
    }
    let shape: Option<Vec<usize>> = dims.iter().map(|&n| usize::try_from(n).ok()).collect();
    let shape = shape.ok_or_else(|| Error::invalid(format!("{what} has the negative extent in {dims:?}")))?;
    // A zero among the extents must not hide that the others overflow.
    let size = shape.iter().filter(|n| **n > 0).try_fold(dtype.bytes(), |size, n| size.checked_mul(*n));
    match size {
        Some(size) if size < 1 << 48 => Ok((shape.clone(), if shape.contains(&0) { 0 } else { size })),
        _ => Err(Error::invalid(format!("{what} has the shape {dims:?}, which is larger than any memory"))),
    }
}
