//! Copies that arrive late: as late as they may.

use super::Cause;
use super::code::{Expr, Place};
use super::exec::{Machine, Step};
use std::collections::{HashSet, VecDeque};

/// A copy under way.
struct Pending {
    buffer: usize,
    byte: i64,
    /// The elements.
    bits: Vec<u64>,
}

/// The copies of a task that nobody has waited for.
#[derive(Default)]
pub(super) struct Copies {
    /// Groups that have ended.
    groups: VecDeque<Vec<Pending>>,
    open: Vec<Pending>,
    /// Elements that are not there yet: buffer and byte.
    coming: HashSet<(usize, i64)>,
}

impl Copies {
    /// Fails if an element is under way.
    pub fn check(&self, buffer: usize, byte: i64, name: &crate::Name) -> Step {
        match self.coming.is_empty() || !self.coming.contains(&(buffer, byte)) {
            true => Ok(()),
            false => Err(Cause::Coming(name.clone(), byte)),
        }
    }

    /// Fails if something is under way at the end of a task.
    pub fn end(&mut self) -> Step {
        let left = std::mem::take(self);
        match left.coming.is_empty() {
            true => Ok(()),
            false => Err(Cause::Unwaited),
        }
    }
}

impl Machine<'_> {
    /// Reads what is copied, and keeps it back.
    pub(super) fn begin_copy(&mut self, to: &Place, from: &Place, lanes: usize, first: &Option<Expr>) -> Step {
        let active = self.active(lanes, first)?;
        let mut bits = vec![0; lanes];
        if active > 0 {
            let byte = self.room(from, active)?;
            let size = self.size(from.buffer());
            for (lane, bits) in bits[..active].iter_mut().enumerate() {
                *bits = self.read(from.buffer(), byte + lane as i64 * size)?;
            }
        }
        let byte = self.room(to, lanes)?;
        let size = self.size(to.buffer());
        for lane in 0..lanes as i64 {
            let at = byte + lane * size;
            self.copies.check(to.buffer(), at, &self.program.params[to.buffer()].name)?;
            self.copies.coming.insert((to.buffer(), at));
        }
        self.copies.open.push(Pending { buffer: to.buffer(), byte, bits });
        Ok(())
    }

    pub(super) fn commit(&mut self) {
        let group = std::mem::take(&mut self.copies.open);
        self.copies.groups.push_back(group);
    }

    /// Writes what all groups but the last so many have copied.
    pub(super) fn wait(&mut self, most: usize) -> Step {
        while self.copies.groups.len() > most {
            for Pending { buffer, byte, bits } in self.copies.groups.pop_front().into_iter().flatten() {
                let size = self.size(buffer);
                for (lane, bits) in bits.into_iter().enumerate() {
                    let at = byte + lane as i64 * size;
                    self.copies.coming.remove(&(buffer, at));
                    self.write(buffer, at, bits)?;
                }
            }
        }
        Ok(())
    }

    /// The byte of a place from which so many elements lie in their row, or buffer.
    pub(super) fn room(&mut self, place: &Place, lanes: usize) -> Step<i64> {
        let (byte, room) = self.locate(place, 0)?;
        match byte < 0 || lanes as i64 > room {
            true => Err(super::exec::beyond(&self.program.params[place.buffer()], lanes, room)),
            false => Ok(byte),
        }
    }

    pub(super) fn size(&self, buffer: usize) -> i64 {
        self.program.params[buffer].dtype.bytes() as i64
    }
}
