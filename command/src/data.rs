//! Reference data as ONNX tests have them: folders with `input_0.pb`, ..., `output_0.pb`, ...

use crate::failure::{Failure, Result};
use mlc_tensorio::{Named, read};
use std::path::{Path, PathBuf};

/// A folder of data.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
}

/// What is in it, in the order of the graph.
#[derive(Clone, Debug)]
pub struct Case {
    /// For people.
    pub name: String,
    /// `input_0.pb`, `input_1.pb` and so on.
    pub inputs: Vec<Named>,
    /// `output_0.pb`, `output_1.pb` and so on.
    pub outputs: Vec<Named>,
}

/// Folders that are cases, or have cases in them; sorted by name within each.
///
/// # Errors
/// If one cannot be read or has no case.
pub fn find(folders: &[PathBuf]) -> Result<Vec<Folder>> {
    let mut cases = Vec::new();
    for folder in folders {
        if is_case(folder) {
            cases.push(Folder { path: folder.clone() });
            continue;
        }
        let unreadable = |error| Failure::invalid(format!("cannot read folder `{}`: {error}", folder.display()));
        let entries = std::fs::read_dir(folder).map_err(unreadable)?;
        let mut inside: Vec<PathBuf> =
            entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|it| is_case(it)).collect();
        inside.sort();
        if inside.is_empty() {
            let message = format!("`{}` has no output_0.pb, and no folder in it has one", folder.display());
            return Err(Failure::invalid(message));
        }
        cases.extend(inside.into_iter().map(|path| Folder { path }));
    }
    Ok(cases)
}

fn is_case(folder: &Path) -> bool {
    folder.join("output_0.pb").is_file()
}

impl Folder {
    /// Reads it.
    ///
    /// # Errors
    /// If a file is no tensor.
    pub fn load(&self) -> Result<Case> {
        let name =
            self.path.file_name().map_or_else(|| self.path.display().to_string(), |it| it.to_string_lossy().into());
        Ok(Case { name, inputs: numbered(&self.path, "input")?, outputs: numbered(&self.path, "output")? })
    }
}

fn numbered(folder: &Path, prefix: &str) -> Result<Vec<Named>> {
    let paths = (0..).map(|number| folder.join(format!("{prefix}_{number}.pb"))).take_while(|path| path.exists());
    let lists: mlc_ir::Result<Vec<Vec<Named>>> = paths.map(|path| read(&path)).collect();
    Ok(lists?.into_iter().flatten().collect())
}
