//! The types that instructions name.

/// How bits are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Unsigned,
    Signed,
    Bits,
    Float,
    Predicate,
}

/// A type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Type {
    pub kind: Kind,
    pub bytes: usize,
}

impl Type {
    /// The type with a name such as `s32`.
    pub fn from_name(name: &str) -> Option<Type> {
        if name == "pred" {
            return Some(Type { kind: Kind::Predicate, bytes: 1 });
        }
        let (letter, bits) = name.split_at_checked(1)?;
        let bytes = match bits {
            "8" => 1,
            "16" => 2,
            "32" => 4,
            "64" => 8,
            _ => return None,
        };
        let kind = match letter {
            "u" => Kind::Unsigned,
            "s" => Kind::Signed,
            "b" => Kind::Bits,
            "f" if bytes > 1 => Kind::Float,
            _ => return None,
        };
        Some(Type { kind, bytes })
    }

    pub fn is_float(self) -> bool {
        self.kind == Kind::Float
    }

    /// The bits of a value of this type, without what may stand above.
    pub fn cut(self, bits: u64) -> u64 {
        if self.bytes == 8 { bits } else { bits & ((1 << (8 * self.bytes)) - 1) }
    }

    /// The number that some bits are, as far as 64 bits hold it.
    pub fn extend(self, bits: u64) -> i64 {
        let shift = 64 - 8 * self.bytes as u32;
        match self.kind {
            Kind::Signed => ((bits << shift) as i64) >> shift,
            _ => self.cut(bits) as i64,
        }
    }
}
