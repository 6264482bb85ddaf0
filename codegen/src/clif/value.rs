//! How values of a tile lie in registers.

use cranelift_codegen::ir::{Type as Clif, Value, types};
use mlc_ir::DType;
use mlc_ir::tile::Type;

/// A value: a scalar, or lanes in registers of 128 bits.
#[derive(Clone, Debug)]
pub(super) struct Val {
    pub ty: Type,
    pub regs: Vec<Value>,
    /// Bits of a lane of a mask; 0 for all others.
    pub width: u32,
    /// The scalar that all lanes are known to hold.
    pub uniform: Option<Value>,
}

impl Val {
    pub fn new(ty: Type, regs: Vec<Value>) -> Val {
        Val { ty, regs, width: 0, uniform: None }
    }

    pub fn scalar(dtype: DType, value: Value) -> Val {
        Val::new(Type::scalar(dtype), vec![value])
    }

    pub fn mask(lanes: u16, width: u32, regs: Vec<Value>) -> Val {
        Val { ty: Type::vector(DType::Bool, lanes), regs, width, uniform: None }
    }

    pub fn is_mask(&self) -> bool {
        self.width > 0
    }
}

/// The type of one element in a register; half floats are their bits.
pub(super) fn element(dtype: DType) -> Clif {
    match dtype {
        DType::F64 => types::F64,
        DType::F32 => types::F32,
        DType::I64 | DType::U64 => types::I64,
        DType::I32 | DType::U32 => types::I32,
        DType::I16 | DType::U16 | DType::F16 | DType::BF16 => types::I16,
        DType::I8 | DType::U8 | DType::Bool => types::I8,
    }
}

/// The type of each register of a type that is no mask.
pub(super) fn register(ty: Type) -> Clif {
    let element = element(ty.dtype);
    if ty.lanes == 1 { element } else { full(element) }
}

/// 128 bits of an element.
pub(super) fn full(element: Clif) -> Clif {
    match element {
        types::F64 => types::F64X2,
        types::F32 => types::F32X4,
        types::I64 => types::I64X2,
        types::I32 => types::I32X4,
        types::I16 => types::I16X8,
        _ => types::I8X16,
    }
}

/// The int of so many bits.
pub(super) fn int(bits: u32) -> Clif {
    match bits {
        64 => types::I64,
        32 => types::I32,
        16 => types::I16,
        _ => types::I8,
    }
}

/// How many registers lanes of so many bits fill.
pub(super) fn registers(lanes: u16, bits: u32) -> usize {
    if lanes == 1 { 1 } else { (usize::from(lanes) * bits as usize).div_ceil(128) }
}

/// How many registers a type fills, if it is no mask.
pub(super) fn count(ty: Type) -> usize {
    registers(ty.lanes, ty.dtype.bytes() as u32 * 8)
}

/// Lanes of a register that holds elements of a type.
pub(super) fn per_register(dtype: DType) -> usize {
    16 / dtype.bytes()
}

/// The width a mask has in a cell: as wide as one register allows.
pub(super) fn mask_width(lanes: u16) -> u32 {
    (128 / u32::from(lanes)).clamp(8, 64)
}
