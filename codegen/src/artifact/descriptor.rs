//! The descriptor blob: built before the object is finished, completed when the hashes are known.
//!
//! In: a [`Description`]. Out: the bytes of `NAME_descriptor`, whose layout is that of [`mlc_abi::descriptor`], with
//! both hashes 0 until the artifact is written.

use mlc_abi::descriptor::{self as abi, field};
use mlc_abi::{ABI, Architecture};
use object::{Object, ObjectSection, ObjectSymbol};

use super::{Description, Dim, Error, Placement, Tensor, hash_pieces};

/// Grows the blob: rows first, strings behind all rows.
struct Builder {
    blob: Vec<u8>,
    strings: Vec<u8>,
    /// Where in `blob` an offset into `strings` stands that has to become one into the blob.
    fixups: Vec<usize>,
}

impl Builder {
    fn u32(&mut self, value: u32) {
        self.blob.extend(value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.blob.extend(value.to_le_bytes());
    }

    fn string(&mut self, text: &str) {
        self.fixups.push(self.blob.len());
        self.u32(self.strings.len() as u32);
        self.u32(text.len() as u32);
        self.strings.extend(text.as_bytes());
    }

    /// Ends a table's rows: notes in the head where they began and how many there are.
    fn table(&mut self, at: usize, start: usize, count: usize) {
        self.blob[at..at + 4].copy_from_slice(&(start as u32).to_le_bytes());
        self.blob[at + 4..at + 8].copy_from_slice(&(count as u32).to_le_bytes());
    }

    fn dims(&mut self, tensor: &Tensor) -> u32 {
        let start = self.blob.len() as u32;
        for dim in &tensor.dims {
            let (kind, symbol, value, text) = match dim {
                Dim::Fixed(value) => (0, 0, *value, ""),
                Dim::Symbol(symbol) => (1, *symbol, 0, ""),
                Dim::Expression(text) => (2, 0, 0, text.as_str()),
                Dim::AtMost(text) => (3, 0, 0, text.as_str()),
            };
            self.u32(kind);
            self.u32(symbol);
            self.u64(value.cast_unsigned());
            self.string(text);
        }
        start
    }

    fn tensors(&mut self, at: usize, tensors: &[Tensor]) {
        let dims: Vec<u32> = tensors.iter().map(|tensor| self.dims(tensor)).collect();
        let start = self.blob.len();
        for (tensor, dims) in tensors.iter().zip(dims) {
            self.string(&tensor.name);
            self.u32(tensor.dtype.onnx() as u32);
            self.u32(tensor.dims.len() as u32);
            self.u32(dims);
            self.u32(tensor.state.unwrap_or(abi::NO_STATE));
        }
        self.table(at, start, tensors.len());
    }

    fn finish(mut self) -> Vec<u8> {
        let base = self.blob.len() as u32;
        for at in self.fixups {
            let word: &mut [u8] = &mut self.blob[at..at + 4];
            let moved = base + u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
            word.copy_from_slice(&moved.to_le_bytes());
        }
        self.blob.append(&mut self.strings);
        self.blob.resize(self.blob.len().next_multiple_of(8), 0);
        let total = self.blob.len() as u32;
        self.blob[field::TOTAL..field::TOTAL + 4].copy_from_slice(&total.to_le_bytes());
        self.blob
    }
}

/// The bytes to define as `NAME_descriptor`: exported, read-only, aligned to 8.
pub fn build(description: &Description, arch: Architecture) -> Vec<u8> {
    let mut b = Builder { blob: Vec::new(), strings: Vec::new(), fixups: Vec::new() };
    let fixed = description.arena.bytes;
    let embedded = description.placement == Placement::Embedded && description.weights_bytes > 0;
    b.blob.extend(abi::MAGIC);
    b.u32(ABI);
    b.u32(0); // the total, at the end
    b.u32(arch as u32);
    let flag = |set: bool, flag: u32| if set { flag } else { 0 };
    b.u32(flag(embedded, abi::FLAG_EMBEDDED) | flag(fixed.is_some(), abi::FLAG_ARENA_FIXED));
    b.u64(description.features);
    b.u64(description.weights_bytes);
    b.u64(0); // the hash of the weights, by `patch`
    b.u64(0); // the hash of the content, by `patch`
    b.u64(fixed.unwrap_or(0));
    b.u64(description.arena.scratch.unwrap_or(0));
    b.u64(description.arena.stack);
    b.string(&description.name);
    b.string(&description.target);
    b.string(&description.arena.text);
    b.blob.resize(abi::HEAD, 0);
    let start = b.blob.len();
    for symbol in &description.symbols {
        b.string(&symbol.name);
        b.u64(symbol.low.cast_unsigned());
        b.u64(symbol.high.cast_unsigned());
    }
    b.table(field::SYMBOLS, start, description.symbols.len());
    b.tensors(field::INPUTS, &description.inputs);
    b.tensors(field::OUTPUTS, &description.outputs);
    let start = b.blob.len();
    description.kernels.iter().for_each(|kernel| b.string(kernel));
    b.table(field::KERNELS, start, description.kernels.len());
    b.finish()
}

/// Completes the descriptor inside an object with both hashes; gives the content hash.
pub(super) fn patch(
    object: &mut [u8],
    arch: Architecture,
    description: &Description,
    weights_hash: u64,
) -> Result<u64, Error> {
    let at = find(object, arch, description)?;
    let content_hash = hash_pieces([&*object]);
    let mut put = |field: usize, value: u64| {
        let place = at + field;
        object[place..place + 8].copy_from_slice(&value.to_le_bytes());
    };
    put(field::WEIGHTS_HASH, weights_hash);
    put(field::CONTENT_HASH, content_hash);
    Ok(content_hash)
}

/// The file offset of the descriptor in an object, after making sure that it is the one of this description.
fn find(object: &[u8], arch: Architecture, description: &Description) -> Result<usize, Error> {
    let file = object::File::parse(object).map_err(Error::object)?;
    let name = format!("{}_descriptor", description.name);
    let missing = || Error::object(format_args!("`{name}` is not defined in it"));
    let symbol = file.symbols().find(|it| it.name() == Ok(&name) && it.is_definition()).ok_or_else(missing)?;
    let section = symbol.section_index().and_then(|it| file.section_by_index(it).ok()).ok_or_else(missing)?;
    let (start, _) = section.file_range().ok_or_else(missing)?;
    let at = start.saturating_add(symbol.address()) as usize;
    let expected = build(description, arch);
    match object.get(at..).and_then(|it| it.get(..expected.len())) {
        Some(found) if found == expected => Ok(at),
        _ => Err(Error::object(format_args!("`{name}` was not built from this description"))),
    }
}
