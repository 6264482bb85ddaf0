//! Memory of a device: allocations, and who used which byte.
//!
//! Invariant: a byte that a thread writes in a launch, another thread of this launch reads or writes only if both are of one
//! block and there is a barrier between; and the reverse, where the byte was written in this launch before.

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

/// Threads that are not one alone.
const SEVERAL: u32 = u32::MAX;

struct Allocation {
    address: u64,
    bytes: Vec<u8>,
    /// For each byte, who wrote it last: a thread of a launch, numbered through all of them.
    writers: Vec<u32>,
    /// More of bytes that a thread has written; none in an allocation that copies alone write.
    marks: Vec<Mark>,
}

/// What is known of a byte that a thread of this launch has written; times are numbers of barriers.
#[derive(Clone, Copy)]
struct Mark {
    written: u32,
    /// Who has read it since.
    reader: u32,
    read: u32,
}

const UNREAD: Mark = Mark { written: 0, reader: NEVER, read: 0 };

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
    /// Threads of a block.
    block: u32,
    /// Barriers so far; the last one is of the block that runs.
    now: u32,
}

impl Default for Device {
    fn default() -> Device {
        Device::new()
    }
}

impl Device {
    /// Without allocations.
    pub const fn new() -> Device {
        Device {
            allocations: Vec::new(),
            next: FIRST,
            recent: 0,
            launch: COPIED + 1,
            end: COPIED + 1,
            block: 1,
            now: 0,
        }
    }

    /// Allocates; gives the address.
    pub fn allocate(&mut self, bytes: usize) -> u64 {
        let address = self.next;
        self.next = (address + bytes as u64 + GAP).next_multiple_of(ALIGN);
        let writers = vec![NEVER; bytes];
        self.allocations.push(Allocation { address, bytes: vec![0xcd; bytes], writers, marks: vec![] });
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

    /// Begins a launch of so many threads, in blocks of some.
    pub(crate) fn begin(&mut self, threads: u32, block: u32) {
        (self.launch, self.block) = (self.end, block);
        if self.launch.checked_add(threads).is_none() {
            for allocation in &mut self.allocations {
                allocation.writers.iter_mut().filter(|writer| **writer != NEVER).for_each(|writer| *writer = COPIED);
            }
            self.launch = COPIED + 1;
        }
        self.end = self.launch.saturating_add(threads);
    }

    /// All threads of the block that runs have come to a barrier.
    pub(crate) fn barrier(&mut self) {
        self.now += 1;
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
            (at..at + bytes).try_for_each(|place| self.note_read(number, place, thread, address))?;
        }
        let mut value = [0; 8];
        value[..bytes].copy_from_slice(&self.allocations[number].bytes[at..at + bytes]);
        Ok(u64::from_le_bytes(value))
    }

    /// An element that a thread writes.
    pub(crate) fn store(&mut self, address: u64, bytes: usize, value: u64, thread: u32) -> Result<()> {
        let (number, at) = self.find(address, bytes)?;
        if self.allocations[number].marks.is_empty() {
            let size = self.allocations[number].bytes.len();
            self.allocations[number].marks.resize(size, UNREAD);
        }
        for place in at..at + bytes {
            let allocation = &self.allocations[number];
            let (writer, mark) = (allocation.writers[place], allocation.marks[place]);
            if writer >= self.launch {
                self.alone((writer, "wrote", mark.written), thread, "writes", address)?;
                self.alone((mark.reader, "read", mark.read), thread, "writes", address)?;
            }
            let allocation = &mut self.allocations[number];
            allocation.writers[place] = self.launch + thread;
            allocation.marks[place] = Mark { written: self.now, ..UNREAD };
        }
        self.allocations[number].bytes[at..at + bytes].copy_from_slice(&value.to_le_bytes()[..bytes]);
        Ok(())
    }

    /// Notes that a thread reads a byte, if it was written in this launch.
    fn note_read(&mut self, number: usize, place: usize, thread: u32, address: u64) -> Result<()> {
        let writer = self.allocations[number].writers[place];
        if writer < self.launch {
            return Ok(());
        }
        let mark = self.allocations[number].marks[place];
        self.alone((writer, "wrote", mark.written), thread, "reads", address)?;
        let alone = self.ordered(mark.reader, mark.read, thread);
        let reader = if alone { self.launch + thread } else { SEVERAL };
        self.allocations[number].marks[place] = Mark { reader, read: self.now, ..mark };
        Ok(())
    }

    fn alone(&self, (other, did, time): (u32, &str, u32), thread: u32, does: &str, address: u64) -> Result<()> {
        if self.ordered(other, time, thread) {
            return Ok(());
        }
        let other = if other == SEVERAL { "others".into() } else { format!("thread {}", other - self.launch) };
        Err(format!("a race: thread {thread} {does} what {other} of the same launch {did}, at {address:#x}"))
    }

    /// Whether an access of the past is before one of now, whatever the order in which threads run.
    fn ordered(&self, other: u32, time: u32, thread: u32) -> bool {
        if other < self.launch || other == self.launch + thread {
            return true;
        }
        // Several can read what a thread of their own block wrote, and no more.
        let of_block = other == SEVERAL || (other - self.launch) / self.block == thread / self.block;
        of_block && time < self.now
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
