//! Tiles of blocks of threads, run by the interpreter of PTX and assembled by `ptxas`, where it is installed.

mod barriers;
mod copies;
mod fragments;
mod product;
mod scheduled;
mod warps;

use super::{Capability, emit, module};
use crate::linear::linearize;
use mlc_ir::Facts;
use mlc_ir::tile::interp::{self, Buffer};
use mlc_ir::tile::{Tile, parse, verify};
use mlc_ptx_interp::{Counts, Device, Module};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The linear form of a text, whose two forms are verified.
fn linear(text: &str) -> Tile {
    let tile = parse(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    verify(&tile, &Facts::default()).unwrap_or_else(|e| panic!("{e}"));
    let linear = linearize(&tile, &Facts::default()).unwrap();
    verify(&linear, &Facts::default()).unwrap_or_else(|e| panic!("{e}\n{linear}"));
    linear
}

/// What the tile interpreter makes of a text with these buffers, in both forms.
fn expected(text: &str, buffers: &[Buffer], tasks: i64) -> Vec<Buffer> {
    let run = |tile: &Tile| {
        let mut memory = buffers.to_vec();
        interp::run(tile, &mut memory, &[], 0..tasks).unwrap_or_else(|e| panic!("{e}\n{tile}"));
        memory
    };
    let (one, other) = (run(&parse(text).unwrap()), run(&linear(text)));
    assert!(one.iter().zip(&other).all(|(a, b)| a.bytes() == b.bytes()), "both phases compute the same");
    one
}

/// The module of a text for a generation.
fn compiled(text: &str, generation: &str) -> mlc_ir::Result<String> {
    let capability = Capability::from_name(generation).unwrap();
    Ok(module(capability, &[&emit(&linear(text), "k", capability)?.text]))
}

/// Runs the entry of a module for some tasks, each a block; what it leaves in the buffers, and what memory had to do.
fn launched(ptx: &str, threads: u32, buffers: &[Buffer], tasks: u32) -> Result<(Vec<Vec<u8>>, Counts), String> {
    let module = Module::parse(ptx)?;
    let mut device = Device::new();
    let mut params = Vec::new();
    for buffer in buffers {
        let address = device.allocate(buffer.bytes().len());
        device.write(address, buffer.bytes())?;
        params.push(address);
    }
    let addresses = params.clone();
    params.extend([tasks.into(), 0]);
    let params: Vec<u8> = params.iter().flat_map(|n| n.to_le_bytes()).collect();
    let counts = module.entries[0].launch([tasks, 1, 1], threads, &params, &mut device)?;
    let read = |(buffer, address): (&Buffer, u64)| {
        let mut bytes = vec![0; buffer.bytes().len()];
        device.read(address, &mut bytes).map(|()| bytes)
    };
    let left = buffers.iter().zip(addresses).map(read).collect::<Result<_, _>>()?;
    Ok((left, counts))
}

/// Assembles a module, without a byte spilled; nothing where there is no `ptxas`.
fn assembled(ptx: &str, generation: &str) {
    let Some(ptxas) = ptxas() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("k.ptx");
    std::fs::write(&path, ptx).unwrap();
    let mut assemble = Command::new(ptxas);
    assemble.args([&format!("-arch={generation}"), "-v", "-o"]).arg(folder.path().join("out")).arg(path);
    let output = assemble.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{generation}: {said}\n{ptx}");
    assert!(said.contains(" 0 bytes spill stores, 0 bytes spill loads"), "{generation}: {said}");
}

/// Where `ptxas` is: in the tests' Python environment, or on the path.
fn ptxas() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let site = |entry: std::fs::DirEntry| entry.path().join("site-packages/nvidia/cu13/bin/ptxas");
    let installed = std::fs::read_dir(root.join(".venv/lib")).into_iter().flatten().flatten().map(site);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path: Vec<PathBuf> = std::env::split_paths(&path).map(|folder| folder.join("ptxas")).collect();
    installed.chain(on_path).find(|file| file.is_file())
}

/// A text without one of the places where a line stands.
fn without(text: &str, line: &str, number: usize) -> String {
    let (at, _) = text.match_indices(line).nth(number).unwrap_or_else(|| panic!("{number} of {line}"));
    [&text[..at], &text[at + line.len()..]].concat()
}

/// Numbers between -2 and 2 that only depend on their places.
fn numbers(count: usize, salt: usize) -> Vec<f32> {
    (0..count).map(|at| ((at * 7919 + salt * 104_729) % 97) as f32 / 24.0 - 2.0).collect()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}
