//! Matrices spread over the registers of a warp, as `ldmatrix` leaves them and `mma.sync` takes them.

/// Elements of a matrix's rows in 32 bits of a register, and the lanes that have them: four lanes have a row of a tile of
/// 8 rows and 4 registers' elements, one lane after the other.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub lane: usize,
    pub register: usize,
    /// Its number in the register, the lowest first.
    pub part: usize,
}

/// Where an element is of a matrix with rows of tiles of 8 rows, the tiles below each other before those to the right, each
/// `4 * parts` wide.
pub(crate) fn row_major(row: usize, column: usize, rows: usize, parts: usize) -> Place {
    let (down, right) = (row / 8, column / (4 * parts));
    Place { lane: row % 8 * 4 + column / parts % 4, register: right * (rows / 8) + down, part: column % parts }
}

/// Where an element of accumulators is, two of a row in one lane, in a register each.
pub(crate) fn accumulator(row: usize, column: usize) -> Place {
    Place { lane: row % 8 * 4 + column / 2, register: row / 8 * 2 + column % 2, part: 0 }
}
