//! Tiles as machine code for x86-64 with AVX-512 or AVX2: what Cranelift's 128-bit vectors leave undone.
//!
//! In: a linear [`Tile`].  Out: the bytes of a leaf function with the signature of every kernel, its constants behind
//! it. It refers to nothing outside.
//!
//! `select` writes `code` with virtual registers, `allocate` gives them real ones, `encode` makes bytes. A vector may wait
//! on the stack between two jumps (`spill`), never across one, so that what a loop adds into stays in its register. A tile
//! that needs more registers than there are is [`Refused`], as is one with a type or instruction that is not covered here;
//! its kernel is then scheduled for Cranelift instead. General registers, which hold addresses and counters, may lie on
//! the stack.
//!
//! Floats and 32-bit ints of 4, 8 or 16 lanes lie in xmm, ymm or zmm registers, single floats in the first lane of an
//! xmm register; half floats as the floats they stand for (`half`); bools in mask registers, with AVX2 in vector registers (`masks`); single ints in general registers,
//! extended to 64 bits as their type says.
//!
//! Invariants: needs no feature but those of [`Isa`]; no instruction traps; upper halves are clean at the end.

mod ahead;
mod allocate;
mod code;
mod convert;
mod encode;
mod half;
mod index;
mod invariant;
mod lanes;
mod masks;
mod ops;
pub mod samples;
mod scalar;
mod select;
mod short;
mod spill;
mod table;
mod tails;
#[cfg(test)]
mod tests;

use mlc_abi::{Architecture, feature};
use mlc_ir::target::Target;
use mlc_ir::tile::Tile;

/// The instructions that code may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Isa {
    /// 512-bit vectors in 32 registers, and masks.
    Avx512,
    /// 256-bit vectors in 16 registers.
    Avx2,
}

impl Isa {
    /// All there are, the best first.
    pub const ALL: [Isa; 2] = [Isa::Avx512, Isa::Avx2];

    /// Processor features that all code may use.
    pub fn features(self) -> &'static [&'static str] {
        match self {
            Isa::Avx512 => &["bmi2", "avx512f", "avx512bw", "avx512dq", "avx512vl"],
            Isa::Avx2 => &["avx", "avx2", "fma", "f16c"],
        }
    }

    /// Whether a machine runs such code, by its features as the bits of [`mlc_abi::feature`].
    pub fn runs_on(self, machine: Option<Architecture>, features: u64) -> bool {
        let x86 = Architecture::X86_64;
        let has = |name: &&str| feature::mask(x86, name).is_some_and(|bit| features & bit != 0);
        machine == Some(x86) && self.features().iter().all(has)
    }

    /// What schedules ask of a processor with these instructions.
    pub fn target(self) -> Target {
        match self {
            Isa::Avx512 => Target::avx512(),
            Isa::Avx2 => Target::avx2(),
        }
    }

    fn vector_registers(self) -> u8 {
        self.target().vector_regs as u8
    }
}

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
pub fn emit(tile: &Tile, isa: Isa) -> Result<Vec<u8>> {
    let mut code = select::select(tile, isa)?;
    let places = allocate::allocate(&mut code, isa)?;
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
