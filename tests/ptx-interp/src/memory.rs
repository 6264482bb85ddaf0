//! Memory of a device: allocations, and who wrote which byte.

use crate::Result;

/// The first address; none is small, so that a missing base is found.
const FIRST: u64 = 0x7f00_0000_0000;
/// Allocations lie apart, so that an access past the end of one hits none.
const GAP: u64 = 4096;
/// Addresses of allocations are multiples of this, as a driver's are.
const ALIGN: u64 = 256;

/// Never written.
const NEVER: u32 = 0;
/// Written by a copy, before every launch.
const COPIED: u32 = 1;

struct Allocation {
    address: u64,
    bytes: Vec<u8>,
    /// For each byte, who wrote it last: a thread of a launch, numbered through all of them.
    writers: Vec<u32>,
}

/// Memory of a device.
pub struct Device {
    allocations: Vec<Allocation>,
    next: u64,
    /// Of the last access.
    recent: usize,
    /// Number of the first thread of this launch.
    launch: u32,
    /// After the last thread of this launch.
    end: u32,
}

impl Default for Device {
    fn default() -> Device {
        Device::new()
    }
}

impl Device {
    /// Without allocations.
    pub const fn new() -> Device {
        Device { allocations: Vec::new(), next: FIRST, recent: 0, launch: COPIED + 1, end: COPIED + 1 }
    }

    /// Allocates; gives the address.
    pub fn allocate(&mut self, bytes: usize) -> u64 {
        let address = self.next;
        self.next = (address + bytes as u64 + GAP).next_multiple_of(ALIGN);
        self.allocations.push(Allocation { address, bytes: vec![0xcd; bytes], writers: vec![NEVER; bytes] });
        address
    }

    /// Frees what begins at an address.
    ///
    /// # Errors
    /// If nothing does.
    pub fn free(&mut self, address: u64) -> Result<()> {
        let place = self.allocations.iter().position(|it| it.address == address);
        let place = place.ok_or_else(|| format!("nothing to free at {address:#x}"))?;
        self.allocations.remove(place);
        self.recent = 0;
        Ok(())
    }

    /// Writes bytes, as a copy from the host.
    ///
    /// # Errors
    /// If they do not lie in one allocation.
    pub fn write(&mut self, address: u64, bytes: &[u8]) -> Result<()> {
        let (number, at) = self.find(address, bytes.len())?;
        let allocation = &mut self.allocations[number];
        allocation.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        allocation.writers[at..at + bytes.len()].fill(COPIED);
        Ok(())
    }

    /// Reads bytes, as a copy to the host; what was never written is anything.
    ///
    /// # Errors
    /// If they do not lie in one allocation.
    pub fn read(&mut self, address: u64, bytes: &mut [u8]) -> Result<()> {
        let (number, at) = self.find(address, bytes.len())?;
        bytes.copy_from_slice(&self.allocations[number].bytes[at..at + bytes.len()]);
        Ok(())
    }

    /// Begins a launch of so many threads.
    pub(crate) fn begin(&mut self, threads: u32) {
        self.launch = self.end;
        if self.launch.checked_add(threads).is_none() {
            for allocation in &mut self.allocations {
                allocation.writers.iter_mut().filter(|writer| **writer != NEVER).for_each(|writer| *writer = COPIED);
            }
            self.launch = COPIED + 1;
        }
        self.end = self.launch.saturating_add(threads);
    }

    /// An element that a thread reads.
    pub(crate) fn load(&mut self, address: u64, bytes: usize, thread: u32) -> Result<u64> {
        let (number, at) = self.find(address, bytes)?;
        let allocation = &self.allocations[number];
        let writers = &allocation.writers[at..at + bytes];
        if writers.contains(&NEVER) {
            return Err(format!("a read at {address:#x} of what was never written"));
        }
        // Almost always all bytes were written before this launch.
        if writers.iter().any(|writer| *writer >= self.launch) {
            writers.iter().try_for_each(|writer| self.alone(*writer, thread, address, "reads"))?;
        }
        let mut value = [0; 8];
        value[..bytes].copy_from_slice(&allocation.bytes[at..at + bytes]);
        Ok(u64::from_le_bytes(value))
    }

    /// An element that a thread writes.
    pub(crate) fn store(&mut self, address: u64, bytes: usize, value: u64, thread: u32) -> Result<()> {
        let (number, at) = self.find(address, bytes)?;
        let own = self.launch + thread;
        for place in at..at + bytes {
            self.alone(self.allocations[number].writers[place], thread, address, "writes")?;
            self.allocations[number].writers[place] = own;
        }
        self.allocations[number].bytes[at..at + bytes].copy_from_slice(&value.to_le_bytes()[..bytes]);
        Ok(())
    }

    fn alone(&self, writer: u32, thread: u32, address: u64, does: &str) -> Result<()> {
        if writer < self.launch || writer == self.launch + thread {
            return Ok(());
        }
        let other = writer - self.launch;
        Err(format!("a race: thread {thread} {does} what thread {other} of the same launch wrote, at {address:#x}"))
    }

    /// The allocation that holds some bytes, and where.
    fn find(&mut self, address: u64, bytes: usize) -> Result<(usize, usize)> {
        let holds =
            |it: &Allocation| address >= it.address && address - it.address + bytes as u64 <= it.bytes.len() as u64;
        if !self.allocations.get(self.recent).is_some_and(holds) {
            let found = self.allocations.iter().position(holds);
            self.recent = found.ok_or_else(|| format!("{bytes} bytes at {address:#x} are outside every allocation"))?;
        }
        Ok((self.recent, (address - self.allocations[self.recent].address) as usize))
    }
}
