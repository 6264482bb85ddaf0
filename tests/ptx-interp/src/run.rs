//! Grids, warps, branches.

use crate::Result;
use crate::local::Local;
use crate::memory::Device;
use crate::parse::{Code, Entry, Inst, Source, Space};
use crate::types::{Kind, Type};

/// Lanes of a warp.
const LANES: usize = 32;
/// The place of a lane that has ended.
const ENDED: u32 = u32::MAX;

struct Warp<'a> {
    entry: &'a Entry,
    params: &'a [u8],
    block: u32,
    block_size: u32,
    /// Number in its block of the first lane.
    first: u32,
    /// A register's lanes lie together.
    values: Vec<u64>,
    /// Which lanes of each register were written.
    written: Vec<u32>,
    places: [u32; LANES],
    local: Local,
}

impl Entry {
    /// Runs a grid of blocks.
    ///
    /// # Errors
    /// Names the thread and the instruction that did wrong.
    pub fn launch(&self, blocks: u32, block_size: u32, params: &[u8], device: &mut Device) -> Result<()> {
        if block_size == 0 || blocks == 0 || block_size > self.most_threads {
            let most = self.most_threads;
            return Err(format!("{blocks} blocks of {block_size} threads: there must be some, of at most {most}"));
        }
        let threads = u64::from(blocks) * u64::from(block_size);
        device.begin(u32::try_from(threads).map_err(|_| format!("{threads} threads are too many to run here"))?);
        for block in 0..blocks {
            for first in (0..block_size).step_by(LANES) {
                let mut warp = Warp::new(self, params, block, block_size, first);
                warp.run(device)?;
            }
        }
        Ok(())
    }
}

impl<'a> Warp<'a> {
    fn new(entry: &'a Entry, params: &'a [u8], block: u32, block_size: u32, first: u32) -> Warp<'a> {
        let place = |lane: usize| if first + (lane as u32) < block_size { 0 } else { ENDED };
        Warp {
            entry,
            params,
            block,
            block_size,
            first,
            values: vec![0xdead_beef_dead_beef; entry.registers * LANES],
            written: vec![0; entry.registers],
            places: std::array::from_fn(place),
            local: Local::new(entry.local, LANES),
        }
    }

    /// Runs until all lanes have ended: always those that are furthest behind, so that lanes meet again.
    fn run(&mut self, device: &mut Device) -> Result<()> {
        loop {
            let place = self.places.iter().copied().min().unwrap_or(ENDED);
            if place == ENDED {
                return Ok(());
            }
            let active = self.lanes(|lane| self.places[lane] == place);
            let waiting = self.places.iter().copied().filter(|other| *other > place).min().unwrap_or(ENDED);
            self.run_lanes(place, active, waiting, device)?;
        }
    }

    /// Runs lanes that stand together until they branch, or come to where others wait.
    fn run_lanes(&mut self, mut place: u32, active: u32, waiting: u32, device: &mut Device) -> Result<()> {
        let entry = self.entry;
        loop {
            let inst = entry.code.get(place as usize).ok_or("an entry goes on after its last instruction")?;
            let chosen = match inst.guard {
                None => active,
                Some((register, not)) => {
                    self.check(register, active).map_err(|why| self.wrong(inst, &why))?;
                    let holds = self.lanes(|lane| self.values[register * LANES + lane] != 0);
                    active & if not { !holds } else { holds }
                }
            };
            match inst.code {
                Code::Branch(target) => {
                    self.move_to(chosen, target as u32);
                    self.move_to(active & !chosen, place + 1);
                    return Ok(());
                }
                Code::Return => {
                    self.move_to(chosen, ENDED);
                    self.move_to(active & !chosen, place + 1);
                    return Ok(());
                }
                _ => self.step(&inst.code, chosen, device).map_err(|why| self.wrong(inst, &why))?,
            }
            place += 1;
            if place >= waiting {
                self.move_to(active, place);
                return Ok(());
            }
        }
    }

    fn lanes(&self, holds: impl Fn(usize) -> bool) -> u32 {
        (0..LANES).filter(|lane| holds(*lane)).fold(0, |mask, lane| mask | 1 << lane)
    }

    fn move_to(&mut self, lanes: u32, place: u32) {
        each(lanes, |lane| self.places[lane] = place);
    }

    fn wrong(&self, inst: &Inst, why: &str) -> String {
        let (name, line, text, block) = (&self.entry.name, inst.line, &inst.text, self.block);
        format!("`{name}` block {block}, warp at {}, line {line} `{text}`: {why}", self.first)
    }

    fn check(&self, register: usize, lanes: u32) -> Result<()> {
        match self.written[register] & lanes == lanes {
            true => Ok(()),
            false => Err("a register is read that was not written".into()),
        }
    }

    fn check_source(&self, source: &Source, lanes: u32) -> Result<()> {
        if let Source::Register(register) = source { self.check(*register, lanes) } else { Ok(()) }
    }

    fn value(&self, source: &Source, lane: usize) -> u64 {
        match source {
            Source::Register(register) => self.values[register * LANES + lane],
            Source::Constant(bits) => *bits,
            Source::Thread => u64::from(self.first) + lane as u64,
            Source::Block => self.block.into(),
            Source::BlockSize => self.block_size.into(),
        }
    }

    fn step(&mut self, code: &Code, lanes: u32, device: &mut Device) -> Result<()> {
        match code {
            Code::Compute(compute, to, from) => {
                from.iter().try_for_each(|source| self.check_source(source, lanes))?;
                let none = Source::Constant(0);
                let source = |place: usize| from.get(place).unwrap_or(&none);
                let (a, b, c) = (source(0), source(1), source(2));
                each(lanes, |lane| {
                    let value = compute(self.value(a, lane), self.value(b, lane), self.value(c, lane));
                    self.values[to * LANES + lane] = value;
                });
                self.written[*to] |= lanes;
            }
            Code::Param(to, ty, offset) => {
                let bytes = self.params.get(*offset..offset + ty.bytes).ok_or("a parameter that is not there")?;
                let mut value = [0; 8];
                value[..ty.bytes].copy_from_slice(bytes);
                each(lanes, |lane| self.values[to * LANES + lane] = u64::from_le_bytes(value));
                self.written[*to] |= lanes;
            }
            Code::Load(space, ty, to, pointer, offset) => {
                self.check_source(pointer, lanes)?;
                for lane in members(lanes) {
                    let (address, thread) = self.address(pointer, *offset, ty.bytes * to.len(), lane)?;
                    for (place, to) in to.iter().enumerate() {
                        let address = address + (place * ty.bytes) as u64;
                        let bits = match space {
                            Space::Global => device.load(address, ty.bytes, thread)?,
                            Space::Local => self.local.load(address, ty.bytes, lane)?,
                        };
                        self.values[to * LANES + lane] = extended(*ty, bits);
                    }
                }
                to.iter().for_each(|to| self.written[*to] |= lanes);
            }
            Code::Store(space, ty, from, pointer, offset) => {
                from.iter().chain([pointer]).try_for_each(|source| self.check_source(source, lanes))?;
                for lane in members(lanes) {
                    let (address, thread) = self.address(pointer, *offset, ty.bytes * from.len(), lane)?;
                    for (place, from) in from.iter().enumerate() {
                        let value = self.value(from, lane);
                        let address = address + (place * ty.bytes) as u64;
                        match space {
                            Space::Global => device.store(address, ty.bytes, value, thread)?,
                            Space::Local => self.local.store(address, ty.bytes, value, lane)?,
                        }
                    }
                }
            }
            Code::Branch(_) | Code::Return => {}
        }
        Ok(())
    }

    /// Where a lane goes in memory, and its number among all threads.
    fn address(&self, pointer: &Source, offset: i64, bytes: usize, lane: usize) -> Result<(u64, u32)> {
        let address = self.value(pointer, lane).wrapping_add_signed(offset);
        if !address.is_multiple_of(bytes as u64) {
            return Err(format!("{address:#x} is no multiple of {bytes}"));
        }
        Ok((address, self.block * self.block_size + self.first + lane as u32))
    }
}

/// What a register holds after a load: a wider one is filled as the type says.
fn extended(ty: Type, bits: u64) -> u64 {
    if ty.kind == Kind::Signed && ty.bytes < 4 { ty.extend(bits) as u32 as u64 } else { bits }
}

fn members(lanes: u32) -> impl Iterator<Item = usize> {
    (0..LANES).filter(move |lane| lanes >> lane & 1 == 1)
}

fn each(lanes: u32, mut f: impl FnMut(usize)) {
    let mut rest = lanes;
    while rest != 0 {
        f(rest.trailing_zeros() as usize);
        rest &= rest - 1;
    }
}
