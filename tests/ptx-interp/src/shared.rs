//! The memory that the threads of a block share, and who used which byte since when.
//!
//! Invariant: two accesses to a byte by different threads, of which one writes, have a barrier of both between them; it does
//! not matter which of them ran first here.

use crate::Result;

/// Where it begins: no address of another memory is between this and its end.
pub(crate) const FIRST: u64 = 0x10_0000;

/// Threads of a warp.
const LANES: u16 = 32;

/// Threads that used a byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Who {
    Nobody,
    Thread(u16),
    /// Some threads of a warp, or all.
    Warp(u16),
    /// Threads of several warps.
    Several,
}

impl Who {
    fn warp(self) -> Option<u16> {
        match self {
            Who::Thread(thread) => Some(thread / LANES),
            Who::Warp(warp) => Some(warp),
            Who::Nobody | Who::Several => None,
        }
    }
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Who::Nobody => write!(f, "nobody"),
            Who::Thread(thread) => write!(f, "thread {thread}"),
            Who::Warp(warp) => write!(f, "the warp at {}", warp * LANES),
            Who::Several => write!(f, "threads of several warps"),
        }
    }
}

/// What a byte holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    Nothing,
    /// A copy is under way, of the thread that is the writer.
    Coming,
    Written,
}

/// What is known of a byte; times are numbers of barriers.
#[derive(Clone, Copy)]
struct Mark {
    content: Content,
    writer: Who,
    written: u32,
    reader: Who,
    read: u32,
}

const FRESH: Mark = Mark { content: Content::Nothing, writer: Who::Nobody, written: 0, reader: Who::Nobody, read: 0 };

/// The memory of one block.
pub(crate) struct Shared {
    bytes: Vec<u8>,
    marks: Vec<Mark>,
    /// Barriers so far, of the block and of its warps.
    now: u32,
    /// When the block had its last one, and each warp.
    block: u32,
    warps: Vec<u32>,
}

impl Shared {
    pub fn new(size: usize, threads: u32) -> Shared {
        let warps = vec![0; threads.div_ceil(LANES.into()) as usize];
        Shared { bytes: vec![0xa5; size], marks: vec![FRESH; size], now: 0, block: 0, warps }
    }

    /// As new, for another block.
    pub fn clear(&mut self) {
        self.marks.fill(FRESH);
    }

    /// All threads of the block have come to a barrier.
    pub fn barrier(&mut self) {
        self.now += 1;
        self.block = self.now;
    }

    /// All threads of a warp have.
    pub fn warp_barrier(&mut self, warp: usize) {
        self.now += 1;
        self.warps[warp] = self.now;
    }

    /// An element that threads read.
    pub fn load(&mut self, address: u64, bytes: usize, who: Who) -> Result<u64> {
        let at = self.find(address, bytes)?;
        for place in at..at + bytes {
            let mark = self.marks[place];
            match mark.content {
                Content::Written => {}
                Content::Nothing => {
                    return Err(format!("a read at {address:#x} of shared memory that was never written"));
                }
                Content::Coming => {
                    return Err(format!("a read at {address:#x}, where a copy of {} is under way", mark.writer));
                }
            }
            if !self.ordered(mark.writer, mark.written, who) {
                return Err(race(who, "reads", mark.writer, "wrote", address));
            }
            self.marks[place].reader = match (mark.reader, mark.reader.warp() == who.warp()) {
                (reader, _) if reader == who || self.ordered(reader, mark.read, who) => who,
                (_, true) => who.warp().map_or(Who::Several, Who::Warp),
                (_, false) => Who::Several,
            };
            self.marks[place].read = self.now;
        }
        let mut value = [0; 8];
        value[..bytes].copy_from_slice(&self.bytes[at..at + bytes]);
        Ok(u64::from_le_bytes(value))
    }

    /// An element that a thread writes.
    pub fn store(&mut self, address: u64, bytes: usize, value: u64, who: Who) -> Result<()> {
        let at = self.find(address, bytes)?;
        self.written(address, bytes, who)?;
        self.bytes[at..at + bytes].copy_from_slice(&value.to_le_bytes()[..bytes]);
        Ok(())
    }

    /// Some bytes will be written by a copy that a thread starts.
    pub fn begin_copy(&mut self, address: u64, bytes: usize, thread: u16) -> Result<()> {
        let at = self.find(address, bytes)?;
        self.written(address, bytes, Who::Thread(thread))?;
        self.marks[at..at + bytes].iter_mut().for_each(|mark| mark.content = Content::Coming);
        Ok(())
    }

    /// They are there for the thread that has waited, and for others after a barrier.
    pub fn end_copy(&mut self, address: u64, data: &[u8]) -> Result<()> {
        let at = self.find(address, data.len())?;
        self.bytes[at..at + data.len()].copy_from_slice(data);
        for mark in &mut self.marks[at..at + data.len()] {
            (mark.content, mark.written) = (Content::Written, self.now);
        }
        Ok(())
    }

    /// Notes that threads write bytes.
    fn written(&mut self, address: u64, bytes: usize, who: Who) -> Result<()> {
        let at = self.find(address, bytes)?;
        for place in at..at + bytes {
            let mark = self.marks[place];
            if mark.content == Content::Coming {
                return Err(format!("{who} writes at {address:#x}, where a copy of {} is under way", mark.writer));
            }
            if !self.ordered(mark.writer, mark.written, who) {
                return Err(race(who, "writes", mark.writer, "wrote", address));
            }
            if !self.ordered(mark.reader, mark.read, who) {
                return Err(race(who, "writes", mark.reader, "read", address));
            }
            self.marks[place] = Mark { content: Content::Written, writer: who, written: self.now, ..FRESH };
        }
        Ok(())
    }

    /// Whether an access of the past is before one of now, whatever the order in which threads run.
    fn ordered(&self, past: Who, time: u32, who: Who) -> bool {
        match past {
            Who::Nobody => true,
            _ if time < self.block => true,
            Who::Thread(_) if past == who => true,
            _ => past.warp().is_some_and(|warp| who.warp() == Some(warp) && time < self.warps[usize::from(warp)]),
        }
    }

    fn find(&self, address: u64, bytes: usize) -> Result<usize> {
        let inside = address.checked_sub(FIRST).filter(|at| at + bytes as u64 <= self.bytes.len() as u64);
        let wrong = || format!("{bytes} bytes at {address:#x} are outside the block's shared memory");
        Ok(inside.ok_or_else(wrong)? as usize)
    }
}

fn race(who: Who, does: &str, other: Who, did: &str, address: u64) -> String {
    format!("a race: {who} {does} what {other} {did}, with no barrier between, at {address:#x}")
}
