//! Proofs that an expression is never negative, with more effort than folding may spend.
//!
//! In: facts and a goal `e >= 0`.  Out: whether a proof was found; `false` says nothing.
//! A goal `c*x + r` with `c >= 0` follows from `c*low + s*r` for any known `s*x >= low` with `s > 0`; likewise with `c <= 0`
//! and an upper bound. Bounds come from ranges, from the definitions of `floordiv`, `mod`, `min` and `max`, and from
//! assumptions. The search eliminates one atom after the other, the ones of innermost variables first, and has fuel,
//! so that it ends.

use super::{Atom, Facts, Index};
use std::collections::HashSet;

/// Goals looked at in one proof.
const FUEL: u32 = 300;
/// Atoms eliminated one after the other.
const DEPTH: u32 = 24;
/// Coefficients up to this size can be multiplied without overflow.
const SMALL: u64 = 1 << 28;

/// Ways to bound an atom: any of these lists, of which all `(scale, bound)` must be tried.
type Bounds = Vec<Vec<(Index, Index)>>;

impl Facts {
    /// Adds `e >= 0`, and what follows for the operands of `min`, `max` and `floordiv` in it. Only [`Facts::proves`] uses it.
    pub fn assume(&mut self, e: Index) {
        if self.assumed.len() >= 64 || self.nonneg(&e) || self.assumed.contains(&e) {
            return;
        }
        self.assumed.push(e.clone());
        for (atoms, c) in e.terms().iter().filter(|_| small(&e)) {
            let [atom] = atoms.as_slice() else { continue };
            let (factor, rest) = (Index::from(*c), e.clone() - Index::from_terms([(atoms.clone(), *c)]));
            match atom {
                Atom::Min(pair) | Atom::Max(pair) | Atom::Div(pair) if !small(&pair.0) || !small(&pair.1) => {}
                Atom::Min(pair) if *c > 0 => {
                    self.assume(&factor * &pair.0 + rest.clone());
                    self.assume(&factor * &pair.1 + rest);
                }
                Atom::Max(pair) if *c < 0 => {
                    self.assume(&factor * &pair.0 + rest.clone());
                    self.assume(&factor * &pair.1 + rest);
                }
                // n*floordiv(x, n) is x at most and x - n + 1 at least.
                Atom::Div(pair) => {
                    let bound = if *c > 0 { pair.0.clone() } else { pair.0.clone() - pair.1.clone() + 1 };
                    self.assume(&factor * &bound + &pair.1 * &rest);
                }
                _ => {}
            }
        }
    }

    /// Whether `e >= 0` can be proved; stronger and slower than [`Facts::nonneg`].
    pub fn proves(&self, e: &Index) -> bool {
        let goal = self.simplify(e);
        if self.assumed.iter().any(|known| self.nonneg(&(goal.clone() - known.clone()))) {
            return true;
        }
        // Most goals need no assumption, and then assumptions only lead astray.
        let limits = if self.assumed.is_empty() { &[0][..] } else { &[0, 1, 3] };
        limits.iter().any(|limit| {
            let mut search = Search { facts: self, fuel: FUEL, limit: *limit, failed: HashSet::new() };
            search.nonneg(&goal, 0, DEPTH)
        })
    }
}

struct Search<'a> {
    facts: &'a Facts,
    fuel: u32,
    /// Assumptions that one proof may use.
    limit: u32,
    /// Goals without a proof, with the assumptions that had been used.
    failed: HashSet<(Index, u64)>,
}

impl Search<'_> {
    fn nonneg(&mut self, e: &Index, used: u64, depth: u32) -> bool {
        if let Some(n) = e.as_const() {
            return n >= 0;
        }
        if self.fuel == 0 || depth == 0 || !small(e) {
            return false;
        }
        if self.facts.nonneg(e) {
            return true;
        }
        let key = (e.clone(), used);
        if self.failed.contains(&key) {
            return false;
        }
        self.fuel -= 1;
        let proved = self.by_assumption(e, used, depth) || self.by_bounds(e, used, depth);
        if !proved {
            self.failed.insert(key);
        }
        proved
    }

    /// Subtracts a multiple of an assumption that cancels a term.
    fn by_assumption(&mut self, e: &Index, used: u64, depth: u32) -> bool {
        let facts = self.facts;
        if used.count_ones() >= self.limit {
            return false;
        }
        for (place, known) in facts.assumed.iter().enumerate().filter(|(place, _)| used & (1 << place) == 0) {
            for (atoms, c) in known.terms().iter().filter(|term| !term.0.is_empty()) {
                let Some((_, d)) = e.terms().iter().find(|term| term.0 == *atoms) else { continue };
                if (*c > 0) != (*d > 0) || !small(known) {
                    continue;
                }
                let g = super::facts::gcd(*c, *d);
                let rest = e.clone() * (c / g).abs() - known.clone() * (d / g).abs();
                if self.nonneg(&rest, used | 1 << place, depth - 1) {
                    return true;
                }
            }
        }
        false
    }

    /// Replaces an atom by one of its bounds.
    fn by_bounds(&mut self, e: &Index, used: u64, depth: u32) -> bool {
        let mut atoms: Vec<&Atom> = e.terms().iter().flat_map(|term| &term.0).collect();
        atoms.sort_by_key(|atom| (std::cmp::Reverse(self.nesting(atom)), *atom));
        atoms.dedup();
        for &atom in &atoms {
            let (factor, rest) = e.factor(atom);
            if factor.terms().iter().any(|term| term.0.contains(atom)) {
                continue;
            }
            let up = match factor.as_const() {
                Some(n) => n < 0,
                None if self.nonneg(&factor, used, depth - 1) => false,
                None if self.nonneg(&-factor.clone(), used, depth - 1) => true,
                None => continue,
            };
            let related = atoms.iter().filter_map(|other| finer(atom, other, up));
            for all in related.chain(self.bounds(atom, up)) {
                let proved = all.iter().all(|(scale, bound)| {
                    let sizes = [scale, bound, &factor, &rest];
                    let goal = &factor * bound + scale * &rest;
                    sizes.into_iter().all(small) && self.nonneg(&goal, used, depth - 1)
                });
                if proved {
                    return true;
                }
            }
        }
        false
    }

    /// Atoms of inner variables come first, and what contains others before them.
    fn nesting(&self, atom: &Atom) -> (u32, u32) {
        let vars = Index::atom(atom.clone()).vars();
        (vars.iter().map(|name| self.var_depth(name, 16)).max().unwrap_or(0), height(atom))
    }

    fn var_depth(&self, name: &str, limit: u32) -> u32 {
        let Some((low, high)) = self.facts.var_range(name) else { return 1 };
        let outer = low.vars().into_iter().chain(high.vars()).filter(|_| limit > 0);
        1 + outer.map(|name| self.var_depth(&name, limit - 1)).max().unwrap_or(0)
    }

    /// Bounds of `floordiv(x, by)` from replacing `min`, `max` and variables in `x`; they round as the division does.
    fn inside(&self, x: &Index, by: &Index, up: bool) -> Bounds {
        let mut bounds = Bounds::new();
        for (atoms, c) in x.terms() {
            let [atom @ (Atom::Min(_) | Atom::Max(_) | Atom::Var(_))] = atoms.as_slice() else { continue };
            let rest = x.clone() - Index::atom(atom.clone()) * *c;
            for all in self.bounds(atom, up == (*c > 0)) {
                let divided =
                    all.into_iter().map(|(one, bound)| (one, self.facts.div(&(bound * *c + rest.clone()), by)));
                bounds.push(divided.collect());
            }
        }
        bounds
    }

    fn bounds(&self, atom: &Atom, up: bool) -> Bounds {
        let one = |bound: Index| vec![(Index::from(1), bound)];
        match atom {
            Atom::Var(name) => {
                let range = self.facts.var_range(name);
                range.map(|(low, high)| one(if up { high.clone() } else { low.clone() })).into_iter().collect()
            }
            Atom::Sym(name) => {
                let (low, high) = self.facts.symbol_range(name);
                let bound = if up { high } else { Some(low) };
                bound.map(|n| one(n.into())).into_iter().collect()
            }
            Atom::Div(pair) => {
                let (x, by) = &**pair;
                let folded = if up { self.facts.high(x) } else { self.facts.low(x) };
                let number = if up { self.facts.high_number(x) } else { self.facts.low_number(x) };
                let folded = folded.into_iter().chain(number.map(Index::from));
                let mut bounds: Bounds = folded.map(|x| one(self.facts.div(&x, by))).collect();
                let exact = if up { x.clone() } else { x.clone() - by.clone() + 1 };
                bounds.push(vec![(by.clone(), exact)]);
                if !up && self.facts.nonneg(x) {
                    bounds.push(one(Index::zero()));
                }
                bounds.extend(self.inside(x, by, up));
                // Bounds that name the atom itself prove nothing.
                bounds.retain(|all| all[0].1.as_atom() != Some(atom));
                bounds
            }
            Atom::Mod(pair) if up => {
                let mut bounds = vec![one(pair.1.clone() - 1)];
                if self.facts.nonneg(&pair.0) {
                    bounds.push(one(pair.0.clone()));
                }
                bounds
            }
            Atom::Mod(_) => vec![one(Index::zero())],
            Atom::Min(pair) | Atom::Max(pair) => {
                let (a, b) = (pair.0.clone(), pair.1.clone());
                if up == matches!(atom, Atom::Min(_)) { vec![one(a), one(b)] } else { vec![[one(a), one(b)].concat()] }
            }
            Atom::At(..) => vec![],
        }
    }
}

/// `c*floordiv(x, c*d)` is from `floordiv(x, d) - c + 1` to `floordiv(x, d)`: blocks of a number that is itself a quotient.
fn finer(atom: &Atom, other: &Atom, up: bool) -> Option<Vec<(Index, Index)>> {
    let (Atom::Div(coarse), Atom::Div(fine)) = (atom, other) else { return None };
    let (by, divisor) = (coarse.1.as_const()?, fine.1.as_const().filter(|n| *n > 0)?);
    let times = (coarse.0 == fine.0 && by > divisor && by % divisor == 0).then_some(by / divisor)?;
    let quotient = Index::atom(other.clone());
    Some(vec![(times.into(), if up { quotient } else { quotient + 1 - times })])
}

/// How deep atoms are nested in this one.
fn height(atom: &Atom) -> u32 {
    let inside = |e: &Index| e.terms().iter().flat_map(|term| &term.0).map(height).max().unwrap_or(0);
    match atom {
        Atom::Var(_) | Atom::Sym(_) => 0,
        Atom::Div(pair) | Atom::Mod(pair) | Atom::Min(pair) | Atom::Max(pair) => {
            1 + inside(&pair.0).max(inside(&pair.1))
        }
        Atom::At(_, index) => 1 + index.iter().map(inside).max().unwrap_or(0),
    }
}

fn small(e: &Index) -> bool {
    e.terms().iter().all(|term| term.1.unsigned_abs() < SMALL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::parse_index;
    use crate::text::Lexer;

    fn index(text: &str) -> Index {
        parse_index(&mut Lexer::new(text)).unwrap()
    }

    fn facts(ranges: &[(&str, &str, &str)]) -> Facts {
        let mut facts = Facts::default();
        for (name, low, end) in ranges {
            facts.range(*name, index(low), index(end) - 1);
        }
        facts
    }

    fn less(facts: &Facts, a: &str, b: &str) -> bool {
        facts.proves(&(index(b) - index(a) - 1))
    }

    #[test]
    fn floor_divisions_bound_what_they_divide() {
        let f = facts(&[("i", "0", "floordiv(S, 4)"), ("j", "0", "cdiv(S, 4)")]);
        assert!(less(&f, "4*%i + 3", "S"));
        assert!(!less(&f, "4*%i + 4", "S"));
        assert!(less(&f, "4*%j", "S"));
        assert!(!less(&f, "4*%j + 1", "S"));
        assert!(less(&f, "floordiv(%i, 3)", "cdiv(floordiv(S, 4), 3)"));
    }

    #[test]
    fn blocks_of_a_quotient_are_bounded_by_it() {
        let f = facts(&[("o", "0", "floordiv(w + 1, 12)"), ("c", "0", "3")]);
        assert!(less(&f, "%c + 12*%o + 10", "2*floordiv(w + 1, 2) + 1"));
        assert!(!less(&f, "%c + 12*%o + 11", "2*floordiv(w + 1, 2) + 1"));
        assert!(less(&f, "floordiv(w, 2) - 6*floordiv(w, 12)", "6"));
        assert!(!less(&f, "floordiv(w, 2) - 6*floordiv(w, 12)", "5"));
        assert!(!less(&f, "floordiv(w, 2) - 6*floordiv(w + 1, 12)", "5"));
    }

    #[test]
    fn minima_bound_the_last_block() {
        let f = facts(&[("t", "0", "4*cdiv(S, 32)"), ("i", "0", "min(32, S - 32*floordiv(%t, 4))")]);
        assert!(less(&f, "32*floordiv(%t, 4) + %i", "S"));
        assert!(!less(&f, "32*floordiv(%t, 4) + %i + 1", "S"));
        let f = facts(&[("t", "0", "4*floordiv(S, 32)"), ("i", "0", "32")]);
        assert!(less(&f, "32*floordiv(%t, 4) + %i", "S"));
    }

    #[test]
    fn divisions_of_minima_round_down() {
        let mut f = facts(&[("t", "0", "32*cdiv(S, 32)")]);
        let blocks = "floordiv(min(32*floordiv(%t, 32) + 32, S) + 7, 8) - 4*floordiv(%t, 32)";
        f.range("m", Index::zero(), index(blocks) - 1);
        assert!(less(&f, "8*%m + 7", "32"));
        f.assume(index(blocks) - 1);
        f.assume(index("S - 1"));
        f.assume(index("S - 8*%m - 32*floordiv(%t, 32) - 8"));
        assert!(less(&f, "8*%m + 7", "32"));
        assert!(!less(&f, "8*%m + 8", "32"));
    }

    #[test]
    fn clamped_lookups_are_bounded() {
        let mut f = Facts::default();
        f.symbol("n", 1, None);
        assert!(less(&f, "max(0, min(at(@0, 3), n - 1))", "n"));
        assert!(f.proves(&index("max(0, min(at(@0, 3), n - 1))")));
        assert!(less(&f, "mod(at(@0, 3), n)", "n"));
        assert!(!less(&f, "at(@0, 3)", "n"));
    }

    #[test]
    fn assumptions_are_used_with_multiples() {
        let mut f = facts(&[("o", "0", "n"), ("k", "0", "3")]);
        f.assume(index("n - 1 - (%o + %k - 1)"));
        assert!(less(&f, "%o + %k - 1", "n"));
        assert!(less(&f, "2*%o + 2*%k - 2", "2*n"));
        assert!(!less(&f, "%o + %k", "n"));
    }

    #[test]
    fn products_of_symbols_are_bounded() {
        let f = facts(&[("i", "0", "a"), ("j", "0", "b"), ("t", "0", "a*floordiv(b, 8)")]);
        assert!(less(&f, "%i*b + %j", "a*b"));
        assert!(!less(&f, "%i*b + %j + 1", "a*b"));
        assert!(!less(&f, "%i*%j", "a"));
    }

    /// Every claim of the prover on small random goals is checked by enumeration.
    #[test]
    fn proofs_are_true() {
        let atoms = [
            "n",
            "%i",
            "%j",
            "floordiv(%i + n, 3)",
            "floordiv(%i + n, 6)",
            "mod(%i, 4)",
            "min(%j, n - 2)",
            "max(%i - 3, %j)",
        ];
        let mut f = facts(&[("i", "0", "n"), ("j", "%i - 1", "min(n + 2, 2*%i + 3)")]);
        f.symbol("n", 1, Some(9));
        let known = [index("%i + 2*%j - 3"), index("min(%j, 2*%i) - floordiv(n, 3) + 1")];
        known.iter().for_each(|e| f.assume(e.clone()));
        let mut seed = 7u64;
        let mut proved = 0;
        for _ in 0..600 {
            let mut goal = Index::zero();
            for atom in atoms.iter().chain(&["1"]) {
                seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                let c = (seed >> 40) as i64 % 7;
                goal = goal + index(atom) * if c < 3 { c } else { 0 } - index(atom) * i64::from(c == 6);
            }
            if !f.proves(&goal) {
                continue;
            }
            proved += 1;
            for n in 1..=9 {
                for i in 0..n {
                    for j in i - 1..(n + 2).min(2 * i + 3) {
                        let value = |e: &Index| {
                            e.eval(&mut |leaf| match leaf {
                                crate::index::Leaf::Sym(_) => Some(n),
                                crate::index::Leaf::Var(name) => Some(if &***name == "i" { i } else { j }),
                                crate::index::Leaf::At(..) => None,
                            })
                        };
                        let possible = known.iter().all(|e| value(e).unwrap() >= 0);
                        assert!(!possible || value(&goal).unwrap() >= 0, "{goal} at n {n}, i {i}, j {j}");
                    }
                }
            }
        }
        assert!(proved > 30, "{proved}");
    }
}
