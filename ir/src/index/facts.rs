//! What is known of variables and symbols, and what follows from it.

use super::{Atom, Index, Name};
use std::collections::BTreeMap;

/// Ranges of variables and symbols. A symbol without an entry is at least 0; a variable without one is unbounded.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Inclusive range of a variable.
    vars: BTreeMap<Name, (Index, Index)>,
    /// Inclusive range of a symbol.
    syms: BTreeMap<Name, (i64, Option<i64>)>,
    /// Expressions that are not negative.
    pub(super) assumed: Vec<Index>,
}

impl Facts {
    /// Adds a variable that runs over `0..extent`.
    pub fn axis(&mut self, name: impl Into<Name>, extent: &Index) {
        self.range(name, Index::zero(), extent.clone() - 1);
    }

    /// Adds a variable with an inclusive range.
    pub fn range(&mut self, name: impl Into<Name>, low: Index, high: Index) {
        self.vars.insert(name.into(), (low, high));
    }

    /// Adds a symbol with an inclusive range.
    pub fn symbol(&mut self, name: impl Into<Name>, low: i64, high: Option<i64>) {
        self.syms.insert(name.into(), (low, high));
    }

    /// The inclusive range of a symbol.
    pub fn symbol_range(&self, name: &str) -> (i64, Option<i64>) {
        self.syms.get(name).copied().unwrap_or((0, None))
    }

    /// The inclusive range of a variable.
    pub fn var_range(&self, name: &str) -> Option<&(Index, Index)> {
        self.vars.get(name)
    }

    /// Whether `e >= 0` follows.
    pub fn nonneg(&self, e: &Index) -> bool {
        match e.as_const() {
            Some(n) => n >= 0,
            None => self.low(e).is_some_and(|low| self.symbols_nonneg(&low)),
        }
    }

    /// Whether `a <= b` follows.
    pub fn le(&self, a: &Index, b: &Index) -> bool {
        self.nonneg(&(b.clone() - a.clone()))
    }

    /// Whether `a < b` follows.
    pub fn lt(&self, a: &Index, b: &Index) -> bool {
        self.nonneg(&(b.clone() - a.clone() - 1))
    }

    /// Whether `0 <= e < extent` follows.
    pub fn within(&self, e: &Index, extent: &Index) -> bool {
        self.nonneg(e) && self.lt(e, extent)
    }

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
                (larger_a || larger_b).then(|| if larger_a == up { a } else { b })
            }
            Atom::At(..) => None,
        }
    }

    /// Whether a polynomial over symbols alone is never negative: written over `symbol - low`, no coefficient is.
    /// A floor division is bracketed by its exact quotient; a term may be paid for by an upper bound.
    fn symbols_nonneg(&self, e: &Index) -> bool {
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

    /// Splits `a == by * quotient + rest`, taking all terms that `by` divides.
    fn split(&self, a: &Index, by: &Index) -> (Index, Index) {
        let [(divisor, factor)] = by.terms() else {
            return (Index::zero(), a.clone());
        };
        let (mut quotient, mut rest) = (Vec::new(), Vec::new());
        for (atoms, coefficient) in a.terms() {
            let mut left = atoms.clone();
            let divides = coefficient % factor == 0
                && divisor.iter().all(|d| left.iter().position(|x| x == d).map(|at| left.remove(at)).is_some());
            if divides {
                quotient.push((left, coefficient / factor));
            } else if divisor.is_empty() && !atoms.is_empty() {
                rest.push((atoms.clone(), *coefficient));
            } else if divisor.is_empty() {
                quotient.push((vec![], coefficient.div_euclid(*factor)));
                rest.push((vec![], coefficient.rem_euclid(*factor)));
            } else {
                rest.push((atoms.clone(), *coefficient));
            }
        }
        (Index::from_terms(quotient), Index::from_terms(rest))
    }

    /// Floor division by a positive divisor, folded as far as the facts allow.
    pub fn div(&self, a: &Index, by: &Index) -> Index {
        if by.is(1) {
            return a.clone();
        }
        if let (Some(a), Some(by)) = (a.as_const(), by.as_const()) {
            return if by > 0 { Index::from(a.div_euclid(by)) } else { Index::zero() };
        }
        let (quotient, rest) = self.split(a, by);
        if self.within(&rest, by) {
            return quotient;
        }
        // A sum that is itself the divisor: (n - 1 + r) / n and the like stay opaque.
        if a == by && self.nonneg(&(by.clone() - 1)) {
            return Index::from(1);
        }
        match rest.as_atom() {
            // floor(floor(x/m)/n) = floor(x/(m*n))
            Some(Atom::Div(inner)) => return quotient + self.div(&inner.0, &(&inner.1 * by)),
            // floor((x mod (m*n)) / n) = floor(x/n) mod m
            Some(Atom::Mod(inner)) => {
                let (m, left) = self.split(&inner.1, by);
                if left.is(0) && !m.is(0) {
                    return quotient + self.rem(&self.div(&inner.0, by), &m);
                }
            }
            _ => {}
        }
        if let (Some(reduced), Some(smaller)) = (self.common_factor(&rest, by), by.as_const()) {
            let (numerator, factor) = reduced;
            return quotient + self.div(&numerator, &Index::from(smaller / factor));
        }
        quotient + Index::atom(Atom::Div(Box::new((rest, by.clone()))))
    }

    /// `(rest / g, g)` for the greatest number `g > 1` that divides all but the constant term of `rest`, and `by`.
    fn common_factor(&self, rest: &Index, by: &Index) -> Option<(Index, i64)> {
        let by = by.as_const()?;
        let variable = rest.terms().iter().filter(|term| !term.0.is_empty());
        let g = variable.fold(by, |g, term| gcd(g, term.1));
        (g > 1).then(|| {
            let terms = rest.terms().iter().map(|(atoms, c)| (atoms.clone(), c.div_euclid(g)));
            (Index::from_terms(terms), g)
        })
    }

    /// Floor remainder by a positive divisor, folded as far as the facts allow.
    pub fn rem(&self, a: &Index, by: &Index) -> Index {
        if by.is(1) {
            return Index::zero();
        }
        if let (Some(a), Some(by)) = (a.as_const(), by.as_const()) {
            return if by > 0 { Index::from(a.rem_euclid(by)) } else { Index::zero() };
        }
        let (_, rest) = self.split(a, by);
        if self.within(&rest, by) {
            return rest;
        }
        if let Some(Atom::Mod(inner)) = rest.as_atom() {
            // (x mod (m*n)) mod n = x mod n
            let (m, left) = self.split(&inner.1, by);
            if left.is(0) && !m.is(0) {
                return self.rem(&inner.0, by);
            }
        }
        Index::atom(Atom::Mod(Box::new((rest, by.clone()))))
    }

    /// The smaller of two, folded where the facts decide.
    pub fn min(&self, a: &Index, b: &Index) -> Index {
        if self.le(a, b) {
            return a.clone();
        }
        if self.le(b, a) {
            return b.clone();
        }
        let (a, b) = if a <= b { (a, b) } else { (b, a) };
        Index::atom(Atom::Min(Box::new((a.clone(), b.clone()))))
    }

    /// The larger of two, folded where the facts decide.
    pub fn max(&self, a: &Index, b: &Index) -> Index {
        if self.le(a, b) {
            return b.clone();
        }
        if self.le(b, a) {
            return a.clone();
        }
        let (a, b) = if a <= b { (a, b) } else { (b, a) };
        Index::atom(Atom::Max(Box::new((a.clone(), b.clone()))))
    }

    /// Folds everything inside an expression again, and joins `x/n*n + x%n` to `x`.
    pub fn simplify(&self, e: &Index) -> Index {
        let e = e.rebuild(self, &|_| None);
        for (atoms, coefficient) in e.terms() {
            let Some(at) = atoms.iter().position(|atom| matches!(atom, Atom::Mod(_))) else { continue };
            let Atom::Mod(pair) = &atoms[at] else { continue };
            let mut others = atoms.clone();
            others.remove(at);
            let others = Index::from_terms([(others, *coefficient)]);
            let quotient = &(&self.div(&pair.0, &pair.1) * &pair.1) * &others;
            let has_all = quotient.terms().iter().all(|term| e.terms().contains(term));
            if has_all && !quotient.terms().is_empty() {
                let remainder = &Index::atom(atoms[at].clone()) * &others;
                return self.simplify(&(e.clone() - quotient - remainder + &pair.0 * &others));
            }
        }
        e
    }
}

pub(super) fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a.abs() } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        let mut facts = Facts::default();
        facts.axis("i", &Index::sym("S"));
        facts.axis("h", &Index::from(12));
        facts.axis("d", &Index::from(32));
        facts.axis("c", &Index::from(384));
        facts
    }

    #[test]
    fn polynomials_are_canonical() {
        let (a, b) = (Index::sym("a"), Index::sym("b"));
        assert_eq!(&a * &b, &b * &a);
        assert!((a.clone() * b.clone() - b * a).is(0));
    }

    #[test]
    fn flatten_then_unflatten_is_nothing() {
        let f = facts();
        let (h, d, i) = (Index::var("h"), Index::var("d"), Index::var("i"));
        let flat = i.clone() * 384 + h.clone() * 32 + d.clone();
        assert_eq!(f.div(&flat, &384.into()), i);
        assert_eq!(f.rem(&flat, &32.into()), d);
        assert_eq!(f.rem(&f.div(&flat, &32.into()), &12.into()), h);
        let symbolic = &h * &Index::sym("S") + i.clone();
        assert_eq!(f.div(&symbolic, &Index::sym("S")), h);
        assert_eq!(f.rem(&symbolic, &Index::sym("S")), i);
    }

    #[test]
    fn unflatten_then_flatten_joins() {
        let f = facts();
        let c = Index::var("c");
        let joined = f.div(&c, &32.into()) * 32 + f.rem(&c, &32.into());
        assert_eq!(f.simplify(&joined), c);
    }

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

    #[test]
    fn bounds_follow_from_extents() {
        let f = facts();
        let i = Index::var("i");
        assert!(f.within(&i, &Index::sym("S")));
        assert!(!f.within(&(i.clone() + 1), &Index::sym("S")));
        assert!(f.lt(&(i * 2 + 1), &(Index::sym("S") * 2)));
        assert!(f.within(&Index::var("c").div(&32.into()), &12.into()));
    }
}
