//! Tiles as machine code for x86-64 with AVX-512: what Cranelift's 128-bit vectors leave undone.
//!
//! In: a linear [`Tile`].  Out: the bytes of a leaf function with the signature of every kernel, its constants behind
//! it. It refers to nothing outside.
//!
//! `select` writes `code` with virtual registers, `allocate` gives them real ones, `encode` makes bytes. Vector
//! registers are never spilled: a tile that needs more than there are is [`Refused`], as is one with a type or
//! instruction that is not covered here; its kernel is then scheduled for Cranelift instead. General registers, which
//! hold addresses and counters, may lie on the stack.
//!
//! Floats and 32-bit ints of 4, 8 or 16 lanes lie in xmm, ymm or zmm registers, single floats in the first lane of an
//! xmm register; bools in mask registers, of which the first lanes count; single ints in general registers, extended to
//! 64 bits as their type says.
//!
//! Invariants: needs avx512f, bw, dq and vl; no instruction traps; upper halves are clean at the end.

mod allocate;
mod code;
mod convert;
mod encode;
mod index;
mod lanes;
mod ops;
mod scalar;
mod select;
mod table;

use mlc_ir::tile::Tile;

/// Processor features that all code of this emitter may use.
pub const FEATURES: [&str; 4] = ["avx512f", "avx512bw", "avx512dq", "avx512vl"];

/// Why a tile is left to another emitter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(pub String);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

type Result<T, E = Refused> = std::result::Result<T, E>;

fn refuse<T>(why: impl Into<String>) -> Result<T> {
    Err(Refused(why.into()))
}

/// Machine code of a linear tile.
///
/// # Errors
/// If the tile holds something that is not covered, or needs more vector registers than there are.
pub fn emit(tile: &Tile) -> Result<Vec<u8>> {
    let code = select::select(tile)?;
    let places = allocate::allocate(&code)?;
    encode::encode(&code, &places)
}

/// Machine code as text, one instruction a line; constants behind the code are not shown.
pub fn listing(bytes: &[u8]) -> String {
    use iced_x86::{Decoder, DecoderOptions, Formatter, GasFormatter, Mnemonic};
    let (mut text, mut line) = (String::new(), String::new());
    let mut formatter = GasFormatter::new();
    for instruction in &mut Decoder::new(64, bytes, DecoderOptions::NONE) {
        line.clear();
        formatter.format(&instruction, &mut line);
        text.push_str(&format!("{:6x}  {line}\n", instruction.ip()));
        if instruction.mnemonic() == Mnemonic::Ret {
            break;
        }
    }
    text
}
