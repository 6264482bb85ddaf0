//! Every instruction on this machine, and that it compiles for others.

mod kernels;
pub(crate) mod operations;

use super::isa;
use super::jit::{Jit, compile};
use crate::linear::linearize;
use crate::ptx;
use crate::x86::Isa;
use mlc_ir::tile::interp::Buffer;
use mlc_ir::tile::{Space, Tile, interp, parse};
use mlc_ir::{DType, Facts, Index};

/// The tile of a text.
fn tile(text: &str) -> Tile {
    parse(text).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// Targets a tile must compile for: x86-64 without and with features, aarch64.
fn compiles_everywhere(linear: &Tile) {
    let targets: [(&str, &[&str]); 4] = [
        ("x86_64-unknown-linux-gnu", &[]),
        ("x86_64-unknown-linux-gnu", &["has_sse3", "has_ssse3", "has_sse41", "has_sse42", "has_popcnt"]),
        ("x86_64-pc-windows-msvc", &["has_avx", "has_avx2", "has_fma", "has_sse41", "has_ssse3", "has_sse3"]),
        ("aarch64-unknown-linux-gnu", &[]),
    ];
    for (triple, features) in targets {
        let isa = isa(&triple.parse().unwrap(), features, "none").unwrap();
        compile(linear, &isa).unwrap_or_else(|e| panic!("{triple} {features:?}: {e}\n{linear}"));
    }
}

/// Linearizes a tile; runs it by the interpreter in both phases and as code with and without features. All must give
/// the same bytes. Returns the buffers.
fn agree(tile: &Tile, buffers: &[Buffer], symbols: &[i64]) -> Vec<Vec<u8>> {
    let linear = linearize(tile, &Facts::default()).unwrap();
    if let Err(e) = mlc_ir::tile::verify(&linear, &Facts::default()) {
        panic!("{e}\n{linear}");
    }
    compiles_everywhere(&linear);
    let tasks = number(&tile.tasks.1, tile, symbols);
    let mut expected = buffers.to_vec();
    interp::run(tile, &mut expected, symbols, 0..tasks).unwrap_or_else(|e| panic!("{e}\n{tile}"));
    let mut again = buffers.to_vec();
    interp::run(&linear, &mut again, symbols, 0..tasks).unwrap_or_else(|e| panic!("{e}\n{linear}"));
    let bytes = |buffers: &[Buffer]| buffers.iter().map(|b| b.bytes().to_vec()).collect::<Vec<_>>();
    assert_eq!(bytes(&expected), bytes(&again), "{linear}");
    let text = linear.to_string();
    // The interpreter's multiply-add is fused.
    let fused = text.contains("fma ") || text.contains("dot ");
    for features in [None, Some(if fused { &["has_fma", "has_avx"][..] } else { &[] })] {
        let found = jit(&linear, features, buffers, symbols, tasks as u64);
        if let Some(difference) = difference(&linear, &bytes(&expected), &found) {
            panic!("{features:?}: {difference}\n{tile}\n{linear}");
        }
    }
    let (_, capability, _) = ptx::Capability::ALL[0];
    if let Ok(entry) = ptx::emit(&linear, "k", capability).inspect_err(|e| println!("PTX refused: {e}")) {
        let text = ptx::module(capability, &[&entry.text]);
        let far = number(&entry.far, &linear, symbols) as usize;
        let found = interpreted(&text, &linear, buffers, symbols, (tasks as u64, far));
        if let Some(difference) = difference(&linear, &bytes(&expected), &found) {
            panic!("PTX: {difference}\n{linear}\n{text}");
        }
    }
    for isa in Isa::ALL {
        let Some(code) = own(&linear, isa) else { continue };
        let jit = Jit::of_bytes(&linear, code.clone()).unwrap();
        let found = run(&jit, &linear, buffers, symbols, tasks as u64);
        if let Some(difference) = difference(&linear, &bytes(&expected), &found) {
            panic!("{isa:?}: {difference}\n{linear}\n{}", crate::x86::listing(&code));
        }
    }
    bytes(&expected)
}

/// Runs an entry for every task, in blocks that the tasks do not fill, and whose threads need some bytes each.
fn interpreted(
    text: &str,
    linear: &Tile,
    buffers: &[Buffer],
    symbols: &[i64],
    (tasks, far): (u64, usize),
) -> Vec<Vec<u8>> {
    const THREADS: u32 = 48;
    let module = mlc_ptx_interp::Module::parse(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let mut device = mlc_ptx_interp::Device::new();
    let mut args: Vec<u64> = Vec::new();
    for (buffer, param) in buffers.iter().zip(&linear.params) {
        let bytes = [buffer.bytes(), &vec![0xa5; param.slack as usize]].concat();
        let address = device.allocate(bytes.len());
        device.write(address, &bytes).unwrap();
        args.push(address);
    }
    args.extend(symbols.iter().map(|n| *n as u64));
    args.resize(args.len().max(1), 0);
    let blocks = (tasks as u32).div_ceil(THREADS).max(1);
    args.extend([tasks, device.allocate(far * (blocks * THREADS) as usize)]);
    let params: Vec<u8> = args.iter().flat_map(|n| n.to_le_bytes()).collect();
    let run = module.entries[0].launch([blocks, 1, 1], THREADS, &params, &mut device);
    run.unwrap_or_else(|e| panic!("{e}\n{linear}\n{text}"));
    let read = |(buffer, address): (&Buffer, &u64)| {
        let mut bytes = vec![0; buffer.bytes().len()];
        device.read(*address, &mut bytes).unwrap();
        bytes
    };
    buffers.iter().zip(&args).map(read).collect()
}

/// Code of our own emitter, if it takes the tile and this machine has the instructions.
fn own(linear: &Tile, isa: Isa) -> Option<Vec<u8>> {
    let code = crate::x86::emit(linear, isa).inspect_err(|e| println!("{isa:?} refused: {e}")).ok()?;
    has(isa).then_some(code)
}

/// Whether this machine has the instructions.
pub(crate) fn has(isa: Isa) -> bool {
    isa.runs_on(mlc_abi::Architecture::host(), mlc_runtime::features())
}

fn jit(linear: &Tile, features: Option<&[&str]>, buffers: &[Buffer], symbols: &[i64], tasks: u64) -> Vec<Vec<u8>> {
    let jit = match features {
        None => Jit::new(linear),
        // With `fma`, as the interpreter has it.
        Some(features) => Jit::with(linear, features),
    };
    let jit = jit.unwrap_or_else(|e| panic!("{e}\n{linear}"));
    run(&jit, linear, buffers, symbols, tasks)
}

/// What code leaves in the buffers that the tile does not keep to itself.
pub(crate) fn run(jit: &Jit, linear: &Tile, buffers: &[Buffer], symbols: &[i64], tasks: u64) -> Vec<Vec<u8>> {
    let params = linear.params.iter().filter(|param| param.space != Space::Scratch);
    let slack: Vec<usize> = params.map(|param| param.slack as usize).collect();
    let mut memory: Vec<Vec<u8>> =
        buffers.iter().zip(&slack).map(|(b, slack)| [b.bytes(), &vec![0xa5; *slack]].concat()).collect();
    jit.run(&mut memory, symbols, 0..tasks).unwrap();
    memory.into_iter().zip(slack).map(|(mut m, slack)| m.drain(..m.len() - slack).collect()).collect()
}

/// The first element that differs; one NaN is as good as another.
pub(crate) fn difference(tile: &Tile, expected: &[Vec<u8>], found: &[Vec<u8>]) -> Option<String> {
    let params = tile.params.iter().filter(|param| param.space != Space::Scratch);
    for ((param, a), b) in params.zip(expected).zip(found) {
        let size = param.dtype.bytes();
        let differ =
            |(_, (a, b)): &(usize, (&[u8], &[u8]))| a != b && !(is_nan(param.dtype, a) && is_nan(param.dtype, b));
        let Some((place, (a, b))) = a.chunks(size).zip(b.chunks(size)).enumerate().find(differ) else { continue };
        return Some(format!("{}[{place}]: expected {a:02x?}, found {b:02x?}", param.name));
    }
    None
}

fn is_nan(dtype: DType, bytes: &[u8]) -> bool {
    let bits = bytes.iter().rev().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
    match dtype {
        DType::F64 => f64::from_bits(bits).is_nan(),
        DType::F32 => f32::from_bits(bits as u32).is_nan(),
        DType::F16 => bits & 0x7fff > 0x7c00,
        DType::BF16 => bits & 0x7fff > 0x7f80,
        _ => false,
    }
}

fn number(e: &Index, tile: &Tile, symbols: &[i64]) -> i64 {
    let value = e.eval(&mut |leaf| match leaf {
        mlc_ir::index::Leaf::Sym(name) => tile.symbols.iter().position(|s| s == *name).map(|n| symbols[n]),
        _ => None,
    });
    value.unwrap()
}

fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 37 % 101) as f32 - 50.0) / 8.0).collect()
}
