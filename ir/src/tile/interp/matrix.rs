//! Fragments: their lines in memory, and their products.

use super::code::{Dst, Piece, Product, Src};
use super::exec::{Machine, Step};
use super::{Cause, scalar};
use crate::DType;

impl Machine<'_> {
    /// The elements of a fragment in memory: their bytes, and their lanes.
    fn elements(&mut self, piece: &Piece) -> Step<Vec<(i64, usize)>> {
        let mut elements = Vec::new();
        let size = self.size(piece.place.buffer());
        let apart = piece.apart.as_ref().map(|apart| self.eval(apart)).transpose()?.unwrap_or(0);
        for line in 0..piece.lines {
            let (byte, room) = self.locate(&piece.place, line)?;
            let byte = byte.saturating_add(apart.saturating_mul(line as i64));
            let room = room.saturating_sub(apart.saturating_mul(line as i64).div_euclid(size));
            if byte < 0 || piece.length as i64 > room {
                return Err(super::exec::beyond(&self.program.params[piece.place.buffer()], piece.length, room));
            }
            let lanes = (0..piece.length).map(|place| (byte + place as i64 * size, piece.lane(line, place)));
            elements.extend(lanes);
        }
        Ok(elements)
    }

    pub(super) fn load_fragment(&mut self, to: Dst, piece: &Piece) -> Step {
        for (byte, lane) in self.elements(piece)? {
            let bits = self.read(piece.place.buffer(), byte)?;
            self.put(to.base + lane, bits, false);
        }
        Ok(())
    }

    pub(super) fn store_fragment(&mut self, piece: &Piece, value: Src) -> Step {
        for (byte, lane) in self.elements(piece)? {
            let (bits, undefined) = self.lane(value, lane);
            if undefined {
                return Err(Cause::Undefined);
            }
            self.write(piece.place.buffer(), byte, bits)?;
        }
        Ok(())
    }

    /// Adds the product of two matrices to a third.
    pub(super) fn multiply(&mut self, to: Dst, product: &Product) {
        let Product { shape, cell, a, b, f } = product;
        let (n, depth) = (usize::from(shape.n), usize::from(shape.k));
        let factor = |this: &Self, (from, dtype): (Src, DType), lane: usize| {
            let (bits, undefined) = this.lane(from, lane);
            let bits = scalar::convert(dtype, *cell, bits);
            (if shape.rounds { rounded(bits) } else { bits }, undefined)
        };
        for lane in 0..to.lanes {
            let (row, column) = (lane / n, lane % n);
            let (mut sum, mut unknown) = self.lane(Src { base: to.base, step: 1 }, lane);
            for k in 0..depth {
                let (a, b) = (factor(self, *a, row * depth + k), factor(self, *b, k * n + column));
                sum = f(a.0, b.0, sum);
                unknown |= a.1 | b.1;
            }
            self.put(to.base + lane, sum, unknown);
        }
    }
}

/// A float of 32 bits with 10 bits behind the point, ties away from zero.
fn rounded(bits: u64) -> u64 {
    const KEPT: u32 = !0x1fff;
    let bits = bits as u32;
    u64::from(if f32::from_bits(bits).is_finite() { bits.wrapping_add(0x1000) & KEPT } else { bits })
}
