//! Expressions of symbols alone: sizes and distances that stay the same all through a kernel. Where several instructions
//! need one, it is computed once, at the beginning.

use super::Result;
use super::code::V;
use super::select::Selector;
use mlc_ir::Index;
use mlc_ir::index::Atom;
use mlc_ir::tile::{Inst, visit_indices};
use std::collections::BTreeMap;

/// Whether something depends on nothing but symbols.
pub fn is_fixed(atom: &Atom) -> bool {
    let e = Index::atom(atom.clone());
    e.vars().is_empty() && !e.looks_up()
}

impl Selector<'_> {
    /// Computes what several index expressions of a body share.
    pub fn compute_invariants(&mut self, body: &[Inst]) -> Result<()> {
        let mut uses = BTreeMap::new();
        visit_indices(body, &mut |index| count_in(index, &mut uses));
        for (atoms, number) in uses.values() {
            if *number > 1 && !matches!(atoms.as_slice(), [Atom::Sym(_)]) {
                self.product(atoms)?;
            }
        }
        Ok(())
    }

    /// The product of some atoms, in a register that must not be changed.
    pub fn product(&mut self, atoms: &[Atom]) -> Result<V> {
        let key = Index::product(&atoms.iter().cloned().map(Index::atom).collect::<Vec<_>>());
        if let Some(v) = self.known.iter().rev().find_map(|known| known.get(&key)) {
            return Ok(*v);
        }
        let v = match atoms {
            [atom] => self.atom(atom)?,
            [atoms @ .., last] => {
                let (first, last) = (self.product(atoms)?, self.product(std::slice::from_ref(last))?);
                self.times_register(first, last)
            }
            [] => return super::refuse("an empty term"),
        };
        if let Some(known) = self.known.last_mut().filter(|_| !key.looks_up()) {
            known.insert(key, v);
        }
        Ok(v)
    }
}

/// By their text, for an order that does not change: the fixed parts of all terms, and how many have them.
type Uses = BTreeMap<String, (Vec<Atom>, usize)>;

fn count_in(index: &Index, uses: &mut Uses) {
    for (atoms, _) in index.terms() {
        let fixed: Vec<Atom> = atoms.iter().filter(|atom| is_fixed(atom)).cloned().collect();
        let text = fixed.iter().map(|atom| Index::atom(atom.clone()).to_string()).collect::<Vec<_>>().join("*");
        if !text.is_empty() {
            uses.entry(text).or_insert((fixed, 0)).1 += 1;
        }
        for atom in atoms.iter().filter(|atom| !is_fixed(atom)) {
            if let Atom::Div(pair) | Atom::Mod(pair) | Atom::Min(pair) | Atom::Max(pair) = atom {
                count_in(&pair.0, uses);
                count_in(&pair.1, uses);
            }
        }
    }
}
