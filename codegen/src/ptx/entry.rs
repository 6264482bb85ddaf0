//! The entry around a tile's code: its parameters, its scratch memory, and which task a thread has.

use super::Capability;
use super::align;
use super::body::{Binding, Emitter};
use super::index::Level;
use super::register::{Class, Reg};
use mlc_ir::tile::{Phase, Space, Tile};
use mlc_ir::{Error, Result};
use std::fmt::Write;

/// The entry of a linear tile, under a name, for a generation and those after it.
///
/// # Errors
/// If the tile needs something that entries do not have.
pub fn emit(tile: &Tile, name: &str, capability: Capability) -> Result<String> {
    if tile.phase != Phase::Linear {
        return Err(Error::internal(format!("tile `{}` is not linear", tile.name)));
    }
    let mut emitter = Emitter::new(tile, capability);
    emitter.tile()?;
    Ok(emitter.entry(name))
}

/// Bytes of an entry's parameters that every generation takes.
const MOST_ARGS: usize = 500;

/// The array that is a thread's scratch memory, or a block's.
const SCRATCH: &str = "scratch";

/// A thread's bytes at most: a driver sets so much aside for every thread that a GPU has room for.
const MOST_LOCAL: i64 = 4096;

/// A block's bytes at most, on every generation.
const MOST_SHARED: i64 = 48 << 10;

impl Emitter<'_> {
    fn entry(self, name: &str) -> String {
        let args = 8 * (self.given() + self.symbols.len()).max(1);
        let threads = self.crew.unwrap_or(super::BLOCK);
        let mut text = format!(
            "\n// {}\n.visible .entry {name}(\n\t.param .align 8 .b8 args[{args}],\n\t.param .u64 tasks\n)\n.maxntid {threads}, 1, 1\n{{\n",
            self.tile.name.replace(|c: char| c.is_control(), " "),
        );
        if self.kept > 0 {
            let _ = writeln!(text, "\t.{} .align {} .b8 {SCRATCH}[{}];", self.near(), align::BASE, self.kept);
        }
        for class in Class::ALL {
            let ((letter, ty), count) = (class.names(), self.used[class as usize]);
            if count > 0 {
                let _ = writeln!(text, "\t.reg .{ty} %{letter}<{count}>;");
            }
        }
        text + &self.text + "}\n"
    }

    fn tile(&mut self) -> Result<()> {
        let tile = self.tile;
        let given = self.given();
        let count = given + tile.symbols.len();
        if count > MOST_ARGS {
            return Err(Error::unsupported(format!("tile `{}` has {count} arguments", tile.name)));
        }
        let task = match self.crew {
            Some(crew) => self.block(crew)?,
            None => self.task(),
        };
        for place in 0..given {
            let address = self.let_(Class::Double, "ld.param.b64", &[&format!("[args+{}]", 8 * place)]);
            let base = self.let_(Class::Double, "cvta.to.global.u64", &[&address]);
            self.bases.push(base);
        }
        self.scratch()?;
        for (place, symbol) in tile.symbols.iter().enumerate() {
            let at = format!("[args+{}]", 8 * (given + place));
            let value = self.let_(Class::Double, "ld.param.b64", &[&at]);
            self.symbols.insert(symbol.clone(), value);
        }
        self.names.insert(tile.tasks.0.clone(), Binding::Number(task));
        self.levels.push(Level::of(&tile.tasks.0));
        self.insts(&tile.body)?;
        self.place("$END");
        self.ins("ret", &[]);
        Ok(())
    }

    /// Parameters whose addresses are arguments; those in scratch memory follow them.
    pub fn given(&self) -> usize {
        self.tile.params.iter().filter(|param| param.space != Space::Scratch).count()
    }

    /// The state space of scratch memory.
    pub fn near(&self) -> &'static str {
        if self.crew.is_some() { "shared" } else { "local" }
    }

    /// Scratch memory is the thread's own or its block's, of a size that the text says.
    fn scratch(&mut self) -> Result<()> {
        let (places, bytes) = self.tile.scratch_of(&|number| !self.own.contains(&number));
        self.kept =
            bytes.as_const().ok_or_else(|| Error::unsupported("it keeps values of a size known at run time only"))?;
        let (most, who) = if self.crew.is_some() { (MOST_SHARED, "block") } else { (MOST_LOCAL, "thread") };
        if self.kept > most {
            let bytes = self.kept;
            return Err(Error::unsupported(format!("it keeps {bytes} bytes of values in a {who}, of at most {most}")));
        }
        for place in places.into_iter().skip(self.given()) {
            let base = match place {
                Some(place) => {
                    let array = self.let_(Class::Double, "mov.u64", &[&SCRATCH]);
                    let offset = self.eval(&place)?;
                    self.let_(Class::Double, "add.s64", &[&array, &offset])
                }
                // A buffer that is registers has no address.
                None => self.number(0),
            };
            self.bases.push(base);
        }
        Ok(())
    }

    /// The number of this thread's task; a thread that has none ends.
    fn task(&mut self) -> Reg {
        let part = |this: &mut Self, name: &str| this.let_(Class::Word, "mov.u32", &[&name]);
        let (block, size, thread) = (part(self, "%ctaid.x"), part(self, "%ntid.x"), part(self, "%tid.x"));
        let first = self.let_(Class::Double, "mul.wide.u32", &[&block, &size]);
        let thread = self.let_(Class::Double, "cvt.u64.u32", &[&thread]);
        let task = self.let_(Class::Double, "add.s64", &[&first, &thread]);
        let tasks = self.let_(Class::Double, "ld.param.u64", &[&"[tasks]"]);
        let none = self.let_(Class::Predicate, "setp.ge.u64", &[&task, &tasks]);
        self.jump_if(none, true, "$END");
        task
    }
}
