//! The memory that an interpreted tile runs on.

use crate::DType;

/// Bytes of one parameter, and which of them have been written.
#[derive(Clone, Debug, Default)]
pub struct Buffer {
    pub(super) bytes: Vec<u8>,
    /// For each byte, whether it holds something.
    pub(super) ready: Vec<bool>,
    /// For each byte, the tasks of this run that wrote and read it; empty if nobody asked.
    pub(super) seen: Vec<Seen>,
}

/// Who touched a byte.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    pub writer: Option<i64>,
    pub reader: Option<i64>,
    /// Whether tasks other than `reader` read it too.
    pub shared: bool,
}

/// A Rust type of elements.
pub trait Element: Copy {
    /// Its type in tiles.
    const DTYPE: DType;
    /// Its bytes in memory.
    fn bytes(self) -> Vec<u8>;
    /// The element with these bytes.
    fn from_bytes(bytes: &[u8]) -> Self;
}

macro_rules! elements {
    ($($ty:ty, $dtype:ident;)+) => { $(
        impl Element for $ty {
            const DTYPE: DType = DType::$dtype;
            fn bytes(self) -> Vec<u8> {
                self.to_le_bytes().to_vec()
            }
            fn from_bytes(bytes: &[u8]) -> $ty {
                let mut all = [0; size_of::<$ty>()];
                all.copy_from_slice(bytes);
                <$ty>::from_le_bytes(all)
            }
        }
    )+ };
}

elements! {
    f64, F64; f32, F32; half::f16, F16; half::bf16, BF16; i64, I64; i32, I32; i16, I16; i8, I8; u64, U64; u32, U32;
    u16, U16; u8, U8;
}

impl Buffer {
    /// A buffer that holds these bytes.
    pub fn filled(bytes: Vec<u8>) -> Buffer {
        Buffer { ready: vec![true; bytes.len()], bytes, seen: Vec::new() }
    }

    /// A buffer of so many bytes that hold nothing yet.
    pub fn empty(bytes: usize) -> Buffer {
        Buffer { bytes: vec![0; bytes], ready: vec![false; bytes], seen: Vec::new() }
    }

    /// A buffer that holds these elements; `u8` serves for `Bool` too.
    pub fn of<T: Element>(elements: &[T]) -> Buffer {
        Buffer::filled(elements.iter().flat_map(|x| x.bytes()).collect())
    }

    /// Makes a write of one task to what another writes or reads a trap.
    pub fn watched(mut self) -> Buffer {
        self.seen = vec![Seen::default(); self.bytes.len()];
        self
    }

    /// All bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// All elements, if the size fits and all have been written.
    pub fn elements<T: Element>(&self) -> Option<Vec<T>> {
        let size = T::DTYPE.bytes();
        let complete = self.is_complete() && self.bytes.len().is_multiple_of(size);
        complete.then(|| self.bytes.chunks_exact(size).map(T::from_bytes).collect())
    }

    /// Whether all bytes have been written.
    pub fn is_complete(&self) -> bool {
        self.ready.iter().all(|ready| *ready)
    }
}
