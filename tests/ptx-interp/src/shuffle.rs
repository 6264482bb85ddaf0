//! `shfl.sync`: values that go from lane to lane.

use crate::Result;
use crate::code::Source;
use crate::grid::Block;
use crate::warp::{LANES, Warp, members};

/// Which lane another reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    Up,
    Down,
    Butterfly,
    Index,
}

/// A shuffle.
pub(crate) struct Shuffle {
    pub way: Way,
    pub to: usize,
    /// The predicate that says whether the lane was one of the segment.
    pub found: Option<usize>,
    pub from: usize,
    pub lane: Source,
    pub clamp: Source,
    pub mask: Source,
}

impl Shuffle {
    /// The way with a name.
    pub fn way(name: &str) -> Option<Way> {
        Some(match name {
            "up" => Way::Up,
            "down" => Way::Down,
            "bfly" => Way::Butterfly,
            "idx" => Way::Index,
            _ => return None,
        })
    }

    /// The lane that one reads, by the operands `b` and `c`; `None` where the segment ends.
    fn source(&self, lane: usize, b: u64, c: u64) -> Option<usize> {
        let (b, clamp, segment) = (b as usize & 31, c as usize & 31, (c >> 8) as usize & 31);
        let most = (lane & segment) | (clamp & !segment);
        let (from, within) = match self.way {
            Way::Up => (lane.wrapping_sub(b), lane >= b && lane - b >= most),
            Way::Down => (lane + b, lane + b <= most),
            Way::Butterfly => (lane ^ b, lane ^ b <= most),
            Way::Index => {
                let from = (lane & segment) | (b & !segment);
                (from, from <= most)
            }
        };
        within.then_some(from)
    }
}

impl Warp {
    /// Moves values between the lanes that take part.
    pub(crate) fn shuffle(&mut self, shuffle: &Shuffle, lanes: u32, block: &Block) -> Result<()> {
        let Shuffle { to, from, .. } = *shuffle;
        [shuffle.lane, shuffle.clamp, shuffle.mask].iter().try_for_each(|source| self.check_source(source, lanes))?;
        let mut results = [(0, false); LANES];
        for lane in members(lanes) {
            let value = |source| self.value(source, lane, block);
            self.together(value(&shuffle.mask) as u32, lanes, lane)?;
            let other = shuffle.source(lane, value(&shuffle.lane), value(&shuffle.clamp));
            let source = other.unwrap_or(lane);
            if lanes >> source & 1 == 0 {
                return Err(format!("lane {lane} reads lane {source}, which takes no part"));
            }
            self.check(from, 1 << source)?;
            results[lane] = (self.values[from * LANES + source], other.is_some());
        }
        for lane in members(lanes) {
            self.set(to, lane, results[lane].0);
            if let Some(found) = shuffle.found {
                self.set(found, lane, results[lane].1.into());
            }
        }
        Ok(())
    }

    /// Fails unless all lanes of a mask run an instruction, and this one is among them.
    pub(crate) fn together(&self, mask: u32, lanes: u32, lane: usize) -> Result<()> {
        let expected = mask & self.living();
        if mask >> lane & 1 == 1 && expected & !lanes == 0 {
            return Ok(());
        }
        Err(format!("the mask is {mask:#x}, but lanes {lanes:#x} of {:#x} come here together", self.living()))
    }
}
