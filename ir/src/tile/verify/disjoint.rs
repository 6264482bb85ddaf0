//! Proves that two tasks write different elements.
//!
//! A *coordinate* is the task variable, or a floor division or remainder of one. An index of the form
//! `width * coordinate + rest` with `0 <= rest < width` gives the coordinate away; the rest may give away more. Two
//! stores cannot meet in different tasks if all that both give away, in the same way, determines the task; nor if
//! their indices along one dimension never meet.
//!
//! In: the stores to outputs, as the walk comes to them.  Out: a warning for each pair without a proof.

use super::bounds::Place;
use super::{Verifier, Warning};
use crate::index::Atom;
use crate::{Facts, Index};
use std::collections::BTreeSet;

/// Stores of a tile that are compared with each other; beyond, only the first ones are.
const MAX_WRITES: usize = 256;

/// One store to an output.
pub(super) struct Write {
    buffer: u32,
    /// For each dim the widths and coordinates that its index gives away, the widest first.
    given: Vec<Vec<(Index, Index)>>,
    /// For each dim the least and the greatest index over all tasks, if they are known.
    range: Vec<(Option<Index>, Option<Index>)>,
    inst: String,
}

impl Verifier<'_> {
    /// Notes a store.
    pub(super) fn write(&mut self, buffer: u32, place: &Place, inst: String) {
        if !self.proving || self.facts.proves(&(Index::from(1) - self.tile.tasks.1.clone())) {
            return;
        }
        let last = place.index.len().saturating_sub(1);
        let (mut given, mut range) = (Vec::new(), Vec::new());
        for (axis, e) in place.index.iter().enumerate() {
            let lanes = if axis == last { place.lanes.clone() } else { Index::from(1) };
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
    fn given(&self, e: &Index, lanes: &Index, first: Option<&Index>) -> Vec<(Index, Index)> {
        let mut rest = e.clone();
        let mut given = Vec::new();
        while let Some((width, coordinate, left)) = self.give(&rest, lanes, first) {
            given.push((width, coordinate));
            rest = left;
        }
        given
    }

    fn give(&self, e: &Index, lanes: &Index, first: Option<&Index>) -> Option<(Index, Index, Index)> {
        let atoms: BTreeSet<&Atom> = e.terms().iter().flat_map(|term| &term.0).collect();
        atoms.into_iter().filter(|atom| self.is_coordinate(atom)).find_map(|atom| {
            let (width, rest) = e.factor(atom);
            if !width.vars().is_empty() || !self.facts.proves(&rest) {
                return None;
            }
            let room = width.clone() - rest.clone();
            let fits = self.facts.proves(&(room.clone() - lanes.clone()))
                || first.is_some_and(|first| self.facts.proves(&(room.clone() - first.clone())));
            fits.then(|| (width, Index::atom(atom.clone()), rest))
        })
    }

    fn is_coordinate(&self, atom: &Atom) -> bool {
        let inner = match atom {
            Atom::Var(name) => return *name == self.tile.tasks.0,
            Atom::Div(pair) | Atom::Mod(pair) => pair,
            _ => return false,
        };
        inner.1.vars().is_empty() && inner.0.as_atom().is_some_and(|atom| self.is_coordinate(atom))
    }

    /// The pairs of stores that may meet.
    pub(super) fn overlaps(&self) -> Vec<Warning> {
        let mut warnings: Vec<Warning> = Vec::new();
        for (place, a) in self.writes.iter().enumerate() {
            for b in self.writes[place..].iter().filter(|b| a.buffer == b.buffer) {
                if self.told_apart(a, b) || apart(&self.facts, a, b) {
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

    /// Whether what both give away determines the task.
    fn told_apart(&self, a: &Write, b: &Write) -> bool {
        let mut known = BTreeSet::new();
        for (a, b) in a.given.iter().zip(&b.given) {
            let common = a.iter().zip(b).take_while(|(a, b)| a == b);
            known.extend(common.map(|(a, _)| a.1.clone()));
        }
        determined(&self.facts, &Index::var(self.tile.tasks.0.clone()), &known, 8)
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
fn apart(facts: &Facts, a: &Write, b: &Write) -> bool {
    let before = |a: &Option<Index>, b: &Option<Index>| match (a, b) {
        (Some(high), Some(low)) => facts.proves(&(low.clone() - high.clone() - 1)),
        _ => false,
    };
    a.range.iter().zip(&b.range).any(|(a, b)| before(&a.1, &b.0) || before(&b.1, &a.0))
}
