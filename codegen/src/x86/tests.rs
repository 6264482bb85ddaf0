//! Every row of the table: that it has a sample, that its samples compute what the interpreter does, and its text.

use super::samples::{Sample, found, rows, samples};
use super::{Isa, emit};
use crate::clif::jit::Jit;
use crate::clif::tests::operations::{FLOATS, INTS};
use crate::clif::tests::{difference, has, run};
use crate::linear::linearize;
use mlc_ir::tile::interp::{self, Buffer};
use mlc_ir::tile::{Tile, Type};
use mlc_ir::{DType, Facts};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRng, TestRunner};
use std::collections::BTreeMap;

fn linear(sample: &Sample) -> Tile {
    let tile = sample.tile().unwrap_or_else(|e| panic!("{}: {e}", sample.name));
    let linear = linearize(&tile, &Facts::default()).unwrap_or_else(|e| panic!("{}: {e}", sample.name));
    mlc_ir::tile::verify(&linear, &Facts::default()).unwrap_or_else(|e| panic!("{}: {e}", sample.name));
    linear
}

/// Samples that suit an instruction set, with their code: none of them is refused.
fn emitted(isa: Isa) -> impl Iterator<Item = (Sample, Tile, Vec<u8>)> {
    samples().into_iter().filter(move |sample| sample.suits(isa)).map(move |sample| {
        let tile = linear(&sample);
        let code = emit(&tile, isa).unwrap_or_else(|e| panic!("{isa:?}: {}: {e}", sample.name));
        (sample, tile, code)
    })
}

/// The first instruction that samples have of each row and size.
fn texts(isa: Isa) -> BTreeMap<(&'static str, usize), String> {
    let mut texts = BTreeMap::new();
    for (_, _, code) in emitted(isa) {
        for (row, size, text) in found(&code, isa) {
            texts.entry((row, size)).or_insert(text);
        }
    }
    texts
}

/// A row that no sample reaches fails here: add one to `samples`.
#[test]
fn every_row_has_a_sample_and_a_text() {
    let mut snapshot = String::new();
    let all = Isa::ALL.map(|isa| (isa, texts(isa)));
    for (row, _) in rows(Isa::Avx512) {
        snapshot += &format!("{row}\n");
        for (isa, texts) in &all {
            let sizes = rows(*isa).find(|it| it.0 == row).map_or(0, |it| it.1);
            for size in 0..sizes {
                let text = texts.get(&(row, size));
                let text = text.unwrap_or_else(|| panic!("{isa:?}: size {size} of row {row} has no sample"));
                snapshot += &format!("  {isa:?}  {text}\n");
            }
        }
    }
    insta::assert_snapshot!("rows", snapshot);
}

/// Elements of a type: edge values and any bits.
fn elements(ty: Type, count: usize) -> BoxedStrategy<Vec<u8>> {
    let edges: Vec<u64> = match ty.dtype {
        DType::F32 => {
            FLOATS.iter().map(|x| u64::from((*x as f32).to_bits())).chain([1, 0x7f80_0001, 0x007f_ffff]).collect()
        }
        _ => INTS.iter().map(|n| *n as u64).collect(),
    };
    let element = prop_oneof![2 => select(edges), 1 => any::<u64>()];
    let size = ty.dtype.bytes();
    let bytes = move |all: Vec<u64>| all.iter().flat_map(|bits| bits.to_le_bytes()[..size].to_vec()).collect();
    prop::collection::vec(element, count).prop_map(bytes).boxed()
}

/// How many rows, how far apart, and what is in them.
fn inputs(from: Type) -> impl Strategy<Value = (usize, usize, Vec<u8>, Vec<u8>)> {
    (0usize..6, 0usize..20).prop_flat_map(move |(n, s)| {
        let count = n * (s + usize::from(from.lanes));
        (Just(n), Just(s), elements(from, count), elements(from, count))
    })
}

#[test]
fn every_sample_computes_what_the_interpreter_does() {
    for isa in Isa::ALL {
        if !has(isa) {
            println!("skipped: this machine has no {isa:?}");
            continue;
        }
        for (sample, tile, code) in emitted(isa) {
            let jit = Jit::of_bytes(&tile, code).unwrap();
            let config = Config { cases: 32, failure_persistence: None, ..Config::default() };
            let rng = TestRng::deterministic_rng(config.rng_algorithm);
            let compare = |(n, s, a, b): (usize, usize, Vec<u8>, Vec<u8>)| {
                let out = n * (s + usize::from(sample.to.lanes)) * sample.to.dtype.bytes();
                let buffers = [Buffer::filled(a), Buffer::filled(b), Buffer::empty(out)];
                let mut expected = buffers.to_vec();
                interp::run(&tile, &mut expected, &[n as i64, s as i64], 0..n as i64).unwrap();
                let found = run(&jit, &tile, &buffers, &[n as i64, s as i64], n as u64);
                let expected: Vec<Vec<u8>> = expected.iter().map(|buffer| buffer.bytes().to_vec()).collect();
                match difference(&tile, &expected, &found) {
                    None => Ok(()),
                    Some(what) => Err(TestCaseError::fail(what)),
                }
            };
            let result = TestRunner::new_with_rng(config, rng).run(&inputs(sample.from), compare);
            result.unwrap_or_else(|e| panic!("{isa:?}: {}: {e}\n{tile}", sample.name));
        }
    }
}
