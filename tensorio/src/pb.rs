//! ONNX `TensorProto` files, as `onnx.numpy_helper.from_array(...).SerializeToString()` gives them.
//!
//! Elements may stand in `raw_data` or in the typed fields; `raw_data` is written. Strings, complex numbers, types narrower
//! than a byte, external data, sequences and optionals are told apart from damage: they are *not supported*.

use crate::wire::{Fields, Value, put_bytes, put_number, varint};
use crate::{Named, checked};
use mlc_ir::{DType, Error, Result};

const DIMS: u64 = 1;
const DATA_TYPE: u64 = 2;
const SEGMENT: u64 = 3;
const FLOAT_DATA: u64 = 4;
const INT32_DATA: u64 = 5;
const INT64_DATA: u64 = 7;
const NAME: u64 = 8;
const RAW_DATA: u64 = 9;
const DOUBLE_DATA: u64 = 10;
const UINT64_DATA: u64 = 11;
const DATA_LOCATION: u64 = 14;

/// Types of ONNX that `mlc` has no tensors of, by number.
const OTHER_TYPES: &[(i32, &str)] = &[
    (8, "STRING"),
    (14, "COMPLEX64"),
    (15, "COMPLEX128"),
    (17, "FLOAT8E4M3FN"),
    (18, "FLOAT8E4M3FNUZ"),
    (19, "FLOAT8E5M2"),
    (20, "FLOAT8E5M2FNUZ"),
    (21, "UINT4"),
    (22, "INT4"),
    (23, "FLOAT4E2M1"),
    (24, "FLOAT8E8M0"),
    (25, "UINT2"),
    (26, "INT2"),
];

/// The fields of a `TensorProto` that matter here.
#[derive(Default)]
struct Proto<'a> {
    dims: Vec<u64>,
    packed_dims: bool,
    data_type: u64,
    name: &'a [u8],
    raw: Option<&'a [u8]>,
    /// Field number and values of each typed field, in order.
    typed: Vec<(u64, Value<'a>)>,
    segment: bool,
    external: bool,
}

/// Reads a tensor.
pub fn decode(bytes: &[u8]) -> Result<Named> {
    let proto = Proto::parse(bytes)?;
    if proto.segment {
        return Err(no_tensor());
    }
    // Where a tensor has packed dims, a sequence and an optional have their name: the rest then makes no tensor.
    proto.tensor().map_err(|error| if proto.packed_dims { no_tensor() } else { error })
}

/// `SequenceProto` and `OptionalProto` have their name in field 1 and their values from field 3 on.
fn no_tensor() -> Error {
    Error::unsupported("holds a sequence or an optional (or a damaged tensor); only tensors are supported")
}

/// Writes a tensor.
pub fn encode(named: &Named) -> Vec<u8> {
    let tensor = &named.tensor;
    let mut out = Vec::with_capacity(tensor.bytes().len() + 64);
    for extent in tensor.shape() {
        put_number(&mut out, DIMS, *extent as u64);
    }
    put_number(&mut out, DATA_TYPE, tensor.dtype().onnx() as u64);
    if let Some(name) = &named.name {
        put_bytes(&mut out, NAME, name.as_bytes());
    }
    put_bytes(&mut out, RAW_DATA, tensor.bytes());
    out
}

impl<'a> Proto<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Proto<'a>> {
        let mut proto = Proto::default();
        let mut fields = Fields::new(bytes);
        while let Some((field, value)) = fields.next()? {
            match (field, value) {
                (DIMS, Value::Varint(extent)) => proto.dims.push(extent),
                (DIMS, Value::Bytes(mut packed)) => {
                    proto.packed_dims = true;
                    // Where this is a name instead, what it gives is of no matter.
                    while let Ok(extent) = varint(&mut packed) {
                        proto.dims.push(extent);
                    }
                }
                (DATA_TYPE, Value::Varint(number)) => proto.data_type = number,
                (SEGMENT, _) => proto.segment = true,
                (FLOAT_DATA | INT32_DATA | INT64_DATA | DOUBLE_DATA | UINT64_DATA, _) => {
                    proto.typed.push((field, value))
                }
                (NAME, Value::Bytes(name)) => proto.name = name,
                (RAW_DATA, Value::Bytes(raw)) => proto.raw = Some(raw),
                (DATA_LOCATION, Value::Varint(place)) => proto.external = place != 0,
                _ => {}
            }
        }
        Ok(proto)
    }

    fn tensor(&self) -> Result<Named> {
        if self.external {
            return Err(Error::unsupported("the tensor's elements are in another file, which is not supported here"));
        }
        let dtype = self.dtype()?;
        let shape = self.shape()?;
        let data = match self.raw {
            Some(raw) => raw.to_vec(),
            None => self.typed_bytes(dtype)?,
        };
        let name = std::str::from_utf8(self.name).map_err(|_| Error::invalid("the tensor's name is no text"))?;
        let name = Some(name.to_string()).filter(|name| !name.is_empty());
        Ok(Named { name, tensor: checked(dtype, shape, data)? })
    }

    fn dtype(&self) -> Result<DType> {
        let number = i32::try_from(self.data_type).unwrap_or(0);
        if let Some(dtype) = DType::from_onnx(number) {
            return Ok(dtype);
        }
        Err(match OTHER_TYPES.iter().find(|row| row.0 == number) {
            Some((_, name)) => Error::unsupported(format!("a tensor of {name} is not supported")),
            None => Error::invalid(format!("the tensor has the unknown element type {}", self.data_type)),
        })
    }

    fn shape(&self) -> Result<Vec<usize>> {
        let extent = |dim: &u64| i64::try_from(*dim).ok().and_then(|dim| usize::try_from(dim).ok());
        let shape: Option<Vec<usize>> = self.dims.iter().map(extent).collect();
        shape.ok_or_else(|| Error::invalid("the tensor has a negative extent"))
    }

    /// The elements of the typed fields, as the type stores them.
    fn typed_bytes(&self, dtype: DType) -> Result<Vec<u8>> {
        let expected = match dtype {
            DType::F32 => FLOAT_DATA,
            DType::F64 => DOUBLE_DATA,
            DType::I64 => INT64_DATA,
            DType::U64 | DType::U32 => UINT64_DATA,
            _ => INT32_DATA,
        };
        let mut out = Vec::new();
        for (field, value) in &self.typed {
            if *field != expected {
                return Err(Error::invalid(format!("the elements of a {dtype} tensor stand in field {field}")));
            }
            match (*value, dtype) {
                (Value::Bytes(packed), DType::F32 | DType::F64) => out.extend_from_slice(packed),
                (Value::Fixed32(bits), DType::F32) => out.extend_from_slice(&bits),
                (Value::Fixed64(bits), DType::F64) => out.extend_from_slice(&bits),
                (Value::Varint(number), _) if !matches!(dtype, DType::F32 | DType::F64) => {
                    put_int(&mut out, dtype, number)?
                }
                (Value::Bytes(mut packed), _) => {
                    while !packed.is_empty() {
                        put_int(&mut out, dtype, varint(&mut packed)?)?;
                    }
                }
                _ => {
                    return Err(Error::invalid(format!("the elements of a {dtype} tensor are written in another way")));
                }
            }
        }
        Ok(out)
    }
}

/// Appends an integer, or the bits of a 16-bit float, that must fit the type.
fn put_int(out: &mut Vec<u8>, dtype: DType, number: u64) -> Result<()> {
    let bits = 8 * dtype.bytes() as u32;
    let fits = if dtype.is_signed_int() {
        let unused = 64 - bits;
        (number << unused) as i64 >> unused == number as i64
    } else {
        bits == 64 || number >> bits == 0
    };
    if !fits {
        return Err(Error::invalid(format!("the element {} does not fit {dtype}", number as i64)));
    }
    out.extend_from_slice(&number.to_le_bytes()[..dtype.bytes()]);
    Ok(())
}
