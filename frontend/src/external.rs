//! Weights in files beside the model.
//!
//! In: `location`, `offset` and `length` of a tensor.  Out: the bytes of the mapped file and where in them it lies.
//! Invariants: a file is mapped once for all its tensors; a location is a path inside the model's folder.

use crate::file;
use mlc_ir::tensor::SharedBytes;
use mlc_ir::{Error, Result};
use onnx_protobuf::TensorProto;
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

/// Files of external data.
pub struct Files {
    base: Option<PathBuf>,
    mapped: RefCell<HashMap<PathBuf, SharedBytes>>,
}

impl Files {
    /// Relative to a folder, or none at all.
    pub fn new(base: Option<&Path>) -> Files {
        Files { base: base.map(Path::to_path_buf), mapped: RefCell::default() }
    }

    /// The file that holds a tensor of `size` bytes, and where in it the tensor begins.
    pub fn find(&self, proto: &TensorProto, size: usize, what: &str) -> Result<(SharedBytes, usize)> {
        let entry = |key: &str| proto.external_data.iter().find(|e| e.key == key).map(|e| e.value.as_str());
        let number = |key: &str| match entry(key).map(|text| (text, text.trim().parse::<usize>())) {
            None => Ok(None),
            Some((_, Ok(number))) => Ok(Some(number)),
            Some((text, Err(_))) => Err(Error::invalid(format!("{what}: `{text}` is no {key} of external data"))),
        };
        let missing = || Error::invalid(format!("{what} has external data but no location"));
        let location = entry("location").ok_or_else(missing)?;
        let offset = number("offset")?.unwrap_or(0);
        let length = number("length")?.unwrap_or(size);
        if length != size {
            let message = format!("{what} has {length} bytes in `{location}`, but its type and shape need {size}");
            return Err(Error::invalid(message));
        }
        let bytes = self.open(location, what)?;
        let have = (*bytes).as_ref().len();
        if offset.checked_add(size).is_none_or(|end| end > have) {
            let message =
                format!("{what} should lie in `{location}` at {offset}..+{size}, which has only {have} bytes");
            return Err(Error::invalid(message));
        }
        Ok((bytes, offset))
    }

    fn open(&self, location: &str, what: &str) -> Result<SharedBytes> {
        let relative = Path::new(location);
        let inside = relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if location.is_empty() || !inside {
            let message = format!("{what} lies in `{location}`: external data must be inside the model's folder");
            return Err(Error::invalid(message));
        }
        let no_base =
            || Error::invalid(format!("{what} lies in the file `{location}`, and there is no folder to look in"));
        let path = self.base.as_ref().ok_or_else(no_base)?.join(relative);
        if let Some(bytes) = self.mapped.borrow().get(&path) {
            return Ok(bytes.clone());
        }
        let unreadable = |e| Error::invalid(format!("cannot read `{}`, which holds {what}: {e}", path.display()));
        let bytes = file::map(&path).map_err(unreadable)?;
        self.mapped.borrow_mut().insert(path.clone(), bytes.clone());
        Ok(bytes)
    }
}
