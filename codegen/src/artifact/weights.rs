//! Packed weights as a stream: to a sidecar, into an object, or only through the hash.

use std::io::{self, Write};

use mlc_abi::WEIGHTS_SLACK;
use xxhash_rust::xxh3::Xxh3;

/// Packed weights that can be written more than once, always the same bytes.
pub trait Weights {
    /// Size in bytes, without slack.
    fn len(&self) -> u64;

    /// Writes exactly [`len`](Weights::len) bytes.
    fn write_to(&self, out: &mut dyn Write) -> io::Result<()>;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Weights that lie in memory already.
pub struct Slice<'a>(pub &'a [u8]);

impl Weights for Slice<'_> {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(self.0)
    }
}

/// Hashes and counts what passes through.
struct Tap<'a> {
    out: &'a mut dyn Write,
    hash: Box<Xxh3>,
    bytes: u64,
}

impl Write for Tap<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.out.write(bytes)?;
        self.hash.update(&bytes[..taken]);
        self.bytes += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Writes weights and their slack; gives the hash of the weights.
pub(super) fn write_padded(weights: &dyn Weights, out: &mut dyn Write) -> io::Result<u64> {
    let mut tap = Tap { out, hash: Box::default(), bytes: 0 };
    weights.write_to(&mut tap)?;
    if tap.bytes != weights.len() {
        let message = format!("the packer wrote {} bytes and announced {}", tap.bytes, weights.len());
        return Err(io::Error::other(message));
    }
    let hash = tap.hash.digest();
    out.write_all(&[0; WEIGHTS_SLACK as usize])?;
    Ok(hash)
}

/// The hash of weights.
pub(super) fn hash(weights: &dyn Weights) -> io::Result<u64> {
    write_padded(weights, &mut io::sink())
}
