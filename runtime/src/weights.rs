//! The packed weights a model runs on.
#![allow(unsafe_code)] // maps a file.

use std::ffi::c_void;
use std::fs::File;
use std::path::Path;

use memmap2::Mmap;
use mlc_abi::WEIGHTS_SLACK;
use mlc_abi::descriptor::Descriptor;
use xxhash_rust::xxh3::xxh3_64;

use crate::error::{Error, Reason};

/// Where the weights are.
pub(crate) enum Weights {
    /// In the artifact, or there are none: the model is given a null pointer.
    Embedded,
    /// A mapped file; its pages are read when they are first used.
    Mapped(Mmap),
    /// Memory that whoever made the model promised to keep.
    Raw(*const c_void),
}

impl Weights {
    /// What `NAME_run` is given.
    pub fn pointer(&self) -> *const c_void {
        match self {
            Weights::Embedded => std::ptr::null(),
            Weights::Mapped(map) => map.as_ptr().cast(),
            Weights::Raw(pointer) => *pointer,
        }
    }

    /// Maps a sidecar; with `verify` reads all of it and compares the hash.
    pub fn map(path: &Path, descriptor: &Descriptor, verify: bool) -> Result<Weights, Error> {
        let file = File::open(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Reason::MissingWeights.of(path),
            _ => Reason::Unreadable(error.to_string()).of(path),
        })?;
        let unreadable = |error: std::io::Error| Reason::Unreadable(error.to_string()).of(path);
        let found = file.metadata().map_err(unreadable)?.len();
        let expected = descriptor.weights_bytes().saturating_add(WEIGHTS_SLACK);
        if found != expected {
            return Err(Reason::WeightsSize { expected, found }.of(path));
        }
        // SAFETY: the mapping is private and only read. A program that cuts the file while it is mapped makes reads
        // fault, as it would with the pages of any program; nothing that this process does can.
        let map = unsafe { Mmap::map(&file) }.map_err(unreadable)?;
        // What is not in memory yet is read in large pages; a system without them reads small ones.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        if verify {
            let weights = map.get(..descriptor.weights_bytes() as usize).unwrap_or(&[]);
            if xxh3_64(weights) != descriptor.weights_hash() {
                return Err(Reason::WeightsHash.of(path));
            }
        }
        Ok(Weights::Mapped(map))
    }
}
