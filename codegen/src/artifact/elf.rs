//! The records of an ELF64 file, as bytes.

use object::elf::*;

/// Size of the file header.
pub(super) const EHDR: u64 = 64;
/// Size of a program header.
pub(super) const PHDR: u64 = 56;
/// Size of a section header.
pub(super) const SHDR: u64 = 64;
/// Size of a symbol.
pub(super) const SYM: u64 = 24;
/// Size of a relocation with addend.
pub(super) const RELA: u64 = 24;

/// A program header.
#[derive(Clone, Copy, Default)]
pub(super) struct Segment {
    pub kind: u32,
    pub flags: u32,
    pub offset: u64,
    pub address: u64,
    pub file_size: u64,
    pub size: u64,
    pub align: u64,
}

impl Segment {
    /// The record.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.kind.to_le_bytes());
        out.extend(self.flags.to_le_bytes());
        for word in [self.offset, self.address, self.address, self.file_size, self.size, self.align] {
            out.extend(word.to_le_bytes());
        }
    }
}

/// A section header with the section's bytes.
#[derive(Clone, Default)]
pub(super) struct Section {
    pub name: &'static str,
    pub kind: u32,
    pub flags: u64,
    pub address: u64,
    pub offset: u64,
    pub size: u64,
    pub link: u32,
    pub info: u32,
    pub align: u64,
    pub entry: u64,
    /// The contents; empty where `size` speaks of memory or of a stream.
    pub bytes: Vec<u8>,
}

impl Section {
    /// The record, with the place of the name in the string table.
    pub fn write(&self, name: u32, out: &mut Vec<u8>) {
        out.extend(name.to_le_bytes());
        out.extend(self.kind.to_le_bytes());
        for word in [self.flags, self.address, self.offset, self.size] {
            out.extend(word.to_le_bytes());
        }
        out.extend(self.link.to_le_bytes());
        out.extend(self.info.to_le_bytes());
        out.extend(self.align.to_le_bytes());
        out.extend(self.entry.to_le_bytes());
    }
}

/// A symbol record.
pub(super) fn symbol(name: u32, info: u8, section: u16, value: u64, size: u64, out: &mut Vec<u8>) {
    out.extend(name.to_le_bytes());
    out.extend([info, STV_DEFAULT]);
    out.extend(section.to_le_bytes());
    out.extend(value.to_le_bytes());
    out.extend(size.to_le_bytes());
}

/// The file header of a shared object.
pub(super) fn header(machine: u16, segments: u16, table: u64, sections: u16, out: &mut Vec<u8>) {
    out.extend([0x7f, b'E', b'L', b'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT, ELFOSABI_NONE]);
    out.extend([0; 8]);
    out.extend(ET_DYN.to_le_bytes());
    out.extend(machine.to_le_bytes());
    out.extend(u32::from(EV_CURRENT).to_le_bytes());
    for word in [0, EHDR, table] {
        out.extend(word.to_le_bytes());
    }
    out.extend(0u32.to_le_bytes());
    for half in [EHDR as u16, PHDR as u16, segments, SHDR as u16, sections, sections - 1] {
        out.extend(half.to_le_bytes());
    }
}

/// A string table: begins with the empty string.
pub(super) struct Strings(pub Vec<u8>);

impl Strings {
    /// With the empty string.
    pub fn new() -> Strings {
        Strings(vec![0])
    }

    /// Adds strings, each behind the one before.
    pub fn extend(&mut self, texts: impl IntoIterator<Item = impl AsRef<str>>) {
        for text in texts {
            self.0.extend(text.as_ref().as_bytes());
            self.0.push(0);
        }
    }
}

/// The contents of `.hash` for symbols with these names, the first of which is symbol 1.
pub(super) fn hash_table(names: &[&str]) -> Vec<u8> {
    let buckets = names.len().max(1);
    let mut heads = vec![0u32; buckets];
    let mut chain = vec![0u32; names.len() + 1];
    for (place, name) in names.iter().enumerate() {
        let bucket = object::elf::hash(name.as_bytes()) as usize % buckets;
        chain[place + 1] = heads[bucket];
        heads[bucket] = place as u32 + 1;
    }
    let head = [buckets as u32, chain.len() as u32];
    head.iter().chain(&heads).chain(&chain).flat_map(|word| word.to_le_bytes()).collect()
}
