//! Where models and their data are.

use mlc_ir::{Error, Result};
use mlc_tensorio::Tolerance;
use std::fs;
use std::path::{Path, PathBuf};

/// The suites of the ONNX backend tests.
pub const SUITES: [&str; 5] = ["node", "simple", "pytorch-converted", "pytorch-operator", "light"];

/// A model with data to check it against.
#[derive(Clone, PartialEq, Debug)]
pub struct Test {
    /// The folder below `.models` or `.node-tests/SUITE`; for a model beside others, with the file's stem: `FOLDER/STEM`.
    pub name: String,
    /// The ONNX file.
    pub model: PathBuf,
    /// Folders of data, to be read with [`load`](crate::load), in the order of their names.
    pub sets: Vec<PathBuf>,
}

impl Test {
    /// What `tolerance.json` beside a backend test's model says.
    pub fn tolerance(&self) -> Result<Tolerance> {
        let path = self.model.with_file_name("tolerance.json");
        let invalid = |reason: String| Error::invalid(format!("{}: {reason}", path.display()));
        let text = fs::read_to_string(&path).map_err(|error| invalid(error.to_string()))?;
        let json: serde_json::Value = serde_json::from_str(&text).map_err(|error| invalid(error.to_string()))?;
        let number = |key: &str| json[key].as_f64().ok_or_else(|| invalid(format!("`{key}` is no number")));
        Ok(Tolerance { rtol: number("rtol")?, atol: number("atol")? })
    }
}

/// The root of the repository.
pub fn root() -> PathBuf {
    let mut root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.pop();
    root
}

/// All tests of one of the [`SUITES`].
pub fn node_tests(suite: &str) -> Result<Vec<Test>> {
    let folders = entries(&root().join(".node-tests").join(suite))?.into_iter().filter(|path| path.is_dir());
    folders
        .map(|folder| Ok(Test { name: file_name(&folder), model: folder.join("model.onnx"), sets: sets_in(&folder)? }))
        .collect()
}

/// All real models with their reference cases.
pub fn model_tests() -> Result<Vec<Test>> {
    let mut tests = Vec::new();
    for folder in entries(&root().join(".models"))?.into_iter().filter(|path| path.is_dir()) {
        for cases in entries(&folder)? {
            let (name, stem) = match file_name(&cases).strip_prefix("cases") {
                Some("") => (file_name(&folder), "model".to_string()),
                Some(rest) => match rest.strip_prefix('-') {
                    Some(stem) if !stem.ends_with(".partial") => {
                        (format!("{}/{stem}", file_name(&folder)), stem.to_string())
                    }
                    _ => continue,
                },
                None => continue,
            };
            tests.push(Test { name, model: folder.join(format!("{stem}.onnx")), sets: sets_in(&cases)? });
        }
    }
    if tests.is_empty() { Err(missing(&root().join(".models"), "no reference cases")) } else { Ok(tests) }
}

/// The folders in a folder.
fn sets_in(folder: &Path) -> Result<Vec<PathBuf>> {
    Ok(entries(folder)?.into_iter().filter(|path| path.is_dir()).collect())
}

/// What is in a folder, sorted.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let list = fs::read_dir(folder).and_then(|list| list.map(|entry| Ok(entry?.path())).collect());
    let mut list: Vec<PathBuf> = list.map_err(|error| missing(folder, &error.to_string()))?;
    list.sort();
    Ok(list)
}

fn missing(folder: &Path, reason: &str) -> Error {
    Error::invalid(format!("{}: {reason}; tests/setup.sh makes it", folder.display()))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
