//! Looks into an artifact without loading it, so that one for another machine can be inspected, too.

use crate::failure::{Failure, Result};
use mlc_abi::descriptor::{Descriptor, Fault};
use mlc_abi::note::{self, Note};
use mlc_runtime::Reason;
use std::fs;
use std::path::Path;
use xxhash_rust::xxh3::Xxh3;

/// What a shared object says of itself.
pub struct Artifact {
    blob: Vec<u8>,
    /// Size of the file.
    pub file_bytes: u64,
    /// Bytes of machine code.
    pub code_bytes: u64,
}

impl Artifact {
    /// Reads a file and checks that it is as it was written.
    ///
    /// # Errors
    /// If it is no artifact, or is damaged.
    pub fn read(path: &Path) -> Result<Artifact> {
        let wrong = |what: String| Failure::invalid(format!("{}: {what}", path.display()));
        let bytes = fs::read(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
        let is_ours = bytes.get(..4) == Some(b"\x7fELF") && bytes.get(4..6) == Some(&[2, 1]);
        let found = if is_ours { Note::find(&bytes) } else { None };
        let (note, at) = found.ok_or_else(|| wrong("is not an mlc artifact".into()))?;
        if (bytes.len() as u64) < note.file_bytes {
            return Err(wrong(format!("is truncated: it has {} of {} bytes", bytes.len(), note.file_bytes)));
        }
        let rest = usize::try_from(note.weights_offset).ok().and_then(|end| bytes.get(..end));
        if rest.and_then(|rest| hash(rest, at + note::HASH)) != Some(note.hash) {
            return Err(wrong("is damaged: its bytes are not those that were written".into()));
        }
        let start = note.descriptor_offset as usize;
        let blob = bytes.get(start..start.saturating_add(note.descriptor_bytes as usize)).unwrap_or_default().to_vec();
        Descriptor::parse(&blob).map_err(|fault| match fault {
            Fault::NotDescriptor => wrong("has no descriptor".into()),
            Fault::Abi(found) => Reason::Abi(found).of(path).into(),
            Fault::Malformed(what) => wrong(format!("has an impossible descriptor: {what}")),
        })?;
        Ok(Artifact { blob, file_bytes: note.file_bytes, code_bytes: executable(&bytes) })
    }

    /// The descriptor.
    ///
    /// # Panics
    /// Never: it was checked when it was read.
    pub fn descriptor(&self) -> Descriptor<'_> {
        Descriptor::parse(&self.blob).expect("checked when it was read")
    }
}

/// The hash of bytes with 8 of them taken as 0.
fn hash(bytes: &[u8], zero: usize) -> Option<u64> {
    let mut state = Xxh3::new();
    state.update(bytes.get(..zero)?);
    state.update(&[0; 8]);
    state.update(bytes.get(zero.checked_add(8)?..)?);
    Some(state.digest())
}

/// Bytes of executable segments.
fn executable(bytes: &[u8]) -> u64 {
    use object::read::elf::{ElfFile64, ProgramHeader};
    let Ok(file) = ElfFile64::<object::LittleEndian>::parse(bytes) else { return 0 };
    let little = object::LittleEndian;
    let segments = file.elf_program_headers().iter();
    let code =
        segments.filter(|it| it.p_type(little) == object::elf::PT_LOAD && it.p_flags(little) & object::elf::PF_X != 0);
    code.map(|it| it.p_filesz(little)).sum()
}

/// Bytes of machine code in a relocatable object.
pub fn text_bytes(object: &[u8]) -> u64 {
    use object::{Object, ObjectSection};
    let Ok(file) = object::File::parse(object) else { return 0 };
    file.sections().filter(|section| section.kind() == object::SectionKind::Text).map(|section| section.size()).sum()
}
