//! What addresses are known to be multiples of.

use super::body::Emitter;
use mlc_ir::Index;
use mlc_ir::index::Atom;

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

    fn atom_multiple(&self, atom: &Atom) -> i64 {
        match atom {
            Atom::Var(name) => self.multiples.get(name).copied().unwrap_or(1),
            Atom::Mod(pair) | Atom::Min(pair) | Atom::Max(pair) => gcd(self.multiple(&pair.0), self.multiple(&pair.1)),
            Atom::Sym(_) | Atom::Div(_) | Atom::At(..) => 1,
        }
    }
}
