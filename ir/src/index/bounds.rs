//! Bounds of expressions that follow from the ranges of variables and symbols.

use super::{Atom, Facts, Index};

impl Facts {
    /// A lower bound without variables.
    pub fn low(&self, e: &Index) -> Option<Index> {
        self.bound(e, false)
    }

    /// An upper bound without variables.
    pub fn high(&self, e: &Index) -> Option<Index> {
        self.bound(e, true)
    }

    /// The largest number `e` can have, if symbols are bounded.
    pub fn high_number(&self, e: &Index) -> Option<i64> {
        self.number(&self.high(e)?, true)
    }

    /// The smallest number `e` can have.
    pub fn low_number(&self, e: &Index) -> Option<i64> {
        self.number(&self.low(e)?, false)
    }

    /// Bounds an expression over symbols by a number; gives up where factors of a term may be negative.
    fn number(&self, e: &Index, up: bool) -> Option<i64> {
        let mut sum = 0i64;
        for (atoms, coefficient) in e.terms() {
            let mut product = *coefficient;
            for atom in atoms {
                if atoms.len() > 1 && self.atom_number(atom, false)? < 0 {
                    return None;
                }
                product = product.checked_mul(self.atom_number(atom, up == (*coefficient > 0))?)?;
            }
            sum = sum.checked_add(product)?;
        }
        Some(sum)
    }

    fn atom_number(&self, atom: &Atom, up: bool) -> Option<i64> {
        match atom {
            Atom::Sym(name) => {
                let (low, high) = self.symbol_range(name);
                if up { high } else { Some(low) }
            }
            Atom::Div(pair) => {
                let by = pair.1.as_const().filter(|by| *by > 0)?;
                Some(self.number(&pair.0, up)?.div_euclid(by))
            }
            Atom::Mod(pair) if up => Some(self.number(&pair.1, true)? - 1),
            Atom::Mod(_) => Some(0),
            Atom::Min(pair) if up => match (self.number(&pair.0, true), self.number(&pair.1, true)) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            },
            Atom::Min(pair) => Some(self.number(&pair.0, false)?.min(self.number(&pair.1, false)?)),
            Atom::Max(pair) => Some(self.number(&pair.0, up)?.max(self.number(&pair.1, up)?)),
            Atom::Var(_) | Atom::At(..) => None,
        }
    }

    /// Bounds a polynomial term by term. Correct where the factors of a term are not negative; gives up otherwise.
    fn bound(&self, e: &Index, high: bool) -> Option<Index> {
        let mut sum = Index::zero();
        for (atoms, coefficient) in e.terms() {
            let up = high == (*coefficient > 0);
            let mut product = Index::from(*coefficient);
            let signs_matter = atoms.len() > 1;
            for atom in atoms {
                let bound = self.atom_bound(atom, up)?;
                if signs_matter && !self.atom_nonneg(atom) {
                    return None;
                }
                product = &product * &bound;
            }
            sum = sum + product;
        }
        Some(sum)
    }

    fn atom_nonneg(&self, atom: &Atom) -> bool {
        match atom {
            Atom::Sym(name) => self.symbol_range(name).0 >= 0,
            Atom::Mod(_) => true,
            _ => self.atom_bound(atom, false).is_some_and(|low| self.symbols_nonneg(&low)),
        }
    }

    fn atom_bound(&self, atom: &Atom, up: bool) -> Option<Index> {
        match atom {
            Atom::Sym(_) => Some(Index::atom(atom.clone())),
            Atom::Var(name) => {
                let (low, high) = self.vars.get(name)?;
                self.bound(if up { high } else { low }, up)
            }
            // Without variables it is its own bound; looking inside again at every level of a nest takes exponential time.
            Atom::Div(pair) if pair.0.vars().is_empty() && pair.1.vars().is_empty() => Some(Index::atom(atom.clone())),
            Atom::Div(pair) => {
                let by = pair.1.as_const();
                let bound = self.bound(&pair.0, up)?;
                match (bound.as_const(), by) {
                    (Some(n), Some(by)) if by > 0 => Some(Index::from(n.div_euclid(by))),
                    _ if self.symbols_nonneg(&bound) && bound.vars().is_empty() && pair.1.vars().is_empty() => {
                        Some(self.div(&bound, &pair.1))
                    }
                    _ => None,
                }
            }
            Atom::Mod(pair) if up => Some(self.bound(&pair.1, true)? - 1),
            Atom::Mod(_) => Some(Index::zero()),
            Atom::Min(pair) if up => {
                let (a, b) = (self.bound(&pair.0, true), self.bound(&pair.1, true));
                match (a, b) {
                    (Some(a), Some(b)) if self.symbols_nonneg(&(a.clone() - b.clone())) => Some(b),
                    (Some(a), _) if a.as_const().is_some() => Some(a),
                    (_, Some(b)) if b.as_const().is_some() => Some(b),
                    (a, b) => a.or(b),
                }
            }
            Atom::Max(pair) if !up => {
                let (a, b) = (self.bound(&pair.0, false), self.bound(&pair.1, false));
                match (a, b) {
                    (Some(a), Some(b)) if self.symbols_nonneg(&(b.clone() - a.clone())) => Some(b),
                    (a, b) => a.or(b),
                }
            }
            Atom::Min(pair) | Atom::Max(pair) => {
                let (a, b) = (self.bound(&pair.0, up)?, self.bound(&pair.1, up)?);
                let larger_a = self.symbols_nonneg(&(a.clone() - b.clone()));
                let larger_b = self.symbols_nonneg(&(b.clone() - a.clone()));
                (larger_a || larger_b).then_some(if larger_a == up { a } else { b })
            }
            Atom::At(..) => None,
        }
    }

    /// Whether a polynomial over symbols alone is never negative: written over `symbol - low`, no coefficient is.
    /// A floor division is bracketed by its exact quotient; a term may be paid for by an upper bound.
    pub(super) fn symbols_nonneg(&self, e: &Index) -> bool {
        if e.as_const().is_some_and(|n| n >= 0) {
            return true;
        }
        // What is inside other atoms stays as it is: their signs are judged over the unshifted symbols.
        let shifted = e.replace(&|atom| match atom {
            Atom::Sym(name) => Some(Index::atom(atom.clone()) + self.symbol_range(name).0),
            _ => Some(Index::atom(atom.clone())),
        });
        let mut slack = 0i64;
        for (atoms, coefficient) in shifted.terms() {
            if *coefficient >= 0 {
                if atoms.is_empty() {
                    slack = slack.saturating_add(*coefficient);
                } else if !atoms.iter().all(|atom| self.opaque_nonneg(atom)) {
                    return false;
                }
                continue;
            }
            let mut worst = *coefficient;
            for atom in atoms {
                let Atom::Sym(name) = atom else { return false };
                let (low, high) = self.symbol_range(name);
                let Some(high) = high else { return false };
                worst = worst.saturating_mul(high - low);
            }
            slack = slack.saturating_add(worst);
        }
        slack >= 0
    }

    fn opaque_nonneg(&self, atom: &Atom) -> bool {
        match atom {
            Atom::Sym(_) | Atom::Mod(_) => true,
            Atom::Div(pair) => self.nonneg(&pair.0),
            Atom::Max(pair) => self.nonneg(&pair.0) || self.nonneg(&pair.1),
            Atom::Min(pair) => self.nonneg(&pair.0) && self.nonneg(&pair.1),
            Atom::Var(_) | Atom::At(..) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_inside_atoms_keep_their_range() {
        let mut f = Facts::default();
        f.symbol("n", 1, None);
        assert!(!f.nonneg(&(Index::sym("n") - 2).div(&4.into())));
        assert!(f.nonneg(&(Index::sym("n") + 2).div(&4.into())));
        assert!(f.proves(&(Index::sym("n") - 1).div(&4.into())));
    }

    #[test]
    fn numbers_bound_sums_with_negative_terms() {
        let mut f = Facts::default();
        f.symbol("m", 2, Some(5));
        f.symbol("n", 1, Some(9));
        let e = Index::sym("n") - Index::sym("m") * 2;
        assert_eq!((f.low_number(&e), f.high_number(&e)), (Some(-9), Some(5)));
        assert_eq!(f.high_number(&(Index::from(8) - Index::sym("n").rem(&4.into()))), Some(8));
    }
}
