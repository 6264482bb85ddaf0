//! Files by the end of their name.

use crate::{Named, npy, npz, pb};
use mlc_ir::{Error, Result};
use std::fs;
use std::path::Path;

#[derive(Clone, Copy, PartialEq)]
enum Format {
    Npy,
    Npz,
    Pb,
}

fn format_of(path: &Path) -> Result<Format> {
    match path.extension().and_then(|end| end.to_str()) {
        Some("npy") => Ok(Format::Npy),
        Some("npz") => Ok(Format::Npz),
        Some("pb") => Ok(Format::Pb),
        _ => Err(Error::invalid("the name of a tensor file ends in .npy, .npz or .pb")),
    }
}

/// Puts the path in front of an error's message.
fn at_path(path: &Path) -> impl Fn(Error) -> Error {
    move |error| Error { message: format!("{}: {}", path.display(), error.message), ..error }
}

/// Reads the tensors of a `.npy` (one, without a name), `.npz` or `.pb` file (one).
pub fn read(path: &Path) -> Result<Vec<Named>> {
    read_any(path).map_err(at_path(path))
}

fn read_any(path: &Path) -> Result<Vec<Named>> {
    let format = format_of(path)?;
    let bytes = fs::read(path).map_err(|error| Error::invalid(format!("cannot be read: {error}")))?;
    match format {
        Format::Npy => Ok(vec![Named { name: None, tensor: npy::decode(&bytes)? }]),
        Format::Npz => npz::decode(&bytes),
        Format::Pb => Ok(vec![pb::decode(&bytes)?]),
    }
}

/// Writes tensors to a `.npy` (one; its name is lost), `.npz` or `.pb` file (one).
///
/// The file appears, or replaces an older one, once it is complete.
pub fn write(path: &Path, tensors: &[Named]) -> Result<()> {
    write_any(path, tensors).map_err(at_path(path))
}

fn write_any(path: &Path, tensors: &[Named]) -> Result<()> {
    let bytes = match (format_of(path)?, tensors) {
        (Format::Npz, _) => npz::encode(tensors)?,
        (Format::Npy, [one]) => npy::encode(&one.tensor),
        (Format::Pb, [one]) => pb::encode(one),
        _ => return Err(Error::invalid(format!("the file holds one tensor, not {}; use .npz", tensors.len()))),
    };
    let mut partial = path.as_os_str().to_os_string();
    partial.push(".partial");
    let written = fs::write(&partial, bytes).and_then(|()| fs::rename(&partial, path));
    written.map_err(|error| {
        // The first error is the one to tell.
        let _ = fs::remove_file(&partial);
        Error::invalid(format!("cannot be written: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlc_ir::Tensor;

    fn one(name: &str) -> Named {
        Named { name: Some(name.into()), tensor: Tensor::from_i64s(&[1, -2, 3]) }
    }

    #[test]
    fn files_read_back() {
        let folder = tempfile::tempdir().unwrap();
        for (file, kept) in [("a.npy", None), ("a.npz", Some("x")), ("a.pb", Some("x"))] {
            let path = folder.path().join(file);
            write(&path, &[one("x")]).unwrap();
            let expected = Named { name: kept.map(String::from), ..one("x") };
            assert_eq!(read(&path).unwrap(), [expected], "{file}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "nothing else is left behind");
    }

    #[test]
    fn errors_name_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let bad = folder.path().join("bad.npy");
        fs::write(&bad, b"garbage").unwrap();
        for (path, reason) in [
            (bad, "is no .npy file"),
            (folder.path().join("missing.pb"), "cannot be read"),
            (folder.path().join("x.txt"), "ends in .npy, .npz or .pb"),
        ] {
            let message = read(&path).unwrap_err().to_string();
            assert!(message.contains(&path.display().to_string()) && message.contains(reason), "{message}");
        }
        let message = write(&folder.path().join("two.npy"), &[one("x"), one("y")]).unwrap_err().to_string();
        assert!(message.contains("one tensor, not 2"), "{message}");
        let nowhere = folder.path().join("no/such/folder.npy");
        assert!(write(&nowhere, &[one("x")]).unwrap_err().to_string().contains("cannot be written"));
    }
}
