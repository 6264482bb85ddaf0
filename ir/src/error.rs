//! The error of everything that reads, checks or rewrites a model.

use std::fmt;

/// What went wrong, where, and what to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Error {
    /// Decides the command's exit code.
    pub kind: ErrorKind,
    /// The node of the model it happened at, if at one.
    pub node: Option<String>,
    /// One sentence for people.
    pub message: String,
}

/// Kinds of [`Error`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorKind {
    /// The model, file or value breaks a rule.
    Invalid,
    /// The model is fine; `mlc` cannot do it yet.
    Unsupported,
    /// `mlc` broke one of its own rules: a bug.
    Internal,
}

/// A result whose error is [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The input breaks a rule.
    pub fn invalid(message: impl Into<String>) -> Error {
        Error { kind: ErrorKind::Invalid, node: None, message: message.into() }
    }

    /// The input is fine but not supported.
    pub fn unsupported(message: impl Into<String>) -> Error {
        Error { kind: ErrorKind::Unsupported, node: None, message: message.into() }
    }

    /// A bug.
    pub fn internal(message: impl Into<String>) -> Error {
        Error { kind: ErrorKind::Internal, node: None, message: message.into() }
    }

    /// The same error, at a node; an error that has one keeps it.
    pub fn at(mut self, node: &str) -> Error {
        self.node.get_or_insert_with(|| node.to_string());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if let Some(node) = &self.node {
            write!(f, "node `{node}`: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
