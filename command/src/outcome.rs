//! What a command answers: a text for people, an object for programs.

use crate::failure::Exit;
use serde_json::Value;

/// The answer of a command that came to its end.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// [`Exit::Fine`] or [`Exit::Differs`], or [`Exit::Unsupported`] of `check`.
    pub exit: Exit,
    /// For people; ends in a new line.
    pub text: String,
    /// For programs; has a `schema`.
    pub json: Value,
}

impl Outcome {
    /// All is fine.
    pub fn fine(text: impl Into<String>, json: Value) -> Outcome {
        Outcome { exit: Exit::Fine, text: text.into(), json }
    }

    /// What is printed.
    pub fn print(&self, json: bool) -> String {
        if json { format!("{:#}\n", self.json) } else { self.text.clone() }
    }
}
