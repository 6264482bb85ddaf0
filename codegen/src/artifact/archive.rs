//! The static library: an archive with one object and an index of its symbols, as `ar rcsD` makes it.

use std::io::{self, Write};

use super::relocatable::Relocatable;
use super::weights::Weights;

/// Writes the header of a member; every field but name and size is the same in all archives.
fn member(name: &str, bytes: u64, out: &mut dyn Write) -> io::Result<()> {
    if bytes > 9_999_999_999 {
        return Err(io::Error::other("the object is too large for an archive: keep the weights in their own file"));
    }
    writeln!(out, "{name:<16}{:<12}{:<6}{:<6}{:<8}{bytes:<10}`", 0, 0, 0, 644)
}

/// Writes an archive with this object.
pub(super) fn write(object: &Relocatable, weights: &dyn Weights, out: &mut dyn Write) -> io::Result<()> {
    let names: usize = object.exports.iter().map(|it| it.len() + 1).sum();
    let index = (4 + 4 * object.exports.len() + names).next_multiple_of(2);
    out.write_all(b"!<arch>\n")?;
    member("/", index as u64, out)?;
    let at = (8 + 60 + index) as u32;
    out.write_all(&(object.exports.len() as u32).to_be_bytes())?;
    for _ in &object.exports {
        out.write_all(&at.to_be_bytes())?;
    }
    for name in &object.exports {
        write!(out, "{name}\0")?;
    }
    if names % 2 == 1 {
        out.write_all(&[0])?;
    }
    member("model.o/", object.len(), out)?;
    object.write_to(weights, out)?;
    if object.len() % 2 == 1 {
        out.write_all(b"\n")?;
    }
    Ok(())
}
