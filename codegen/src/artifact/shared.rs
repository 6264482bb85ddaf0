//! The shared object, written without a linker.
//!
//! In: an object whose descriptor is complete. Out: an ELF shared object that exports the `NAME_*` symbols and needs
//! nothing: no other library, no undefined symbol, no loader relocation except for constants that hold addresses.

use std::io::{self, Write};

use mlc_abi::note::{self, Note};
use mlc_abi::{Architecture, WEIGHTS_ALIGN, WEIGHTS_SLACK};
use object::elf::*;

use super::elf::{self, RELA, SYM, Section, Strings};
use super::image::{Image, Place, Symbol};
use super::layout::Layout;
use super::relocate::{apply, is_address, relative};
use super::weights::{Weights, write_padded};
use super::{Description, Error, Kind, hash_pieces};

/// The place of a section of the image in the output.
#[derive(Clone, Copy)]
struct Home {
    section: usize,
    offset: u64,
}

/// A shared object, all but its weights.
pub(super) struct Shared {
    head: Vec<u8>,
    weights: bool,
}

/// What is known while the sections are put together.
struct Draft<'a> {
    image: Image,
    arch: Architecture,
    description: &'a Description,
    sections: Vec<Section>,
    homes: Vec<Home>,
    /// Exported names in the order of the dynamic symbols.
    exports: Vec<String>,
}

impl Shared {
    /// Lays out and relocates an object.
    pub fn new(object: &[u8], arch: Architecture, description: &Description) -> Result<Shared, Error> {
        let image = Image::read(object, arch, description)?;
        let mut draft =
            Draft { image, arch, description, sections: Vec::new(), homes: Vec::new(), exports: Vec::new() };
        draft.gather();
        let page = match arch {
            Architecture::X86_64 => 4096,
            Architecture::Aarch64 => 65536,
        };
        let mut layout = Layout::new(std::mem::take(&mut draft.sections), page);
        draft.sections = std::mem::take(&mut layout.sections);
        draft.relocate()?;
        draft.symbols();
        draft.dynamic();
        layout.sections = std::mem::take(&mut draft.sections);
        let head = draft.file(&layout)?;
        Ok(Shared { head, weights: draft.image.weights.is_some() })
    }

    /// Writes the file.
    pub fn write_to(&self, weights: &dyn Weights, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&self.head)?;
        if self.weights {
            write_padded(weights, out)?;
        }
        Ok(())
    }
}

impl Draft<'_> {
    /// Collects all sections with their sizes, in the order of memory.
    fn gather(&mut self) {
        let name = &self.description.name;
        self.exports = ["descriptor", "message", "plan", "run"].iter().map(|it| format!("{name}_{it}")).collect();
        if self.image.weights.is_some() {
            self.exports.push(format!("{name}_weights"));
        }
        let (alloc, write) = (u64::from(SHF_ALLOC), u64::from(SHF_ALLOC | SHF_WRITE));
        self.add(".note.mlc", SHT_NOTE, alloc, 8, vec![0; 16 + note::BYTES]);
        self.dynamic_tables(alloc);
        self.homes = vec![Home { section: 0, offset: 0 }; self.image.sections.len()];
        self.merge(".rodata", Place::ReadOnly, alloc);
        self.merge(".text", Place::Text, alloc | u64::from(SHF_EXECINSTR));
        self.add(".dynamic", SHT_DYNAMIC, write, 8, vec![0; 14 * 16]);
        self.merge(".data.rel.ro", Place::Relocated, write);
        self.merge(".data", Place::Data, write);
        self.merge(".bss", Place::Zero, write);
        let mut strings = Strings::new();
        let locals: Vec<String> = self.local_functions().map(|it| it.name.clone()).collect();
        strings.extend(locals.iter().chain(&self.exports));
        self.add(".symtab", SHT_SYMTAB, 0, 8, vec![0; (locals.len() + self.exports.len() + 1) * SYM as usize]);
        self.add(".strtab", SHT_STRTAB, 0, 1, strings.0);
        if self.image.weights.is_some() {
            self.add(".weights", SHT_PROGBITS, alloc, WEIGHTS_ALIGN, Vec::new());
            self.section(".weights").size = self.description.weights_bytes + WEIGHTS_SLACK;
        }
        let mut strings = Strings::new();
        strings.extend(self.sections.iter().map(|it| it.name));
        strings.extend([".shstrtab"]);
        self.add(".shstrtab", SHT_STRTAB, 0, 1, strings.0);
        self.link();
    }

    /// Adds what the loader looks symbols and relocations up in.
    fn dynamic_tables(&mut self, alloc: u64) {
        let names: Vec<&str> = self.exports.iter().map(String::as_str).collect();
        let (hash, symbols) = (elf::hash_table(&names), vec![0; (names.len() + 1) * SYM as usize]);
        let mut strings = Strings::new();
        strings.extend(&names);
        strings.extend([Kind::Shared.file_name(&self.description.name)]);
        let relocations = self.image.sections.iter().flat_map(|it| &it.relocations);
        let addresses = relocations.filter(|it| is_address(self.arch, it.kind)).count() as u64;
        self.add(".hash", SHT_HASH, alloc, 8, hash);
        self.add(".dynsym", SHT_DYNSYM, alloc, 8, symbols);
        self.add(".dynstr", SHT_STRTAB, alloc, 1, strings.0);
        if addresses > 0 {
            self.add(".rela.dyn", SHT_RELA, alloc, 8, vec![0; (addresses * RELA) as usize]);
        }
    }

    /// Connects the tables that refer to each other.
    fn link(&mut self) {
        let (dynsym, dynstr, strtab) = (self.number(".dynsym"), self.number(".dynstr"), self.number(".strtab"));
        let locals = self.local_functions().count() as u32;
        for section in &mut self.sections {
            (section.link, section.info, section.entry) = match section.name {
                ".hash" => (dynsym, 0, 4),
                ".dynsym" => (dynstr, 1, SYM),
                ".rela.dyn" => (dynsym, 0, RELA),
                ".dynamic" => (dynstr, 0, 16),
                ".symtab" => (strtab, locals + 1, SYM),
                _ => (0, 0, 0),
            };
        }
    }

    fn add(&mut self, name: &'static str, kind: u32, flags: u64, align: u64, bytes: Vec<u8>) {
        let size = bytes.len() as u64;
        self.sections.push(Section { name, kind, flags, align, size, bytes, ..Section::default() });
    }

    /// Adds one section made of all of a place.
    fn merge(&mut self, name: &'static str, place: Place, flags: u64) {
        let number = self.sections.len();
        let (mut size, mut align, mut bytes) = (0u64, 1, Vec::new());
        for (home, section) in self.homes.iter_mut().zip(&self.image.sections) {
            if section.place != place {
                continue;
            }
            size = size.next_multiple_of(section.align);
            align = align.max(section.align);
            *home = Home { section: number, offset: size };
            size += section.size;
            if place != Place::Zero {
                bytes.resize((size - section.size) as usize, 0);
                bytes.extend(&section.bytes);
            }
        }
        if size > 0 {
            let kind = if place == Place::Zero { SHT_NOBITS } else { SHT_PROGBITS };
            self.sections.push(Section { name, kind, flags, align, size, bytes, ..Section::default() });
        }
    }

    fn section(&mut self, name: &str) -> &mut Section {
        let place = self.sections.iter().position(|it| it.name == name);
        &mut self.sections[place.expect("gather adds every section that is asked for")]
    }

    /// The number of a section in the section headers; 0 if there is none.
    fn number(&self, name: &str) -> u32 {
        self.sections.iter().position(|it| it.name == name).map_or(0, |place| place as u32 + 1)
    }

    fn local_functions(&self) -> impl Iterator<Item = &Symbol> {
        self.image.symbols.iter().filter(|it| it.function && !it.global && it.section.is_some() && !it.name.is_empty())
    }

    /// The address of a symbol, and the number of its section.
    fn address(&self, symbol: &Symbol) -> (u64, u16) {
        match symbol.section {
            Some(section) => {
                let home = self.homes[section];
                (self.sections[home.section].address + home.offset + symbol.offset, home.section as u16 + 1)
            }
            None => {
                let number = self.number(".weights");
                (self.sections[number as usize - 1].address, number as u16)
            }
        }
    }

    fn relocate(&mut self) -> Result<(), Error> {
        let mut rela = Vec::new();
        for (number, home) in self.homes.clone().into_iter().enumerate() {
            for relocation in &self.image.sections[number].relocations {
                let symbol = &self.image.symbols[relocation.symbol];
                let fail = |why| {
                    let (kind, name) = (relocation.kind, &symbol.name);
                    Error::Relocation(format!("{kind} at {:#x} against `{name}` {why}", relocation.offset))
                };
                if symbol.section.is_none() && Some(relocation.symbol) != self.image.weights {
                    return Err(fail("has no target in this object"));
                }
                let to = self.address(symbol).0.wrapping_add_signed(relocation.addend);
                let at = home.offset.saturating_add(relocation.offset);
                let from = self.sections[home.section].address + at;
                if is_address(self.arch, relocation.kind) {
                    if self.image.sections[number].place == Place::Text {
                        return Err(fail("stores an address in code: compile with is_pic"));
                    }
                    rela.extend(from.to_le_bytes());
                    rela.extend(u64::from(relative(self.arch)).to_le_bytes());
                    rela.extend(to.to_le_bytes());
                }
                let bytes = &mut self.sections[home.section].bytes;
                let (from, to) = (from.cast_signed(), to.cast_signed());
                apply(self.arch, relocation.kind, bytes, at as usize, from, to).map_err(|it| fail(it.text()))?;
            }
        }
        if !rela.is_empty() {
            self.section(".rela.dyn").bytes = rela;
        }
        Ok(())
    }

    /// Fills both symbol tables.
    fn symbols(&mut self) {
        let mut globals = Vec::new();
        for name in &self.exports {
            let symbol = self.image.symbols.iter().find(|it| it.global && it.name == *name);
            let Some(symbol) = symbol else { continue };
            let (address, section) = self.address(symbol);
            let kind = if symbol.function { STT_FUNC } else { STT_OBJECT };
            let size = if symbol.section.is_some() { symbol.size } else { self.description.weights_bytes };
            globals.push((name.len() as u32 + 1, kind, section, address, size));
        }
        let write = |place: &mut u32, out: &mut Vec<u8>| {
            for &(name, kind, section, address, size) in &globals {
                elf::symbol(*place, STB_GLOBAL << 4 | kind, section, address, size, out);
                *place += name;
            }
        };
        let mut dynamic = vec![0; SYM as usize];
        write(&mut 1, &mut dynamic);
        let mut all = vec![0; SYM as usize];
        let mut place = 1;
        for symbol in self.local_functions() {
            let (address, section) = self.address(symbol);
            elf::symbol(place, STB_LOCAL << 4 | STT_FUNC, section, address, symbol.size, &mut all);
            place += symbol.name.len() as u32 + 1;
        }
        write(&mut place, &mut all);
        self.section(".dynsym").bytes = dynamic;
        self.section(".symtab").bytes = all;
    }

    fn dynamic(&mut self) {
        let (strings, symbols) = (self.section(".dynstr").clone(), self.section(".dynsym").address);
        let hash = self.section(".hash").address;
        // The name of the library is the last string.
        let name = strings.size - Kind::Shared.file_name(&self.description.name).len() as u64 - 1;
        let mut entries = vec![
            (DT_SONAME, name),
            (DT_HASH, hash),
            (DT_STRTAB, strings.address),
            (DT_SYMTAB, symbols),
            (DT_STRSZ, strings.size),
            (DT_SYMENT, SYM),
        ];
        if self.number(".rela.dyn") != 0 {
            let rela = self.section(".rela.dyn");
            entries.extend([(DT_RELA, rela.address), (DT_RELASZ, rela.size), (DT_RELAENT, RELA)]);
            entries.push((DT_RELACOUNT, rela.size / RELA));
        }
        entries.extend([(DT_FLAGS, u64::from(DF_BIND_NOW)), (DT_FLAGS_1, u64::from(DF_1_NOW))]);
        let bytes = &mut self.section(".dynamic").bytes;
        for (place, (tag, value)) in bytes.chunks_exact_mut(16).zip(entries) {
            place[..8].copy_from_slice(&tag.to_le_bytes());
            place[8..].copy_from_slice(&value.to_le_bytes());
        }
    }

    /// The file up to the weights, with its note.
    fn file(&self, layout: &Layout) -> Result<Vec<u8>, Error> {
        let machine = match self.arch {
            Architecture::X86_64 => EM_X86_64,
            Architecture::Aarch64 => EM_AARCH64,
        };
        let count = layout.sections.len() as u16 + 1;
        let mut file = Vec::with_capacity(layout.end as usize);
        elf::header(machine, layout.segments.len() as u16, layout.table, count, &mut file);
        layout.segments.iter().for_each(|it| it.write(&mut file));
        for section in layout.sections.iter().filter(|it| !it.bytes.is_empty()) {
            file.resize(section.offset as usize, 0);
            file.extend(&section.bytes);
        }
        file.resize(layout.table as usize, 0);
        Section::default().write(0, &mut file);
        let mut name = 1;
        for section in &layout.sections {
            section.write(name, &mut file);
            name += section.name.len() as u32 + 1;
        }
        file.resize(layout.end as usize, 0);
        self.note(layout, &mut file)?;
        Ok(file)
    }

    fn note(&self, layout: &Layout, file: &mut [u8]) -> Result<(), Error> {
        let symbol = self.image.export(&format!("{}_descriptor", self.description.name))?;
        let home = self.homes[symbol.section.unwrap_or(0)];
        let weights = layout.sections.iter().find(|it| it.name == ".weights").map_or(0, |it| it.size);
        let mut note = Note {
            file_bytes: layout.end + weights,
            hash: 0,
            descriptor_offset: layout.sections[home.section].offset + home.offset + symbol.offset,
            descriptor_bytes: symbol.size,
            weights_offset: layout.end,
            weights_bytes: weights.saturating_sub(WEIGHTS_SLACK),
        };
        let at = layout.sections[0].offset as usize;
        for (place, word) in [4, note::BYTES as u32, note::TYPE].into_iter().enumerate() {
            file[at + place * 4..][..4].copy_from_slice(&word.to_le_bytes());
        }
        file[at + 12..at + 16].copy_from_slice(note::OWNER);
        file[at + 16..][..note::BYTES].copy_from_slice(&note.to_bytes());
        note.hash = hash_pieces([&*file]);
        file[at + 16..][..note::BYTES].copy_from_slice(&note.to_bytes());
        Ok(())
    }
}
