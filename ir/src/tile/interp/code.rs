//! What a tile is compiled to: lanes are places in one array of registers, variables places in another.

use super::Buffer;
use crate::tile::{Inst, Shape, Space};
use crate::{DType, Name};

/// A compiled tile.
pub(super) struct Program<'a> {
    pub params: Vec<Extent>,
    pub tasks: i64,
    pub body: Vec<Code<'a>>,
    /// First contents of the registers; constants stay.
    pub regs: Vec<u64>,
    pub vars: usize,
    pub cursors: usize,
}

/// A parameter, with numbers for its dims.
pub(super) struct Extent {
    pub name: Name,
    pub dtype: DType,
    pub space: Space,
    pub dims: Vec<i64>,
    pub bytes: i64,
    pub slack: i64,
}

impl Extent {
    /// A buffer for it, of no size if it is not scratch.
    pub fn scratch(&self) -> Buffer {
        Buffer::empty(if self.space == Space::Scratch { self.bytes as usize } else { 0 })
    }
}

/// One instruction.
pub(super) struct Code<'a> {
    /// For messages.
    pub inst: &'a Inst,
    pub run: Run<'a>,
}

/// Lanes in registers; a step of 0 repeats one.
#[derive(Clone, Copy)]
pub(super) struct Src {
    pub base: usize,
    pub step: usize,
}

/// Where results go.
#[derive(Clone, Copy)]
pub(super) struct Dst {
    pub base: usize,
    pub lanes: usize,
}

pub(super) type One = fn(u64) -> u64;
pub(super) type Two = fn(u64, u64) -> u64;
pub(super) type Three = fn(u64, u64, u64) -> u64;

pub(super) enum Run<'a> {
    Loop {
        var: usize,
        low: Expr,
        high: Expr,
        step: i64,
        body: Vec<Code<'a>>,
        advance: Vec<(usize, Expr)>,
    },
    /// By steps of 1.
    Backwards {
        var: usize,
        low: Expr,
        high: Expr,
        body: Vec<Code<'a>>,
    },
    If {
        all: Vec<[Expr; 3]>,
        then: Vec<Code<'a>>,
        otherwise: Vec<Code<'a>>,
    },
    /// Also `set`, `cell`, `splat` and `lane`.
    Copy(Dst, Src),
    One(Dst, One, Src),
    Two(Dst, Two, Src, Src),
    /// Traps if a lane of the second operand is not below the width.
    Shift(Dst, Two, Src, Src, u64),
    Three(Dst, Three, Src, Src, Src),
    Convert(Dst, DType, DType, Src),
    /// Element sizes of result and operand, and lanes of the operand.
    Bitcast(Dst, usize, Src, usize, usize),
    Select(Dst, Src, Src, Src),
    Reduce(usize, Two, Src, usize),
    Pack(Dst, Vec<Src>),
    Iota(Dst),
    /// Masked to the width of an element.
    Index(Dst, Expr, u64),
    Load(Dst, Place, Option<Expr>),
    Broadcast(Dst, Place),
    Store(Place, Src, usize, Option<Expr>),
    LoadFragment(Dst, Piece),
    StoreFragment(Piece, Src),
    Multiply(Dst, Product),
    /// To, from, lanes.
    BeginCopy(Place, Place, usize, Option<Expr>),
    Commit,
    Wait(usize),
    Cursor(usize, Expr),
}

/// Where a fragment is in memory.
pub(super) struct Piece {
    pub place: Place,
    pub lines: usize,
    pub length: usize,
    /// Bytes between lines of a linear place.
    pub apart: Option<Expr>,
    pub columns: usize,
    pub transposed: bool,
}

impl Piece {
    /// The lane of an element of a line.
    pub fn lane(&self, line: usize, place: usize) -> usize {
        if self.transposed { place * self.columns + line } else { line * self.columns + place }
    }
}

/// Matrices that are multiplied.
pub(super) struct Product {
    pub shape: Shape,
    /// Element type of the accumulator.
    pub cell: DType,
    pub a: (Src, DType),
    pub b: (Src, DType),
    pub f: Three,
}

/// A place in memory.
pub(super) enum Place {
    /// Buffer, index, and the dimension along which lines follow one another.
    Indexed(usize, Vec<Expr>, Option<usize>),
    /// Buffer, cursor, offset.
    Linear(usize, usize, i64),
}

impl Place {
    pub fn buffer(&self) -> usize {
        match self {
            Place::Indexed(buffer, ..) | Place::Linear(buffer, ..) => *buffer,
        }
    }
}

/// A sum of products.
pub(super) struct Expr {
    pub constant: i64,
    pub terms: Vec<(i64, Vec<Factor>)>,
}

pub(super) enum Factor {
    Var(usize),
    Div(Box<(Expr, Expr)>),
    Mod(Box<(Expr, Expr)>),
    Min(Box<(Expr, Expr)>),
    Max(Box<(Expr, Expr)>),
    At(usize, Vec<Expr>),
}
