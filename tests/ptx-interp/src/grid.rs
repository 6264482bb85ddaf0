//! Grids and their blocks: one after the other, as their order must not matter.

use crate::Result;
use crate::code::Entry;
use crate::counts::Counts;
use crate::memory::Device;
use crate::shared::Shared;
use crate::warp::{LANES, Stop, Warp};

/// What the warps of a block have in common.
pub(crate) struct Block<'a> {
    pub entry: &'a Entry,
    pub params: &'a [u8],
    pub grid: [u32; 3],
    /// Its place in the grid.
    pub place: [u32; 3],
    /// Its number, the first dimension fastest.
    pub number: u32,
    /// Threads.
    pub size: u32,
    pub shared: Shared,
    pub counts: Counts,
}

impl Entry {
    /// Runs a grid of blocks with so many threads each, and tells what memory had to do.
    ///
    /// # Errors
    /// Names the thread and the instruction that did wrong.
    pub fn launch(&self, grid: [u32; 3], threads: u32, params: &[u8], device: &mut Device) -> Result<Counts> {
        if threads == 0 || grid.contains(&0) || threads > self.most_threads {
            let most = self.most_threads;
            return Err(format!("{grid:?} blocks of {threads} threads: there must be some, of at most {most}"));
        }
        let all = grid.iter().try_fold(threads, |all, blocks| all.checked_mul(*blocks));
        let all = all.ok_or_else(|| format!("{grid:?} blocks of {threads} threads are too many to run here"))?;
        device.begin(all, threads);
        let shared = Shared::new(self.shared, threads);
        let mut block = Block {
            entry: self,
            params,
            grid,
            place: [0; 3],
            number: 0,
            size: threads,
            shared,
            counts: Counts::default(),
        };
        let mut warps: Vec<Warp> = (0..threads).step_by(LANES).map(|first| Warp::new(self, first, threads)).collect();
        for z in 0..grid[2] {
            for y in 0..grid[1] {
                for x in 0..grid[0] {
                    block.place = [x, y, z];
                    block.run(&mut warps, device)?;
                    block.number += 1;
                }
            }
        }
        Ok(block.counts)
    }
}

impl Block<'_> {
    fn run(&mut self, warps: &mut [Warp], device: &mut Device) -> Result<()> {
        self.shared.clear();
        warps.iter_mut().for_each(Warp::restart);
        loop {
            let stops = warps.iter_mut().map(|warp| warp.run(self, device)).collect::<Result<Vec<Stop>>>()?;
            let waiting = stops.iter().position(|stop| matches!(stop, Stop::Barrier(_)));
            let Some(waiting) = waiting else { return Ok(()) };
            if let Some(other) = stops.iter().position(|stop| *stop != stops[waiting]) {
                let Stop::Barrier(place) = stops[waiting] else { continue };
                let does = if stops[other] == Stop::Ended { "has ended" } else { "waits elsewhere" };
                let why = format!("a barrier that not all threads come to: the warp at {} {does}", other * LANES);
                return Err(warps[waiting].wrong(self, place, &why));
            }
            self.shared.barrier();
            device.barrier();
        }
    }
}
