//! Tests of the tile language: text, verifier, interpreter.

mod examples;
mod fragments;
mod interp;
mod round_trip;
mod soundness;
mod verify;

use super::interp::{Buffer, Trap, run};
use super::{Tile, parse};
use crate::Facts;

fn tile(text: &str) -> Tile {
    parse(text).unwrap_or_else(|e| panic!("{e} in\n{text}"))
}

/// A tile without symbols that runs one task, verified.
fn verified(text: &str) -> Tile {
    let tile = tile(text);
    super::verify(&tile, &Facts::default()).unwrap_or_else(|e| panic!("{e}"));
    tile
}

/// Runs one task of a tile without symbols.
fn run_once(text: &str, buffers: &mut [Buffer]) -> Result<(), Trap> {
    run(&verified(text), buffers, &[], 0..1)
}
