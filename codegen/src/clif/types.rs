//! How tile types are kept in Cranelift's.

use cranelift_codegen::ir;
use cranelift_codegen::ir::types::*;
use mlc_ir::tile::Type;
use mlc_ir::{DType, Error};

/// The scalar type of one element: floats and ints as they are, half floats as their bits, `Bool` as a byte.
pub(super) fn scalar(dtype: DType) -> ir::Type {
    match dtype {
        DType::F64 => F64,
        DType::F32 => F32,
        _ => int(dtype.bytes()),
    }
}

/// The integer of so many bytes.
pub(super) fn int(bytes: usize) -> ir::Type {
    match bytes {
        1 => I8,
        2 => I16,
        4 => I32,
        _ => I64,
    }
}

/// Whether several lanes are kept as one scalar integer.
pub(super) fn packed(ty: Type) -> bool {
    ty.lanes > 1 && ty.dtype != DType::Bool && ty.bytes() < 16
}

/// Whether it is kept as lanes of the element's own width.
pub(super) fn native(ty: Type) -> bool {
    ty.lanes > 1 && ty.dtype != DType::Bool && ty.bytes() == 16
}

/// The type that values of a tile's type have.
pub(super) fn value(ty: Type) -> Result<ir::Type, Error> {
    let unsupported = || Error::unsupported(format!("Cranelift has no values of {ty}"));
    match (ty.dtype, ty.lanes) {
        (_, 1) => Ok(scalar(ty.dtype)),
        (DType::Bool, 2 | 4 | 8 | 16) => Ok(mask(ty.lanes)),
        (DType::Bool, _) => Err(unsupported()),
        _ => image(ty).ok_or_else(unsupported),
    }
}

/// A mask of so many lanes.
pub(super) fn mask(lanes: u16) -> ir::Type {
    match lanes {
        2 => I64X2,
        4 => I32X4,
        8 => I16X8,
        _ => I8X16,
    }
}

/// The type in which a tile's type goes to and from memory.
pub(super) fn image(ty: Type) -> Option<ir::Type> {
    match (ty.bytes(), ty.lanes) {
        (_, 1) => Some(scalar(ty.dtype)),
        (2 | 4 | 8, _) => Some(int(ty.bytes())),
        (16, lanes) => scalar(ty.dtype).by(lanes.into()),
        _ => None,
    }
}
