//! Tile IR: what a scheduled kernel does, instruction by instruction, for one target.
//!
//! One language in two phases. *Indexed*, as lowering writes it: every access names a buffer and one index per
//! dimension, so bounds can be proved. *Linear*, as emitters read it: unrolled loops are expanded, `math` is gone, and
//! an access is a cursor plus a constant.
//!
//! A value is in SSA form within its body; what survives an iteration lives in a *cell*. A *bundle* is an array of
//! values or cells, indexed by numbers and variables of unrolled loops only.
//!
//! In: a kernel and its schedule.  Out: text, bytes of an emitter, or an interpreted run.
//! Invariants: see the verifier's header.

mod fragment;
pub mod interp;
mod names;
mod parse;
mod row;
mod scopes;
mod scratch;
#[cfg(test)]
mod tests;
mod text;
mod verify;
mod visit;

pub use fragment::{Fragment, Lines, Role};
pub use parse::{parse, parse_tile};
pub use row::{Row, RowKind, Shape};
pub use verify::{VerifyError, Warning, verify};
pub use visit::visit_indices;

use crate::{DType, Index, Name};

/// One kernel: `fn(args, begin, end, scratch)` runs its body for every task in `begin..end`.
#[derive(Clone, PartialEq, Debug)]
pub struct Tile {
    /// Unique in its program.
    pub name: Name,
    /// Buffers `@0`, `@1`, ..., whose base addresses are the first arguments.
    pub params: Vec<Param>,
    /// Symbols, whose values are the arguments after the addresses.
    pub symbols: Vec<Name>,
    /// The variable that numbers tasks, and how many there are. Tasks write disjoint elements.
    pub tasks: (Name, Index),
    /// What one task does.
    pub body: Vec<Inst>,
    /// Which accesses it may hold.
    pub phase: Phase,
}

/// See the module's documentation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Accesses are [`Access::Indexed`].
    Indexed,
    /// Accesses are [`Access::Linear`], no [`LoopKind::Unroll`], no [`Op::Math`], no bundles.
    Linear,
}

/// A buffer, stored in row-major order of its dims.
#[derive(Clone, PartialEq, Debug)]
pub struct Param {
    /// For people.
    pub name: Name,
    /// Type of an element in memory.
    pub dtype: DType,
    /// Extents, outermost first; expressions over the symbols. Row-major, no gaps.
    pub dims: Vec<Index>,
    /// Where it lives and who may write.
    pub space: Space,
    /// Bytes that may be read (not written) past its end, and past the end of every row; what is there is undefined.
    pub slack: u32,
    /// Whether it is read in the order of memory and often from far away, as the panels of a product's weights are, so that
    /// it is worth fetching ahead.
    pub stream: bool,
}

/// Where a buffer lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Space {
    /// A tensor of the caller or a weight; only read.
    Input,
    /// Written, and perhaps read, by this kernel.
    Output,
    /// Private to the worker that runs the task, and empty when one begins; it lies where [`Tile::scratch`] says from the
    /// scratch argument on. It has no address among the arguments.
    Scratch,
}

/// Type of a value: one element type and a number of lanes. `Bool` with n lanes is a mask of n lanes.
/// `F16` and `BF16` values can only be moved and converted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Type {
    /// Element type.
    pub dtype: DType,
    /// 1 for a scalar.
    pub lanes: u16,
}

/// A value or cell, and the place in it if it is a bundle.
#[derive(Clone, PartialEq, Debug)]
pub struct Ref {
    /// Its name, without `%`.
    pub name: Name,
    /// One number or variable expression for each dimension of the bundle.
    pub at: Vec<Index>,
}

/// What an instruction reads.
#[derive(Clone, PartialEq, Debug)]
pub enum Operand {
    /// A value or a cell.
    Ref(Ref),
    /// A float in all lanes.
    Float(f64),
    /// An integer (or 0 and 1 for `Bool`) in all lanes.
    Int(i64),
}

/// A place in memory.
#[derive(Clone, PartialEq, Debug)]
pub enum Access {
    /// `@buffer[i, j]`, one index a dimension. Lanes lie along the last dimension.
    Indexed {
        /// Position in [`Tile::params`].
        buffer: u32,
        /// One for each dim; over loop variables, the task variable, symbols and lookups `at(@b, ..)`.
        index: Vec<Index>,
    },
    /// `[%cursor + offset]`, the offset in bytes.
    Linear {
        /// A cursor declared outside.
        cursor: Name,
        /// Bytes added to it.
        offset: i64,
        /// The buffer it points into, for the interpreter and for aliasing.
        buffer: u32,
    },
}

/// `low <= index < high`.
#[derive(Clone, PartialEq, Debug)]
pub struct InRange {
    /// What is tested.
    pub index: Index,
    /// Inclusive.
    pub low: Index,
    /// Exclusive.
    pub high: Index,
}

/// How a loop runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LoopKind {
    /// One iteration after the other.
    Serial,
    /// Expanded when the tile is made linear; both bounds are numbers.
    Unroll,
    /// By the crew of the task, where it has one: iterations are independent of one another, and all that they wrote is there
    /// when the loop has ended. Its bounds are 0 and a number, its step is 1, and no such loop is within.
    Abreast,
}

/// An instruction.
#[derive(Clone, PartialEq, Debug)]
pub enum Inst {
    /// Runs `body` with `var` from `low` up to `high`, exclusive, by `step`.
    Loop {
        /// How.
        kind: LoopKind,
        /// The variable.
        var: Name,
        /// First value.
        low: Index,
        /// End; a loop whose `low >= high` does not run.
        high: Index,
        /// Positive.
        step: i64,
        /// What is repeated.
        body: Vec<Inst>,
    },
    /// Runs `then` if all tests hold, else `otherwise`. Tests are the same for all lanes. Values defined inside are
    /// not seen outside; what cells of the outside are set to is. A branch that numbers and unrolled variables alone rule
    /// out may be nonsense: it is not looked at.
    If {
        /// All must hold.
        all: Vec<InRange>,
        /// When they do.
        then: Vec<Inst>,
        /// When one does not.
        otherwise: Vec<Inst>,
    },
    /// Declares a cell, or a bundle of them, with its first value. It lives to the end of the enclosing body.
    Cell {
        /// Its name.
        name: Name,
        /// Type of each.
        ty: Type,
        /// Dimensions of the bundle; empty for one cell.
        dims: Vec<u32>,
        /// Value of all at the beginning.
        init: Operand,
    },
    /// Changes a cell.
    Set {
        /// Which.
        cell: Ref,
        /// Its new value.
        value: Operand,
    },
    /// `cell += a * b`, of lanes or of matrices, by a row of the matrix table: floats round once, ints wrap. See [`Row`].
    Dot {
        /// Name of the row, such as `f32x4`.
        row: Name,
        /// The accumulator.
        cell: Ref,
        /// First factor.
        a: Operand,
        /// Second factor.
        b: Operand,
    },
    /// Defines a value. In unrolled loops it may fill one place of a bundle, which lives in the body that encloses
    /// those loops.
    Let {
        /// The new value.
        dst: Ref,
        /// Its type.
        ty: Type,
        /// What computes it.
        op: Op,
    },
    /// Writes lanes to memory. A value of `Bool` is stored as bytes 0 and 1.
    Store {
        /// Where the first lane goes.
        to: Access,
        /// What is written; its element type is the buffer's.
        value: Operand,
        /// Its type.
        ty: Type,
        /// Only the first so many lanes are written, none if it is negative; all if absent.
        first: Option<Index>,
    },
    /// Writes a fragment to memory.
    StoreFragment {
        /// Where its first line begins.
        to: Access,
        /// What is written.
        value: Operand,
        /// Its type.
        ty: Type,
        /// Its shape.
        of: Fragment,
    },
    /// Copies lanes from an input to scratch memory; they arrive some time before a [`Inst::Wait`] for them ends. Until then
    /// they may not be read nor overwritten. They have 4, 8 or 16 bytes in all.
    Copy {
        /// Where the first lane goes.
        to: Access,
        /// Where it comes from.
        from: Access,
        /// What is copied.
        ty: Type,
        /// Only the first so many lanes are read, none if it is negative, and the others become 0.
        first: Option<Index>,
    },
    /// Makes a group of all copies since the last one. Outside of loops abreast.
    Commit,
    /// Waits until all groups but the last so many have arrived. Outside of loops abreast.
    Wait(u32),
    /// Linear only: declares a pointer, `base of buffer + offset` bytes. With `advance`, it grows by that many bytes at
    /// the end of each iteration of the serial loop over the named variable that follows in the same body.
    Cursor {
        /// Its name.
        name: Name,
        /// Position in [`Tile::params`].
        buffer: u32,
        /// Bytes from the buffer's base.
        offset: Index,
        /// The loop that advances it, and by how much.
        advance: Option<(Name, Index)>,
    },
}

/// What computes a value. All operands have the result's type unless said otherwise.
#[derive(Clone, PartialEq, Debug)]
pub enum Op {
    /// Consecutive elements. With `first`, only so many lanes (none if it is negative) are read and the others are 0.
    Load(Access, Option<Index>),
    /// A fragment, whose first line begins at the access.
    Fragment(Access, Fragment),
    /// One element in all lanes.
    Broadcast(Access),
    /// A scalar in all lanes.
    Splat(Operand),
    /// 0, 1, 2, ... in the lanes, which are ints.
    Iota,
    /// An integer expression in all lanes; `ty` is I64 or I32 (wrapped).
    Index(Index),
    /// Lane `.1` of a vector, as a scalar.
    Lane(Operand, u16),
    /// Vector from scalars, one a lane.
    Pack(Vec<Operand>),
    /// All lanes of a vector folded to a scalar, by halving: lane i with lane i + n/2, and so on. `And` and `Or` are of
    /// bools, the others of numbers; of two floats that are equal, `Max` and `Min` keep the second.
    Reduce(Monoid, Operand),
    /// One operand.
    Unary(Unary, Operand),
    /// Two operands.
    Binary(Binary, Operand, Operand),
    /// `a * b + c` of floats, rounded once.
    Fma(Operand, Operand, Operand),
    /// `Bool` from two operands of type `.1`. Floats: false if either is NaN, except `Ne`.
    Compare(Compare, Type, Operand, Operand),
    /// First operand is `Bool`.
    Select(Operand, Operand, Operand),
    /// Number conversion from the given type: ints wrap, float to int truncates and saturates (NaN is 0), float to float
    /// rounds once to nearest even, int to `F16` or `BF16` goes through `F32`, to `Bool` is `!= 0`.
    Convert(Type, Operand),
    /// The same bits as another type of equal size.
    Bitcast(Type, Operand),
    /// A function of the table in `math`, of two operands for `Pow`. Gone in linear.
    Math(Math, Vec<Operand>),
}

/// An associative operation with an identity.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Monoid {
    /// `+`, 0
    Sum,
    /// `*`, 1
    Prod,
    /// larger, lowest value; NaN wins
    Max,
    /// smaller, highest value; NaN wins
    Min,
    /// logical and
    And,
    /// logical or
    Or,
}

/// Functions of one operand that emitters provide.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Unary {
    Neg,
    Abs,
    Sqrt,
    Floor,
    Ceil,
    Trunc,
    /// Halves to even.
    Round,
    /// All bits of an int, or the logical value of a `Bool`.
    Not,
}

/// Functions of two operands that emitters provide.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Binary {
    /// Ints wrap.
    Add,
    /// Ints wrap.
    Sub,
    /// Ints wrap.
    Mul,
    /// Ints truncate; `x / 0` is 0, `MIN / -1` is `MIN`. Floats are IEEE.
    Div,
    /// Ints: remainder of truncating division, `x % 0` is 0. Not for floats.
    Rem,
    /// `a < b ? a : b`
    Min,
    /// `a > b ? a : b`
    Max,
    /// Bits of ints, or logical on `Bool`.
    And,
    /// Bits of ints, or logical on `Bool`.
    Or,
    /// Bits of ints, or logical on `Bool`.
    Xor,
    /// By less than the width.
    Shl,
    /// By less than the width; arithmetic for signed types.
    Shr,
}

/// Comparisons.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Compare {
    Eq,
    Ne,
    Lt,
    Le,
}

/// Functions expanded into other instructions when a tile is made linear. On F32 and F64.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Math {
    Exp,
    Expm1,
    Log,
    Log1p,
    Sin,
    Cos,
    Tan,
    Asin,
    Acos,
    Atan,
    Sinh,
    Cosh,
    Tanh,
    Asinh,
    Acosh,
    Atanh,
    Erf,
    /// Of two operands.
    Pow,
    /// Remainder of truncating division, sign of the first operand; of two operands.
    Fmod,
}
