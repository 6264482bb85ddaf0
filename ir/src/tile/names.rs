//! The names that texts use, one table for each enum, read in both directions.

use super::{Binary, Compare, LoopKind, Math, Monoid, Phase, Role, Space, Type, Unary};
use crate::DType;
use std::fmt;

macro_rules! names {
    ($($kind:ident { $($variant:ident $text:literal),+ $(,)? })+) => { $(
        impl $kind {
            /// All of them, in the order of the declaration.
            pub const ALL: &[$kind] = &[$($kind::$variant),+];

            /// Its name in texts.
            pub fn name(self) -> &'static str {
                match self {
                    $($kind::$variant => $text),+
                }
            }

            /// The one with this name in texts.
            pub fn from_name(name: &str) -> Option<$kind> {
                match name {
                    $($text => Some($kind::$variant),)+
                    _ => None,
                }
            }
        }
    )+ };
}

names! {
    Phase { Indexed "indexed", Linear "linear" }
    Space { Input "input", Output "output", Scratch "scratch" }
    LoopKind { Serial "serial", Unroll "unroll", Abreast "abreast" }
    Role { A "a", B "b", C "c" }
    Monoid { Sum "sum", Prod "prod", Max "max", Min "min", And "and", Or "or" }
    Unary {
        Neg "neg", Abs "abs", Sqrt "sqrt", Floor "floor", Ceil "ceil", Trunc "trunc", Round "round", Not "not",
    }
    Binary {
        Add "add", Sub "sub", Mul "mul", Div "div", Rem "rem", Min "min", Max "max", And "and", Or "or", Xor "xor",
        Shl "shl", Shr "shr",
    }
    Compare { Eq "eq", Ne "ne", Lt "lt", Le "le" }
    Math {
        Exp "exp", Expm1 "expm1", Log "log", Log1p "log1p", Sin "sin", Cos "cos", Tan "tan", Asin "asin", Acos "acos",
        Atan "atan", Sinh "sinh", Cosh "cosh", Tanh "tanh", Asinh "asinh", Acosh "acosh", Atanh "atanh", Erf "erf",
        Pow "pow", Fmod "fmod",
    }
}

impl Math {
    /// How many operands it takes.
    pub fn arity(self) -> usize {
        if matches!(self, Math::Pow | Math::Fmod) { 2 } else { 1 }
    }
}

impl Type {
    /// A single element.
    pub fn scalar(dtype: DType) -> Type {
        Type { dtype, lanes: 1 }
    }

    /// Several elements.
    pub fn vector(dtype: DType, lanes: u16) -> Type {
        Type { dtype, lanes }
    }

    /// The type with a textual name, such as `f32` or `f32x8`.
    pub fn from_name(name: &str) -> Option<Type> {
        if let Some(dtype) = DType::from_name(name) {
            return Some(Type::scalar(dtype));
        }
        let (dtype, lanes) = name.rsplit_once('x')?;
        let lanes: u16 = lanes.parse().ok().filter(|lanes| *lanes != 1)?;
        Some(Type { dtype: DType::from_name(dtype)?, lanes })
    }

    /// Size of all lanes in bytes, in memory.
    pub fn bytes(self) -> usize {
        self.dtype.bytes() * usize::from(self.lanes)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.lanes {
            1 => write!(f, "{}", self.dtype),
            lanes => write!(f, "{}x{lanes}", self.dtype),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        assert!(Unary::ALL.iter().all(|op| Unary::from_name(op.name()) == Some(*op)));
        assert!(Binary::ALL.iter().all(|op| Binary::from_name(op.name()) == Some(*op)));
        assert!(Math::ALL.iter().all(|op| Math::from_name(op.name()) == Some(*op)));
        for dtype in DType::all() {
            for lanes in [0, 1, 2, 64] {
                let ty = Type { dtype, lanes };
                assert_eq!(Type::from_name(&ty.to_string()), Some(ty));
            }
        }
        assert_eq!(Type::from_name("f32x1"), None);
    }
}
