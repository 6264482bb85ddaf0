//! The note at the head of every shared object: enough to find damage *before* the file is loaded.
//!
//! A shared object has one `PT_NOTE` with the owner `mlc` whose contents are a [`Note`]. Everything the loader and the
//! processor will look at lies before `weights_offset` and is covered by `hash`; what follows are packed weights and
//! their slack.

use crate::descriptor::{u32_at, u64_at};

/// The owner of the note, with the 0 that ends it.
pub const OWNER: &[u8; 4] = b"mlc\0";
/// The type of the note.
pub const TYPE: u32 = 1;
/// Size of the contents.
pub const BYTES: usize = 48;
/// Offset of the field `hash` in the contents.
pub const HASH: usize = 8;

/// The contents of the note. All offsets are in the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Note {
    /// Size of the whole file.
    pub file_bytes: u64,
    /// XXH3-64 of the file up to `weights_offset`, with this field 0.
    pub hash: u64,
    /// Where the descriptor is.
    pub descriptor_offset: u64,
    /// Size of the descriptor.
    pub descriptor_bytes: u64,
    /// Where embedded weights begin; the end of the file if there are none.
    pub weights_offset: u64,
    /// Size of embedded weights without slack.
    pub weights_bytes: u64,
}

impl Note {
    /// The contents as they stand in the file.
    pub fn to_bytes(&self) -> [u8; BYTES] {
        let fields = [
            self.file_bytes,
            self.hash,
            self.descriptor_offset,
            self.descriptor_bytes,
            self.weights_offset,
            self.weights_bytes,
        ];
        let mut bytes = [0; BYTES];
        for (place, field) in bytes.chunks_exact_mut(8).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        bytes
    }

    /// Finds the note in the head of an ELF file. Gives the note and the file offset of its contents.
    ///
    /// `None`: the head is too short or has no such note. The caller has checked that the file is 64-bit,
    /// little-endian ELF.
    pub fn find(head: &[u8]) -> Option<(Note, usize)> {
        let table = usize::try_from(u64_at(head, 32)?).ok()?;
        let size = usize::from(u16_at(head, 54)?);
        let count = usize::from(u16_at(head, 56)?);
        for number in 0..count {
            let at = table.checked_add(number.checked_mul(size)?)?;
            if u32_at(head, at)? != 4 {
                continue;
            }
            let start = usize::try_from(u64_at(head, at.checked_add(8)?)?).ok()?;
            let end = start.checked_add(16 + BYTES)?;
            let body = head.get(start..end)?;
            let is_ours = u32_at(body, 0)? == 4 && u32_at(body, 4)? as usize == BYTES && u32_at(body, 8)? == TYPE;
            if is_ours && body.get(12..16)? == OWNER {
                return Some((Note::read(body.get(16..)?)?, start + 16));
            }
        }
        None
    }

    fn read(body: &[u8]) -> Option<Note> {
        Some(Note {
            file_bytes: u64_at(body, 0)?,
            hash: u64_at(body, 8)?,
            descriptor_offset: u64_at(body, 16)?,
            descriptor_bytes: u64_at(body, 24)?,
            weights_offset: u64_at(body, 32)?,
            weights_bytes: u64_at(body, 40)?,
        })
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}
