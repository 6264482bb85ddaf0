//! Tasks, loops, branches and cells.

use super::index::Level;
use super::target::Caps;
use super::value::{Val, count, full, int, mask_width, register, registers};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Block, Function, InstBuilder, MemFlagsData, Value, types};
use cranelift_codegen::isa::TargetIsa;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext, Variable};
use mlc_ir::tile::{InRange, Inst, Operand, Phase, Row, Space, Tile, Type};
use mlc_ir::{DType, Error, Index, Name, Result};
use std::collections::HashMap;

/// Emits a linear tile into an empty function; sets its signature.
pub fn emit(tile: &Tile, isa: &dyn TargetIsa, func: &mut Function, ctx: &mut FunctionBuilderContext) -> Result<()> {
    if tile.phase != Phase::Linear {
        return Err(Error::internal(format!("tile `{}` is not linear", tile.name)));
    }
    func.signature = super::signature(isa);
    let mut emitter = Emitter {
        b: FunctionBuilder::new(func, ctx),
        tile,
        caps: Caps::of(isa),
        flags: MemFlagsData::new().with_notrap(),
        bases: Vec::new(),
        symbols: HashMap::new(),
        names: HashMap::new(),
        advancing: Vec::new(),
        levels: vec![Level::default()],
        temporaries: 0,
    };
    emitter.tile()?;
    emitter.b.seal_all_blocks();
    emitter.b.finalize(isa.frontend_config());
    Ok(())
}

/// What a name stands for.
#[derive(Clone)]
pub(super) enum Binding {
    Value(Val),
    Cell(Type, Vec<Variable>),
    /// The variable of a loop, or the task.
    Number(Value),
    Fixed(Value),
    Moving(Variable),
}

/// A cursor of this body that a loop advances.
struct Advancing {
    over: Name,
    cursor: Variable,
    by: Index,
}

pub(super) struct Emitter<'a> {
    pub b: FunctionBuilder<'a>,
    pub tile: &'a Tile,
    pub caps: Caps,
    pub flags: MemFlagsData,
    pub bases: Vec<Value>,
    pub symbols: HashMap<Name, Value>,
    pub names: HashMap<Name, Binding>,
    advancing: Vec<Advancing>,
    pub levels: Vec<Level>,
    pub temporaries: usize,
}

impl Emitter<'_> {
    fn tile(&mut self) -> Result<()> {
        let entry = self.b.create_block();
        self.b.append_block_params_for_function_params(entry);
        self.b.switch_to_block(entry);
        self.b.seal_block(entry);
        let params = self.b.block_params(entry).to_vec();
        let [args, begin, end, scratch] = params[..] else { return Err(Error::internal("four parameters")) };
        self.load_args(args, scratch)?;
        let tile = self.tile;
        self.hoist(&tile.body)?;
        let task = self.b.declare_var(types::I64);
        self.b.def_var(task, begin);
        let (body, after) = (self.b.create_block(), self.b.create_block());
        self.branch_if(IntCC::UnsignedLessThan, begin, end, body, after);
        self.b.switch_to_block(body);
        let number = self.b.use_var(task);
        self.names.insert(tile.tasks.0.clone(), Binding::Number(number));
        self.levels.push(Level::of(&tile.tasks.0));
        self.insts(&tile.body)?;
        self.levels.pop();
        let next = self.b.ins().iadd_imm_s(number, 1);
        self.b.def_var(task, next);
        self.branch_if(IntCC::UnsignedLessThan, next, end, body, after);
        self.b.seal_block(body);
        self.b.switch_to_block(after);
        self.b.seal_block(after);
        self.b.ins().return_(&[]);
        Ok(())
    }

    fn load_args(&mut self, args: Value, scratch: Value) -> Result<()> {
        let flags = self.flags.with_aligned();
        let outside = self.tile.params.iter().filter(|param| param.space != Space::Scratch).count() as i32;
        for (place, symbol) in (outside..).zip(&self.tile.symbols) {
            let value = self.b.ins().load(types::I64, flags, args, 8 * place);
            self.symbols.insert(symbol.clone(), value);
        }
        let mut place = 0;
        for own in self.tile.scratch().0 {
            let base = match own {
                Some(offset) => {
                    let offset = self.eval(&offset)?;
                    self.b.ins().iadd(scratch, offset)
                }
                None => {
                    place += 8;
                    self.b.ins().load(types::I64, flags, args, place - 8)
                }
            };
            self.bases.push(base);
        }
        Ok(())
    }

    pub fn branch_if(&mut self, cc: IntCC, a: Value, b: Value, then: Block, otherwise: Block) {
        let holds = self.b.ins().icmp(cc, a, b);
        self.b.ins().brif(holds, then, &[], otherwise, &[]);
    }

    pub fn insts(&mut self, insts: &[Inst]) -> Result<()> {
        let visible = self.advancing.len();
        for inst in insts {
            self.inst(inst)?;
        }
        self.advancing.truncate(visible);
        Ok(())
    }

    fn inst(&mut self, inst: &Inst) -> Result<()> {
        match inst {
            Inst::Loop { var, low, high, step, body, .. } => self.loop_(var, low, high, *step, body),
            Inst::If { all, then, otherwise } => self.branch(all, then, otherwise),
            Inst::Cell { name, ty, init, .. } => {
                let value = self.operand(init, *ty)?;
                let vars = self.cell_types(*ty).into_iter().map(|ty| self.b.declare_var(ty)).collect();
                self.names.insert(name.clone(), Binding::Cell(*ty, vars));
                self.set(name, value)
            }
            Inst::Set { cell, value } => {
                let ty = self.cell_type(&cell.name)?;
                let value = self.operand(value, ty)?;
                self.set(&cell.name, value)
            }
            Inst::Dot { row, cell, a, b } => {
                let row = Row::from_name(row)
                    .filter(|row| row.shape().is_none())
                    .ok_or_else(|| Error::unsupported(format!("matrix row `{row}`")))?;
                let (a, b) = (self.operand(a, row.a)?, self.operand(b, row.b)?);
                let c = self.read(&cell.name)?;
                let sum = self.multiply_add(&a, &b, &c)?;
                self.set(&cell.name, sum)
            }
            Inst::Let { dst, ty, op } => {
                let value = self.op(*ty, op)?;
                self.names.insert(dst.name.clone(), Binding::Value(value));
                Ok(())
            }
            Inst::Store { to, value, ty, first } => {
                let value = self.operand(value, *ty)?;
                self.store(to, value, first.as_ref())
            }
            Inst::StoreFragment { of, .. } => Err(Error::unsupported(format!("a fragment of `{}`", of.row))),
            Inst::Copy { .. } | Inst::Commit | Inst::Wait(_) => Err(Error::unsupported("copies that arrive late")),
            Inst::Cursor { name, buffer, offset, advance } => self.cursor(name, *buffer, offset, advance.as_ref()),
        }
    }

    fn cursor(&mut self, name: &Name, buffer: u32, offset: &Index, advance: Option<&(Name, Index)>) -> Result<()> {
        let base = *self.bases.get(buffer as usize).ok_or_else(|| Error::internal(format!("no buffer @{buffer}")))?;
        let pointer = match offset.as_const() {
            Some(0) => base,
            Some(n) => self.b.ins().iadd_imm_s(base, n),
            None => {
                let offset = self.eval(offset)?;
                self.b.ins().iadd(base, offset)
            }
        };
        let Some((over, by)) = advance else {
            self.names.insert(name.clone(), Binding::Fixed(pointer));
            return Ok(());
        };
        let cursor = self.b.declare_var(types::I64);
        self.b.def_var(cursor, pointer);
        self.names.insert(name.clone(), Binding::Moving(cursor));
        self.advancing.push(Advancing { over: over.clone(), cursor, by: by.clone() });
        Ok(())
    }

    fn loop_(&mut self, var: &Name, low: &Index, high: &Index, step: i64, insts: &[Inst]) -> Result<()> {
        self.hoist(insts)?;
        let (first, end) = (self.eval(low)?, self.eval(high)?);
        let mine: Vec<(Variable, Index)> =
            self.advancing.iter().filter(|a| a.over == *var).map(|a| (a.cursor, a.by.clone())).collect();
        self.advancing.retain(|a| a.over != *var);
        let steps = mine.iter().map(|(_, by)| self.eval_unless_number(by)).collect::<Result<Vec<_>>>()?;
        let counter = self.b.declare_var(types::I64);
        self.b.def_var(counter, first);
        let (body, after) = (self.b.create_block(), self.b.create_block());
        match low.as_const().zip(high.as_const()) {
            Some((low, high)) if low < high => {
                self.b.ins().jump(body, &[]);
            }
            _ => self.branch_if(IntCC::SignedLessThan, first, end, body, after),
        }
        self.b.switch_to_block(body);
        let number = self.b.use_var(counter);
        self.names.insert(var.clone(), Binding::Number(number));
        self.levels.push(Level::of(var));
        self.insts(insts)?;
        self.levels.pop();
        for ((cursor, by), step) in mine.iter().zip(steps) {
            let pointer = self.b.use_var(*cursor);
            let next = match step {
                Some(step) => self.b.ins().iadd(pointer, step),
                None => self.b.ins().iadd_imm_s(pointer, by.constant()),
            };
            self.b.def_var(*cursor, next);
        }
        let next = self.b.ins().iadd_imm_s(number, step);
        self.b.def_var(counter, next);
        let again = match high.as_const() {
            Some(high) => self.b.ins().icmp_imm_s(IntCC::SignedLessThan, next, high),
            None => self.b.ins().icmp(IntCC::SignedLessThan, next, end),
        };
        self.b.ins().brif(again, body, &[], after, &[]);
        self.b.seal_block(body);
        self.b.seal_block(after);
        self.b.switch_to_block(after);
        Ok(())
    }

    fn eval_unless_number(&mut self, e: &Index) -> Result<Option<Value>> {
        if e.as_const().is_some() { Ok(None) } else { self.eval(e).map(Some) }
    }

    fn branch(&mut self, all: &[InRange], then: &[Inst], otherwise: &[Inst]) -> Result<()> {
        let (no, after) = (self.b.create_block(), self.b.create_block());
        // What a later test computes is not known where an earlier one failed.
        self.levels.push(Level::default());
        for test in all {
            for (a, b) in [(test.low.clone(), test.index.clone()), (test.index.clone() + 1, test.high.clone())] {
                let room = b.clone() - a.clone();
                if room.as_const().is_some_and(|room| room >= 0) {
                    continue;
                }
                let (a, b) = (self.eval(&a)?, self.eval(&b)?);
                let next = self.b.create_block();
                self.branch_if(IntCC::SignedLessThanOrEqual, a, b, next, no);
                self.b.seal_block(next);
                self.b.switch_to_block(next);
            }
        }
        self.side(then, after)?;
        self.levels.pop();
        self.b.seal_block(no);
        self.b.switch_to_block(no);
        self.side(otherwise, after)?;
        self.b.seal_block(after);
        self.b.switch_to_block(after);
        Ok(())
    }

    fn side(&mut self, insts: &[Inst], after: Block) -> Result<()> {
        self.levels.push(Level::default());
        self.insts(insts)?;
        self.levels.pop();
        self.b.ins().jump(after, &[]);
        Ok(())
    }

    fn cell_types(&self, ty: Type) -> Vec<cranelift_codegen::ir::Type> {
        if ty.dtype == DType::Bool && ty.lanes > 1 {
            let width = mask_width(ty.lanes);
            return vec![full(int(width)); registers(ty.lanes, width)];
        }
        vec![register(ty); count(ty)]
    }

    fn cell_type(&self, name: &Name) -> Result<Type> {
        match self.names.get(name) {
            Some(Binding::Cell(ty, _)) => Ok(*ty),
            _ => Err(Error::internal(format!("%{name} is no cell"))),
        }
    }

    fn set(&mut self, name: &Name, value: Val) -> Result<()> {
        let value = if value.is_mask() { self.at_width(&value, mask_width(value.ty.lanes)) } else { value };
        let Some(Binding::Cell(_, vars)) = self.names.get(name) else {
            return Err(Error::internal(format!("%{name} is no cell")));
        };
        if vars.len() != value.regs.len() {
            return Err(Error::internal(format!("cell %{name} has another type")));
        }
        for (var, value) in vars.clone().into_iter().zip(value.regs) {
            self.b.def_var(var, value);
        }
        Ok(())
    }

    /// The value of a value or cell.
    pub fn read(&mut self, name: &Name) -> Result<Val> {
        match self.names.get(name) {
            Some(Binding::Value(value)) => Ok(value.clone()),
            Some(Binding::Cell(ty, vars)) => {
                let (ty, vars) = (*ty, vars.clone());
                let regs = vars.into_iter().map(|var| self.b.use_var(var)).collect();
                let mask = ty.dtype == DType::Bool && ty.lanes > 1;
                Ok(Val { ty, regs, width: if mask { mask_width(ty.lanes) } else { 0 }, uniform: None })
            }
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
}
