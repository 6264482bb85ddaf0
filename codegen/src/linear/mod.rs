//! Makes an indexed tile linear: what every emitter would have to do is done here, once.
//!
//! In: a [`Tile`] of the indexed phase.  Out: the same computation in the linear phase:
//! - unrolled loops are expanded; bundles become single values and cells; every name is declared once (`expand`);
//! - `math` is replaced by instructions ([`crate::math`]);
//! - every access is a cursor and a constant (`cursors`).
//!
//! Invariants: the order of loads, stores and arithmetic stays; nothing that does not vary with a loop is computed
//! inside it, except lookups `at(@b, ..)`, which stay where their index is known to be in bounds.

mod cursors;
mod expand;
#[cfg(test)]
mod tests;

use mlc_ir::tile::{Phase, Tile};
use mlc_ir::{Error, Facts, Result};

/// The linear form of an indexed tile; `facts` holds the ranges of its symbols.
pub fn linearize(tile: &Tile, facts: &Facts) -> Result<Tile> {
    if tile.phase == Phase::Linear {
        return Err(Error::internal(format!("tile `{}` is linear already", tile.name)));
    }
    let (expanded, names) = expand::expand(tile)?;
    let body = cursors::cursors(tile, facts, expanded, names)?;
    Ok(Tile { body, phase: Phase::Linear, ..tile.clone() })
}
