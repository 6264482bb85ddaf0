//! Tiles from text to machine code, against the interpreter: on this machine with all its features and with none. The
//! same tiles must compile for aarch64.

mod functions;
mod kernels;
mod operations;

use mlc_codegen::clif::jit::{Jit, compile};
use mlc_codegen::clif::{host_features, isa};
use mlc_codegen::linear::linearize;
use mlc_ir::tile::interp::{Buffer, run};
use mlc_ir::tile::{Phase, Space, Tile, parse, verify};
use mlc_ir::{DType, Facts};

/// Bytes behind every buffer, which no tile may change.
const SENTINEL: [u8; 256] = [0xa5; 256];

/// Every target that tiles are compiled for, and whether this machine runs it.
fn targets() -> Vec<(&'static str, Vec<String>, bool)> {
    let here = cfg!(target_arch = "x86_64");
    let host = if here { "x86_64-unknown-linux-gnu" } else { "aarch64-unknown-linux-gnu" };
    vec![
        (host, host_features(), true),
        ("x86_64-unknown-linux-gnu", vec![], here),
        ("aarch64-unknown-linux-gnu", vec![], false),
    ]
}

fn tile(text: &str) -> Tile {
    parse(text).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// The linear form, which verifies.
fn linear(text: &str) -> Tile {
    let tile = tile(text);
    if tile.phase == Phase::Linear {
        return tile;
    }
    let linear = linearize(&tile, &Facts::default()).unwrap_or_else(|e| panic!("{e}\n{text}"));
    verify(&linear, &Facts::default()).unwrap_or_else(|e| panic!("{e}\n{linear}"));
    linear
}

/// Runs all tasks of a linear tile as machine code, once for each target that runs here.
fn as_code(linear: &Tile, buffers: &[Buffer], symbols: &[i64], tasks: i64) -> Vec<(String, Vec<Vec<u8>>)> {
    let mut results = Vec::new();
    let mut padded = linear.clone();
    padded.params.iter_mut().for_each(|param| param.slack = SENTINEL.len() as u32);
    for (triple, features, here) in targets() {
        let names: Vec<&str> = features.iter().map(String::as_str).collect();
        let name = format!("{triple} with {} features", names.len());
        let isa = isa(&triple.parse().unwrap(), &names, "none").unwrap();
        compile(linear, &isa).unwrap_or_else(|e| panic!("{name}: {e}\n{linear}"));
        if !here {
            continue;
        }
        let jit = Jit::with(&padded, &names).unwrap();
        let mut memory: Vec<Vec<u8>> = buffers.iter().map(|buffer| [buffer.bytes(), &SENTINEL].concat()).collect();
        jit.run(&mut memory, symbols, 0..tasks as u64).unwrap();
        for bytes in &mut memory {
            let end = bytes.split_off(bytes.len() - SENTINEL.len());
            assert_eq!(end, SENTINEL, "{name}: written past a buffer\n{linear}");
        }
        results.push((name, memory));
    }
    results
}

/// Runs all tasks of a tile in every way; outputs must be the same, but for the bits of NaNs.
fn check(text: &str, buffers: &[Buffer], symbols: &[i64], tasks: i64) {
    let linear = linear(text);
    let mut expected = buffers.to_vec();
    run(&tile(text), &mut expected, symbols, 0..tasks).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let mut again = buffers.to_vec();
    run(&linear, &mut again, symbols, 0..tasks).unwrap_or_else(|e| panic!("{e}\n{linear}"));
    for (a, b) in again.iter().zip(&expected) {
        assert_eq!(a.bytes(), b.bytes(), "linear\n{linear}");
    }
    let params: Vec<_> = linear.params.iter().filter(|param| param.space != Space::Scratch).collect();
    for (name, memory) in as_code(&linear, buffers, symbols, tasks) {
        for ((found, expected), param) in memory.iter().zip(&expected).zip(&params) {
            same(found, expected.bytes(), param.dtype, &format!("{name}\n{linear}"));
        }
    }
}

/// Equal bytes, or NaN in both.
fn same(found: &[u8], expected: &[u8], dtype: DType, what: &str) {
    let size = dtype.bytes();
    for (place, (a, b)) in found.chunks(size).zip(expected.chunks(size)).enumerate() {
        let both_nan = nan(a, dtype) && nan(b, dtype);
        assert!(a == b || both_nan, "element {place}: found {a:02x?}, expected {b:02x?} on {what}");
    }
}

fn nan(bytes: &[u8], dtype: DType) -> bool {
    let bits = bytes.iter().rev().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
    match dtype {
        DType::F64 => f64::from_bits(bits).is_nan(),
        DType::F32 => f32::from_bits(bits as u32).is_nan(),
        DType::F16 => half::f16::from_bits(bits as u16).is_nan(),
        DType::BF16 => half::bf16::from_bits(bits as u16).is_nan(),
        _ => false,
    }
}

fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 37 % 101) as f32 - 50.0) / 8.0).collect()
}
