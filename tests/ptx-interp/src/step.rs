//! What an instruction does to the lanes that run it.

use crate::Result;
use crate::code::{Address, Code, Source, Space};
use crate::grid::Block;
use crate::memory::Device;
use crate::shared::Who;
use crate::types::{Kind, Type};
use crate::warp::{LANES, Warp, each, members};

impl Warp {
    /// Runs an instruction that leads to the next one.
    pub(crate) fn step(&mut self, code: &Code, lanes: u32, block: &mut Block, device: &mut Device) -> Result<()> {
        match code {
            Code::Compute(compute, to, from) => {
                from.iter().try_for_each(|source| self.check_source(source, lanes))?;
                let none = Source::Constant(0);
                let source = |place: usize| from.get(place).unwrap_or(&none);
                let (a, b, c) = (source(0), source(1), source(2));
                each(lanes, |lane| {
                    let value = |source| self.value(source, lane, block);
                    self.values[to * LANES + lane] = compute(value(a), value(b), value(c));
                });
                self.written[*to] |= lanes;
            }
            Code::Param(to, ty, offset) => {
                let bytes = block.params.get(*offset..offset + ty.bytes).ok_or("a parameter that is not there")?;
                let mut value = [0; 8];
                value[..ty.bytes].copy_from_slice(bytes);
                each(lanes, |lane| self.values[to * LANES + lane] = u64::from_le_bytes(value));
                self.written[*to] |= lanes;
            }
            Code::Load(space, ty, to, address) => self.load((*space, *ty), to, address, lanes, block, device)?,
            Code::Store(space, ty, from, address) => self.store((*space, *ty), from, address, lanes, block, device)?,
            Code::Pack(to, part, from) => {
                from.iter().try_for_each(|from| self.check(*from, lanes))?;
                for lane in members(lanes) {
                    let value = |from: &usize| part.cut(self.values[from * LANES + lane]);
                    let whole = from.iter().rev().fold(0, |whole, from| whole << (8 * part.bytes) | value(from));
                    self.set(*to, lane, whole);
                }
            }
            Code::Unpack(to, part, from) => {
                self.check(*from, lanes)?;
                for lane in members(lanes) {
                    let whole = self.values[from * LANES + lane];
                    for (place, to) in to.iter().enumerate() {
                        self.set(*to, lane, part.cut(whole >> (8 * part.bytes * place)));
                    }
                }
            }
            Code::Shuffle(shuffle) => self.shuffle(shuffle, lanes, block)?,
            Code::Copy(copy) => self.copy(copy, lanes, block, device)?,
            Code::Commit => self.commit(lanes),
            Code::Wait(most) => self.wait(*most, lanes, block)?,
            Code::LoadMatrix(load) => self.load_matrix(load, lanes, block)?,
            Code::Multiply(mma) => {
                self.multiply(mma, lanes)?;
                block.counts.products += u64::from(lanes != 0);
            }
            Code::WarpBarrier(mask) => {
                self.check_source(mask, lanes)?;
                for lane in members(lanes) {
                    self.together(self.value(mask, lane, block) as u32, lanes, lane)?;
                }
                match lanes {
                    0 => {}
                    _ if lanes == self.living() => block.shared.warp_barrier(self.first as usize / LANES),
                    _ => return Err("a barrier of some lanes of a warp, which is not known here".into()),
                }
            }
            Code::Barrier if lanes == 0 => {}
            Code::Barrier => {
                return Err(format!("a barrier to which lanes {lanes:#x} of {:#x} come together", self.all));
            }
            Code::Branch(_) | Code::Return => {}
        }
        Ok(())
    }

    fn load(
        &mut self,
        (space, ty): (Space, Type),
        to: &[usize],
        address: &Address,
        lanes: u32,
        block: &mut Block,
        device: &mut Device,
    ) -> Result<()> {
        self.check_source(&address.base, lanes)?;
        let mut addresses = [0; LANES];
        for (number, lane) in members(lanes).enumerate() {
            let first = self.address(address, ty.bytes * to.len(), lane, block)?;
            addresses[number] = first;
            let thread = self.first + lane as u32;
            for (place, to) in to.iter().enumerate() {
                let address = first + (place * ty.bytes) as u64;
                let bits = match space {
                    Space::Global => device.load(address, ty.bytes, block.number * block.size + thread)?,
                    Space::Local => self.local.load(address, ty.bytes, lane)?,
                    Space::Shared => block.shared.load(address, ty.bytes, Who::Thread(thread as u16))?,
                };
                self.values[to * LANES + lane] = extended(ty, bits);
            }
        }
        to.iter().for_each(|to| self.written[*to] |= lanes);
        let addresses = &addresses[..lanes.count_ones() as usize];
        block.counts.add(space, false, addresses, ty.bytes * to.len());
        Ok(())
    }

    fn store(
        &mut self,
        (space, ty): (Space, Type),
        from: &[Source],
        address: &Address,
        lanes: u32,
        block: &mut Block,
        device: &mut Device,
    ) -> Result<()> {
        from.iter().chain([&address.base]).try_for_each(|source| self.check_source(source, lanes))?;
        let mut addresses = [0; LANES];
        for (number, lane) in members(lanes).enumerate() {
            let first = self.address(address, ty.bytes * from.len(), lane, block)?;
            addresses[number] = first;
            let thread = self.first + lane as u32;
            for (place, from) in from.iter().enumerate() {
                let value = self.value(from, lane, block);
                let address = first + (place * ty.bytes) as u64;
                match space {
                    Space::Global => device.store(address, ty.bytes, value, block.number * block.size + thread)?,
                    Space::Local => self.local.store(address, ty.bytes, value, lane)?,
                    Space::Shared => block.shared.store(address, ty.bytes, value, Who::Thread(thread as u16))?,
                }
            }
        }
        let addresses = &addresses[..lanes.count_ones() as usize];
        block.counts.add(space, true, addresses, ty.bytes * from.len());
        Ok(())
    }
}

/// What a register holds after a load: a wider one is filled as the type says.
fn extended(ty: Type, bits: u64) -> u64 {
    if ty.kind == Kind::Signed && ty.bytes < 4 { ty.extend(bits) as u32 as u64 } else { bits }
}
