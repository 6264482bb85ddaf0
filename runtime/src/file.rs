//! Looks at a shared object before anything of it is loaded.
//!
//! In: a path. Out: [`Checked`], the descriptor of a file whose every byte outside the weights is as it was written.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use mlc_abi::descriptor::{Descriptor, Fault};
use mlc_abi::note::{self, Note};
use mlc_abi::{Architecture, feature};
use xxhash_rust::xxh3::Xxh3;

use crate::cpu;
use crate::error::{Error, Reason};

/// As much of a file as surely holds its note.
const HEAD: u64 = 4096;

/// A file that may be loaded.
pub(crate) struct Checked {
    /// Its descriptor.
    pub descriptor: Vec<u8>,
}

/// Checks a file; with `verify` also the embedded weights.
pub(crate) fn check(path: &Path, verify: bool) -> Result<Checked, Error> {
    let unreadable = |error: std::io::Error| Reason::Unreadable(error.to_string()).of(path);
    let mut file = File::open(path).map_err(unreadable)?;
    let facts = file.metadata().map_err(unreadable)?;
    if !facts.is_file() {
        return Err(Reason::NotArtifact("it is not a regular file").of(path));
    }
    let found = facts.len();
    let mut bytes = Vec::new();
    (&mut file).take(HEAD).read_to_end(&mut bytes).map_err(unreadable)?;
    let (note, at) = find_note(&bytes).map_err(|reason| reason.of(path))?;
    if found < note.file_bytes {
        return Err(Reason::Truncated { expected: note.file_bytes, found }.of(path));
    }
    if found > note.file_bytes || note.weights_offset > found || note.weights_bytes > found - note.weights_offset {
        return Err(Reason::Damaged.of(path));
    }
    let rest = note.weights_offset.saturating_sub(bytes.len() as u64);
    (&mut file).take(rest).read_to_end(&mut bytes).map_err(unreadable)?;
    bytes.truncate(note.weights_offset as usize);
    if hash(&bytes, at + note::HASH) != Some(note.hash) {
        return Err(Reason::Damaged.of(path));
    }
    let start = note.descriptor_offset as usize;
    let range = start..start.saturating_add(note.descriptor_bytes as usize);
    let blob = bytes.get(range).ok_or_else(|| Reason::Descriptor("place").of(path))?;
    let descriptor = parse(blob).map_err(|reason| reason.of(path))?;
    if verify && descriptor.embedded() {
        let weights = descriptor.weights_bytes();
        file.seek(SeekFrom::Start(note.weights_offset)).map_err(unreadable)?;
        if weights != note.weights_bytes
            || stream_hash(file.take(weights)).map_err(unreadable)? != descriptor.weights_hash()
        {
            return Err(Reason::WeightsHash.of(path));
        }
    }
    Ok(Checked { descriptor: blob.to_vec() })
}

/// Reads and checks a descriptor, and that this machine can run what it describes.
pub(crate) fn parse(blob: &[u8]) -> Result<Descriptor<'_>, Reason> {
    let descriptor = Descriptor::parse(blob).map_err(|fault| match fault {
        Fault::NotDescriptor => Reason::NotArtifact("its descriptor is missing"),
        Fault::Abi(found) => Reason::Abi(found),
        Fault::Malformed(what) => Reason::Descriptor(what),
    })?;
    let arch = descriptor.architecture();
    same_architecture(arch)?;
    let missing = descriptor.features() & !cpu::features();
    if let Some(lacking) = feature::named(arch, missing).next() {
        return Err(Reason::MissingFeature(lacking.name));
    }
    if missing != 0 {
        return Err(Reason::MissingFeature("with a number this runtime does not know"));
    }
    Ok(descriptor)
}

fn same_architecture(arch: Architecture) -> Result<(), Reason> {
    if Architecture::host() == Some(arch) {
        return Ok(());
    }
    Err(Reason::Architecture { file: arch.name(), machine: std::env::consts::ARCH })
}

/// The note in the head of a file, and the offset of its contents.
fn find_note(head: &[u8]) -> Result<(Note, usize), Reason> {
    if head.get(..4) != Some(b"\x7fELF") {
        return Err(Reason::NotArtifact("it is not an ELF file"));
    }
    let Some(fixed) = head.first_chunk::<64>() else {
        return Err(Reason::Truncated { expected: 0, found: head.len() as u64 });
    };
    // 64 bits, little-endian.
    if fixed[4..6] != [2, 1] {
        return Err(Reason::NotArtifact("it is not 64-bit little-endian"));
    }
    let Some((note, at)) = Note::find(head) else {
        return Err(Reason::NotArtifact("it has no mlc note, or ends before it"));
    };
    let machine = u16::from_le_bytes([fixed[18], fixed[19]]);
    if let Some(arch) = Architecture::from_number(machine.into()) {
        same_architecture(arch)?;
    }
    Ok((note, at))
}

/// The hash of bytes with 8 of them taken as 0.
fn hash(bytes: &[u8], zero: usize) -> Option<u64> {
    let mut state = Xxh3::new();
    state.update(bytes.get(..zero)?);
    state.update(&[0; 8]);
    state.update(bytes.get(zero.checked_add(8)?..)?);
    Some(state.digest())
}

fn stream_hash(mut bytes: impl Read) -> std::io::Result<u64> {
    let mut state = Xxh3::new();
    let mut block = vec![0; 1 << 16];
    loop {
        match bytes.read(&mut block)? {
            0 => return Ok(state.digest()),
            count => state.update(&block[..count]),
        }
    }
}
