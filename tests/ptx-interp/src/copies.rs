//! `cp.async`: copies from global to shared memory whose bytes are not there before a thread has waited for them.

use crate::Result;
use crate::code::{Address, Source, Space};
use crate::grid::Block;
use crate::memory::Device;
use crate::warp::{LANES, Warp, members};
use std::collections::VecDeque;

/// A copy of some bytes; the rest of the place is filled with zeros.
pub(crate) struct CopyAsync {
    pub to: Address,
    pub from: Address,
    /// Bytes of the place.
    pub bytes: usize,
    /// Bytes that are read, if not all.
    pub read: Option<Source>,
}

/// A copy under way.
struct Copy {
    to: u64,
    data: Vec<u8>,
}

/// The copies of a thread: groups, of which the last is open.
struct Groups(VecDeque<Vec<Copy>>);

/// The copies of the threads of a warp.
pub(crate) struct Copies(Vec<Groups>);

impl Copies {
    pub fn new() -> Copies {
        Copies((0..LANES).map(|_| Groups(VecDeque::new())).collect())
    }

    pub fn clear(&mut self) {
        self.0.iter_mut().for_each(|groups| groups.0.clear());
    }
}

impl Warp {
    /// Starts a copy of each lane.
    pub(crate) fn copy(&mut self, copy: &CopyAsync, lanes: u32, block: &mut Block, device: &mut Device) -> Result<()> {
        let all = Source::Constant(copy.bytes as u64);
        let read = copy.read.unwrap_or(all);
        [copy.to.base, copy.from.base, read].iter().try_for_each(|source| self.check_source(source, lanes))?;
        let (mut tos, mut froms) = (Vec::with_capacity(LANES), Vec::with_capacity(LANES));
        for lane in members(lanes) {
            let to = self.address(&copy.to, copy.bytes, lane, block)?;
            let from = self.address(&copy.from, copy.bytes, lane, block)?;
            let count = self.value(&read, lane, block) as u32 as usize;
            if count > copy.bytes {
                return Err(format!("{count} bytes are read, of {}", copy.bytes));
            }
            tos.push(to);
            if count > 0 {
                froms.push(from);
            }
            let thread = self.first + lane as u32;
            let mut data = vec![0; copy.bytes];
            for (place, byte) in data[..count].iter_mut().enumerate() {
                *byte = device.load(from + place as u64, 1, block.number * block.size + thread)? as u8;
            }
            block.shared.begin_copy(to, copy.bytes, thread as u16)?;
            let groups = &mut self.copies.0[lane].0;
            if groups.is_empty() {
                groups.push_back(vec![]);
            }
            if let Some(open) = groups.back_mut() {
                open.push(Copy { to, data });
            }
        }
        block.counts.add(Space::Global, false, &froms, copy.bytes);
        block.counts.add(Space::Shared, true, &tos, copy.bytes);
        Ok(())
    }

    /// Closes the groups of lanes.
    pub(crate) fn commit(&mut self, lanes: u32) {
        for lane in members(lanes) {
            let groups = &mut self.copies.0[lane].0;
            if groups.is_empty() {
                groups.push_back(vec![]);
            }
            groups.push_back(vec![]);
        }
    }

    /// Waits until no more than so many closed groups of each lane are under way; `None`: nothing is.
    pub(crate) fn wait(&mut self, most: Option<usize>, lanes: u32, block: &mut Block) -> Result<()> {
        for lane in members(lanes) {
            let groups = &mut self.copies.0[lane].0;
            let left = most.map_or(0, |most| most + 1);
            while groups.len() > left {
                for Copy { to, data } in groups.pop_front().into_iter().flatten() {
                    block.shared.end_copy(to, &data)?;
                }
            }
        }
        Ok(())
    }
}
