//! Folders and text files that are written: complete, or not at all.

use crate::failure::{Failure, Result};
use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

/// A folder to write to. If it was made for this, it goes away again unless it is kept.
pub struct Folder {
    path: PathBuf,
    /// The outermost folder that was made.
    made: Option<PathBuf>,
    kept: Cell<bool>,
}

impl Folder {
    /// Makes the folder if it is not there.
    ///
    /// # Errors
    /// If it cannot be made or written to.
    pub fn open(path: &Path) -> Result<Folder> {
        let unusable =
            |error: std::io::Error| Failure::invalid(format!("cannot write to folder `{}`: {error}", path.display()));
        let missing = path.ancestors().take_while(|it| !it.as_os_str().is_empty() && !it.exists()).last();
        let folder = Folder { path: path.into(), made: missing.map(Path::to_path_buf), kept: Cell::new(false) };
        fs::create_dir_all(path).map_err(unusable)?;
        // Asked before the work, which may be long.
        let probe = path.join(format!(".mlc.{}.tmp", std::process::id()));
        fs::write(&probe, b"").and_then(|()| fs::remove_file(&probe)).map_err(unusable)?;
        Ok(folder)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// It stays.
    pub fn keep(&self) {
        self.kept.set(true);
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Some(made) = self.made.as_ref().filter(|_| !self.kept.get()) {
            // It holds nothing but what this command put there; there is nothing else to try.
            let _ = fs::remove_dir_all(made);
        }
    }
}

/// Text files that shall be written.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    list: Vec<(String, String)>,
}

/// Text files under temporary names.
pub struct Staged {
    files: Vec<(PathBuf, PathBuf, u64)>,
}

impl Texts {
    /// One more.
    pub fn add(&mut self, name: String, text: String) {
        self.list.push((name, text));
    }

    /// Writes all under temporary names.
    ///
    /// # Errors
    /// If that fails; nothing is left then.
    pub fn stage(self, folder: &Path) -> Result<Staged> {
        let mut staged = Staged { files: Vec::new() };
        for (name, text) in self.list {
            let (path, temporary) = (folder.join(&name), folder.join(format!(".{name}.{}.tmp", std::process::id())));
            staged.files.push((temporary.clone(), path.clone(), text.len() as u64));
            fs::write(&temporary, text).map_err(|error| unwritten(&path, &error))?;
        }
        Ok(staged)
    }
}

impl Staged {
    /// Gives every file its name; answers with path and size of each.
    ///
    /// # Errors
    /// If a file cannot be renamed.
    pub fn commit(mut self) -> Result<Vec<(PathBuf, u64)>> {
        let mut done = Vec::new();
        for (temporary, path, bytes) in std::mem::take(&mut self.files) {
            if let Err(error) = fs::rename(&temporary, &path) {
                let _ = fs::remove_file(&temporary);
                return Err(unwritten(&path, &error));
            }
            done.push((path, bytes));
        }
        Ok(done)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        self.files.iter().for_each(|file| drop(fs::remove_file(&file.0)));
    }
}

fn unwritten(path: &Path, error: &std::io::Error) -> Failure {
    Failure::invalid(format!("{}: cannot be written: {error}", path.display()))
}
