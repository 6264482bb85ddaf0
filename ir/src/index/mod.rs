//! Integer expressions: a dimension, an index map, a loop bound, an offset.
//!
//! One type serves the graph (dims over symbols), kernels (indices over axes) and tiles (addresses over loop variables).
//! An [`Index`] is a polynomial in canonical form, so two equal polynomials compare equal: `a*b - b*a` is `0`. What is
//! not polynomial (floor division, remainder, minimum, maximum, a value looked up in a buffer) is an opaque [`Atom`].
//!
//! Invariants: terms are sorted by their atoms, no coefficient is 0, atoms within a term are sorted.

mod bounds;
mod facts;
mod prove;
mod text;

pub use facts::Facts;
pub use text::parse_index;

use std::collections::BTreeSet;
use std::ops::{Add, Mul, Neg, Sub};
use std::sync::Arc;

/// A name shared without copying: of a symbol, a variable, a value.
pub type Name = Arc<str>;

/// An opaque factor of an [`Index`].
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Atom {
    /// A kernel axis or a loop variable; its range is in [`Facts`].
    Var(Name),
    /// A symbolic dimension, fixed for one run of the model.
    Sym(Name),
    /// Floor division; the divisor is positive.
    Div(Box<(Index, Index)>),
    /// Remainder of floor division, in `0..divisor`; the divisor is positive.
    Mod(Box<(Index, Index)>),
    /// The smaller of two.
    Min(Box<(Index, Index)>),
    /// The larger of two.
    Max(Box<(Index, Index)>),
    /// The integer element of a buffer (by number) at an index.
    At(u32, Vec<Index>),
}

/// A polynomial with integer coefficients over [`Atom`]s.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Index {
    terms: Vec<(Vec<Atom>, i64)>,
}

impl Index {
    /// The number 0.
    pub fn zero() -> Index {
        Index::default()
    }

    /// A loop variable or kernel axis.
    pub fn var(name: impl Into<Name>) -> Index {
        Index::atom(Atom::Var(name.into()))
    }

    /// A symbolic dimension.
    pub fn sym(name: impl Into<Name>) -> Index {
        Index::atom(Atom::Sym(name.into()))
    }

    /// The value of an integer buffer at an index.
    pub fn at(buffer: u32, index: Vec<Index>) -> Index {
        Index::atom(Atom::At(buffer, index))
    }

    /// One atom.
    pub fn atom(atom: Atom) -> Index {
        Index { terms: vec![(vec![atom], 1)] }
    }

    /// The sum of `coefficient * product(atoms)`; any order, repeats and zeros allowed.
    pub fn from_terms(terms: impl IntoIterator<Item = (Vec<Atom>, i64)>) -> Index {
        let mut terms: Vec<_> = terms.into_iter().collect();
        terms.iter_mut().for_each(|(atoms, _)| atoms.sort());
        terms.sort();
        let mut merged: Vec<(Vec<Atom>, i64)> = Vec::with_capacity(terms.len());
        for (atoms, coefficient) in terms {
            match merged.last_mut() {
                Some(last) if last.0 == atoms => last.1 = last.1.wrapping_add(coefficient),
                _ => merged.push((atoms, coefficient)),
            }
        }
        merged.retain(|term| term.1 != 0);
        Index { terms: merged }
    }

    /// The terms: sorted atoms and a coefficient that is not 0. The constant term has no atoms and comes first.
    pub fn terms(&self) -> &[(Vec<Atom>, i64)] {
        &self.terms
    }

    /// The number this is, if it is one.
    pub fn as_const(&self) -> Option<i64> {
        match self.terms.as_slice() {
            [] => Some(0),
            [(atoms, coefficient)] if atoms.is_empty() => Some(*coefficient),
            _ => None,
        }
    }

    /// The constant term.
    pub fn constant(&self) -> i64 {
        self.terms.first().filter(|term| term.0.is_empty()).map_or(0, |term| term.1)
    }

    /// The single atom this is, if it is one.
    pub fn as_atom(&self) -> Option<&Atom> {
        match self.terms.as_slice() {
            [(atoms, 1)] if atoms.len() == 1 => Some(&atoms[0]),
            _ => None,
        }
    }

    /// The variable this is, if it is one.
    pub fn as_var(&self) -> Option<&Name> {
        match self.as_atom() {
            Some(Atom::Var(name)) => Some(name),
            _ => None,
        }
    }

    /// Whether this is the number `n`.
    pub fn is(&self, n: i64) -> bool {
        self.as_const() == Some(n)
    }

    /// Floor division; folds numbers and exact multiples. [`Facts::div`] folds more.
    pub fn div(&self, by: &Index) -> Index {
        Facts::default().div(self, by)
    }

    /// Floor remainder; folds numbers and exact multiples. [`Facts::rem`] folds more.
    pub fn rem(&self, by: &Index) -> Index {
        Facts::default().rem(self, by)
    }

    /// `ceil(self / by)` for a positive `by`.
    pub fn ceil_div(&self, by: &Index) -> Index {
        (self.clone() + by.clone() - 1).div(by)
    }

    /// The smaller of two; folds when the difference is a number.
    pub fn lesser(&self, other: &Index) -> Index {
        Facts::default().min(self, other)
    }

    /// The larger of two; folds when the difference is a number.
    pub fn greater(&self, other: &Index) -> Index {
        Facts::default().max(self, other)
    }

    /// The product of several.
    pub fn product<'a>(factors: impl IntoIterator<Item = &'a Index>) -> Index {
        factors.into_iter().fold(Index::from(1), |product, factor| &product * factor)
    }

    /// The expression with every atom replaced; `None` keeps an atom, with its own operands replaced.
    pub fn replace(&self, with: &dyn Fn(&Atom) -> Option<Index>) -> Index {
        self.rebuild(&Facts::default(), with)
    }

    /// [`Index::replace`], folding divisions, minima and maxima by `facts`.
    pub fn rebuild(&self, facts: &Facts, with: &dyn Fn(&Atom) -> Option<Index>) -> Index {
        let mut sum = Index::zero();
        for (atoms, coefficient) in &self.terms {
            let mut product = Index::from(*coefficient);
            for atom in atoms {
                product = &product * &atom.rebuild(facts, with);
            }
            sum = sum + product;
        }
        sum
    }

    /// The value, given the value of variables, symbols and looked-up elements. `None` if one is unknown, on division by
    /// zero, and on overflow.
    pub fn eval(&self, value: &mut dyn FnMut(&Leaf) -> Option<i64>) -> Option<i64> {
        let mut sum = 0i64;
        for (atoms, coefficient) in &self.terms {
            let mut product = *coefficient;
            for atom in atoms {
                product = product.checked_mul(atom.eval(value)?)?;
            }
            sum = sum.checked_add(product)?;
        }
        Some(sum)
    }

    /// Calls `visit` on every atom, operands of atoms included.
    pub fn visit(&self, visit: &mut dyn FnMut(&Atom)) {
        for atom in self.terms.iter().flat_map(|term| &term.0) {
            visit(atom);
            match atom {
                Atom::Var(_) | Atom::Sym(_) => {}
                Atom::Div(pair) | Atom::Mod(pair) | Atom::Min(pair) | Atom::Max(pair) => {
                    pair.0.visit(visit);
                    pair.1.visit(visit);
                }
                Atom::At(_, index) => index.iter().for_each(|i| i.visit(visit)),
            }
        }
    }

    /// Whether an element of a buffer occurs anywhere in it.
    pub fn looks_up(&self) -> bool {
        let mut found = false;
        self.visit(&mut |atom| found |= matches!(atom, Atom::At(..)));
        found
    }

    /// The variables that occur anywhere in it.
    pub fn vars(&self) -> BTreeSet<Name> {
        let mut vars = BTreeSet::new();
        self.visit(&mut |atom| {
            if let Atom::Var(name) = atom {
                vars.insert(name.clone());
            }
        });
        vars
    }

    /// The symbols that occur anywhere in it.
    pub fn syms(&self) -> BTreeSet<Name> {
        let mut syms = BTreeSet::new();
        self.visit(&mut |atom| {
            if let Atom::Sym(name) = atom {
                syms.insert(name.clone());
            }
        });
        syms
    }

    /// Whether a variable occurs anywhere in it.
    pub fn mentions(&self, var: &str) -> bool {
        let mut found = false;
        self.visit(&mut |atom| found |= matches!(atom, Atom::Var(name) if &**name == var));
        found
    }

    /// `(factor, rest)` with `self == factor * atom + rest`, taking one occurrence of the atom in each term.
    pub fn factor(&self, atom: &Atom) -> (Index, Index) {
        let (mut factor, mut rest) = (Vec::new(), Vec::new());
        for (atoms, coefficient) in &self.terms {
            let mut atoms = atoms.clone();
            match atoms.iter().position(|a| a == atom) {
                Some(place) => {
                    atoms.remove(place);
                    factor.push((atoms, *coefficient));
                }
                None => rest.push((atoms, *coefficient)),
            }
        }
        (Index::from_terms(factor), Index::from_terms(rest))
    }

    /// The symbol that this gives a value once its own is known, and what to take from that: the only symbol in it that is
    /// not `known`, with the factor 1.
    pub fn solve(&self, known: &dyn Fn(&Name) -> bool) -> Option<(Name, Index)> {
        let mut unknown = self.syms().into_iter().filter(|name| !known(name));
        let name = unknown.next().filter(|_| unknown.next().is_none())?;
        let (factor, rest) = self.factor(&Atom::Sym(name.clone()));
        (factor.is(1) && !rest.syms().contains(&name)).then_some((name, rest))
    }

    /// Splits into `(coefficient, rest)` with `self == coefficient * var + rest` and neither mentioning `var`. `None` if
    /// it is not linear in `var`.
    pub fn linear_in(&self, var: &str) -> Option<(Index, Index)> {
        let (mut coefficient, mut rest) = (Vec::new(), Vec::new());
        for (atoms, factor) in &self.terms {
            let place = atoms.iter().position(|atom| matches!(atom, Atom::Var(name) if &**name == var));
            let mut atoms = atoms.clone();
            let group = match place {
                Some(place) => {
                    atoms.remove(place);
                    &mut coefficient
                }
                None => &mut rest,
            };
            group.push((atoms, *factor));
        }
        let (coefficient, rest) = (Index::from_terms(coefficient), Index::from_terms(rest));
        (!coefficient.mentions(var) && !rest.mentions(var)).then_some((coefficient, rest))
    }
}

/// What [`Index::eval`] asks for.
#[derive(Debug)]
pub enum Leaf<'a> {
    /// The value of a variable.
    Var(&'a Name),
    /// The value of a symbol.
    Sym(&'a Name),
    /// The element of a buffer at evaluated indices.
    At(u32, Vec<i64>),
}

impl Atom {
    fn eval(&self, value: &mut dyn FnMut(&Leaf) -> Option<i64>) -> Option<i64> {
        let mut both = |pair: &(Index, Index)| Some((pair.0.eval(value)?, pair.1.eval(value)?));
        Some(match self {
            Atom::Var(name) => value(&Leaf::Var(name))?,
            Atom::Sym(name) => value(&Leaf::Sym(name))?,
            Atom::Div(pair) => both(pair).filter(|p| p.1 > 0).map(|p| p.0.div_euclid(p.1))?,
            Atom::Mod(pair) => both(pair).filter(|p| p.1 > 0).map(|p| p.0.rem_euclid(p.1))?,
            Atom::Min(pair) => both(pair).map(|p| p.0.min(p.1))?,
            Atom::Max(pair) => both(pair).map(|p| p.0.max(p.1))?,
            Atom::At(buffer, index) => {
                let index = index.iter().map(|i| i.eval(value)).collect::<Option<_>>()?;
                value(&Leaf::At(*buffer, index))?
            }
        })
    }

    fn rebuild(&self, facts: &Facts, with: &dyn Fn(&Atom) -> Option<Index>) -> Index {
        if let Some(index) = with(self) {
            return index;
        }
        let both = |pair: &(Index, Index)| (pair.0.rebuild(facts, with), pair.1.rebuild(facts, with));
        match self {
            Atom::Var(_) | Atom::Sym(_) => Index::atom(self.clone()),
            Atom::Div(pair) => {
                let (a, b) = both(pair);
                facts.div(&a, &b)
            }
            Atom::Mod(pair) => {
                let (a, b) = both(pair);
                facts.rem(&a, &b)
            }
            Atom::Min(pair) => {
                let (a, b) = both(pair);
                facts.min(&a, &b)
            }
            Atom::Max(pair) => {
                let (a, b) = both(pair);
                facts.max(&a, &b)
            }
            Atom::At(buffer, index) => Index::at(*buffer, index.iter().map(|i| i.rebuild(facts, with)).collect()),
        }
    }
}

impl From<i64> for Index {
    fn from(n: i64) -> Index {
        Index { terms: if n == 0 { vec![] } else { vec![(vec![], n)] } }
    }
}

impl Add for Index {
    type Output = Index;
    fn add(self, other: Index) -> Index {
        Index::from_terms(self.terms.into_iter().chain(other.terms))
    }
}

impl Add<i64> for Index {
    type Output = Index;
    fn add(self, other: i64) -> Index {
        self + Index::from(other)
    }
}

impl Sub<i64> for Index {
    type Output = Index;
    fn sub(self, other: i64) -> Index {
        self + Index::from(-other)
    }
}

impl Neg for Index {
    type Output = Index;
    fn neg(self) -> Index {
        self * -1
    }
}

impl Sub for Index {
    type Output = Index;
    fn sub(self, other: Index) -> Index {
        self + -other
    }
}

impl Mul<i64> for Index {
    type Output = Index;
    fn mul(self, by: i64) -> Index {
        Index::from_terms(self.terms.into_iter().map(|(atoms, c)| (atoms, c.wrapping_mul(by))))
    }
}

impl Mul for &Index {
    type Output = Index;
    fn mul(self, other: &Index) -> Index {
        let pairs = self.terms.iter().flat_map(|a| other.terms.iter().map(move |b| (a, b)));
        Index::from_terms(pairs.map(|(a, b)| ([a.0.as_slice(), &b.0].concat(), a.1.wrapping_mul(b.1))))
    }
}

impl Mul for Index {
    type Output = Index;
    fn mul(self, other: Index) -> Index {
        &self * &other
    }
}
