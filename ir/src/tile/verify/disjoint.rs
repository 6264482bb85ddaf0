//! Proves that two tasks write different elements.
//!
//! A *coordinate* is the task variable, a floor division or remainder of one, or the variable of a loop over the blocks that
//! are the share of one: knowing it, one knows the coordinate it is a share of. An index of the form
//! `width * coordinate + offset + rest` with `0 <= rest < width` gives the coordinate away; what is left may give away
//! more. Two stores cannot meet in different tasks if all that both give away, in the same way, determines the task; nor
//! if their indices along one dimension never meet. The offsets of two stores may differ by what the rests leave free.
//!
//! In: the stores to outputs, as the walk comes to them.  Out: a warning for each pair without a proof.

use super::bounds::Place;
use super::{Verifier, Warning};
use crate::index::Atom;
use crate::{Facts, Index};
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

/// Stores of a tile that are compared with each other; beyond, only the first ones are.
const MAX_WRITES: usize = 256;

/// One store to an output.
pub(super) struct Write {
    buffer: u32,
    /// For each dim what its index gives away, the widest first.
    given: Vec<Vec<Given>>,
    /// For each dim the least and the greatest index over all tasks, if they are known.
    range: Vec<(Option<Index>, Option<Index>)>,
    inst: String,
}

type Proof<'a> = &'a dyn Fn(&Index) -> bool;

/// A coordinate that an index gives away.
#[derive(PartialEq)]
struct Given {
    width: Index,
    coordinate: Index,
    /// What follows if the coordinate is known, one from the other.
    tells: Vec<Share>,
    /// 0 if the rest without it is less than the width.
    offset: Index,
    /// What the rest and the lanes leave free of the width at least.
    spare: Option<Index>,
}

/// Of which coordinate the variable of a loop is a share.
#[derive(Clone, PartialEq)]
pub(super) struct Share {
    coordinate: Index,
    /// The bound that says so: the share of another loop may lie elsewhere.
    end: Index,
}

impl Given {
    /// Whether two stores at one place have one coordinate.
    fn same(&self, other: &Given, proves: &dyn Fn(Index) -> bool) -> bool {
        let more = self.offset.clone() - other.offset.clone();
        let room = |spare: &Option<Index>, more: Index| spare.as_ref().is_some_and(|s| proves(s.clone() - more));
        (&self.width, &self.coordinate) == (&other.width, &other.coordinate)
            && (more.is(0) || room(&self.spare, more.clone()) && room(&other.spare, -more))
    }
}

impl Verifier<'_> {
    /// Notes a store.
    pub(super) fn write(&mut self, buffer: u32, place: &Place, inst: String) {
        if !self.proving || self.alone {
            return;
        }
        let last = place.index.len().saturating_sub(1);
        let (mut given, mut range) = (Vec::new(), Vec::new());
        for (axis, e) in place.index.iter().enumerate() {
            let lanes = if axis == last { place.lanes.clone() } else { place.along(axis) };
            let first = place.first.as_ref().filter(|_| axis == last);
            range.push((self.facts.low(e), self.facts.high(&(e.clone() + lanes.clone() - 1))));
            given.push(self.given(e, &lanes, first));
        }
        let write = Write { buffer, given, range, inst };
        let known =
            |other: &Write| (other.buffer, &other.given, &other.range) == (write.buffer, &write.given, &write.range);
        if self.writes.len() < MAX_WRITES && !self.writes.iter().any(known) {
            self.writes.push(write);
        }
    }

    /// The coordinates that an index gives away.
    fn given(&self, e: &Index, lanes: &Index, first: Option<&Index>) -> Vec<Given> {
        let mut rest = e.clone();
        let mut given = Vec::new();
        while let Some((coordinate, left)) = self.give(&rest, lanes, first) {
            given.push(coordinate);
            rest = left;
        }
        given
    }

    fn give(&self, e: &Index, lanes: &Index, first: Option<&Index>) -> Option<(Given, Index)> {
        let atoms: BTreeSet<&Atom> = e.terms().iter().flat_map(|term| &term.0).collect();
        atoms.into_iter().filter(|atom| self.is_coordinate(atom)).find_map(|atom| {
            let (width, left) = e.factor(atom);
            let fixed = left.terms().iter().filter(|term| Index::from_terms([(*term).clone()]).vars().is_empty());
            let fixed = Index::from_terms(fixed.cloned());
            let (quick, slow): (Proof, Proof) = (&|e| self.facts.nonneg(e), &|e| self.facts.proves(e));
            [(Index::zero(), quick), (fixed, quick), (Index::zero(), slow)].into_iter().find_map(|(offset, proves)| {
                let rest = left.clone() - offset.clone();
                if !width.vars().is_empty() || !proves(&rest) {
                    return None;
                }
                let room = width.clone() - rest;
                let mut free = std::iter::once(lanes).chain(first).map(|lanes| room.clone() - lanes.clone());
                let spare = self.facts.low(&free.find(|free| proves(free))?);
                let coordinate = Index::atom(atom.clone());
                let tells = self.tells(atom);
                Some((Given { width: width.clone(), coordinate, tells, offset, spare }, left.clone()))
            })
        })
    }

    /// The coordinates that follow from one.
    fn tells(&self, atom: &Atom) -> Vec<Share> {
        let share_of = |index: &Index| match index.as_atom() {
            Some(Atom::Var(name)) => self.shares.get(name).cloned(),
            _ => None,
        };
        std::iter::successors(share_of(&Index::atom(atom.clone())), |share| share_of(&share.coordinate)).collect()
    }

    /// The coordinate that the variable of a loop is a share of: one with `g*c + k <= variable < g*c + g + k`.
    pub(super) fn share(&self, low: &Index, high: &Index) -> Option<Share> {
        let near = |end: &Index, atom: &Atom| {
            let (grain, rest) = end.factor(atom);
            let fixed = grain.vars().is_empty() && rest.vars().is_empty() && self.facts.nonneg(&(grain.clone() - 1));
            fixed && ends(low).iter().any(|start| *start == end.clone() - grain.clone())
        };
        ends(high).iter().find_map(|end| {
            let atoms: BTreeSet<&Atom> = end.terms().iter().flat_map(|term| &term.0).collect();
            let found = atoms.into_iter().find(|atom| self.is_coordinate(atom) && near(end, atom));
            found.map(|atom| Share { coordinate: Index::atom(atom.clone()), end: end.clone() })
        })
    }

    fn is_coordinate(&self, atom: &Atom) -> bool {
        let inner = match atom {
            Atom::Var(name) => return *name == self.tile.tasks.0 || self.shares.contains_key(name),
            Atom::Div(pair) | Atom::Mod(pair) => pair,
            _ => return false,
        };
        inner.1.vars().is_empty() && inner.0.as_atom().is_some_and(|atom| self.is_coordinate(atom))
    }

    /// The pairs of stores that may meet.
    pub(super) fn overlaps(&self) -> Vec<Warning> {
        // Most pairs ask the same.
        let task = Index::var(self.tile.tasks.0.clone());
        let proves = remembered(|goal: &Index| self.facts.proves(goal));
        let determined = remembered(|known: &BTreeSet<Index>| determined(&self.facts, &task, known, 8));
        let mut warnings: Vec<Warning> = Vec::new();
        for (place, a) in self.writes.iter().enumerate() {
            for b in self.writes[place..].iter().filter(|b| a.buffer == b.buffer) {
                if determined(told(a, b, &proves)) || apart(a, b, &proves) {
                    continue;
                }
                let other = if a.inst == b.inst { "this".to_owned() } else { format!("`{}`", b.inst) };
                let message = format!("cannot prove that {other} of another task writes other elements");
                let warning = Warning { tile: self.tile.name.clone(), inst: a.inst.clone(), message };
                if !warnings.contains(&warning) {
                    warnings.push(warning);
                }
            }
        }
        warnings
    }
}

/// A question that is answered once for each thing asked.
fn remembered<K: Eq + Hash>(answer: impl Fn(&K) -> bool) -> impl Fn(K) -> bool {
    let known: RefCell<HashMap<K, bool>> = RefCell::default();
    move |key| {
        let old = known.borrow().get(&key).copied();
        old.unwrap_or_else(|| {
            let new = answer(&key);
            known.borrow_mut().insert(key, new);
            new
        })
    }
}

/// The coordinates that two stores at one place have in common.
fn told(a: &Write, b: &Write, proves: &dyn Fn(Index) -> bool) -> BTreeSet<Index> {
    let mut known = BTreeSet::new();
    for (a, b) in a.given.iter().zip(&b.given) {
        let common = a.iter().zip(b).take_while(|(a, b)| a.same(b, proves));
        for (a, b) in common {
            let both = a.tells.iter().zip(&b.tells).take_while(|(a, b)| a == b);
            known.insert(a.coordinate.clone());
            known.extend(both.map(|(share, _)| share.coordinate.clone()));
        }
    }
    known
}

/// The operands, if it is one, of a least end or a greatest start.
pub(super) fn ends(end: &Index) -> Vec<Index> {
    match end.as_atom() {
        Some(Atom::Min(pair) | Atom::Max(pair)) => vec![pair.0.clone(), pair.1.clone()],
        _ => vec![end.clone()],
    }
}

/// Whether `x` follows from known coordinates: it is one, or a known remainder of it and the division are.
fn determined(facts: &Facts, x: &Index, known: &BTreeSet<Index>, depth: u32) -> bool {
    if known.contains(x) || x.as_const().is_some() {
        return true;
    }
    depth > 0
        && known.iter().any(|k| match k.as_atom() {
            Some(Atom::Mod(pair)) => pair.0 == *x && determined(facts, &facts.div(x, &pair.1), known, depth - 1),
            _ => false,
        })
}

/// Whether the indices along one dimension never meet, whatever the tasks.
fn apart(a: &Write, b: &Write, proves: &dyn Fn(Index) -> bool) -> bool {
    let before = |a: &Option<Index>, b: &Option<Index>| match (a, b) {
        (Some(high), Some(low)) => proves(low.clone() - high.clone() - 1),
        _ => false,
    };
    a.range.iter().zip(&b.range).any(|(a, b)| before(&a.1, &b.0) || before(&b.1, &a.0))
}
