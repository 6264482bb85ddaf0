//! `ldmatrix`: matrices of 8 rows of 16 bytes, from shared memory to fragments.

use crate::Result;
use crate::code::Address;
use crate::fragment::row_major;
use crate::grid::Block;
use crate::shared::Who;
use crate::warp::{LANES, Warp};

/// Rows and columns of a matrix, and bytes of an element.
const SIDE: usize = 8;
const BYTES: usize = 2;

/// Loads one, two or four matrices, to a register each.
pub(crate) struct LoadMatrix {
    pub to: Vec<usize>,
    /// Lane `8 * n + row` has the address of a row of matrix `n`.
    pub rows: Address,
    pub transposed: bool,
}

impl Warp {
    pub(crate) fn load_matrix(&mut self, load: &LoadMatrix, lanes: u32, block: &mut Block) -> Result<()> {
        if lanes == 0 {
            return Ok(());
        }
        self.complete(lanes)?;
        self.check_source(&load.rows.base, u32::MAX >> (LANES - SIDE * load.to.len()))?;
        let warp = Who::Warp((self.first as usize / LANES) as u16);
        let addresses = (0..SIDE * load.to.len()).map(|lane| self.address(&load.rows, SIDE * BYTES, lane, block));
        let addresses = addresses.collect::<Result<Vec<u64>>>()?;
        addresses.chunks(SIDE).for_each(|rows| block.counts.matrices.add(rows, SIDE * BYTES));
        let mut loaded = vec![[0u64; LANES]; load.to.len()];
        for (number, address) in addresses.iter().enumerate() {
            let (matrix, row) = (number / SIDE, number % SIDE);
            for column in 0..SIDE {
                let bits = block.shared.load(address + (column * BYTES) as u64, BYTES, warp)?;
                let (row, column) = if load.transposed { (column, row) } else { (row, column) };
                let place = row_major(row, column, SIDE, 2);
                loaded[matrix][place.lane] |= bits << (16 * place.part);
            }
        }
        for (to, values) in load.to.iter().zip(loaded) {
            self.values[to * LANES..][..LANES].copy_from_slice(&values);
            self.written[*to] = lanes;
        }
        Ok(())
    }
}
