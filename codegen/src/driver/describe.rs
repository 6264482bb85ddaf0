//! The facts of a program for descriptor, header and manifest.

use super::memory::{Arena, bounded};
use crate::artifact::{self, Description, Dim, Placement};
use mlc_ir::program::Program;
use mlc_ir::{Index, Name};

/// Symbols larger than this are refused, so that sizes cannot overflow.
pub const MOST: i64 = i32::MAX as i64;

/// The symbols a caller fixes by the shapes of the inputs, in order of first use.
pub fn input_symbols(program: &Program) -> Vec<Name> {
    let mut symbols: Vec<Name> = Vec::new();
    for dim in program.inputs.iter().flat_map(|&b| &program.buffer(b).shape) {
        symbols.extend(dim.syms().into_iter().filter(|name| !symbols.contains(name)).collect::<Vec<_>>());
    }
    symbols
}

/// What is known about a compiled program.
pub fn describe(program: &Program, arena: &Arena, name: &str, target: &str, kernels: Vec<String>) -> Description {
    let symbols = input_symbols(program);
    let dim = |index: &Index| {
        if let Some(n) = index.as_const() {
            return Dim::Fixed(n);
        }
        let number = symbols.iter().position(|name| *index == Index::sym(name.clone()));
        match number {
            Some(number) => Dim::Symbol(number as u32),
            None if index.syms().iter().all(|name| symbols.contains(name)) => Dim::Expression(index.to_string()),
            None => Dim::AtMost(bounded(index, &program.facts, program).to_string()),
        }
    };
    let tensor = |&number: &u32| {
        let buffer = program.buffer(number);
        let dims = buffer.shape.iter().map(dim).collect();
        let input = program.states.iter().find(|state| state.1 == number).map(|state| state.0);
        let place = input.and_then(|input| program.inputs.iter().position(|&b| b == input));
        let state = place.map(|place| place as u32);
        artifact::Tensor { name: buffer.name.to_string(), dtype: buffer.dtype, dims, state }
    };
    let symbol = |name: &Name| {
        let (low, high) = program.facts.symbol_range(name);
        artifact::Symbol { name: name.to_string(), low, high: high.unwrap_or(MOST).min(MOST) }
    };
    Description {
        name: name.into(),
        target: target.into(),
        features: 0,
        symbols: symbols.iter().map(symbol).collect(),
        inputs: program.inputs.iter().map(tensor).collect(),
        outputs: program.outputs.iter().map(tensor).collect(),
        kernels,
        work: vec![],
        arena: artifact::Arena {
            bytes: arena.total(&Index::from(1)).as_const().map(|n| n as u64),
            text: arena.total(&Index::sym("workers")).to_string(),
            scratch: arena.scratch.as_const().map(|n| n as u64),
            scratch_text: arena.scratch.to_string(),
            stack: 4096,
        },
        weights_bytes: 0,
        placement: Placement::Embedded,
    }
}
