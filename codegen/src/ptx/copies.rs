//! Copies that arrive late: `cp.async`, where the generation has it.
//!
//! Elsewhere, where an address is no multiple of what is copied, and to memory that no block shares, a copy is a load and a store,
//! and early.

use super::body::Emitter;
use super::register::Class;
use mlc_ir::tile::{Access, Type};
use mlc_ir::{Index, Result};

impl Emitter<'_> {
    /// Begins a copy.
    pub(super) fn begin_copy(&mut self, to: &Access, from: &Access, ty: Type, first: Option<&Index>) -> Result<()> {
        let bytes = ty.bytes() as i64;
        let (target, source) = (self.place_of(to)?, self.place_of(from)?);
        let aligned = target.multiple % bytes == 0 && source.multiple % bytes == 0;
        if !aligned || target.space != "shared" || !self.has_copies() {
            let value = self.load(ty, from, first)?;
            return self.store(to, &value, None);
        }
        // Only whole pieces of 16 bytes may go past the first cache.
        let op = format!("cp.async.{}.shared.global", if bytes == 16 { "cg" } else { "ca" });
        match first {
            None => self.ins(&op, &[&target, &source, &bytes]),
            Some(first) => {
                let count = first.lesser(&Index::from(i64::from(ty.lanes))).greater(&Index::zero());
                let read = self.eval(&(count * ty.dtype.bytes() as i64))?;
                let read = self.let_(Class::Word, "cvt.u32.u64", &[&read]);
                self.ins(&op, &[&target, &source, &bytes, &read]);
            }
        }
        Ok(())
    }

    /// Ends a group of copies.
    pub(super) fn commit(&mut self) {
        if self.has_copies() {
            self.ins("cp.async.commit_group", &[]);
        }
    }

    /// Waits for all groups but the last so many.
    pub(super) fn wait(&mut self, most: u32) {
        if self.has_copies() {
            self.ins("cp.async.wait_group", &[&most]);
        }
    }

    /// Whether copies are asynchronous: they are to memory that a block shares.
    fn has_copies(&self) -> bool {
        self.capability.has_copies() && self.crew.is_some()
    }
}
