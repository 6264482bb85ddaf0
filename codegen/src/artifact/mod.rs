//! Artifacts: turns a relocatable object and what is known about a model into the files users want.
//!
//! ```text
//!  ObjectModule ──► object bytes ─┐             ┌─► NAME.so        shared object, no linker involved
//!  Description ──► descriptor blob┤ (in object) ├─► NAME.o         + descriptor hashes, + embedded weights
//!             └──► checks, texts ─┼─► write() ──┼─► libNAME.a      the same object in an archive
//!  Weights (a stream) ────────────┘             ├─► NAME.h         C and C++
//!                                               ├─► NAME.json      manifest
//!                                               └─► NAME.weights   where weights are large
//! ```
//!
//! In: [`Parts`]. Out: the files of the [`Kind`]s asked for.
//!
//! Invariants: the bytes are a pure function of the input (no times, no paths, no order of a hash map); weights are
//! streamed and never held; files appear complete or not at all; an artifact has no undefined symbol.

mod archive;
mod description;
pub mod descriptor;
mod elf;
mod error;
mod header;
mod image;
mod layout;
mod manifest;
mod relocatable;
mod relocate;
mod shared;
mod staged;
mod weights;

pub use description::{Arena, Check, Description, Dim, Placement, Subject, Symbol, Tensor};
pub use error::Error;
pub use weights::{Slice, Weights};

use std::path::{Path, PathBuf};

use mlc_abi::Architecture;
use target_lexicon::{Architecture as Cpu, BinaryFormat, Triple};
use xxhash_rust::xxh3::Xxh3;

use staged::Staged;

/// A kind of file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// `NAME.so`
    Shared,
    /// `NAME.o`
    Object,
    /// `libNAME.a`
    Archive,
    /// `NAME.h`
    Header,
    /// `NAME.json`
    Manifest,
    /// `NAME.weights`; written with any of the first three where weights are not embedded.
    Weights,
}

impl Kind {
    /// The name of the file for a model.
    pub fn file_name(self, model: &str) -> String {
        match self {
            Kind::Shared => format!("{model}.so"),
            Kind::Object => format!("{model}.o"),
            Kind::Archive => format!("lib{model}.a"),
            Kind::Header => format!("{model}.h"),
            Kind::Manifest => format!("{model}.json"),
            Kind::Weights => format!("{model}.weights"),
        }
    }

    fn has_code(self) -> bool {
        matches!(self, Kind::Shared | Kind::Object | Kind::Archive)
    }
}

/// Everything an artifact is made of.
pub struct Parts<'a> {
    /// What the code is for.
    pub target: Triple,
    /// ELF relocatable with `NAME_plan`, `NAME_run`, `NAME_message` and `NAME_descriptor` global, all else local.
    pub object: Vec<u8>,
    /// The facts for header and manifest; the descriptor in `object` was built from the same.
    pub description: &'a Description,
    /// The packed weights.
    pub weights: &'a dyn Weights,
}

/// A file that was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Written {
    /// What it is.
    pub kind: Kind,
    /// Where it is.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
}

/// The processor family of a target, if artifacts can be made for it.
pub fn architecture(target: &Triple) -> Result<Architecture, Error> {
    let arch = match target.architecture {
        Cpu::X86_64 => Architecture::X86_64,
        Cpu::Aarch64(target_lexicon::Aarch64Architecture::Aarch64) => Architecture::Aarch64,
        _ => return Err(Error::Target(target.to_string())),
    };
    match target.binary_format {
        BinaryFormat::Elf | BinaryFormat::Unknown => Ok(arch),
        _ => Err(Error::Target(target.to_string())),
    }
}

/// Writes the files of these kinds, and the weights they need, into a folder that exists.
///
/// The result names the files in the order of [`Kind`]. On an error nothing new is left in the folder.
pub fn write(parts: Parts, kinds: &[Kind], folder: &Path) -> Result<Vec<Written>, Error> {
    let arch = architecture(&parts.target)?;
    let Parts { mut object, description, weights, .. } = parts;
    description.check(weights.len())?;
    let mut kinds = kinds.to_vec();
    let code = kinds.iter().any(|kind| kind.has_code());
    if code && description.placement == Placement::Sidecar {
        kinds.push(Kind::Weights);
    }
    kinds.sort();
    kinds.dedup();

    let mut staged = Staged::new(folder);
    let sidecar = kinds.contains(&Kind::Weights) && !weights.is_empty();
    let weights_hash = match sidecar {
        true => staged.file(&Kind::Weights.file_name(&description.name), |out| weights::write_padded(weights, out))?,
        false => weights::hash(weights).map_err(Error::Weights)?,
    };
    let content_hash = descriptor::patch(&mut object, arch, description, weights_hash)?;
    for &kind in kinds.iter().filter(|&&kind| kind != Kind::Weights) {
        let name = kind.file_name(&description.name);
        match kind {
            Kind::Shared => {
                let file = shared::Shared::new(&object, arch, description)?;
                staged.file(&name, |out| file.write_to(weights, out))?;
            }
            Kind::Object => {
                let file = relocatable::Relocatable::new(&object, arch, description)?;
                staged.file(&name, |out| file.write_to(weights, out))?;
            }
            Kind::Archive => {
                let file = relocatable::Relocatable::new(&object, arch, description)?;
                staged.file(&name, |out| archive::write(&file, weights, out))?;
            }
            Kind::Header => staged.text(&name, &header::text(description, arch))?,
            Kind::Manifest => {
                let files: Vec<Kind> = kinds.clone();
                staged.text(&name, &manifest::text(description, arch, &files, content_hash, weights_hash)?)?;
            }
            Kind::Weights => {}
        }
    }
    let mut written = Vec::new();
    for (path, bytes) in staged.commit()? {
        let kind = kinds.iter().find(|kind| path.ends_with(kind.file_name(&description.name)));
        written.extend(kind.map(|&kind| Written { kind, path, bytes }));
    }
    written.sort_by_key(|file| file.kind);
    Ok(written)
}

/// XXH3-64 of pieces that follow each other.
fn hash_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let mut state = Xxh3::new();
    pieces.into_iter().for_each(|piece| state.update(piece));
    state.digest()
}
