//! The `.npz` format: a zip archive of `.npy` files, whose names without the ending name the arrays.

use crate::{Named, npy};
use mlc_ir::{Error, Result};
use std::io::{Cursor, Read, Write};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// The most bytes all arrays of an archive may unfold to, so that a small hostile file cannot fill the memory.
const MAX_BYTES: u64 = 1 << 34;

/// The most one compressed byte unfolds to in the deflate format, with some room.
const MAX_RATIO: u64 = 1100;

/// Reads all arrays, in the archive's order.
pub fn decode(bytes: &[u8]) -> Result<Vec<Named>> {
    let broken = |error| Error::invalid(format!("is no readable zip archive: {error}"));
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(broken)?;
    let mut left = MAX_BYTES.min((bytes.len() as u64).saturating_mul(MAX_RATIO));
    let mut tensors: Vec<Named> = Vec::new();
    for index in 0..archive.len() {
        let file = archive.by_index(index).map_err(broken)?;
        let name = file.name().to_string();
        let in_member = |what: String| Error::invalid(format!("`{name}`: {what}"));
        let mut content = Vec::new();
        file.take(left + 1).read_to_end(&mut content).map_err(|error| in_member(error.to_string()))?;
        left = left.checked_sub(content.len() as u64).ok_or_else(|| in_member("unfolds to too many bytes".into()))?;
        let tensor = npy::decode(&content)
            .map_err(|error| Error { message: format!("`{name}`: {}", error.message), ..error })?;
        let stem = name.strip_suffix(".npy").unwrap_or(&name).to_string();
        if tensors.iter().any(|other| other.name.as_ref() == Some(&stem)) {
            return Err(in_member("this name is there twice".into()));
        }
        tensors.push(Named { name: Some(stem), tensor });
    }
    Ok(tensors)
}

/// Writes arrays, uncompressed as `numpy.savez` does; one without a name is called `arr_N` as numpy calls it.
pub fn encode(tensors: &[Named]) -> Result<Vec<u8>> {
    let failed = |error: zip::result::ZipError| Error::invalid(format!("the zip archive cannot be made: {error}"));
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(true);
    for (index, named) in tensors.iter().enumerate() {
        let name = named.name.clone().unwrap_or_else(|| format!("arr_{index}"));
        archive.start_file(format!("{name}.npy"), options).map_err(failed)?;
        archive.write_all(&npy::encode(&named.tensor)).map_err(|error| failed(error.into()))?;
    }
    Ok(archive.finish().map_err(failed)?.into_inner())
}
