//! Maps files into memory: the only unsafe code of the frontend.
//!
//! In: a path.  Out: its bytes, shared by all tensors that lie in it.
#![allow(unsafe_code, reason = "mapping a file has no safe interface")]

use memmap2::Mmap;
use mlc_ir::tensor::SharedBytes;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Maps a regular file, read only.
pub fn map(path: &Path) -> io::Result<SharedBytes> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    if metadata.len() == 0 {
        return Ok(Arc::new(Vec::new()));
    }
    // SAFETY: the mapping is private and read only, it is only ever read as plain bytes, of which every value is valid,
    // and it lives as long as whoever holds the returned handle. What remains is another process that shortens or
    // writes the file meanwhile, which every mapping of a file shares; the bytes carry no invariant that could break.
    let mapping = unsafe { Mmap::map(&file)? };
    Ok(Arc::new(mapping))
}
