//! Runs the command.
#![allow(dead_code, reason = "each test file uses a part")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// What a call left.
pub struct Ran {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ran {
    /// The answer as an object.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}\n{}", self.out, self.err))
    }

    /// Fails unless the exit code is 0.
    pub fn fine(self) -> Ran {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self
    }

    /// Fails unless the call ended with this code and one line of error that holds all these texts.
    pub fn fails(&self, code: i32, texts: &[&str]) {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        assert!(self.err.starts_with("error: ") && self.err.trim_end().lines().count() == 1, "{}", self.err);
        texts.iter().for_each(|text| assert!(self.err.contains(text), "`{text}` is not in: {}", self.err));
        assert!(!self.err.contains("panicked"), "{}", self.err);
    }
}

/// Calls `mlc`.
pub fn mlc<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_mlc")).args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

/// A file of the examples.
pub fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name)
}

/// The same as text.
pub fn example_text(name: &str) -> String {
    example(name).display().to_string()
}

/// The names in a folder, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// `--input image=PICTURE` for the picture of every digit.
pub fn pictures() -> Vec<String> {
    let picture = |digit| format!("--input=image={}", example_text(&format!("pictures/{digit}-a.png")));
    (0..10).map(picture).collect()
}

/// The best class of each row of the first output.
pub fn best(answer: &serde_json::Value) -> Vec<u64> {
    let rows = answer["outputs"][0]["top"].as_array().unwrap();
    rows.iter().map(|row| row[0]["class"].as_u64().unwrap()).collect()
}
