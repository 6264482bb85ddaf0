//! Why a command ended without its result, and the exit code that says so.

use mlc_codegen::artifact;
use mlc_frontend::Gap;
use mlc_ir::{Error, ErrorKind};
use mlc_runtime::Reason;
use serde_json::{Value, json};
use std::fmt;

/// How a command ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// As asked.
    Fine = 0,
    /// A comparison failed.
    Differs = 1,
    /// The command line must change.
    Usage = 2,
    /// A model or file must change.
    Invalid = 3,
    /// Nothing is wrong, but `mlc` or this machine cannot do it.
    Unsupported = 4,
    /// A budget, such as the machine's memory, does not suffice.
    Budget = 5,
    /// A bug of `mlc`.
    Internal = 70,
}

impl Exit {
    /// The word for it in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Exit::Fine => "fine",
            Exit::Differs => "differs",
            Exit::Usage => "usage",
            Exit::Invalid => "invalid",
            Exit::Unsupported => "unsupported",
            Exit::Budget => "budget",
            Exit::Internal => "internal",
        }
    }
}

/// Why a command ended without its result.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// Decides the exit code.
    pub exit: Exit,
    /// The node of the model it is about, if about one.
    pub node: Option<String>,
    /// One sentence for people.
    pub message: String,
    /// Everything that is not supported, if that is the reason.
    pub gaps: Vec<Gap>,
}

/// A result whose error is [`Failure`].
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// With a message.
    pub fn new(exit: Exit, message: impl Into<String>) -> Failure {
        Failure { exit, node: None, message: message.into(), gaps: vec![] }
    }

    /// The command line must change.
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure::new(Exit::Usage, message)
    }

    /// A file must change.
    pub fn invalid(message: impl Into<String>) -> Failure {
        Failure::new(Exit::Invalid, message)
    }

    /// The list of everything that is not supported.
    pub fn gaps(model: &str, gaps: Vec<Gap>) -> Failure {
        let things = if gaps.len() == 1 { "thing" } else { "things" };
        let message = format!("`{model}` needs {} {things} that mlc does not have yet", gaps.len());
        Failure { gaps, ..Failure::new(Exit::Unsupported, message) }
    }

    /// The same failure with a text in front of its message, such as the name of a file.
    pub fn in_front(self, text: &str) -> Failure {
        Failure { message: format!("{text}: {}", self.message), ..self }
    }

    /// As an object under the schema `mlc-error/1`.
    pub fn json(&self) -> Value {
        json!({
            "schema": "mlc-error/1",
            "exit": self.exit as u8,
            "kind": self.exit.name(),
            "node": self.node,
            "message": self.message,
            "gaps": self.gaps.iter().map(gap_json).collect::<Vec<_>>(),
        })
    }
}

/// A gap as an object.
pub fn gap_json(gap: &Gap) -> Value {
    json!({
        "op": gap.op, "domain": gap.domain, "opset": gap.opset, "node": gap.node, "count": gap.count,
        "message": gap.message, "advice": gap.advice,
    })
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if let Some(node) = &self.node {
            write!(f, "node `{node}`: ")?;
        }
        f.write_str(&self.message)?;
        if self.exit == Exit::Internal {
            f.write_str(" (a bug of mlc: please report it, with the model)")?;
        }
        self.gaps.iter().try_for_each(|gap| write!(f, "\n  - {gap}"))
    }
}

impl std::error::Error for Failure {}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let exit = match error.kind {
            ErrorKind::Invalid => Exit::Invalid,
            ErrorKind::Unsupported => Exit::Unsupported,
            ErrorKind::Internal => Exit::Internal,
        };
        Failure { node: error.node, ..Failure::new(exit, error.message) }
    }
}

impl From<mlc_runtime::Error> for Failure {
    fn from(error: mlc_runtime::Error) -> Failure {
        let exit = match &error.reason {
            Reason::Architecture { .. } | Reason::MissingFeature(_) | Reason::Abi(_) => Exit::Unsupported,
            Reason::Resources(_) => Exit::Budget,
            _ => Exit::Invalid,
        };
        Failure::new(exit, error.to_string())
    }
}

impl From<artifact::Error> for Failure {
    fn from(error: artifact::Error) -> Failure {
        use artifact::Error::{Description, File, Name, Object, Relocation, Target, Undefined, Weights};
        let exit = match &error {
            Target(_) => Exit::Unsupported,
            Name(_) => Exit::Usage,
            File(..) | Weights(_) => Exit::Invalid,
            Description(_) | Object(_) | Undefined(_) | Relocation(_) => Exit::Internal,
        };
        Failure::new(exit, error.to_string())
    }
}
