//! Why an artifact could not be written.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why an artifact could not be written.
#[derive(Debug)]
pub enum Error {
    /// Artifacts cannot be made for this target.
    Target(String),
    /// The model's name cannot prefix C symbols.
    Name(String),
    /// The description contradicts itself or the weights.
    Description(String),
    /// The object is not what the compiler should have produced.
    Object(String),
    /// The object needs symbols that an artifact cannot have.
    Undefined(Vec<String>),
    /// A relocation that cannot be applied.
    Relocation(String),
    /// A file could not be written.
    File(PathBuf, io::Error),
    /// The packed weights could not be produced.
    Weights(io::Error),
}

impl Error {
    /// An object that is not as expected.
    pub(super) fn object(reason: impl fmt::Display) -> Error {
        Error::Object(reason.to_string())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Error::Target(triple) => {
                write!(f, "target `{triple}`: files can be written for ELF on x86_64 and aarch64 only")
            }
            Error::Name(name) => write!(
                f,
                "model name `{name}`: use letters, digits and `_`, not beginning with a digit, at most 200 characters"
            ),
            Error::Description(reason) => write!(f, "description of the model: {reason}"),
            Error::Object(reason) => write!(f, "generated object: {reason}"),
            Error::Undefined(names) => write!(
                f,
                "generated object: undefined symbols {}: an artifact imports nothing, so each must be generated",
                names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
            ),
            Error::Relocation(reason) => write!(f, "generated object: relocation {reason}"),
            Error::File(path, error) => write!(f, "{}: cannot be written: {error}", path.display()),
            Error::Weights(error) => write!(f, "packed weights: {error}"),
        }
    }
}

impl std::error::Error for Error {}
