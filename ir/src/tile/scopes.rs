//! Which names are visible, while a tile is walked with its unrolled loops expanded.
//!
//! Each body, and each iteration of an unrolled loop, is a scope. A bundle's places are declared one by one: the scope
//! it lives in is the body around the outermost unrolled loop whose variable its indices name. One namespace holds
//! values, cells, variables and cursors; no name may hide another.

use super::InRange;
use crate::index::Atom;
use crate::{Index, Name};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What a walk may expand to, in instructions; more is a mistake or an attack.
pub(super) const MAX_EXPANDED: usize = 1 << 19;

/// The names visible at one point, with what the walker knows of each place.
pub(super) struct Scopes<T> {
    bodies: Vec<Body<T>>,
}

struct Body<T> {
    /// The variable of the unrolled loop that this is an iteration of.
    unroll: Option<Name>,
    names: HashMap<Name, BTreeMap<Vec<i64>, T>>,
}

impl<T> Scopes<T> {
    /// The scope of the task's body.
    pub fn new() -> Scopes<T> {
        let mut scopes = Scopes { bodies: Vec::new() };
        scopes.push(None);
        scopes
    }

    /// Enters a body; `unroll` is the variable if it is an iteration of an unrolled loop.
    pub fn push(&mut self, unroll: Option<&Name>) {
        self.bodies.push(Body { unroll: unroll.cloned(), names: HashMap::new() });
    }

    /// Leaves the innermost body.
    pub fn pop(&mut self) {
        self.bodies.pop();
    }

    /// The depth of the innermost body.
    pub fn here(&self) -> usize {
        self.bodies.len() - 1
    }

    /// The depth of the body in which a value with these indices lives.
    pub fn home(&self, at: &[Index]) -> Result<usize, String> {
        let mut wanted: BTreeSet<Name> = at.iter().flat_map(Index::vars).collect();
        let (mut home, mut depth) = (self.here(), self.here());
        while let Some(name) = wanted.first().cloned() {
            let Some(var) = &self.bodies[depth].unroll else {
                return Err(format!("%{name} is not the variable of an unrolled loop that alone encloses this"));
            };
            if wanted.remove(var) {
                home = depth - 1;
            }
            depth -= 1;
        }
        Ok(home)
    }

    /// Declares one place of a name in the body of depth `home`.
    pub fn declare(&mut self, home: usize, name: &Name, at: Vec<i64>, what: T) -> Result<(), String> {
        for (depth, body) in self.bodies.iter().enumerate() {
            let Some(places) = body.names.get(name) else { continue };
            if depth != home {
                return Err(format!("%{name} is already declared in another body that is visible here"));
            }
            if places.keys().next().is_some_and(|other| other.len() != at.len()) {
                return Err(format!("%{name} has another number of indices elsewhere"));
            }
            if places.contains_key(&at) {
                return Err(format!("%{name}{at:?} is declared twice"));
            }
        }
        self.bodies[home].names.entry(name.clone()).or_default().insert(at, what);
        Ok(())
    }

    /// What was declared.
    pub fn get(&self, name: &str, at: &[i64]) -> Option<&T> {
        self.bodies.iter().rev().find_map(|body| body.names.get(name))?.get(at)
    }

    /// Any one place of a name.
    pub fn any(&self, name: &str) -> Option<&T> {
        self.bodies.iter().rev().find_map(|body| body.names.get(name))?.values().next()
    }

    /// The names declared in the innermost body.
    pub fn innermost(&self) -> impl Iterator<Item = &T> {
        self.bodies.last().into_iter().flat_map(|body| body.names.values()).flat_map(|places| places.values())
    }
}

/// What the unrolled variables alone decide of a branch, if they do: a branch that cannot be taken is never looked at,
/// so it may name places of a bundle that do not exist.
pub(super) fn decided(all: &[InRange], constant: &dyn Fn(&str) -> Option<i64>) -> Option<bool> {
    let fold = |e: Index| {
        e.replace(&|atom| match atom {
            Atom::Var(name) => constant(name).map(Index::from),
            _ => None,
        })
        .as_const()
    };
    let mut sure = true;
    for test in all {
        let above = fold(test.index.clone() - test.low.clone());
        let below = fold(test.high.clone() - test.index.clone() - 1);
        if above.is_some_and(|n| n < 0) || below.is_some_and(|n| n < 0) {
            return Some(false);
        }
        sure &= above.is_some() && below.is_some();
    }
    sure.then_some(true)
}
