//! What each row of the emitter's table takes: nanoseconds a sample, independent ones side by side, on this processor.
//!
//! usage: cargo run --release -p mlc-codegen --example instructions [TEXT]
//!
//! TEXT: samples whose name has it. A sample is one or a few instructions (`mlc_codegen::x86::samples`); the rows of the
//! table that its code has stand behind it. Operands lie in registers; the loop around and its store are taken off.

use mlc_abi::Architecture;
use mlc_codegen::clif::jit::Jit;
use mlc_codegen::linear::linearize;
use mlc_codegen::x86::samples::{Sample, found, samples};
use mlc_codegen::x86::{Isa, emit};
use mlc_ir::{Error, Facts, Result};
use std::time::Instant;

const TURNS: i64 = 20_000;
/// Copies of a sample in a turn of its loop; the time of the fewer is taken off that of the more.
const COPIES: [usize; 2] = [8, 32];
const TRIES: usize = 7;

fn main() -> Result<()> {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    println!("{:8} {:32} {:>8}  rows", "", "sample", "ns");
    let here = |isa: &Isa| isa.runs_on(Architecture::host(), mlc_runtime::features());
    for isa in Isa::ALL.into_iter().filter(here) {
        for sample in samples().iter().filter(|it| it.suits(isa) && it.name.contains(&wanted)) {
            let [(few, mut frame), (many, mut rows)] =
                [measure(sample, isa, COPIES[0])?, measure(sample, isa, COPIES[1])?];
            let ns = (many - few) / (COPIES[1] - COPIES[0]) as f64;
            // What there is no more of where there are more copies belongs to the loop.
            rows.retain(|row| frame.iter().position(|it| it == row).map(|at| frame.swap_remove(at)).is_none());
            rows.sort_unstable();
            rows.dedup();
            println!("{:8} {:32} {ns:8.2}  {}", format!("{isa:?}"), sample.name, rows.join(" "));
        }
    }
    Ok(())
}

/// Nanoseconds of a turn, and the row of each instruction in its code.
fn measure(sample: &Sample, isa: Isa, copies: usize) -> Result<(f64, Vec<&'static str>)> {
    let tile = linearize(&sample.repeated(copies)?, &Facts::default())?;
    let code = emit(&tile, isa).map_err(|why| Error::unsupported(format!("{}: {why}", sample.name)))?;
    let rows = found(&code, isa).into_iter().map(|(row, ..)| row).collect();
    let jit = Jit::of_bytes(&tile, code)?;
    // Ones: no operation on them is slower than usual.
    let ones = |ty: mlc_ir::tile::Type| match ty.dtype.is_float() {
        true => 1f32.to_le_bytes().repeat(ty.lanes.into()),
        false => [&[1u8][..], &vec![0; ty.dtype.bytes() - 1]].concat().repeat(ty.lanes.into()),
    };
    let mut buffers = [ones(sample.from), ones(sample.from), ones(sample.to)];
    let mut best = f64::INFINITY;
    for _ in 0..TRIES {
        let begun = Instant::now();
        jit.run(&mut buffers, &[1, 0, TURNS], 0..1)?;
        best = best.min(begun.elapsed().as_nanos() as f64 / TURNS as f64);
    }
    Ok((best, rows))
}
