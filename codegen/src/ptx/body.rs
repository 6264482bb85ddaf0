//! Loops, branches and cells.

use super::Capability;
use super::align;
use super::crew::{self, Touched};
use super::fragment::{Twins, common};
use super::index::Level;
use super::late::late;
use super::own::{self, Own};
use super::register::{Class, Reg, Val, bits};
use super::room::Room;
use mlc_ir::tile::{InRange, Inst, LoopKind, Op, Operand, Row, Tile, Type};
use mlc_ir::{DType, Error, Index, Name, Result};
use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;

/// What a name stands for.
#[derive(Clone)]
pub(super) enum Binding {
    Value(Val),
    Cell(Val),
    /// The variable of a loop, or the task.
    Number(Reg),
    /// A pointer, and the state space it points into.
    Cursor(Reg, &'static str),
}

/// A cursor of this body that a loop advances.
struct Advancing {
    over: Name,
    cursor: Reg,
    by: Index,
}

pub(super) struct Emitter<'a> {
    pub text: String,
    pub tile: &'a Tile,
    pub capability: Capability,
    /// Registers of each class.
    pub used: [usize; Class::ALL.len()],
    labels: usize,
    pub bases: Vec<Reg>,
    /// Scratch buffers that are registers, and these.
    pub own: BTreeSet<u32>,
    pub owned: Own,
    /// Where scratch memory is.
    pub room: Room,
    /// Threads of a block, where it runs a task together.
    pub crew: Option<u32>,
    /// Then this one's number.
    pub thread: Option<Reg>,
    /// Whether we are in a loop abreast.
    pub abreast: bool,
    /// The number of this thread in its warp, in a loop abreast that a warp runs an iteration of.
    pub warp: Option<Reg>,
    /// Whether we are in a branch that needs no barriers of its own.
    pub straight: bool,
    /// What threads of the block have touched since they last waited for each other.
    pub touched: Touched,
    pub symbols: HashMap<Name, Reg>,
    pub names: HashMap<Name, Binding>,
    /// What variables and cursors are multiples of.
    pub multiples: HashMap<Name, i64>,
    /// What was loaded together with another value, before its turn.
    pub loaded: HashMap<Name, Reg>,
    /// Fragments that are loaded together.
    pub twins: Twins,
    /// Those that were, before their turn.
    pub waiting: HashMap<Name, Val>,
    advancing: Vec<Advancing>,
    pub levels: Vec<Level>,
}

impl<'a> Emitter<'a> {
    pub fn new(tile: &'a Tile, capability: Capability) -> Emitter<'a> {
        let own = own::buffers(tile);
        Emitter {
            text: String::new(),
            tile,
            capability,
            used: [0; Class::ALL.len()],
            labels: 0,
            bases: vec![],
            room: Room::of(tile, &own),
            own,
            owned: Own::default(),
            crew: crew::crew(tile),
            thread: None,
            abreast: false,
            warp: None,
            straight: false,
            touched: Touched::default(),
            symbols: HashMap::new(),
            names: HashMap::new(),
            multiples: HashMap::new(),
            loaded: HashMap::new(),
            twins: Twins::new(),
            waiting: HashMap::new(),
            advancing: vec![],
            levels: vec![Level::default()],
        }
    }

    pub fn reg(&mut self, class: Class) -> Reg {
        let number = self.used[class as usize];
        self.used[class as usize] += 1;
        Reg { class, number }
    }

    /// Writes `op dst, operands;` into a new register.
    pub fn let_(&mut self, class: Class, op: &str, operands: &[&dyn std::fmt::Display]) -> Reg {
        let dst = self.reg(class);
        let mut all: Vec<&dyn std::fmt::Display> = vec![&dst];
        all.extend(operands);
        self.ins(op, &all);
        dst
    }

    /// Writes an instruction.
    pub fn ins(&mut self, op: &str, operands: &[&dyn std::fmt::Display]) {
        let operands = operands.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let space = if operands.is_empty() { "" } else { " " };
        let _ = writeln!(self.text, "\t{op}{space}{operands};");
    }

    pub fn label(&mut self) -> String {
        self.labels += 1;
        format!("$L{}", self.labels)
    }

    pub fn place(&mut self, label: &str) {
        let _ = writeln!(self.text, "{label}:");
    }

    pub fn jump_if(&mut self, predicate: Reg, holds: bool, label: &str) {
        let not = if holds { "" } else { "!" };
        let _ = writeln!(self.text, "\t@{not}{predicate} bra {label};");
    }

    pub fn insts(&mut self, insts: &[Inst]) -> Result<()> {
        let visible = self.advancing.len();
        // The cursors of a body stand before what they serve.
        let (cursors, insts) =
            insts.split_at(insts.iter().take_while(|inst| matches!(inst, Inst::Cursor { .. })).count());
        cursors.iter().for_each(|cursor| self.align(cursor));
        let (groups, late) = (self.groups(insts), late(cursors, insts));
        self.twins.extend(self.twins(insts));
        for (number, inst) in insts.iter().enumerate() {
            late.get(&number).into_iter().flatten().try_for_each(|cursor| self.inst(cursor))?;
            self.meet(inst);
            if let Some(group) = groups.get(&number) {
                self.load_group(group);
            }
            self.inst(inst)?;
        }
        self.advancing.truncate(visible);
        Ok(())
    }

    fn inst(&mut self, inst: &Inst) -> Result<()> {
        match inst {
            Inst::Loop { kind: LoopKind::Abreast, var, high, body, .. } => self.members(var, high, body),
            Inst::Loop { var, low, high, step, body, .. } => self.loop_(var, low, high, *step, body),
            Inst::If { all, then, otherwise } => self.branch(all, then, otherwise),
            Inst::Cell { name, ty, init, .. } => {
                let value = self.operand(init, *ty)?;
                let cell = self.cell_of(&value);
                self.names.insert(name.clone(), Binding::Cell(cell));
                Ok(())
            }
            Inst::Set { cell, value } => {
                let to = self.cell(&cell.name)?;
                let value = self.operand(value, to.ty)?;
                common(&[&to, &value])?;
                self.set(&to, &value);
                Ok(())
            }
            Inst::Dot { row, cell, a, b } => {
                let found = Row::from_name(row).ok_or_else(|| Error::unsupported(format!("matrix row `{row}`")))?;
                let (a, b, cell) = (self.operand(a, found.a)?, self.operand(b, found.b)?, self.cell(&cell.name)?);
                if found.shape().is_some() {
                    return self.multiply(row, found, &cell, &a, &b);
                }
                common(&[&cell, &a, &b])?;
                self.dot(&cell, &a, &b);
                Ok(())
            }
            Inst::Let { dst, ty, .. } if self.loaded.contains_key(&dst.name) => {
                let reg = self.loaded.remove(&dst.name).ok_or_else(|| Error::internal("a load that was not made"))?;
                let value = Val { ty: *ty, regs: vec![reg; usize::from(ty.lanes)] };
                self.names.insert(dst.name.clone(), Binding::Value(value));
                Ok(())
            }
            Inst::Let { dst, ty, op: Op::Fragment(from, of) } => self.fragment(&dst.name, *ty, from, of),
            Inst::Let { dst, ty, op } => {
                let value = self.op(*ty, op)?;
                // A cell may change after its value was taken.
                let value =
                    if matches!(op, Op::Splat(_) | Op::Lane(..) | Op::Pack(_) | Op::Bitcast(..) | Op::Convert(..)) {
                        self.copy(&value)
                    } else {
                        value
                    };
                self.names.insert(dst.name.clone(), Binding::Value(value));
                Ok(())
            }
            Inst::Store { to, value, ty, first } => {
                let value = self.operand(value, *ty)?;
                // Every thread has its own registers.
                if self.is_own(to) {
                    return self.store(to, &value, None);
                }
                self.alone(|this| this.store(to, &value, first.as_ref()))
            }
            Inst::StoreFragment { to, value, ty, of } => {
                let value = self.operand(value, *ty)?;
                self.store_fragment(to, &value, of)
            }
            Inst::Copy { to, from, ty, first } => self.alone(|this| this.begin_copy(to, from, *ty, first.as_ref())),
            Inst::Commit => {
                self.commit();
                Ok(())
            }
            Inst::Wait(groups) => {
                self.wait(*groups);
                Ok(())
            }
            Inst::Cursor { name, buffer, offset, advance } => self.cursor(name, *buffer, offset, advance.as_ref()),
        }
    }

    fn cursor(&mut self, name: &Name, buffer: u32, offset: &Index, advance: Option<&(Name, Index)>) -> Result<()> {
        if self.own.contains(&buffer) {
            return Ok(());
        }
        let base = *self.bases.get(buffer as usize).ok_or_else(|| Error::internal(format!("no buffer @{buffer}")))?;
        let offset_value = self.eval(offset)?;
        let cursor = self.let_(Class::Double, "add.s64", &[&base, &offset_value]);
        let space = self.space(buffer);
        self.names.insert(name.clone(), Binding::Cursor(cursor, space));
        if let Some((over, by)) = advance {
            self.advancing.push(Advancing { over: over.clone(), cursor, by: by.clone() });
        }
        Ok(())
    }

    fn loop_(&mut self, var: &Name, low: &Index, high: &Index, step: i64, insts: &[Inst]) -> Result<()> {
        // A task's own part of an axis is often one block.
        let once = (high.clone() - low.clone()).as_const().is_some_and(|trips| (1..=step).contains(&trips));
        if !once {
            self.hoist(insts)?;
        }
        let outside = self.touched.clone();
        let (first, end) = (self.eval(low)?, self.immediate(high)?);
        let mine: Vec<(Reg, Index)> =
            self.advancing.iter().filter(|a| a.over == *var).map(|a| (a.cursor, a.by.clone())).collect();
        self.advancing.retain(|a| a.over != *var);
        let steps = mine.iter().map(|(_, by)| self.immediate(by)).collect::<Result<Vec<_>>>()?;
        let counter = self.let_(Class::Double, "mov.b64", &[&first]);
        let (again, after) = (self.label(), self.label());
        if !once && low.as_const().zip(high.as_const()).is_none_or(|(low, high)| low >= high) {
            let none = self.let_(Class::Predicate, "setp.ge.s64", &[&counter, &end]);
            self.jump_if(none, true, &after);
        }
        if !once {
            self.place(&again);
        }
        self.multiples.insert(var.clone(), align::gcd(self.multiple(low), step));
        self.names.insert(var.clone(), Binding::Number(counter));
        self.levels.push(Level::of(var));
        self.insts(insts)?;
        self.levels.pop();
        if once {
            return Ok(());
        }
        self.end_loop(insts);
        for ((cursor, _), step) in mine.iter().zip(steps) {
            self.ins("add.s64", &[cursor, cursor, &step]);
        }
        self.ins("add.s64", &[&counter, &counter, &step]);
        let more = self.let_(Class::Predicate, "setp.lt.s64", &[&counter, &end]);
        self.jump_if(more, true, &again);
        self.place(&after);
        // It may not have run.
        self.touched.add(outside);
        Ok(())
    }

    fn branch(&mut self, all: &[InRange], then: &[Inst], otherwise: &[Inst]) -> Result<()> {
        let (no, after) = (self.label(), self.label());
        let outside = self.straight;
        self.straight |= self.is_straight(then) && self.is_straight(otherwise);
        // What a later test computes is not known where an earlier one failed.
        self.levels.push(Level::default());
        for test in all {
            for (a, b) in [(&test.low, test.index.clone()), (&test.index, test.high.clone() - 1)] {
                let room = b.clone() - a.clone();
                if room.as_const().is_some_and(|room| room >= 0) {
                    continue;
                }
                let (a, b) = (self.eval(a)?, self.eval(&b)?);
                let holds = self.let_(Class::Predicate, "setp.le.s64", &[&a, &b]);
                self.jump_if(holds, false, &no);
            }
        }
        self.side(then)?;
        self.levels.pop();
        if !otherwise.is_empty() {
            self.ins("bra", &[&after]);
        }
        self.place(&no);
        self.side(otherwise)?;
        self.place(&after);
        self.straight = outside;
        Ok(())
    }

    fn side(&mut self, insts: &[Inst]) -> Result<()> {
        self.levels.push(Level::default());
        self.insts(insts)?;
        self.barrier();
        self.levels.pop();
        Ok(())
    }

    fn cell(&self, name: &Name) -> Result<Val> {
        match self.names.get(name) {
            Some(Binding::Cell(cell)) => Ok(cell.clone()),
            _ => Err(Error::internal(format!("%{name} is no cell"))),
        }
    }

    pub fn set(&mut self, to: &Val, value: &Val) {
        for (to, from) in to.regs.iter().zip(&value.regs) {
            self.ins(&format!("mov.{}", bits(to.class)), &[to, from]);
        }
    }

    pub fn copy(&mut self, value: &Val) -> Val {
        let mut copied: Vec<(Reg, Reg)> = vec![];
        for reg in &value.regs {
            // What all lanes share stays shared.
            if copied.last().is_none_or(|(from, _)| from != reg) {
                let to = self.let_(reg.class, &format!("mov.{}", bits(reg.class)), &[reg]);
                copied.push((*reg, to));
            } else if let Some(last) = copied.last().copied() {
                copied.push(last);
            }
        }
        Val { ty: value.ty, regs: copied.into_iter().map(|(_, to)| to).collect() }
    }

    /// The value of a value or cell.
    pub fn read(&self, name: &Name) -> Result<Val> {
        match self.names.get(name) {
            Some(Binding::Value(value) | Binding::Cell(value)) => Ok(value.clone()),
            _ => Err(Error::internal(format!("%{name} is neither a value nor a cell"))),
        }
    }

    /// An operand that has, or is a constant of, a type.
    pub fn operand(&mut self, operand: &Operand, ty: Type) -> Result<Val> {
        match operand {
            Operand::Ref(value) => {
                let value = self.read(&value.name)?;
                if value.ty == ty { Ok(value) } else { Err(Error::internal(format!("{operand} is no {ty}"))) }
            }
            Operand::Float(x) => Ok(self.float_constant(*x, ty)),
            Operand::Int(n) => Ok(self.int_constant(*n, ty)),
        }
    }

    /// A bool as an int of 32 bits.
    pub fn bool_word(&mut self, predicate: Reg) -> Reg {
        debug_assert_eq!(Class::of(DType::Bool), predicate.class);
        self.let_(Class::Word, "selp.u32", &[&1, &0, &predicate])
    }
}
