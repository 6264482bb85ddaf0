//! Makes this library the driver of a process.

use libloading::Library;
use std::path::PathBuf;
use std::sync::OnceLock;

/// Loads the library that cargo built beside this program; whoever loads `libcuda.so.1` afterwards gets it, because a loader
/// knows libraries by the names they have in themselves.
///
/// # Errors
/// If it is not there.
pub fn install() -> Result<(), String> {
    static LOADED: OnceLock<Result<Library, String>> = OnceLock::new();
    let load = || {
        let path = find()?;
        // SAFETY: the library has no initialization code.
        unsafe { Library::new(&path) }.map_err(|error| format!("{}: {error}", path.display()))
    };
    LOADED.get_or_init(load).as_ref().map(|_| ()).map_err(Clone::clone)
}

/// Beside a test, or in `deps` beside another program.
fn find() -> Result<PathBuf, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let folder = program.parent().ok_or("this program is in no folder")?;
    let places = [folder.join("libcuda.so"), folder.join("deps").join("libcuda.so")];
    places.into_iter().find(|path| path.exists()).ok_or_else(|| format!("no libcuda.so in {}", folder.display()))
}
