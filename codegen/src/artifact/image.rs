//! A relocatable object, read and checked: what both the shared object and the rewritten relocatable start from.
//!
//! In: ELF64 bytes as `cranelift-object` writes them. Out: an [`Image`].
//!
//! Invariants: every relocation target is defined in the image or is the weights symbol; every exported symbol begins
//! with the model's name; read-only sections that hold addresses are [`Place::Relocated`].

use std::collections::{BTreeSet, HashMap};

use mlc_abi::Architecture;
use object::{
    Object, ObjectSection, ObjectSymbol, RelocationFlags, RelocationTarget, SectionFlags, SectionIndex, SymbolIndex,
    SymbolKind, elf,
};

use super::relocate::is_address;
use super::{Description, Error, Placement};

/// The part of memory a section belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// Code.
    Text,
    /// Constants.
    ReadOnly,
    /// Constants that hold addresses: written once by the loader, then read-only.
    Relocated,
    /// Variables with an initial value.
    Data,
    /// Variables that begin as 0.
    Zero,
}

/// One section that is loaded.
pub(super) struct Section {
    pub place: Place,
    pub align: u64,
    pub size: u64,
    /// Empty for [`Place::Zero`].
    pub bytes: Vec<u8>,
    pub relocations: Vec<Relocation>,
}

/// One symbol.
pub(super) struct Symbol {
    pub name: String,
    /// Index in [`Image::sections`]; `None`: the weights, or nothing that is loaded.
    pub section: Option<usize>,
    pub offset: u64,
    pub size: u64,
    pub global: bool,
    pub function: bool,
}

/// One relocation of a section.
pub(super) struct Relocation {
    pub offset: u64,
    /// The number of the relocation type.
    pub kind: u32,
    /// Index in [`Image::symbols`].
    pub symbol: usize,
    pub addend: i64,
}

/// A relocatable object.
pub(super) struct Image {
    pub sections: Vec<Section>,
    pub symbols: Vec<Symbol>,
    /// The symbol `NAME_weights`, if the object refers to it and the weights are embedded.
    pub weights: Option<usize>,
}

impl Image {
    /// Reads and checks an object.
    pub fn read(bytes: &[u8], arch: Architecture, description: &Description) -> Result<Image, Error> {
        let file = object::File::parse(bytes).map_err(Error::object)?;
        let found = match (file.format(), file.architecture()) {
            (object::BinaryFormat::Elf, object::Architecture::X86_64) => Some(Architecture::X86_64),
            (object::BinaryFormat::Elf, object::Architecture::Aarch64) => Some(Architecture::Aarch64),
            _ => None,
        };
        if found != Some(arch) || file.kind() != object::ObjectKind::Relocatable {
            return Err(Error::object(format_args!("is no ELF relocatable for {}", arch.name())));
        }
        let mut image = Image { sections: Vec::new(), symbols: Vec::new(), weights: None };
        let mut places = HashMap::new();
        let mut numbers = HashMap::new();
        image.read_sections(&file, &mut places)?;
        image.read_symbols(&file, &places, &mut numbers)?;
        image.read_relocations(&file, arch, &places, &numbers)?;
        image.check(description)?;
        Ok(image)
    }

    fn read_sections(&mut self, file: &object::File, places: &mut HashMap<SectionIndex, usize>) -> Result<(), Error> {
        for section in file.sections() {
            let SectionFlags::Elf { sh_flags } = section.flags() else { continue };
            let name = section.name().map_err(Error::object)?;
            // Unwind tables and notes are for linkers; a shared object needs none.
            if sh_flags & u64::from(elf::SHF_ALLOC) == 0 || name.starts_with(".eh_frame") || name.starts_with(".note") {
                continue;
            }
            if sh_flags & u64::from(elf::SHF_TLS) != 0 {
                return Err(Error::object(format_args!("section {name} is thread-local")));
            }
            if section.align() > mlc_abi::WEIGHTS_ALIGN {
                return Err(Error::object(format_args!("section {name} is aligned to {}", section.align())));
            }
            let zero = section.kind() == object::SectionKind::UninitializedData;
            let place = if sh_flags & u64::from(elf::SHF_EXECINSTR) != 0 {
                Place::Text
            } else if name.starts_with(".data.rel.ro") {
                Place::Relocated
            } else if sh_flags & u64::from(elf::SHF_WRITE) == 0 {
                Place::ReadOnly
            } else if zero {
                Place::Zero
            } else {
                Place::Data
            };
            places.insert(section.index(), self.sections.len());
            self.sections.push(Section {
                place,
                align: section.align().max(1),
                size: section.size(),
                bytes: if zero { Vec::new() } else { section.data().map_err(Error::object)?.to_vec() },
                relocations: Vec::new(),
            });
        }
        Ok(())
    }

    fn read_symbols(
        &mut self,
        file: &object::File,
        places: &HashMap<SectionIndex, usize>,
        numbers: &mut HashMap<SymbolIndex, usize>,
    ) -> Result<(), Error> {
        for symbol in file.symbols() {
            numbers.insert(symbol.index(), self.symbols.len());
            let section = symbol.section_index().and_then(|it| places.get(&it).copied());
            self.symbols.push(Symbol {
                name: symbol.name().map_err(Error::object)?.to_string(),
                section: section.filter(|_| !symbol.is_undefined()),
                offset: symbol.address(),
                size: symbol.size(),
                global: symbol.is_global(),
                function: symbol.kind() == SymbolKind::Text,
            });
        }
        Ok(())
    }

    fn read_relocations(
        &mut self,
        file: &object::File,
        arch: Architecture,
        places: &HashMap<SectionIndex, usize>,
        numbers: &HashMap<SymbolIndex, usize>,
    ) -> Result<(), Error> {
        for section in file.sections() {
            let Some(&number) = places.get(&section.index()) else { continue };
            for (offset, relocation) in section.relocations() {
                let target = match relocation.target() {
                    RelocationTarget::Symbol(index) => numbers.get(&index).copied(),
                    _ => None,
                };
                let (Some(symbol), RelocationFlags::Elf { r_type: kind }) = (target, relocation.flags()) else {
                    return Err(Error::Relocation(format!("at {offset:#x} has no target symbol")));
                };
                let to = &mut self.sections[number];
                if is_address(arch, kind) && to.place == Place::ReadOnly {
                    to.place = Place::Relocated;
                }
                to.relocations.push(Relocation { offset, kind, symbol, addend: relocation.addend() });
            }
        }
        Ok(())
    }

    fn check(&mut self, description: &Description) -> Result<(), Error> {
        let name = &description.name;
        let embedded = description.placement == Placement::Embedded && description.weights_bytes > 0;
        let weights = format!("{name}_weights");
        if embedded {
            self.weights = self.symbols.iter().position(|it| it.name == weights && it.section.is_none());
            if self.weights.is_none() {
                return Err(Error::object(format_args!("does not refer to `{weights}`, and the weights are embedded")));
            }
        }
        let mut undefined = BTreeSet::new();
        for (number, symbol) in self.symbols.iter().enumerate() {
            if symbol.global && symbol.section.is_none() && Some(number) != self.weights {
                undefined.insert(symbol.name.clone());
            }
            if symbol.global && !symbol.name.starts_with(&format!("{name}_")) && symbol.section.is_some() {
                let rule = "symbols of several models would clash: make it local";
                return Err(Error::object(format_args!("exports `{}`, {rule}", symbol.name)));
            }
        }
        if !undefined.is_empty() {
            return Err(Error::Undefined(undefined.into_iter().collect()));
        }
        for suffix in ["plan", "run", "message", "descriptor"] {
            self.export(&format!("{name}_{suffix}"))?;
        }
        Ok(())
    }

    /// The global symbol with a name, which must be defined.
    pub fn export(&self, name: &str) -> Result<&Symbol, Error> {
        let found = self.symbols.iter().find(|it| it.global && it.section.is_some() && it.name == name);
        found.ok_or_else(|| Error::object(format_args!("does not export `{name}`")))
    }
}
