//! The memory that a run works in.
//!
//! The system gives memory when it is first touched, page by page, and clears it. Whole large pages are asked for where
//! they fit: a first run then waits for one page instead of 512. The rest is in small ones, so that no more memory is used
//! than was planned.

use memmap2::MmapMut;

use crate::error::{Error, Reason};

/// Bytes of a large page, on all processors that artifacts are made for.
const LARGE: usize = 2 << 20;

/// Zeroed memory, aligned to a page.
pub(crate) struct Arena {
    map: MmapMut,
    /// Where in the map it begins.
    start: usize,
}

impl Arena {
    /// Of at least so many bytes.
    pub fn new(bytes: u64) -> Result<Arena, Error> {
        let failed = |error: &dyn std::fmt::Display| Error::from(Reason::Resources(error.to_string()));
        let size = usize::try_from(bytes.max(1)).map_err(|error| failed(&error))?;
        // Addresses alone cost nothing: there are enough to begin at a large page.
        let whole = size / LARGE * LARGE;
        let room = if whole > 0 { LARGE } else { 0 };
        let all = size.checked_add(room).ok_or_else(|| failed(&"the arena is larger than memory can be"))?;
        let map = MmapMut::map_anon(all).map_err(|error| failed(&error))?;
        let start = if whole > 0 { map.as_ptr().align_offset(LARGE) } else { 0 };
        #[cfg(target_os = "linux")]
        if whole > 0 {
            // A system without large pages gives small ones.
            let _ = map.advise_range(memmap2::Advice::HugePage, start, whole);
        }
        Ok(Arena { map, start })
    }

    /// Its first byte.
    pub fn pointer(&mut self) -> *mut u8 {
        self.map[self.start..].as_mut_ptr()
    }

    /// Its size.
    pub fn bytes(&self) -> u64 {
        (self.map.len() - self.start) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_enough_at_a_whole_page() {
        let large = LARGE as u64;
        for bytes in [0, 1, 4096, large - 1, large, large + 1, 5 * large + 77] {
            let mut arena = Arena::new(bytes).expect("memory");
            assert!(arena.bytes() >= bytes.max(1));
            let alignment = if bytes >= large { LARGE } else { 4096 };
            assert_eq!(arena.pointer() as usize % alignment, 0);
            let place = arena.start;
            assert!(arena.map[place..].iter().all(|&byte| byte == 0));
            arena.map[place..].fill(1);
        }
    }

    #[test]
    fn impossible_sizes_are_errors() {
        assert!(Arena::new(u64::MAX).is_err());
        assert!(Arena::new(u64::MAX / 4).is_err());
    }
}
