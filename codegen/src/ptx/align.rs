//! What addresses are known to be multiples of.

use super::body::Emitter;
use mlc_ir::Index;
use mlc_ir::index::Atom;
use mlc_ir::tile::Inst;

/// Buffers begin at multiples of this, on the device as in an arena.
pub(super) const BASE: i64 = mlc_abi::ARENA_ALIGN as i64;

/// The greatest common divisor; 0 is a multiple of everything.
pub(super) fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a.abs() } else { gcd(b, a % b) }
}

impl Emitter<'_> {
    /// A number that an expression is known to be a multiple of.
    pub(super) fn multiple(&self, e: &Index) -> i64 {
        e.terms().iter().fold(0, |all, (atoms, coefficient)| {
            let factor = |product: i64, atom: &Atom| product.checked_mul(self.atom_multiple(atom)).unwrap_or(product);
            gcd(all, atoms.iter().fold(*coefficient, factor))
        })
    }

    /// Notes what a cursor's addresses are multiples of.
    pub(super) fn align(&mut self, cursor: &Inst) {
        let Inst::Cursor { name, offset, advance, .. } = cursor else { return };
        let step = advance.as_ref().map_or(0, |(_, by)| self.multiple(by));
        self.multiples.insert(name.clone(), gcd(gcd(BASE, self.multiple(offset)), step));
    }

    fn atom_multiple(&self, atom: &Atom) -> i64 {
        match atom {
            Atom::Var(name) => self.multiples.get(name).copied().unwrap_or(1),
            Atom::Mod(pair) | Atom::Min(pair) | Atom::Max(pair) => gcd(self.multiple(&pair.0), self.multiple(&pair.1)),
            Atom::Sym(_) | Atom::Div(_) | Atom::At(..) => 1,
        }
    }
}
