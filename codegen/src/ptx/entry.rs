//! The entry around a tile's code: its parameters, its scratch memory, and which tasks a thread has.

use super::Capability;
use super::align;
use super::body::{Binding, Emitter};
use super::index::Level;
use super::pressure::{directives, pressure};
use super::register::{Class, Reg};
use super::room::Place;
use mlc_ir::tile::{Phase, Space, Tile};
use mlc_ir::{Error, Index, Result};
use std::fmt::Write;

/// An entry, and what it takes to start it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// PTX.
    pub text: String,
    /// Threads of the block that runs a task; `None` if a task is one thread's.
    pub crew: Option<u32>,
    /// Bytes of the device's memory that each worker, block or thread, has for itself. If they are not 0, workers take tasks
    /// in turn.
    pub far: Index,
}

/// The entry of a linear tile, under a name, for a generation and those after it.
///
/// # Errors
/// If the tile needs something that entries do not have, or more registers than a thread has.
pub fn emit(tile: &Tile, name: &str, capability: Capability) -> Result<Entry> {
    if tile.phase != Phase::Linear {
        return Err(Error::internal(format!("tile `{}` is not linear", tile.name)));
    }
    let mut emitter = Emitter::new(tile, capability);
    emitter.tile()?;
    let (crew, far) = (emitter.crew, emitter.room.far.clone());
    Ok(Entry { text: emitter.entry(name)?, crew, far })
}

/// Bytes of an entry's parameters that every generation takes.
const MOST_ARGS: usize = 500;

/// The array that is a thread's near scratch memory, or a block's.
const SCRATCH: &str = "scratch";

impl Emitter<'_> {
    fn entry(self, name: &str) -> Result<String> {
        let args = 8 * (self.given() + self.symbols.len()).max(1);
        let threads = self.crew.unwrap_or(super::BLOCK);
        let live = pressure(&self.text);
        let directives = directives(live, threads).map_err(|most| {
            Error::unsupported(format!("it keeps {live} registers live in a thread, of at most {most}"))
        })?;
        let mut text = format!(
            "\n// {}\n.visible .entry {name}(\n\t.param .align 8 .b8 args[{args}],\n\t.param .u64 tasks,\n\t.param .u64 far\n)\n.maxntid {threads}, 1, 1\n{directives}{{\n",
            self.tile.name.replace(|c: char| c.is_control(), " "),
        );
        if self.room.near > 0 {
            let _ = writeln!(text, "\t.{} .align {} .b8 {SCRATCH}[{}];", self.near(), align::BASE, self.room.near);
        }
        for class in Class::ALL {
            let ((letter, ty), count) = (class.names(), self.used[class as usize]);
            if count > 0 {
                let _ = writeln!(text, "\t.reg .{ty} %{letter}<{count}>;");
            }
        }
        Ok(text + &self.text + "}\n")
    }

    fn tile(&mut self) -> Result<()> {
        let tile = self.tile;
        let given = self.given();
        let count = given + tile.symbols.len();
        if count > MOST_ARGS {
            return Err(Error::unsupported(format!("tile `{}` has {count} arguments", tile.name)));
        }
        let worker = match self.crew {
            Some(crew) => self.block(crew)?,
            None => self.thread_of_all(),
        };
        for place in 0..given {
            let address = self.let_(Class::Double, "ld.param.b64", &[&format!("[args+{}]", 8 * place)]);
            let base = self.let_(Class::Double, "cvta.to.global.u64", &[&address]);
            self.bases.push(base);
        }
        for (place, symbol) in tile.symbols.iter().enumerate() {
            let at = format!("[args+{}]", 8 * (given + place));
            let value = self.let_(Class::Double, "ld.param.b64", &[&at]);
            self.symbols.insert(symbol.clone(), value);
        }
        self.scratch(worker)?;
        if self.room.in_turn() {
            self.in_turn(worker)?
        } else {
            self.task(worker)?
        }
        self.place("$END");
        self.ins("ret", &[]);
        Ok(())
    }

    /// The tile's code, for the task with a number.
    fn task(&mut self, number: Reg) -> Result<()> {
        let tile = self.tile;
        self.names.insert(tile.tasks.0.clone(), Binding::Number(number));
        self.levels.push(Level::of(&tile.tasks.0));
        self.insts(&tile.body)?;
        self.levels.pop();
        Ok(())
    }

    /// The task of a worker's own number, and those that follow it at the distance of all workers.
    fn in_turn(&mut self, worker: Reg) -> Result<()> {
        self.hoist(&self.tile.body)?;
        let workers = self.workers();
        let task = self.let_(Class::Double, "mov.b64", &[&worker]);
        let again = self.label();
        self.place(&again);
        self.task(task)?;
        self.end_loop(&self.tile.body);
        self.ins("add.s64", &[&task, &task, &workers]);
        let tasks = self.let_(Class::Double, "ld.param.u64", &[&"[tasks]"]);
        let more = self.let_(Class::Predicate, "setp.lt.u64", &[&task, &tasks]);
        self.jump_if(more, true, &again);
        Ok(())
    }

    /// Parameters whose addresses are arguments; those in scratch memory follow them.
    pub fn given(&self) -> usize {
        self.tile.params.iter().filter(|param| param.space != Space::Scratch).count()
    }

    /// The state space of near scratch memory.
    fn near(&self) -> &'static str {
        if self.crew.is_some() { "shared" } else { "local" }
    }

    /// The state space that a buffer is in.
    pub fn space(&self, buffer: u32) -> &'static str {
        let scratch = (buffer as usize).checked_sub(self.given());
        let near = scratch.is_some_and(|place| matches!(self.room.places.get(place), Some(Place::Near(_))));
        if near { self.near() } else { "global" }
    }

    /// Addresses of the scratch buffers: in the array that is near, or in this worker's piece of what is far.
    fn scratch(&mut self, worker: Reg) -> Result<()> {
        let far = if self.room.in_turn() { Some(self.far(worker)?) } else { None };
        for place in self.room.places.clone() {
            let base = match (place, far) {
                // No address is asked for.
                (Place::Own, _) => self.number(0),
                (Place::Near(offset), _) => {
                    let array = self.let_(Class::Double, "mov.u64", &[&SCRATCH]);
                    self.let_(Class::Double, "add.s64", &[&array, &offset])
                }
                (Place::Far(offset), Some(piece)) => {
                    let offset = self.eval(&offset)?;
                    self.let_(Class::Double, "add.s64", &[&piece, &offset])
                }
                (Place::Far(_), None) => return Err(Error::internal("far memory of no size")),
            };
            self.bases.push(base);
        }
        Ok(())
    }

    /// Where a worker's piece of far memory is.
    fn far(&mut self, worker: Reg) -> Result<Reg> {
        let bytes = self.eval(&self.room.far.clone())?;
        let address = self.let_(Class::Double, "ld.param.u64", &[&"[far]"]);
        let first = self.let_(Class::Double, "cvta.to.global.u64", &[&address]);
        Ok(self.let_(Class::Double, "mad.lo.s64", &[&worker, &bytes, &first]))
    }

    /// The number of this thread in the grid; a thread that has no task ends.
    fn thread_of_all(&mut self) -> Reg {
        let part = |this: &mut Self, name: &str| this.let_(Class::Word, "mov.u32", &[&name]);
        let (block, size, thread) = (part(self, "%ctaid.x"), part(self, "%ntid.x"), part(self, "%tid.x"));
        let first = self.let_(Class::Double, "mul.wide.u32", &[&block, &size]);
        let thread = self.let_(Class::Double, "cvt.u64.u32", &[&thread]);
        let number = self.let_(Class::Double, "add.s64", &[&first, &thread]);
        let tasks = self.let_(Class::Double, "ld.param.u64", &[&"[tasks]"]);
        let none = self.let_(Class::Predicate, "setp.ge.u64", &[&number, &tasks]);
        self.jump_if(none, true, "$END");
        number
    }

    /// The number of workers: threads of the grid, or its blocks.
    fn workers(&mut self) -> Reg {
        let blocks = self.let_(Class::Word, "mov.u32", &[&"%nctaid.x"]);
        match self.crew {
            Some(_) => self.let_(Class::Double, "cvt.u64.u32", &[&blocks]),
            None => {
                let size = self.let_(Class::Word, "mov.u32", &[&"%ntid.x"]);
                self.let_(Class::Double, "mul.wide.u32", &[&blocks, &size])
            }
        }
    }
}
