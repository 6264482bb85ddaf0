//! What memory would have had to do for a kernel.

use crate::code::Space;

/// Bytes of a bank of shared memory, of which there are 32: one wave reads or writes all.
const BANK: u64 = 4;
const BANKS: u64 = 32;
/// Bytes that come from the device's memory together.
const SECTOR: u64 = 32;

/// What was counted over one launch.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub struct Counts {
    /// Of `ldmatrix`, a request for each matrix.
    pub matrices: Waves,
    /// Of `ld.shared`.
    pub loads: Waves,
    /// Of `st.shared` and `cp.async`.
    pub stores: Waves,
    /// Of the device's memory.
    pub global: Sectors,
    /// Instructions `mma.sync`.
    pub products: u64,
}

impl Counts {
    /// A load or store of a warp.
    pub(crate) fn add(&mut self, space: Space, writes: bool, addresses: &[u64], bytes: usize) {
        match space {
            Space::Global => self.global.add(addresses, bytes),
            Space::Shared if writes => self.stores.add(addresses, bytes),
            Space::Shared => self.loads.add(addresses, bytes),
            Space::Local => {}
        }
    }
}

/// Waves in which shared memory answers. A warp's access of more than 128 bytes is several requests.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Waves {
    /// What has to be asked for.
    pub requests: u64,
    /// What it takes, because different words of one bank come one after the other.
    pub waves: u64,
}

/// Pieces of the device's memory, an access of a warp at a time.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Sectors {
    /// As few as hold the bytes that are asked for.
    pub needed: u64,
    /// Those in which they lie.
    pub touched: u64,
}

impl Waves {
    /// Waves for a request: 1 is without conflicts.
    pub fn ratio(self) -> f64 {
        self.waves as f64 / self.requests.max(1) as f64
    }

    /// An access of as many bytes at each address.
    pub(crate) fn add(&mut self, addresses: &[u64], bytes: usize) {
        for part in addresses.chunks((BANK * BANKS) as usize / bytes.max(BANK as usize)) {
            let of = |address: u64| address / BANK..=(address + bytes as u64 - 1) / BANK;
            let mut words: Vec<u64> = part.iter().flat_map(|address| of(*address)).collect();
            words.sort_unstable();
            words.dedup();
            let mut banks = [0; BANKS as usize];
            words.iter().for_each(|word| banks[(word % BANKS) as usize] += 1);
            self.requests += 1;
            self.waves += banks.into_iter().max().unwrap_or(0);
        }
    }
}

impl Sectors {
    /// What part of the bytes that come were asked for: 1 is the most, where whole sectors are.
    pub fn efficiency(self) -> f64 {
        if self.touched == 0 { 1.0 } else { self.needed as f64 / self.touched as f64 }
    }

    /// An access of as many bytes at each address, which is a multiple of them, so that each is in one sector.
    pub(crate) fn add(&mut self, addresses: &[u64], bytes: usize) {
        let mut places = [0; 32];
        let places = &mut places[..addresses.len()];
        places.copy_from_slice(addresses);
        if !places.is_sorted() {
            places.sort_unstable();
        }
        let Some(first) = places.first() else { return };
        let (mut last, mut different, mut touched) = (*first, 1, 1);
        for place in &places[1..] {
            different += u64::from(*place != last);
            touched += u64::from(place / SECTOR != last / SECTOR);
            last = *place;
        }
        self.needed += (different * bytes as u64).div_ceil(SECTOR);
        self.touched += touched;
    }
}
