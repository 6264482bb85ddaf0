//! Warps: 32 threads that run an instruction together, as long as they stand at the same one.

use crate::Result;
use crate::code::{Address, Code, Entry, Source};
use crate::copies::Copies;
use crate::grid::Block;
use crate::local::Local;
use crate::memory::Device;

/// Lanes of a warp.
pub(crate) const LANES: usize = 32;
/// The place of a lane that has ended.
const ENDED: u32 = u32::MAX;

/// Why a warp runs no further.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stop {
    Ended,
    /// At the barrier in this place, with all its lanes.
    Barrier(usize),
}

/// A warp of the block that runs.
pub(crate) struct Warp {
    /// Number in its block of the first lane.
    pub first: u32,
    /// Lanes that there are.
    pub all: u32,
    /// A register's lanes lie together.
    pub values: Vec<u64>,
    /// Which lanes of each register were written.
    pub written: Vec<u32>,
    places: [u32; LANES],
    pub local: Local,
    pub copies: Copies,
}

impl Warp {
    /// The warp of some threads of a block of an entry.
    pub fn new(entry: &Entry, first: u32, threads: u32) -> Warp {
        let all = if threads - first >= LANES as u32 { u32::MAX } else { (1 << (threads - first)) - 1 };
        Warp {
            first,
            all,
            values: vec![0xdead_beef_dead_beef; entry.registers * LANES],
            written: vec![0; entry.registers],
            places: [ENDED; LANES],
            local: Local::new(entry.local, LANES),
            copies: Copies::new(),
        }
    }

    /// Begins another block.
    pub fn restart(&mut self) {
        self.written.fill(0);
        self.local.clear();
        self.copies.clear();
        self.move_to(self.all, 0);
    }

    /// Runs until all lanes have ended or wait: always those that are furthest behind, so that lanes meet again.
    pub fn run(&mut self, block: &mut Block, device: &mut Device) -> Result<Stop> {
        loop {
            let place = self.places.iter().copied().min().unwrap_or(ENDED);
            if place == ENDED {
                return Ok(Stop::Ended);
            }
            let active = self.lanes(|lane| self.places[lane] == place);
            let waiting = self.places.iter().copied().filter(|other| *other > place).min().unwrap_or(ENDED);
            if let Some(barrier) = self.run_lanes(place, active, waiting, block, device)? {
                return Ok(Stop::Barrier(barrier));
            }
        }
    }

    /// Runs lanes that stand together until they branch, or come to where others wait, or to a barrier.
    fn run_lanes(
        &mut self,
        mut place: u32,
        active: u32,
        waiting: u32,
        block: &mut Block,
        device: &mut Device,
    ) -> Result<Option<usize>> {
        let entry = block.entry;
        loop {
            let inst = entry.code.get(place as usize).ok_or("an entry goes on after its last instruction")?;
            let chosen = match inst.guard {
                None => active,
                Some((register, not)) => {
                    self.check(register, active).map_err(|why| self.wrong(block, place as usize, &why))?;
                    let holds = self.lanes(|lane| self.values[register * LANES + lane] != 0);
                    active & if not { !holds } else { holds }
                }
            };
            match inst.code {
                Code::Branch(target) => {
                    self.move_to(chosen, target as u32);
                    self.move_to(active & !chosen, place + 1);
                    return Ok(None);
                }
                Code::Return => {
                    self.move_to(chosen, ENDED);
                    self.move_to(active & !chosen, place + 1);
                    return Ok(None);
                }
                Code::Barrier if chosen == self.all => {
                    self.move_to(active, place + 1);
                    return Ok(Some(place as usize));
                }
                _ => {
                    let done = self.step(&inst.code, chosen, block, device);
                    done.map_err(|why| self.wrong(block, place as usize, &why))?;
                }
            }
            place += 1;
            if place >= waiting {
                self.move_to(active, place);
                return Ok(None);
            }
        }
    }

    fn lanes(&self, holds: impl Fn(usize) -> bool) -> u32 {
        (0..LANES).filter(|lane| holds(*lane)).fold(0, |mask, lane| mask | 1 << lane)
    }

    /// Lanes that have not ended.
    pub fn living(&self) -> u32 {
        self.lanes(|lane| self.places[lane] != ENDED)
    }

    fn move_to(&mut self, lanes: u32, place: u32) {
        each(lanes, |lane| self.places[lane] = place);
    }

    /// The text of an error of the instruction in a place.
    pub fn wrong(&self, block: &Block, place: usize, why: &str) -> String {
        let inst = &block.entry.code[place];
        let (name, line, text, number) = (&block.entry.name, inst.line, &inst.text, block.number);
        format!("`{name}` block {number}, warp at {}, line {line} `{text}`: {why}", self.first)
    }

    /// Fails if a register was not written by some lanes.
    pub fn check(&self, register: usize, lanes: u32) -> Result<()> {
        match self.written[register] & lanes == lanes {
            true => Ok(()),
            false => Err("a register is read that was not written".into()),
        }
    }

    pub fn check_source(&self, source: &Source, lanes: u32) -> Result<()> {
        if let Source::Register(register) = source { self.check(*register, lanes) } else { Ok(()) }
    }

    pub fn set(&mut self, register: usize, lane: usize, value: u64) {
        self.values[register * LANES + lane] = value;
        self.written[register] |= 1 << lane;
    }

    /// A lane's value of an operand that was checked.
    #[inline]
    pub fn value(&self, source: &Source, lane: usize, block: &Block) -> u64 {
        match source {
            Source::Register(register) => self.values[register * LANES + lane],
            Source::Constant(bits) => *bits,
            Source::Thread => u64::from(self.first) + lane as u64,
            Source::Lane => lane as u64,
            Source::BlockSize => block.size.into(),
            Source::Block(dimension) => block.place[*dimension].into(),
            Source::Grid(dimension) => block.grid[*dimension].into(),
        }
    }

    /// Where a lane goes in memory.
    pub fn address(&self, address: &Address, bytes: usize, lane: usize, block: &Block) -> Result<u64> {
        let address = self.value(&address.base, lane, block).wrapping_add_signed(address.offset);
        match address.is_multiple_of(bytes as u64) {
            true => Ok(address),
            false => Err(format!("{address:#x} is no multiple of {bytes}")),
        }
    }
}

pub(crate) fn members(lanes: u32) -> impl Iterator<Item = usize> {
    (0..LANES).filter(move |lane| lanes >> lane & 1 == 1)
}

pub(crate) fn each(lanes: u32, mut f: impl FnMut(usize)) {
    let mut rest = lanes;
    while rest != 0 {
        f(rest.trailing_zeros() as usize);
        rest &= rest - 1;
    }
}
