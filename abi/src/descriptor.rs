//! The descriptor: a blob that tells a host what a model is, without running it.
//!
//! Little-endian, position independent, aligned to 8: a head of [`HEAD`] bytes, then tables and strings at offsets from
//! the start of the blob.
//!
//! ```text
//!    0  magic     8 bytes      8  abi          u32     12  size of the blob  u32
//!   16  machine   u32         20  flags        u32     24  required features u64
//!   32  weights   u64 bytes   40  weights hash u64     48  content hash      u64
//!   56  arena     u64 bytes   64  scratch      u64     72  stack             u64
//!   80  name, 88 target, 96 arena formula, 104 symbols, 112 inputs, 120 outputs, 128 kernels
//! ```
//!
//! A string is `offset u32, bytes u32`, UTF-8; a table is `offset u32, count u32`. Rows:
//!
//! | table | row |
//! |---|---|
//! | symbols | name, `low i64`, `high i64` |
//! | inputs, outputs | name, `dtype u32`, `rank u32`, `dims u32` (offset), `state u32` (an input, or [`NO_STATE`]) |
//! | dims | `kind u32` ([`Dim`]), `symbol u32`, `value i64`, text |
//! | kernels | name |
//!
//! Invariant: [`Descriptor::parse`] has looked at every row and string, so accessors always find what they look for; on
//! any bytes whatever nothing here panics.

/// The first bytes of a descriptor.
pub const MAGIC: &[u8; 8] = b"\x7fmlc\r\n\x1a\n";
/// Size of the fixed part.
pub const HEAD: usize = 136;
/// Size of a row of the symbol table.
pub const SYMBOL_ROW: usize = 24;
/// Size of a row of the input and output tables.
pub const TENSOR_ROW: usize = 24;
/// Size of a dim.
pub const DIM_ROW: usize = 24;
/// Size of a kernel name.
pub const KERNEL_ROW: usize = 8;
/// The `state` of a tensor that is none.
pub const NO_STATE: u32 = u32::MAX;
/// Flag: the weights are in the artifact, as `NAME_weights`.
pub const FLAG_EMBEDDED: u32 = 1;
/// Flag: the arena has one size; else it follows from dims and the number of workers.
pub const FLAG_ARENA_FIXED: u32 = 2;

/// Offsets of the fields of the head.
pub mod field {
    /// ABI version.
    pub const ABI: usize = 8;
    /// Size of the whole blob.
    pub const TOTAL: usize = 12;
    /// ELF machine number.
    pub const MACHINE: usize = 16;
    /// Flags.
    pub const FLAGS: usize = 20;
    /// Required processor features.
    pub const FEATURES: usize = 24;
    /// Size of the packed weights without slack.
    pub const WEIGHTS_BYTES: usize = 32;
    /// XXH3-64 of the packed weights without slack.
    pub const WEIGHTS_HASH: usize = 40;
    /// XXH3-64 that identifies the code: of the object before weights were added, with both hashes 0.
    pub const CONTENT_HASH: usize = 48;
    /// Size of the arena for one worker, if fixed.
    pub const ARENA: usize = 56;
    /// Scratch of one worker, part of the arena.
    pub const SCRATCH: usize = 64;
    /// Upper bound of the stack a run uses.
    pub const STACK: usize = 72;
    /// The model's name.
    pub const NAME: usize = 80;
    /// Text of target and processor.
    pub const TARGET: usize = 88;
    /// The arena size as a formula.
    pub const ARENA_TEXT: usize = 96;
    /// Table of symbols.
    pub const SYMBOLS: usize = 104;
    /// Table of inputs.
    pub const INPUTS: usize = 112;
    /// Table of outputs.
    pub const OUTPUTS: usize = 120;
    /// Table of kernel names.
    pub const KERNELS: usize = 128;
}

/// Why bytes are no usable descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The magic bytes are missing.
    NotDescriptor,
    /// Made for another version of this crate.
    Abi(u32),
    /// An offset, count, number or text is impossible; the word says which.
    Malformed(&'static str),
}

/// A symbolic dimension and its range.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Symbol<'a> {
    /// The name in the model.
    pub name: &'a str,
    /// Smallest value, inclusive.
    pub low: i64,
    /// Largest value, inclusive.
    pub high: i64,
}

/// One dimension of an input or output. The discriminants are the numbers in the blob.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dim<'a> {
    /// 0: always this.
    Fixed(i64),
    /// 1: the symbol with this number.
    Symbol(u32),
    /// 2: a formula over symbols.
    Expression(&'a str),
    /// 3: depends on data; the formula is an upper bound.
    AtMost(&'a str),
}

/// An input or output.
#[derive(Clone, Copy, Debug, Default)]
pub struct TensorRow<'a> {
    /// The name in the model.
    pub name: &'a str,
    /// Element type, by ONNX number.
    pub dtype: u32,
    /// Number of dimensions.
    pub rank: u32,
    /// For an output that carries state to the next call: the input whose memory it is.
    pub state: Option<u32>,
    blob: &'a [u8],
    dims: usize,
}

impl<'a> TensorRow<'a> {
    /// The dimensions.
    pub fn dims(&self) -> impl ExactSizeIterator<Item = Dim<'a>> + use<'a> {
        let (blob, dims) = (self.blob, self.dims);
        (0..self.rank as usize).map(move |place| read_dim(blob, dims + place * DIM_ROW).unwrap_or(Dim::Fixed(0)))
    }
}

/// A checked descriptor.
#[derive(Clone, Copy, Debug)]
pub struct Descriptor<'a> {
    blob: &'a [u8],
}

impl<'a> Descriptor<'a> {
    /// The size that the first 16 bytes of a blob claim for the whole; checks magic and version.
    pub fn total(head: &[u8]) -> Result<usize, Fault> {
        if head.get(..8) != Some(MAGIC.as_slice()) {
            return Err(Fault::NotDescriptor);
        }
        match u32_at(head, field::ABI) {
            Some(crate::ABI) => {}
            Some(other) => return Err(Fault::Abi(other)),
            None => return Err(Fault::Malformed("size")),
        }
        match u32_at(head, field::TOTAL).map(|it| it as usize) {
            Some(total) if total >= HEAD => Ok(total),
            _ => Err(Fault::Malformed("size")),
        }
    }

    /// Checks everything in a blob. Bytes after its end are allowed.
    pub fn parse(bytes: &'a [u8]) -> Result<Descriptor<'a>, Fault> {
        let total = Descriptor::total(bytes)?;
        let blob = bytes.get(..total).ok_or(Fault::Malformed("size"))?;
        let it = Descriptor { blob };
        let machine = u32_at(blob, field::MACHINE).and_then(crate::Architecture::from_number);
        machine.ok_or(Fault::Malformed("architecture"))?;
        for (at, what) in [(field::NAME, "name"), (field::TARGET, "target"), (field::ARENA_TEXT, "arena formula")] {
            read_string(blob, at).ok_or(Fault::Malformed(what))?;
        }
        if !is_identifier(it.name()) {
            return Err(Fault::Malformed("name"));
        }
        it.check(field::SYMBOLS, SYMBOL_ROW, "symbols", |at| read_symbol(blob, at).map(drop))?;
        let symbols = it.symbols().len();
        it.check(field::INPUTS, TENSOR_ROW, "inputs", |at| check_tensor(blob, at, symbols))?;
        it.check(field::OUTPUTS, TENSOR_ROW, "outputs", |at| check_tensor(blob, at, symbols))?;
        it.check(field::KERNELS, KERNEL_ROW, "kernels", |at| read_string(blob, at).map(drop))?;
        let inputs = it.inputs().len();
        if it.outputs().any(|row| row.state.is_some_and(|input| input as usize >= inputs)) {
            return Err(Fault::Malformed("outputs"));
        }
        Ok(it)
    }

    fn check(
        &self,
        at: usize,
        row: usize,
        what: &'static str,
        check: impl Fn(usize) -> Option<()>,
    ) -> Result<(), Fault> {
        let (start, count) = self.table(at);
        let end = count.checked_mul(row).and_then(|bytes| bytes.checked_add(start));
        if end.is_none_or(|end| end > self.blob.len()) || (0..count).any(|place| check(start + place * row).is_none()) {
            return Err(Fault::Malformed(what));
        }
        Ok(())
    }

    fn table(&self, at: usize) -> (usize, usize) {
        let word = |at| u32_at(self.blob, at).unwrap_or(0) as usize;
        (word(at), word(at + 4))
    }

    fn word(&self, at: usize) -> u64 {
        u64_at(self.blob, at).unwrap_or(0)
    }

    fn text(&self, at: usize) -> &'a str {
        read_string(self.blob, at).unwrap_or("")
    }

    /// The bytes.
    pub fn bytes(&self) -> &'a [u8] {
        self.blob
    }

    /// The processor family of the code.
    pub fn architecture(&self) -> crate::Architecture {
        let number = u32_at(self.blob, field::MACHINE).and_then(crate::Architecture::from_number);
        number.unwrap_or(crate::Architecture::X86_64)
    }

    /// Whether the weights are in the artifact.
    pub fn embedded(&self) -> bool {
        u32_at(self.blob, field::FLAGS).unwrap_or(0) & FLAG_EMBEDDED != 0
    }

    /// Processor features the code needs; see [`feature`](crate::feature).
    pub fn features(&self) -> u64 {
        self.word(field::FEATURES)
    }

    /// Size of the packed weights, without slack.
    pub fn weights_bytes(&self) -> u64 {
        self.word(field::WEIGHTS_BYTES)
    }

    /// XXH3-64 of the packed weights, without slack.
    pub fn weights_hash(&self) -> u64 {
        self.word(field::WEIGHTS_HASH)
    }

    /// Identifies the code, whatever kind of file it is in.
    pub fn content_hash(&self) -> u64 {
        self.word(field::CONTENT_HASH)
    }

    /// Size of the arena for one worker, if it does not depend on the inputs.
    pub fn arena_bytes(&self) -> Option<u64> {
        let fixed = u32_at(self.blob, field::FLAGS).unwrap_or(0) & FLAG_ARENA_FIXED != 0;
        fixed.then(|| self.word(field::ARENA))
    }

    /// The size of the arena as a formula, for people.
    pub fn arena_text(&self) -> &'a str {
        self.text(field::ARENA_TEXT)
    }

    /// Scratch memory of one worker, part of the arena; 0 too if it depends on the inputs.
    pub fn scratch_bytes(&self) -> u64 {
        self.word(field::SCRATCH)
    }

    /// Upper bound of the stack one run uses.
    pub fn stack_bytes(&self) -> u64 {
        self.word(field::STACK)
    }

    /// The model's name: the prefix of its symbols, a C identifier.
    pub fn name(&self) -> &'a str {
        self.text(field::NAME)
    }

    /// Target and processor the code was made for, for people.
    pub fn target(&self) -> &'a str {
        self.text(field::TARGET)
    }

    fn rows<T>(
        &self,
        at: usize,
        row: usize,
        read: fn(&'a [u8], usize) -> Option<T>,
    ) -> impl ExactSizeIterator<Item = T> + use<'a, T>
    where
        T: Default,
    {
        let (start, count) = self.table(at);
        let blob = self.blob;
        (0..count).map(move |place| read(blob, start + place * row).unwrap_or_default())
    }

    /// Symbolic dimensions.
    pub fn symbols(&self) -> impl ExactSizeIterator<Item = Symbol<'a>> + use<'a> {
        self.rows(field::SYMBOLS, SYMBOL_ROW, read_symbol)
    }

    /// Inputs, in the order of the call.
    pub fn inputs(&self) -> impl ExactSizeIterator<Item = TensorRow<'a>> + use<'a> {
        self.rows(field::INPUTS, TENSOR_ROW, read_tensor)
    }

    /// Outputs, in the order of the call.
    pub fn outputs(&self) -> impl ExactSizeIterator<Item = TensorRow<'a>> + use<'a> {
        self.rows(field::OUTPUTS, TENSOR_ROW, read_tensor)
    }

    /// Kernel names, by the index that profiling reports.
    pub fn kernels(&self) -> impl ExactSizeIterator<Item = &'a str> + use<'a> {
        self.rows(field::KERNELS, KERNEL_ROW, read_string)
    }
}

/// Whether a text can prefix C symbols: a letter or `_`, then letters, digits and `_`, all ASCII; at most 200.
pub fn is_identifier(text: &str) -> bool {
    let head = text.bytes().next().is_some_and(|c| c.is_ascii_alphabetic() || c == b'_');
    head && text.len() <= 200 && text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_')
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

fn read_string(blob: &[u8], at: usize) -> Option<&str> {
    let start = u32_at(blob, at)? as usize;
    let end = start.checked_add(u32_at(blob, at.checked_add(4)?)? as usize)?;
    core::str::from_utf8(blob.get(start..end)?).ok()
}

fn read_symbol(blob: &[u8], at: usize) -> Option<Symbol<'_>> {
    Some(Symbol {
        name: read_string(blob, at)?,
        low: u64_at(blob, at + 8)?.cast_signed(),
        high: u64_at(blob, at + 16)?.cast_signed(),
    })
}

fn read_tensor(blob: &[u8], at: usize) -> Option<TensorRow<'_>> {
    let state = u32_at(blob, at + 20)?;
    Some(TensorRow {
        name: read_string(blob, at)?,
        dtype: u32_at(blob, at + 8)?,
        rank: u32_at(blob, at + 12)?,
        state: (state != NO_STATE).then_some(state),
        blob,
        dims: u32_at(blob, at + 16)? as usize,
    })
}

fn read_dim(blob: &[u8], at: usize) -> Option<Dim<'_>> {
    Some(match u32_at(blob, at)? {
        0 => Dim::Fixed(u64_at(blob, at.checked_add(8)?)?.cast_signed()),
        1 => Dim::Symbol(u32_at(blob, at.checked_add(4)?)?),
        2 => Dim::Expression(read_string(blob, at.checked_add(16)?)?),
        3 => Dim::AtMost(read_string(blob, at.checked_add(16)?)?),
        _ => return None,
    })
}

fn check_tensor(blob: &[u8], at: usize, symbols: usize) -> Option<()> {
    let row = read_tensor(blob, at)?;
    crate::dtype::find(row.dtype)?;
    let end = (row.rank as usize).checked_mul(DIM_ROW)?.checked_add(row.dims)?;
    blob.get(row.dims..end)?;
    for place in 0..row.rank as usize {
        if let Dim::Symbol(number) = read_dim(blob, row.dims + place * DIM_ROW)?
            && number as usize >= symbols
        {
            return None;
        }
    }
    Some(())
}
