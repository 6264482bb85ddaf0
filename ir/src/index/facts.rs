//! What is known of variables and symbols, and what follows from it.

use super::{Atom, Index, Name};
use std::collections::BTreeMap;

/// Ranges of variables and symbols. A symbol without an entry is at least 0; a variable without one is unbounded.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Inclusive range of a variable.
    pub(super) vars: BTreeMap<Name, (Index, Index)>,
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
        if rest.is(0) || self.within(&rest, by) {
            return quotient;
        }
        // Divisors are positive, so -1 lies in the block before.
        if rest.is(-1) || self.within(&(rest.clone() + by.clone()), by) {
            return quotient - 1;
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
        if rest.is(0) || self.within(&rest, by) {
            return rest;
        }
        let above = rest.clone() + by.clone();
        if rest.is(-1) || self.within(&above, by) {
            return above;
        }
        if let Some(Atom::Mod(inner)) = rest.as_atom() {
            // (x mod (m*n)) mod n = x mod n
            let (m, left) = self.split(&inner.1, by);
            if left.is(0) && !m.is(0) {
                return self.rem(&inner.0, by);
            }
        }
        // (g*x + c) mod (g*n) = g*(x mod n) + c for 0 <= c < g
        if let (Some((_, g)), Some(by)) = (self.common_factor(&rest, by), by.as_const())
            && g < by
        {
            let low = rest.constant().rem_euclid(g);
            let (multiple, _) = self.split(&(rest - low), &Index::from(g));
            return self.rem(&multiple, &Index::from(by / g)) * g + low;
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
    fn one_below_a_multiple_is_in_the_block_before() {
        let f = Facts::default();
        let (a, b) = (Index::sym("a"), Index::sym("b"));
        let e = &a * &b - 1;
        assert_eq!(f.div(&e, &b), a - 1);
        assert_eq!(f.rem(&e, &b), b - 1);
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
