//! The lists of tests that pass, one a way; they may only grow.
//!
//! `tests/expected/WAY.txt` has one line `SUITE/TEST` for each. With `UPDATE=1` in the environment the lists are written
//! instead of checked; [`operators`](crate::operators) makes `docs/ops.md` from them.

use crate::{SUITES, Way, check, node_tests, root};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// What a run of all tests gave, compared with the list.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Tests that pass.
    pub passed: BTreeSet<String>,
    /// Tests that do not, with their reasons.
    pub failed: Vec<(String, String)>,
    /// Tests of the list that do not pass, with their reasons.
    pub lost: Vec<(String, String)>,
    /// Tests that pass and are not in the list.
    pub new: Vec<String>,
}

/// The file with the list of a way.
pub fn list(way: Way) -> PathBuf {
    root().join("tests").join("expected").join(format!("{}.txt", way.name()))
}

/// Runs all suites in a way. The interpreter leaves out `light`: whole models, element by element, take hours.
///
/// # Errors
/// If the tests are not there, or the list cannot be read or written.
pub fn run_all(way: Way) -> Result<Outcome, String> {
    let path = list(way);
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let expected: BTreeSet<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    let mut outcome = Outcome::default();
    for suite in SUITES.into_iter().filter(|suite| way == Way::Compiled || *suite != "light") {
        for test in node_tests(suite).map_err(|e| e.to_string())? {
            let name = format!("{suite}/{}", test.name);
            match check(&test, way) {
                Ok(()) => drop(outcome.passed.insert(name)),
                Err(reason) => outcome.failed.push((name, reason)),
            }
        }
    }
    outcome.lost = outcome.failed.iter().filter(|(name, _)| expected.contains(name.as_str())).cloned().collect();
    outcome.new = outcome.passed.iter().filter(|name| !expected.contains(name.as_str())).cloned().collect();
    if std::env::var("UPDATE").is_ok() {
        let lines: Vec<&str> = outcome.passed.iter().map(String::as_str).collect();
        std::fs::write(&path, lines.join("\n") + "\n").map_err(|e| format!("{}: {e}", path.display()))?;
    }
    Ok(outcome)
}
