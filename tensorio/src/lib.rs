//! Files that hold tensors, and the rules by which tensors are compared.
//!
//! | module | what it reads and writes |
//! |---|---|
//! | [`npy`] | one array, as `numpy.save` writes it |
//! | [`npz`] | named arrays in a zip archive, as `numpy.savez` writes them |
//! | [`pb`] | one ONNX `TensorProto`, as the ONNX backend tests use |
//! | [`mod@compare`] | whether two tensors agree, and by how much they differ |
//!
//! In: bytes from anywhere.  Out: tensors, or an error that says what is wrong with which file.
//! Invariant: no input makes a reader panic, or allocate much more than the input's own size
//! (for `.npz`: than its decompressed size, which is limited).

#![forbid(unsafe_code)]

pub mod compare;
mod file;
pub mod npy;
pub mod npz;
pub mod pb;
mod wire;

pub use compare::{Report, Tolerance, compare, relative_to_scale};
pub use file::{read, write};

use mlc_ir::{DType, Error, Result, Tensor};

/// A tensor with the name its file gives it.
#[derive(Clone, PartialEq, Debug)]
pub struct Named {
    /// The name, where the format has one and it is set.
    pub name: Option<String>,
    /// The elements.
    pub tensor: Tensor,
}

/// A tensor whose bytes come from outside: their number and, for `Bool`, their values are checked.
fn checked(dtype: DType, shape: Vec<usize>, bytes: Vec<u8>) -> Result<Tensor> {
    if dtype == DType::Bool
        && let Some(byte) = bytes.iter().find(|byte| **byte > 1)
    {
        return Err(Error::invalid(format!("a bool is stored as {byte}, which is neither 0 nor 1")));
    }
    Tensor::new(dtype, shape, bytes)
}
