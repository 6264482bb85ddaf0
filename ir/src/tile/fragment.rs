//! Fragments: small matrices that are loaded, multiplied and stored whole.
//!
//! A fragment is a vector whose lanes are a matrix in row-major order. What it has more than other vectors is where its
//! elements are in memory: in several *lines* of consecutive elements, which are its rows, or its columns if memory holds the
//! transpose.

use super::{Row, Type};
use crate::{Index, Name};

/// A fragment in memory.
#[derive(Clone, PartialEq, Debug)]
pub struct Fragment {
    /// The row of the matrix table that tells its shape.
    pub row: Name,
    /// Which of the row's matrices it is.
    pub role: Role,
    /// Whether lines are columns of the matrix.
    pub transposed: bool,
    /// Where they are.
    pub lines: Lines,
}

/// Which matrix of a row a fragment is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Role {
    /// The first factor.
    A,
    /// The second factor.
    B,
    /// The accumulator, of any element type.
    C,
}

/// Where the lines of a fragment are, of which the first begins at its access. Elements of a line lie along the last dimension.
#[derive(Clone, PartialEq, Debug)]
pub enum Lines {
    /// One after the other along this dimension of the buffer, which is not the last. Indexed only.
    Along(u32),
    /// All in the same place: a matrix of equal rows, or columns. Indexed only.
    Same,
    /// So many bytes apart. Linear only.
    Apart(Index),
}

impl Fragment {
    /// Rows and columns of the matrix, if there is one.
    pub fn size(&self) -> Option<(u16, u16)> {
        let shape = Row::from_name(&self.row)?.shape()?;
        Some(match self.role {
            Role::A => (shape.m, shape.k),
            Role::B => (shape.k, shape.n),
            Role::C => (shape.m, shape.n),
        })
    }

    /// The number of lines, and elements of each.
    pub fn lines(&self) -> Option<(u16, u16)> {
        self.size().map(|(rows, columns)| if self.transposed { (columns, rows) } else { (rows, columns) })
    }

    /// Whether a vector of a type can be this matrix.
    pub fn takes(&self, ty: Type) -> bool {
        let Some(row) = Row::from_name(&self.row).filter(|row| row.shape().is_some()) else { return false };
        match self.role {
            Role::A => ty == row.a,
            Role::B => ty == row.b,
            Role::C => ty.lanes == row.cell.lanes,
        }
    }

    /// The lane of an element of a line.
    pub fn lane(&self, line: usize, place: usize) -> Option<usize> {
        let (_, columns) = self.size()?;
        let (row, column) = if self.transposed { (place, line) } else { (line, place) };
        Some(row * usize::from(columns) + column)
    }
}
