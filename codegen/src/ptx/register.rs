//! Registers, and what types are called.

use mlc_ir::DType;
use mlc_ir::tile::Type;
use std::fmt;

/// What a register holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Class {
    Predicate,
    Half,
    Word,
    Double,
    Single,
    DoubleFloat,
}

impl Class {
    pub const ALL: [Class; 6] =
        [Class::Predicate, Class::Half, Class::Word, Class::Double, Class::Single, Class::DoubleFloat];

    /// That of a lane.
    pub fn of(dtype: DType) -> Class {
        match dtype {
            DType::Bool => Class::Predicate,
            DType::F16 | DType::BF16 => Class::Half,
            DType::F32 => Class::Single,
            DType::F64 => Class::DoubleFloat,
            DType::I64 | DType::U64 => Class::Double,
            _ => Class::Word,
        }
    }

    /// First letter of its registers' names, and the type they are declared with.
    pub fn names(self) -> (char, &'static str) {
        match self {
            Class::Predicate => ('p', "pred"),
            Class::Half => ('h', "b16"),
            Class::Word => ('r', "b32"),
            Class::Double => ('d', "b64"),
            Class::Single => ('f', "f32"),
            Class::DoubleFloat => ('e', "f64"),
        }
    }

    /// Registers of 32 bits that one takes.
    pub fn words(self) -> u32 {
        match self {
            Class::Predicate => 0,
            Class::Half | Class::Word | Class::Single => 1,
            Class::Double | Class::DoubleFloat => 2,
        }
    }
}

/// A virtual register.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Reg {
    pub class: Class,
    pub number: usize,
}

impl fmt::Display for Reg {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "%{}{}", self.class.names().0, self.number)
    }
}

/// Several registers that an instruction takes together.
pub(super) fn list(regs: &[Reg]) -> String {
    format!("{{{}}}", regs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}

/// A value: a register for each lane, or for what a thread has of a fragment.
#[derive(Clone, Debug)]
pub(super) struct Val {
    pub ty: Type,
    pub regs: Vec<Reg>,
}

/// The type that arithmetic on a lane names: narrow ints are computed in 32 bits.
pub(super) fn computed(dtype: DType) -> &'static str {
    match dtype {
        DType::F64 => "f64",
        DType::F32 => "f32",
        DType::I64 => "s64",
        DType::U64 => "u64",
        DType::I32 | DType::I16 | DType::I8 => "s32",
        DType::U32 | DType::U16 | DType::U8 => "u32",
        DType::F16 | DType::BF16 => "b16",
        DType::Bool => "pred",
    }
}

/// The type of an element in memory.
pub(super) fn stored(dtype: DType) -> &'static str {
    match dtype {
        DType::I16 => "s16",
        DType::U16 => "u16",
        DType::I8 => "s8",
        DType::U8 | DType::Bool => "u8",
        _ => computed(dtype),
    }
}

/// The type of plain bits of a register of a class.
pub(super) fn bits(class: Class) -> &'static str {
    match class {
        Class::Predicate => "pred",
        Class::Half => "b16",
        Class::Word => "b32",
        Class::Double => "b64",
        Class::Single => "f32",
        Class::DoubleFloat => "f64",
    }
}
