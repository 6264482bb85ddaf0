//! The memory that each thread has for itself.

use crate::Result;

/// Where it begins: no address of a device's memory is as small.
pub(crate) const FIRST: u64 = 0x1000;

/// The memory of some threads.
pub(crate) struct Local {
    /// Bytes of each.
    size: usize,
    /// `None`: never written.
    bytes: Vec<Option<u8>>,
}

impl Local {
    pub fn new(size: usize, threads: usize) -> Local {
        Local { size, bytes: vec![None; size * threads] }
    }

    /// As new, for other threads.
    pub fn clear(&mut self) {
        self.bytes.fill(None);
    }

    /// An element that a thread reads.
    pub fn load(&self, address: u64, bytes: usize, thread: usize) -> Result<u64> {
        let at = self.find(address, bytes, thread)?;
        let mut value = [0; 8];
        for (to, from) in value.iter_mut().zip(&self.bytes[at..at + bytes]) {
            *to = from.ok_or_else(|| format!("a read at {address:#x} of what this thread never wrote"))?;
        }
        Ok(u64::from_le_bytes(value))
    }

    /// An element that a thread writes.
    pub fn store(&mut self, address: u64, bytes: usize, value: u64, thread: usize) -> Result<()> {
        let at = self.find(address, bytes, thread)?;
        let value = value.to_le_bytes().map(Some);
        self.bytes[at..at + bytes].copy_from_slice(&value[..bytes]);
        Ok(())
    }

    fn find(&self, address: u64, bytes: usize, thread: usize) -> Result<usize> {
        let inside = address.checked_sub(FIRST).filter(|at| at + bytes as u64 <= self.size as u64);
        let at = inside.ok_or_else(|| format!("{bytes} bytes at {address:#x} are outside the thread's memory"))?;
        Ok(thread * self.size + at as usize)
    }
}
