//! Tensors whose elements stand in typed protobuf fields: converted to bytes.

use crate::store::check_size;
use mlc_ir::{DType, Result, Tensor};
use onnx_protobuf::TensorProto;

/// The elements of whichever field ONNX puts a type into.
pub fn tensor(proto: &TensorProto, dtype: DType, shape: Vec<usize>, what: &str) -> Result<Tensor> {
    let low = |bytes: &[u8]| bytes[..dtype.bytes()].to_vec();
    let ints = || proto.int32_data.iter();
    let bytes: Vec<u8> = match dtype {
        DType::F32 => proto.float_data.iter().flat_map(|x| x.to_le_bytes()).collect(),
        DType::F64 => proto.double_data.iter().flat_map(|x| x.to_le_bytes()).collect(),
        DType::I64 => proto.int64_data.iter().flat_map(|x| x.to_le_bytes()).collect(),
        DType::U64 | DType::U32 => proto.uint64_data.iter().flat_map(|x| low(&x.to_le_bytes())).collect(),
        DType::Bool => ints().map(|x| u8::from(*x != 0)).collect(),
        DType::I8 | DType::U8 => ints().map(|x| *x as u8).collect(),
        DType::F16 | DType::BF16 | DType::I16 | DType::U16 | DType::I32 => {
            ints().flat_map(|x| low(&x.to_le_bytes())).collect()
        }
    };
    let need = shape.iter().product::<usize>() * dtype.bytes();
    check_size(bytes.len(), need, what)?;
    Tensor::new(dtype, shape, bytes)
}
