//! Checks a tile before anything trusts it.
//!
//! In: any tile, and the ranges of its symbols.  Out: warnings, or the first instruction that is wrong and why.
//!
//! Invariants, of both phases:
//! - Names of values, cells, variables and cursors are made of letters, digits, `_` and `.`; a name that is visible is
//!   not declared again. Symbols differ from each other. Dims and the number of tasks are over symbols alone.
//! - A value or cell is declared before it is used, in the same body or one around it. Places of a bundle are numbers
//!   or expressions over variables of unrolled loops; each place is defined once, and before its use. A bundle lives
//!   in the body around the outermost unrolled loop whose variable its places name; no serial loop or branch stands
//!   between.
//! - Only cells are set. A cell that is declared in a branch or loop is gone after it.
//! - Operands have the type that the instruction asks for (see `types`). Lanes are a power of two up to 128. Floats
//!   are written as floats and integers as integers that fit. `F16` and `BF16` are moved, converted and bitcast.
//! - Fragments have the type that their role in their row asks for, and may have more lanes.
//! - Copies are from inputs to scratch memory, of 4, 8 or 16 bytes; what ends their groups and waits for them stands outside
//!   of loops abreast.
//! - Steps of loops are positive; bounds of unrolled loops are numbers.
//! - Loops abreast run from 0 to a number by 1; none is within another. No cell of the outside is set in one.
//! - Inputs are not stored to. Lookups `at(@b, ..)` read integer inputs.
//! - A branch that numbers and unrolled variables alone rule out is not looked at.
//!
//! Of the indexed phase:
//! - Accesses have one index a dimension. Every index, of lookups too, is proved to be in bounds from the ranges of
//!   loops, the tests of branches around it and the ranges of symbols; along the last dimension for all lanes, or
//!   those before `first`, or up to the slack of the buffer for loads; along the dim of a fragment's lines for all of them.
//! - Two tasks do not write the same element of an output: what is not proved is a [`Warning`].
//!
//! Of the linear phase:
//! - Accesses name a cursor that is declared, of the same buffer; no unrolled loops, `math` or bundles are left. A
//!   cursor that advances is followed, in its body, by a serial loop over the variable it names.
//!
//! Not checked: that a task does not read what another one writes, and bounds in the linear phase. The interpreter
//! traps on both.

mod abreast;
mod bounds;
mod disjoint;
mod insts;
mod types;

use super::scopes::{MAX_EXPANDED, Scopes, decided};
use super::{Access, InRange, Inst, LoopKind, Param, Phase, Tile, Type};
use crate::index::Atom;
use crate::{Facts, Index, Name};
use std::collections::HashMap;
use std::fmt;

/// Why a tile is wrong.
#[derive(Clone, PartialEq, Debug)]
pub struct VerifyError {
    /// Name of the tile.
    pub tile: Name,
    /// First line of the instruction, empty if it is the header.
    pub inst: String,
    /// What is wrong.
    pub message: String,
}

/// What could not be proved, and is not known to be wrong.
#[derive(Clone, PartialEq, Debug)]
pub struct Warning {
    /// Name of the tile.
    pub tile: Name,
    /// First line of the instruction.
    pub inst: String,
    /// What is missing.
    pub message: String,
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write_finding(f, &self.tile, &self.inst, &self.message)
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write_finding(f, &self.tile, &self.inst, &self.message)
    }
}

impl std::error::Error for VerifyError {}

fn write_finding(f: &mut fmt::Formatter, tile: &str, inst: &str, message: &str) -> fmt::Result {
    match inst {
        "" => write!(f, "tile `{tile}`: {message}"),
        _ => write!(f, "tile `{tile}`: `{inst}`: {message}"),
    }
}

/// Verifies a tile; `facts` holds the ranges of its symbols.
pub fn verify(tile: &Tile, facts: &Facts) -> Result<Vec<Warning>, VerifyError> {
    walk(tile, facts, tile.phase == Phase::Indexed)
}

/// Verifies all but bounds and disjoint writes, which the interpreter sees when they go wrong.
pub(super) fn verify_form(tile: &Tile) -> Result<(), VerifyError> {
    walk(tile, &Facts::default(), false).map(|_| ())
}

fn walk(tile: &Tile, facts: &Facts, proving: bool) -> Result<Vec<Warning>, VerifyError> {
    let mut verifier = Verifier {
        tile,
        scopes: Scopes::new(),
        facts: facts.clone(),
        proving,
        expanded: 0,
        unrolled: Vec::new(),
        writes: Vec::new(),
        alone: false,
        shares: HashMap::new(),
    };
    let header = verifier.header();
    header.map_err(|message| VerifyError { tile: tile.name.clone(), inst: String::new(), message })?;
    abreast::check(&tile.body).map_err(|(inst, message)| verifier.error(inst, message))?;
    verifier.body(&tile.body)?;
    Ok(verifier.overlaps())
}

/// The first line of an instruction's text.
pub(super) fn summary(inst: &Inst) -> String {
    inst.to_string().lines().next().unwrap_or_default().to_owned()
}

/// What is known of a name.
enum Def {
    Value(Type),
    Cell(Type),
    /// The variable as an expression over variables that begin at 0 and advance by 1, or a number if unrolled.
    Var(Index),
    /// The buffer it points into.
    Cursor(u32),
}

struct Verifier<'a> {
    tile: &'a Tile,
    scopes: Scopes<Def>,
    /// Ranges of symbols and of the variables in [`Def::Var`], tests of branches around.
    facts: Facts,
    /// Whether bounds and disjoint writes are to be proved.
    proving: bool,
    /// Instructions seen, unrolled loops expanded.
    expanded: usize,
    /// The iterations of unrolled loops we are in, for messages.
    unrolled: Vec<String>,
    writes: Vec<disjoint::Write>,
    /// Whether there is one task at most.
    alone: bool,
    /// Variables of loops over the blocks that are a task's share, and the coordinate they follow from.
    shares: HashMap<Name, disjoint::Share>,
}

type Check<T = ()> = Result<T, String>;

impl<'a> Verifier<'a> {
    fn header(&mut self) -> Check {
        let tile = self.tile;
        for (place, symbol) in tile.symbols.iter().enumerate() {
            if tile.symbols[..place].contains(symbol) {
                return Err(format!("symbol `{symbol}` is declared twice"));
            }
        }
        for param in &tile.params {
            for dim in &param.dims {
                self.over_symbols(dim)?;
            }
        }
        let (var, tasks) = &tile.tasks;
        self.over_symbols(tasks)?;
        self.alone = self.facts.proves(&(Index::from(1) - tasks.clone()));
        self.facts.axis(var.clone(), tasks);
        self.facts.assume(tasks.clone() - 1);
        self.declare_var(var, Index::var(var.clone()))
    }

    /// Whether an expression is over declared symbols alone.
    fn over_symbols(&self, e: &Index) -> Check {
        let mut lookup = false;
        e.visit(&mut |atom| lookup |= matches!(atom, Atom::At(..)));
        if lookup || !e.vars().is_empty() {
            return Err(format!("{e} is not over symbols alone"));
        }
        match e.syms().into_iter().find(|name| !self.tile.symbols.contains(name)) {
            Some(name) => Err(format!("symbol `{name}` is not declared")),
            None => Ok(()),
        }
    }

    fn body(&mut self, insts: &'a [Inst]) -> Result<(), VerifyError> {
        for (place, inst) in insts.iter().enumerate() {
            self.expanded += 1;
            let checked = if self.expanded > MAX_EXPANDED {
                Err(format!("more than {MAX_EXPANDED} instructions when loops are unrolled"))
            } else {
                match inst {
                    Inst::Loop { .. } => self.loop_(inst)?,
                    Inst::If { all, then, otherwise } => self.branch(all, then, otherwise)?,
                    _ => self.inst(inst, &insts[place + 1..]),
                }
            };
            checked.map_err(|message| self.error(inst, message))?;
        }
        Ok(())
    }

    fn error(&self, inst: &Inst, mut message: String) -> VerifyError {
        if !self.unrolled.is_empty() {
            message += &format!(" (with {})", self.unrolled.join(", "));
        }
        VerifyError { tile: self.tile.name.clone(), inst: summary(inst), message }
    }

    /// The outer result is an error within the body, the inner one an error of the loop itself.
    fn loop_(&mut self, inst: &'a Inst) -> Result<Check, VerifyError> {
        let Inst::Loop { kind, var, low, high, step, body } = inst else { return Ok(Ok(())) };
        let bounds = self.index(low).and_then(|low| Ok((low, self.index(high)?)));
        let (low, high) = match bounds {
            Ok(bounds) => bounds,
            Err(message) => return Ok(Err(message)),
        };
        if *step < 1 {
            return Ok(Err(format!("step {step} is not positive")));
        }
        if *kind == LoopKind::Unroll {
            return self.unroll(var, low, high, *step, body);
        }
        let last = self.facts.div(&(high.clone() - low.clone() - 1), &Index::from(*step));
        let outside = self.facts.clone();
        // A loop over numbers that depend on the task is not thought of as one from 0, for these are long expressions.
        let shared = if *step == 1 && !low.vars().is_empty() { self.share(&low, &high) } else { None };
        let value = match shared {
            Some(share) => {
                self.shares.insert(var.clone(), share);
                let least = if self.facts.proves(&low) { Index::zero() } else { low };
                let end = disjoint::ends(&high).into_iter().find(|end| end.vars().is_empty()).unwrap_or(high);
                self.facts.assume(end.clone() - 1);
                self.facts.range(var.clone(), least, end - 1);
                Index::var(var.clone())
            }
            None => {
                // The body runs only if there is a last iteration.
                self.facts.assume(last.clone());
                self.facts.range(var.clone(), Index::zero(), last);
                low + Index::var(var.clone()) * *step
            }
        };
        self.scopes.push(None);
        let checked = match self.declare_var(var, value) {
            Ok(()) => self.body(body).map(Ok),
            wrong => Ok(wrong),
        };
        self.shares.remove(var);
        self.scopes.pop();
        self.facts = outside;
        checked
    }

    fn unroll(
        &mut self,
        var: &Name,
        low: Index,
        high: Index,
        step: i64,
        body: &'a [Inst],
    ) -> Result<Check, VerifyError> {
        if self.tile.phase == Phase::Linear {
            return Ok(Err("an unrolled loop is left in the linear phase".into()));
        }
        let (Some(low), Some(high)) = (low.as_const(), high.as_const()) else {
            return Ok(Err("bounds of an unrolled loop are not numbers".into()));
        };
        let mut value = low;
        while value < high {
            self.scopes.push(Some(var));
            if let Err(message) = self.declare_var(var, Index::from(value)) {
                return Ok(Err(message));
            }
            self.unrolled.push(format!("%{var} = {value}"));
            self.body(body)?;
            self.unrolled.pop();
            self.scopes.pop();
            self.expanded += 1;
            let Some(next) = value.checked_add(step).filter(|_| self.expanded <= MAX_EXPANDED) else {
                return Ok(Err("an unrolled loop that is too long".into()));
            };
            value = next;
        }
        Ok(Ok(()))
    }

    fn branch(&mut self, all: &[InRange], then: &'a [Inst], otherwise: &'a [Inst]) -> Result<Check, VerifyError> {
        let mut tests = Vec::new();
        for test in all {
            let three = (self.index(&test.low), self.index(&test.index), self.index(&test.high));
            let (Ok(low), Ok(index), Ok(high)) = three else {
                return Ok(three.0.and(three.1).and(three.2).map(|_| ()));
            };
            tests.push((index.clone() - low, high - index - 1));
        }
        let decided = decided(all, &|name| self.unrolled_value(name));
        let outside = self.facts.clone();
        if decided != Some(false) {
            tests.iter().for_each(|(above, below)| {
                self.facts.assume(above.clone());
                self.facts.assume(below.clone());
            });
            self.scoped(then)?;
        }
        self.facts = outside.clone();
        if decided != Some(true) {
            // One test with one side that always holds leaves one inequality to turn round.
            if let [(above, below)] = tests.as_slice() {
                if self.facts.nonneg(above) {
                    self.facts.assume(-below.clone() - 1);
                } else if self.facts.nonneg(below) {
                    self.facts.assume(-above.clone() - 1);
                }
            }
            self.scoped(otherwise)?;
        }
        self.facts = outside;
        Ok(Ok(()))
    }

    fn scoped(&mut self, body: &'a [Inst]) -> Result<(), VerifyError> {
        self.scopes.push(None);
        let result = self.body(body);
        self.scopes.pop();
        result
    }

    fn declare_var(&mut self, name: &Name, value: Index) -> Check {
        self.declare(self.scopes.here(), name, Vec::new(), Def::Var(value))
    }

    fn declare(&mut self, home: usize, name: &Name, at: Vec<i64>, def: Def) -> Check {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        if name.is_empty() || !name.chars().all(plain) {
            return Err(format!("`{name}` cannot be written as a name"));
        }
        self.scopes.declare(home, name, at, def)
    }

    fn param(&self, buffer: u32) -> Check<&'a Param> {
        self.tile.params.get(buffer as usize).ok_or_else(|| format!("there is no buffer @{buffer}"))
    }

    fn unrolled_value(&self, name: &str) -> Option<i64> {
        match self.scopes.get(name, &[]) {
            Some(Def::Var(value)) => value.as_const(),
            _ => None,
        }
    }
}

fn access_buffer(access: &Access) -> u32 {
    match access {
        Access::Indexed { buffer, .. } | Access::Linear { buffer, .. } => *buffer,
    }
}
