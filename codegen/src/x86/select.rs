//! Tasks, loops, branches, cells and cursors; what each instruction becomes is in `ops`.

use super::code::{Arg, Base, Class, Effect, Item, Mem, Program, Size, V};
use super::table;
use super::{Isa, Refused, Result, refuse};
use iced_x86::Code;
use mlc_ir::tile::{Access, InRange, Inst, Operand, Phase, Row, Space, Tile, Type};
use mlc_ir::{DType, Index, Name};
use std::collections::{HashMap, HashSet};

/// Instructions with virtual registers for a linear tile.
pub fn select(tile: &Tile, isa: Isa) -> Result<Program> {
    if tile.phase != Phase::Linear {
        return refuse("a tile that is not linear");
    }
    let mut selector = Selector {
        tile,
        isa,
        code: Program::default(),
        names: HashMap::new(),
        bases: Vec::new(),
        symbols: HashMap::new(),
        known: vec![HashMap::new()],
        masks: vec![HashMap::new()],
        fetched: vec![HashSet::new()],
        advancing: Vec::new(),
    };
    selector.tile()?;
    Ok(selector.code)
}

/// What a name stands for.
#[derive(Clone, Copy)]
pub enum Binding {
    /// A value, or a cell, which changes.
    Value(V, Type),
    /// The variable of a loop, a task, or a cursor.
    Number(V),
}

/// A cursor that a loop advances.
struct Advancing {
    over: Name,
    cursor: V,
    by: Index,
}

pub struct Selector<'a> {
    pub tile: &'a Tile,
    pub isa: Isa,
    pub code: Program,
    pub names: HashMap<Name, Binding>,
    pub bases: Vec<V>,
    pub symbols: HashMap<Name, V>,
    /// Index expressions that are known in each body around.
    pub known: Vec<HashMap<Index, V>>,
    /// Masks of the first lanes, in each body around.
    pub masks: Vec<HashMap<(Index, u16), V>>,
    /// Lines that are fetched ahead, in each body around: a cursor, and which of its lines.
    pub fetched: Vec<HashSet<(Base, i32)>>,
    advancing: Vec<Advancing>,
}

pub fn r64(v: V) -> Arg {
    Arg::Reg(v, Size::R64)
}

impl Selector<'_> {
    pub fn general(&mut self) -> V {
        self.code.new_register(Class::General)
    }

    pub fn vector(&mut self) -> V {
        self.code.new_register(Class::Vector)
    }

    /// A new general register with what an operand holds.
    pub fn copy(&mut self, from: Arg) -> V {
        let to = self.general();
        self.code.inst(Code::Mov_r64_rm64, Effect::Write, &[r64(to), from]);
        to
    }

    fn tile(&mut self) -> Result<()> {
        let tile = self.tile;
        let argument = |n: i32| Arg::Mem(Mem { base: Base::Stack, offset: 8 * n, broadcast: false });
        let args = self.copy(argument(0));
        let place = |n: usize| Arg::Mem(Mem { base: Base::Reg(args), offset: 8 * n as i32, broadcast: false });
        let outside = tile.params.iter().filter(|param| param.space != Space::Scratch).count();
        for (n, symbol) in tile.symbols.iter().enumerate() {
            let value = self.copy(place(outside + n));
            self.symbols.insert(symbol.clone(), value);
        }
        let mut places = 0..outside;
        for own in tile.scratch().0 {
            let base = match own {
                Some(offset) => {
                    let base = self.copy(argument(3));
                    self.add(base, &offset)?;
                    base
                }
                None => self.copy(place(places.next().unwrap_or(outside))),
            };
            self.bases.push(base);
        }
        self.compute_invariants(&tile.body)?;
        self.make_masks(&tile.body)?;
        let task = self.copy(argument(1));
        let (again, done) = (self.code.label(), self.code.label());
        self.code.inst(Code::Cmp_r64_rm64, Effect::Read, &[r64(task), argument(2)]);
        self.code.push(Item::Jump(Code::Jae_rel32_64, done));
        let first = self.code.open_loop();
        self.code.push(Item::Label(again));
        self.names.insert(tile.tasks.0.clone(), Binding::Number(task));
        self.body(&tile.body)?;
        self.code.inst(Code::Add_rm64_imm32, Effect::Modify, &[r64(task), Arg::Imm32(1)]);
        self.code.inst(Code::Cmp_r64_rm64, Effect::Read, &[r64(task), argument(2)]);
        self.code.push(Item::Jump(Code::Jb_rel32_64, again));
        self.code.close_loop(first);
        self.code.push(Item::Label(done));
        Ok(())
    }

    /// Instructions of a body of their own.
    fn body(&mut self, insts: &[Inst]) -> Result<()> {
        self.known.push(HashMap::new());
        self.masks.push(HashMap::new());
        self.fetched.push(HashSet::new());
        let visible = self.advancing.len();
        let result = insts.iter().try_for_each(|inst| self.inst(inst));
        self.advancing.truncate(visible);
        self.fetched.pop();
        self.masks.pop();
        self.known.pop();
        result
    }

    fn inst(&mut self, inst: &Inst) -> Result<()> {
        match inst {
            Inst::Loop { var, low, high, step, body, .. } => self.serial(var, low, high, *step, body),
            Inst::If { all, then, otherwise } => self.branch(all, then, otherwise),
            Inst::Cell { name, ty, init, .. } => {
                let cell = match class(*ty) {
                    Class::Mask => self.mask(),
                    class => self.code.new_register(class),
                };
                self.names.insert(name.clone(), Binding::Value(cell, *ty));
                self.set(cell, *ty, init)
            }
            Inst::Set { cell, value } => {
                let (cell, ty) = self.value(&cell.name)?;
                self.set(cell, ty, value)
            }
            Inst::Dot { row, cell, a, b } => {
                let row = Row::from_name(row)
                    .filter(|row| row.shape().is_none())
                    .ok_or_else(|| Refused(format!("matrix row `{row}`")))?;
                let (cell, ty) = self.value(&cell.name)?;
                if row.cell.dtype != DType::F32 {
                    return refuse(format!("matrix row of {ty}"));
                }
                let size = self.size(ty)?;
                let (a, b) = (self.reg(a, row.a)?, self.arg(b, row.b)?);
                let args = [Arg::Reg(cell, size), Arg::Reg(a, size), b];
                self.inst_of(&table::FMA_ADD, size, Effect::Modify, &args);
                Ok(())
            }
            Inst::Let { dst, ty, op } => {
                let value = self.op(*ty, op)?;
                self.names.insert(dst.name.clone(), Binding::Value(value, *ty));
                Ok(())
            }
            Inst::Store { to, value, ty, first } => self.store(to, value, *ty, first.as_ref()),
            Inst::StoreFragment { of, .. } => refuse(format!("a fragment of `{}`", of.row)),
            Inst::Copy { .. } | Inst::Commit | Inst::Wait(_) => refuse("copies that arrive late"),
            Inst::Cursor { name, buffer, offset, advance } => {
                let base = self.bases[*buffer as usize];
                let cursor = self.copy(r64(base));
                self.add(cursor, offset)?;
                self.names.insert(name.clone(), Binding::Number(cursor));
                if let Some((over, by)) = advance {
                    self.advancing.push(Advancing { over: over.clone(), cursor, by: by.clone() });
                }
                Ok(())
            }
        }
    }

    fn set(&mut self, cell: V, ty: Type, value: &Operand) -> Result<()> {
        match class(ty) {
            Class::Vector => {
                let size = self.size(ty)?;
                match self.arg(value, ty)? {
                    from @ Arg::Reg(..) => {
                        self.inst_of(&table::MOVE, size, Effect::Write, &[Arg::Reg(cell, size), from]);
                    }
                    from => self.load_constant(cell, size, from),
                }
            }
            Class::General => {
                let from = self.reg(value, ty)?;
                self.code.inst(Code::Mov_r64_rm64, Effect::Write, &[r64(cell), r64(from)]);
            }
            Class::Mask => {
                let from = self.reg(value, ty)?;
                self.copy_mask(cell, from);
            }
        }
        Ok(())
    }

    fn serial(&mut self, var: &Name, low: &Index, high: &Index, step: i64, insts: &[Inst]) -> Result<()> {
        let end = match high.as_const().and_then(|n| i32::try_from(n).ok()) {
            Some(n) => Arg::Imm32(n),
            None => r64(self.index(high)?),
        };
        let mine: Vec<(V, Index)> =
            self.advancing.iter().filter(|a| a.over == *var).map(|a| (a.cursor, a.by.clone())).collect();
        self.advancing.retain(|a| a.over != *var);
        let mut steps = Vec::new();
        for (cursor, by) in mine {
            let by = match by.as_const().and_then(|n| i32::try_from(n).ok()) {
                Some(n) => Arg::Imm32(n),
                None => r64(self.index(&by)?),
            };
            steps.push((cursor, by));
        }
        self.make_masks(insts)?;
        let counter = self.fresh(low)?;
        let (again, done) = (self.code.label(), self.code.label());
        if low.as_const().zip(high.as_const()).is_none_or(|(low, high)| low >= high) {
            self.compare(counter, end);
            self.code.push(Item::Jump(Code::Jge_rel32_64, done));
        }
        let first = self.code.open_loop();
        self.code.push(Item::Label(again));
        self.names.insert(var.clone(), Binding::Number(counter));
        self.body(insts)?;
        for (cursor, by) in steps {
            let code = if let Arg::Imm32(_) = by { Code::Add_rm64_imm32 } else { Code::Add_r64_rm64 };
            self.code.inst(code, Effect::Modify, &[r64(cursor), by]);
        }
        let step = i32::try_from(step).map_err(|_| Refused("a long step".into()))?;
        self.code.inst(Code::Add_rm64_imm32, Effect::Modify, &[r64(counter), Arg::Imm32(step)]);
        self.compare(counter, end);
        self.code.push(Item::Jump(Code::Jl_rel32_64, again));
        self.code.close_loop(first);
        self.code.push(Item::Label(done));
        Ok(())
    }

    /// Sets the flags.
    pub fn compare(&mut self, a: V, b: Arg) {
        let code = if let Arg::Imm32(_) = b { Code::Cmp_rm64_imm32 } else { Code::Cmp_r64_rm64 };
        self.code.inst(code, Effect::Read, &[r64(a), b]);
    }

    fn branch(&mut self, all: &[InRange], then: &[Inst], otherwise: &[Inst]) -> Result<()> {
        let (no, done) = (self.code.label(), self.code.label());
        // What a later test computes is not known where an earlier one failed.
        self.known.push(HashMap::new());
        for test in all {
            for (a, b) in [(test.low.clone(), test.index.clone()), (test.index.clone() + 1, test.high.clone())] {
                if (b.clone() - a.clone()).as_const().is_some_and(|room| room >= 0) {
                    continue;
                }
                let (a, b) = (self.index(&a)?, self.index(&b)?);
                self.compare(a, r64(b));
                self.code.push(Item::Jump(Code::Jg_rel32_64, no));
            }
        }
        self.body(then)?;
        self.known.pop();
        self.code.push(Item::Jump(Code::Jmp_rel32_64, done));
        self.code.push(Item::Label(no));
        self.body(otherwise)?;
        self.code.push(Item::Label(done));
        Ok(())
    }

    /// The register and type of a value or cell.
    pub fn value(&self, name: &Name) -> Result<(V, Type)> {
        match self.names.get(name) {
            Some(Binding::Value(v, ty)) => Ok((*v, *ty)),
            _ => refuse(format!("%{name} is neither a value nor a cell")),
        }
    }

    /// Where an access lies.
    pub fn place(&mut self, access: &Access) -> Result<Mem> {
        let Access::Linear { cursor, offset, .. } = access else { return refuse("an indexed access") };
        let Some(Binding::Number(cursor)) = self.names.get(cursor).copied() else {
            return refuse(format!("%{cursor} is no cursor"));
        };
        let offset = i32::try_from(*offset).map_err(|_| Refused("a distant access".into()))?;
        Ok(Mem { base: Base::Reg(cursor), offset, broadcast: false })
    }
}

/// The registers that hold a type; bools lie in others where there are no masks.
pub fn class(ty: Type) -> Class {
    match ty.dtype {
        DType::Bool => Class::Mask,
        dtype if ty.lanes == 1 && !dtype.is_float() => Class::General,
        _ => Class::Vector,
    }
}
