//! What can go wrong, with the file it went wrong with.

use std::fmt;
use std::path::{Path, PathBuf};

use mlc_abi::ABI;

/// What went wrong, and with which file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Error {
    /// The file, if it was about one.
    pub file: Option<PathBuf>,
    /// What went wrong.
    pub reason: Reason,
}

/// What went wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reason {
    /// The file cannot be read; the words of the system.
    Unreadable(String),
    /// Fewer bytes than the file says it has.
    Truncated {
        /// What the file says; 0 if even that is missing.
        expected: u64,
        /// What it has.
        found: u64,
    },
    /// Some other file.
    NotArtifact(&'static str),
    /// Compiled for another processor family.
    Architecture {
        /// That of the file.
        file: &'static str,
        /// That of this machine.
        machine: &'static str,
    },
    /// The processor, or the system on it, lacks a feature.
    MissingFeature(&'static str),
    /// Made for another version of the binary interface.
    Abi(u32),
    /// Changed since it was written.
    Damaged,
    /// The descriptor is impossible although the file is as written.
    Descriptor(&'static str),
    /// The system's loader refused the file; its words.
    Load(String),
    /// An expected symbol is missing.
    MissingSymbol(String),
    /// The file with the weights is missing.
    MissingWeights,
    /// The file with the weights has another size.
    WeightsSize {
        /// What the model needs.
        expected: u64,
        /// What the file has.
        found: u64,
    },
    /// The weights belong to another model or are damaged.
    WeightsHash,
    /// The system gives no memory or no threads; its words.
    Resources(String),
    /// There is no GPU to run on, or something failed there.
    Device(String),
    /// A caller's tensor or number of tensors is wrong.
    Input(String),
    /// The model returned a code.
    Model {
        /// The code; see [`mlc_abi::code`].
        code: i32,
        /// Its text.
        message: String,
    },
}

impl Reason {
    /// With the file it is about.
    pub fn of(self, file: &Path) -> Error {
        Error { file: Some(file.to_path_buf()), reason: self }
    }
}

impl From<Reason> for Error {
    fn from(reason: Reason) -> Error {
        Error { file: None, reason }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "{}: {}", file.display(), self.reason),
            None => self.reason.fmt(f),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Reason::Unreadable(error) => write!(f, "cannot be read: {error}"),
            Reason::Truncated { expected: 0, found } => write!(f, "is truncated: it has {found} bytes"),
            Reason::Truncated { expected, found } => {
                write!(f, "is truncated: it has {found} of {expected} bytes; copy or build it again")
            }
            Reason::NotArtifact(why) => write!(f, "is not an mlc artifact: {why}"),
            Reason::Architecture { file, machine } => {
                write!(f, "is for {file}, this machine is {machine}: build with `--target {machine}`")
            }
            Reason::MissingFeature(name) => {
                write!(f, "needs the processor feature {name}, which this machine lacks: build with another `--cpu`")
            }
            Reason::Abi(found) => {
                write!(
                    f,
                    "has ABI version {found}, this runtime has {ABI}: build the model again or change the runtime"
                )
            }
            Reason::Damaged => f.write_str(
                "is damaged: its bytes are not those that were written (tools like `strip` change them, too)",
            ),
            Reason::Descriptor(what) => write!(f, "has an impossible descriptor: {what}"),
            Reason::Load(error) => write!(f, "cannot be loaded: {error}"),
            Reason::MissingSymbol(name) => write!(f, "has no symbol `{name}`"),
            Reason::MissingWeights => f.write_str("is missing: it holds the weights and belongs beside the artifact"),
            Reason::WeightsSize { expected, found } => {
                write!(f, "has {found} bytes, the model needs {expected}: it belongs to another build or is truncated")
            }
            Reason::WeightsHash => f.write_str("has weights that are damaged or belong to another build"),
            Reason::Resources(error) => write!(f, "the system gives no memory or threads: {error}"),
            Reason::Device(what) | Reason::Input(what) => f.write_str(what),
            Reason::Model { code, message } => write!(f, "{message} (code {code})"),
        }
    }
}

impl std::error::Error for Error {}
