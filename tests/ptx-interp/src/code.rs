//! Entries and their instructions, as the text is understood.

use crate::compute::Compute;
use crate::copies::CopyAsync;
use crate::matrix::LoadMatrix;
use crate::mma::Mma;
use crate::shuffle::Shuffle;
use crate::types::Type;

/// An entry.
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Offset and size of each parameter.
    pub params: Vec<(usize, usize)>,
    /// Threads of a block at most.
    pub most_threads: u32,
    pub(crate) code: Vec<Inst>,
    pub(crate) registers: usize,
    /// Bytes of each thread's own memory.
    pub(crate) local: usize,
    /// Bytes that the threads of a block share.
    pub(crate) shared: usize,
}

/// An instruction.
pub(crate) struct Inst {
    /// Where it stands, for messages.
    pub line: usize,
    pub text: String,
    /// Runs where this register is not 0, or is 0 if `.1`.
    pub guard: Option<(usize, bool)>,
    pub code: Code,
}

/// What an instruction does. A number alone is a register.
pub(crate) enum Code {
    Compute(Compute, usize, Vec<Source>),
    /// Of parameters, at an offset.
    Param(usize, Type, usize),
    Load(Space, Type, Vec<usize>, Address),
    Store(Space, Type, Vec<Source>, Address),
    /// Some registers of a type, the lowest first, as one.
    Pack(usize, Type, Vec<usize>),
    /// The reverse.
    Unpack(Vec<usize>, Type, usize),
    Shuffle(Shuffle),
    /// `bar.sync`.
    Barrier,
    /// `bar.warp.sync`, with its mask of lanes.
    WarpBarrier(Source),
    Copy(CopyAsync),
    /// Closes the group of copies that were started since the last one.
    Commit,
    /// Waits until no more than so many groups are under way; `None`: nothing is.
    Wait(Option<usize>),
    LoadMatrix(LoadMatrix),
    Multiply(Mma),
    Branch(usize),
    Return,
}

/// Where a load or a store goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Space {
    Global,
    /// The thread's own.
    Local,
    /// The block's.
    Shared,
}

impl Space {
    pub fn from_name(name: &str) -> Option<Space> {
        Some(match name {
            "global" => Space::Global,
            "local" => Space::Local,
            "shared" => Space::Shared,
            _ => return None,
        })
    }
}

/// A place in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address {
    pub base: Source,
    pub offset: i64,
}

/// An operand that is read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    Register(usize),
    Constant(u64),
    Thread,
    Lane,
    BlockSize,
    /// The block's place in the grid, along a dimension.
    Block(usize),
    /// Blocks of the grid along a dimension.
    Grid(usize),
}
