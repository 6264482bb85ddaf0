//! How many entries of a state are there, once its own shape no longer tells.
//!
//! In: a program whose states are in place, and the symbols that their inputs' dims were.  Out: the dim of another input is
//! written with each such symbol, so that it follows from that dim.
//! Invariant: only what the model demands to be equal anyway is replaced.

use crate::fuse::{each_kernel, map_stage_indices};
use mlc_ir::index::Atom;
use mlc_ir::program::{Program, Step};
use mlc_ir::{Error, Index, Name, Result};
use std::collections::BTreeSet;

/// Finds an input for each length; `lengths` are the symbols of the old entries and those of the room.
pub(super) fn settle(program: &mut Program, lengths: &[(Name, Name)]) -> Result<()> {
    let mut open: Vec<&Name> = lengths.iter().map(|length| &length.0).collect();
    loop {
        let known = known(program);
        open.retain(|length| !known.contains(*length));
        let Some(first) = open.first() else { break };
        let told = open.iter().find_map(|length| told(program, length, lengths));
        let (symbol, value) = told.ok_or_else(|| unknown(program, first))?;
        replace(program, &symbol, &value);
        open.retain(|length| **length != symbol);
    }
    program.asserts.retain(|(a, b, _)| a != b);
    for (new, room, _) in &program.limits {
        program.facts.assume(room.clone() - new.clone());
    }
    Ok(())
}

/// The symbols in the dims of inputs.
fn known(program: &Program) -> BTreeSet<Name> {
    program.inputs.iter().flat_map(|input| &program.buffer(*input).shape).flat_map(Index::syms).collect()
}

/// A symbol, and what the model demands it to be, after which the length is known: the dim of an input as a sum with the
/// length in it, or the length as another one.
fn told(program: &Program, length: &Name, lengths: &[(Name, Name)]) -> Option<(Name, Index)> {
    let known = known(program);
    let own = |name: &Name| lengths.iter().any(|(length, room)| name == length || name == room);
    let mut same = None;
    for difference in program.asserts.iter().map(|(a, b, _)| a.clone() - b.clone()) {
        let symbols = difference.syms();
        let others = |name: &&Name| *name != length;
        if !symbols.contains(length) || !symbols.iter().filter(others).all(|name| known.contains(name)) {
            continue;
        }
        for name in symbols.iter().filter(others).filter(|name| !own(name)) {
            let value = solved(&difference, name).filter(|value| value.solve(&|name| name != length).is_some());
            if let Some(value) = value {
                return Some((name.clone(), value));
            }
        }
        let value = solved(&difference, length).filter(|value| matches!(value.as_atom(), Some(Atom::Sym(_))));
        same = same.or(value);
    }
    same.map(|value| (length.clone(), value))
}

/// What a symbol is where a sum is 0, if it occurs in it with the factor 1 or -1.
fn solved(sum: &Index, name: &Name) -> Option<Index> {
    let (factor, rest) = sum.factor(&Atom::Sym(name.clone()));
    let factor = factor.as_const().filter(|factor| factor.abs() == 1)?;
    (!rest.syms().contains(name)).then(|| rest * -factor)
}

fn unknown(program: &Program, length: &Name) -> Error {
    let rows = program.states.first().map(|state| program.buffer(state.0).name.to_string()).unwrap_or_default();
    Error::invalid(format!(
        "how much of `{rows}` is there (`{length}`) cannot be known once its shape says how much has room: the model \
         must have another input whose dim it demands to be `{length}` or a sum with it, as an attention mask over all \
         entries"
    ))
}

/// Puts a value for a symbol wherever it stands.
fn replace(program: &mut Program, symbol: &Name, value: &Index) {
    let facts = program.facts.clone();
    let with = |index: &Index| {
        index.rebuild(&facts, &|atom| match atom {
            Atom::Sym(name) if name == symbol => Some(value.clone()),
            _ => None,
        })
    };
    program.buffers.iter_mut().flat_map(|buffer| &mut buffer.shape).for_each(|dim| *dim = with(dim));
    for (a, b, _) in program.asserts.iter_mut().chain(&mut program.limits) {
        (*a, *b) = (with(a), with(b));
    }
    each_kernel(&mut program.body, &mut |kernel| {
        kernel.axes.iter_mut().for_each(|axis| axis.extent = with(&axis.extent));
        kernel.stages.iter_mut().for_each(|stage| *stage = map_stage_indices(stage, &with));
    });
    replace_in_steps(&mut program.body, &with);
}

fn replace_in_steps(steps: &mut [Step], with: &dyn Fn(&Index) -> Index) {
    for step in steps {
        match step {
            Step::Kernel(_) => {}
            Step::If { then, otherwise, .. } => {
                replace_in_steps(then, with);
                replace_in_steps(otherwise, with);
            }
            Step::Loop { trips, body, .. } => {
                *trips = with(trips);
                replace_in_steps(body, with);
            }
            Step::Bind(_, index) => *index = with(index),
        }
    }
}
