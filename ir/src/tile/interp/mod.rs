//! Runs a tile, of either phase, instruction by instruction: the oracle for emitters.
//!
//! In: a tile, a buffer for each parameter that is not scratch, values of the symbols, the tasks to run, one after the
//! other.  Out: the buffers, or the first thing that went wrong.
//!
//! A pointer is a buffer and an offset. These trap: an access out of bounds (of any dimension in the indexed phase),
//! a read of an element of an output or scratch buffer that nobody wrote, two tasks at one element of a watched buffer
//! if one writes, a shift by the width or more, a byte of a `Bool` that is neither 0 nor 1. Lanes loaded from the slack
//! of a buffer are undefined; so is what is computed from them, and storing it traps. Scratch holds nothing when a task
//! begins. A copy arrives when it is waited for: to touch its place before, or never to wait for it, traps.
//!
//! Arithmetic is as documented at each [`Op`](super::Op): `fma` and `dot` round once; what is computed for `math` is
//! computed in `f64` and rounded.
//!
//! The tile is compiled first: loops that are to be unrolled are, and every name becomes a number.

mod buffer;
mod code;
mod compile;
mod copies;
mod exec;
mod math;
mod matrix;
mod ops;
mod scalar;

pub use buffer::{Buffer, Element};
pub use math::math;

use super::verify::verify_form;
use super::{Space, Tile};
use crate::Name;
use std::fmt;
use std::ops::Range;

/// Why a run ended early.
#[derive(Clone, PartialEq, Debug)]
pub struct Trap {
    /// What went wrong.
    pub cause: Cause,
    /// Name of the tile.
    pub tile: Name,
    /// First line of the instruction, empty if none had begun.
    pub inst: String,
    /// The task, if one had begun.
    pub task: Option<i64>,
}

/// What can go wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cause {
    /// The tile, or what it was given, makes no sense.
    Malformed(String),
    /// An index or pointer outside its buffer.
    OutOfBounds(String),
    /// A read of what nobody wrote: parameter and byte.
    Uninitialised(Name, i64),
    /// A store of a lane that came from slack.
    Undefined,
    /// Another task touches the same byte, and one of them writes: parameter, byte, the other task.
    Race(Name, i64, i64),
    /// A shift by the width or more.
    Shift(u64),
    /// A byte of a `Bool` that is neither 0 nor 1.
    NotBool(u8),
    /// A read or write of what a copy will write: parameter and byte.
    Coming(Name, i64),
    /// A copy that nobody waited for.
    Unwaited,
    /// An index expression that overflows or divides by zero.
    Index(String),
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "tile `{}`", self.tile)?;
        if let Some(task) = self.task {
            write!(f, ", task {task}")?;
        }
        if !self.inst.is_empty() {
            write!(f, ", `{}`", self.inst)?;
        }
        match &self.cause {
            Cause::Malformed(text) | Cause::OutOfBounds(text) | Cause::Index(text) => write!(f, ": {text}"),
            Cause::Uninitialised(name, byte) => write!(f, ": byte {byte} of `{name}` is read before it is written"),
            Cause::Undefined => write!(f, ": a lane from beyond the end of a buffer is stored"),
            Cause::Race(name, byte, other) => write!(f, ": task {other} touches byte {byte} of `{name}` too"),
            Cause::Shift(by) => write!(f, ": a shift by {by}"),
            Cause::Coming(name, byte) => write!(f, ": a copy to byte {byte} of `{name}` is under way"),
            Cause::Unwaited => write!(f, ": a copy that nobody waited for"),
            Cause::NotBool(byte) => write!(f, ": {byte} is no bool"),
        }
    }
}

impl std::error::Error for Trap {}

/// Runs tasks of a tile. `buffers` has one for each parameter that is not scratch, in their order, of exactly its size;
/// `symbols` has the values of the tile's symbols.
pub fn run(tile: &Tile, buffers: &mut [Buffer], symbols: &[i64], tasks: Range<i64>) -> Result<(), Trap> {
    let malformed =
        |text: String| Trap { cause: Cause::Malformed(text), tile: tile.name.clone(), inst: String::new(), task: None };
    verify_form(tile).map_err(|e| malformed(e.to_string()))?;
    let program = compile::compile(tile, symbols).map_err(malformed)?;
    if tasks.start < 0 || tasks.end > program.tasks {
        return Err(malformed(format!("tasks {tasks:?} of {}", program.tasks)));
    }
    let mut scratch: Vec<Buffer> = program.params.iter().map(|param| param.scratch()).collect();
    let memory = bind(tile, &program, buffers, &mut scratch).map_err(malformed)?;
    exec::run(tile, &program, memory, tasks)
}

/// One buffer for each parameter.
fn bind<'a>(
    tile: &Tile,
    program: &code::Program,
    buffers: &'a mut [Buffer],
    scratch: &'a mut [Buffer],
) -> Result<Vec<&'a mut Buffer>, String> {
    let mut given = buffers.iter_mut();
    let mut memory = Vec::new();
    for ((param, extent), own) in tile.params.iter().zip(&program.params).zip(scratch) {
        let buffer = match param.space {
            Space::Scratch => own,
            Space::Input | Space::Output => {
                given.next().ok_or_else(|| format!("no buffer for parameter `{}`", param.name))?
            }
        };
        if buffer.bytes.len() as i64 != extent.bytes {
            let (found, wanted) = (buffer.bytes.len(), extent.bytes);
            return Err(format!("parameter `{}` has {wanted} bytes, its buffer {found}", param.name));
        }
        buffer.seen.fill(Default::default());
        memory.push(buffer);
    }
    match given.next() {
        Some(_) => Err("more buffers than parameters".into()),
        None => Ok(memory),
    }
}
