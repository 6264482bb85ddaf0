//! Files that appear together, complete, or not at all.
//!
//! Each is written under a temporary name in its own folder and renamed by [`Staged::commit`]. Dropped before that, the
//! temporary files are removed; when a rename fails, so are the files renamed before it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::Error;

/// Files on their way.
pub(super) struct Staged<'a> {
    folder: &'a Path,
    files: Vec<(PathBuf, PathBuf)>,
}

impl<'a> Staged<'a> {
    /// None yet, for a folder.
    pub fn new(folder: &'a Path) -> Self {
        Staged { folder, files: Vec::new() }
    }

    /// Writes one file.
    pub fn file<T>(&mut self, name: &str, write: impl FnOnce(&mut dyn Write) -> io::Result<T>) -> Result<T, Error> {
        let last = self.folder.join(name);
        let temporary = self.folder.join(format!(".{name}.{}.tmp", std::process::id()));
        let fail = |error| Error::File(last.clone(), error);
        let file = File::create(&temporary).map_err(fail)?;
        self.files.push((temporary, last.clone()));
        let mut out = Pieces { out: file, piece: Vec::new() };
        let value = write(&mut out).map_err(fail)?;
        out.flush().map_err(fail)?;
        Ok(value)
    }

    /// Writes one file from a text.
    pub fn text(&mut self, name: &str, text: &str) -> Result<(), Error> {
        self.file(name, |out| out.write_all(text.as_bytes()))
    }

    /// Gives every file its name; answers with path and size of each.
    pub fn commit(mut self) -> Result<Vec<(PathBuf, u64)>, Error> {
        let files = std::mem::take(&mut self.files);
        let mut done: Vec<(PathBuf, u64)> = Vec::new();
        for (temporary, last) in &files {
            let renamed = fs::metadata(temporary).and_then(|facts| fs::rename(temporary, last).map(|()| facts.len()));
            match renamed {
                Ok(bytes) => done.push((last.clone(), bytes)),
                Err(error) => {
                    done.iter().for_each(|(path, _)| remove(path));
                    self.files = files.clone();
                    return Err(Error::File(last.clone(), error));
                }
            }
        }
        Ok(done)
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        self.files.iter().for_each(|(temporary, _)| remove(temporary));
    }
}

/// Bytes of a large page.
const PIECE: usize = 2 << 20;

/// Writes whole large pages, each at a multiple of its size: the system then keeps the file in such pages, and who maps
/// it, as the weights of a model are, waits for one page instead of 512.
struct Pieces<W: Write> {
    out: W,
    piece: Vec<u8>,
}

impl<W: Write> Write for Pieces<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&bytes[..taken]);
        if self.piece.len() == PIECE {
            self.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.write_all(&self.piece)?;
        self.piece.clear();
        self.out.flush()
    }
}

/// Removes a file if it is there: it may not be, and there is nothing else to try.
fn remove(path: &Path) {
    let _ = fs::remove_file(path);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps the sizes of writes.
    struct Sizes(Vec<usize>);

    impl Write for Sizes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.push(bytes.len());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn files_are_written_in_large_pages() {
        let mut pieces = Pieces { out: Sizes(vec![]), piece: vec![] };
        for size in [10, PIECE - 1, 3 * PIECE, 7, 0] {
            pieces.write_all(&vec![1; size]).expect("nothing fails");
        }
        pieces.flush().expect("nothing fails");
        assert_eq!(pieces.out.0, [PIECE, PIECE, PIECE, PIECE, 16]);
    }
}
