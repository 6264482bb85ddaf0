//! Files of measured schedules, as the command takes them.

use crate::failure::{Failure, Result};
use crate::progress::Ui;
use crate::targets::Target;
use mlc_codegen::compile::Tuned;
use mlc_codegen::tuning::{self, Book, Tuning, target_name};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Which measured schedules code is made by.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct TuningArgs {
    /// Measured schedules, from `mlc tune`. Records of other kernels and targets do nothing; one that is not sound is
    /// ignored with a note.
    #[arg(long, value_name = "FILE")]
    pub tuning: Option<PathBuf>,
}

impl TuningArgs {
    /// What a file has for a target; nothing without one.
    ///
    /// # Errors
    /// If the file cannot be read, or is of another kind.
    pub fn read(&self, target: &Target) -> Result<Records> {
        let Some(path) = &self.tuning else { return Ok(Records::default()) };
        let book = book(path)?;
        let tuning = book.tuning(&name(target));
        Ok(Records { path: Some(path.clone()), tuning, unread: book.unread })
    }

    /// Fails if there is a file for something that is compiled already.
    ///
    /// # Errors
    /// Says so.
    pub fn refuse(&self, artifact: &Path) -> Result<()> {
        if self.tuning.is_none() {
            return Ok(());
        }
        let path = artifact.display();
        Err(Failure::usage(format!("`--tuning` needs the ONNX model; `{path}` is compiled already")))
    }
}

/// The records of a file that are for a target.
#[derive(Clone, Debug, Default)]
pub struct Records {
    path: Option<PathBuf>,
    /// For the compiler.
    pub tuning: Tuning,
    unread: Vec<String>,
}

impl Records {
    /// What is wrong with the file, a line each.
    fn ignored(&self, tuned: &Tuned) -> Vec<String> {
        self.unread.iter().cloned().chain(tuned.ignored.iter().map(ToString::to_string)).collect()
    }

    /// Says which records were left out.
    pub fn warn(&self, tuned: &Tuned, ui: Ui) {
        let Some(path) = &self.path else { return };
        self.ignored(tuned).iter().for_each(|line| ui.note(&format!("{}: {line}", path.display())));
    }

    /// What became of the records; null without a file.
    pub fn json(&self, tuned: &Tuned) -> Value {
        let ignored = self.ignored(tuned);
        self.path.as_ref().map_or(
            Value::Null,
            |path| json!({ "file": path, "records": self.tuning.len(), "used": tuned.used, "ignored": ignored }),
        )
    }

    /// What became of the records, in a few words; empty without a file.
    pub fn text(&self, tuned: &Tuned) -> String {
        let Some(path) = &self.path else { return String::new() };
        let records = crate::text::count(self.tuning.len(), "record");
        let ignored = match self.ignored(tuned).len() {
            0 => String::new(),
            n => format!(", {n} ignored"),
        };
        format!("tuning   {} of {records} in {} used{ignored}\n", tuned.used, path.display())
    }
}

/// What records of a target are kept under.
pub fn name(target: &Target) -> String {
    target_name(&target.triple, &target.machine())
}

/// Reads a file.
///
/// # Errors
/// If it cannot be read, or is of another kind.
pub fn book(path: &Path) -> Result<Book> {
    let unreadable = |why: &dyn std::fmt::Display| Failure::invalid(format!("cannot read `{}`: {why}", path.display()));
    let bytes = std::fs::read(path).map_err(|error| unreadable(&error))?;
    tuning::read(&String::from_utf8_lossy(&bytes)).map_err(|why| unreadable(&why))
}
