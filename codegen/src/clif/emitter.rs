//! Bodies: tasks, loops, branches, cells and cursors.
//!
//! Names are taken as they come: a name that is declared again, in a body beside the first, replaces it. A loop whose
//! bounds hold an iteration runs through a block of its own first, where everything is computed that the loop needs and
//! does not change.

use super::index::Memo;
use super::isa::Target;
use super::{signature, types};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Block, BlockArg, Function, MemFlagsData, Type as Clif, Value, types::I64};
use cranelift_codegen::isa::TargetIsa;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext, Variable};
use mlc_ir::tile::{InRange, Inst, Operand, Phase, Ref, Space, Tile, Type, verify};
use mlc_ir::{Error, Facts, Index, Name};
use std::collections::HashMap;

pub(super) type Emitted<T = ()> = Result<T, Error>;

/// What a name stands for.
#[derive(Clone)]
enum Def {
    Value(Value, Type),
    Cell(Variable, Type),
    /// A cursor that stays.
    Cursor(Value),
    /// A cursor that a loop advances.
    Moving(Variable, Name, Index),
}

/// The function under construction.
pub(super) struct Emitter<'a, 'f> {
    pub tile: &'a Tile,
    pub b: FunctionBuilder<'f>,
    pub target: Target,
    /// Addresses of the params.
    pub bases: Vec<Value>,
    pub memo: Memo,
    /// Ranges of the variables in sight.
    pub facts: Facts,
    names: HashMap<Name, Def>,
}

/// Fills an empty function with a linear tile.
pub fn emit(
    tile: &Tile,
    isa: &dyn TargetIsa,
    func: &mut Function,
    fctx: &mut FunctionBuilderContext,
) -> Result<(), Error> {
    if tile.phase != Phase::Linear {
        return Err(Error::internal(format!("tile `{}` is not linear", tile.name)));
    }
    verify(tile, &Facts::default()).map_err(|e| Error::internal(e.to_string()))?;
    let target = Target::of(isa)?;
    func.signature = signature(isa);
    let mut emitter = Emitter {
        tile,
        b: FunctionBuilder::new(func, fctx),
        target,
        bases: Vec::new(),
        memo: Memo::default(),
        facts: Facts::default(),
        names: HashMap::new(),
    };
    let result = emitter.function();
    let result = result.map_err(|mut e| {
        e.message = format!("tile `{}`: {}", tile.name, e.message);
        e
    });
    if result.is_err() {
        // What was built so far is no function.
        drop(emitter);
        *fctx = FunctionBuilderContext::new();
        return result;
    }
    emitter.b.finalize(isa.frontend_config());
    Ok(())
}

/// Memory accesses never trap; their address may be any.
pub(super) fn flags() -> MemFlagsData {
    MemFlagsData::new().with_notrap()
}

impl<'a> Emitter<'a, '_> {
    fn function(&mut self) -> Emitted {
        let entry = self.b.create_block();
        self.b.append_block_params_for_function_params(entry);
        self.b.switch_to_block(entry);
        self.b.seal_block(entry);
        let params = self.b.block_params(entry).to_vec();
        let [args, begin, end, scratch] = params[..] else { return Err(Error::internal("the signature of a kernel")) };
        self.memo.push();
        self.arguments(args, scratch)?;
        let tile = self.tile;
        let (var, count) = &tile.tasks;
        let (low, high) = (Index::zero(), count.clone());
        let done = self.loop_(var, (begin, end, 1), (&low, &high), &tile.body, true)?;
        self.b.switch_to_block(done);
        self.b.ins().return_(&[]);
        Ok(())
    }

    /// Base addresses and symbols.
    fn arguments(&mut self, args: Value, scratch: Value) -> Emitted {
        let (mut place, mut own) = (0, 0i64);
        for param in &self.tile.params {
            let base = if param.space == Space::Scratch {
                let base = self.add(scratch, own);
                let elements = Index::product(&param.dims).as_const().filter(|n| *n >= 0);
                let bytes = elements.and_then(|n| n.checked_mul(param.dtype.bytes() as i64));
                let rounded = bytes.and_then(|bytes| bytes.checked_next_multiple_of(64));
                let next = rounded.and_then(|bytes| own.checked_add(bytes));
                own = next.ok_or_else(|| Error::internal(format!("scratch `{}` has no size", param.name)))?;
                base
            } else {
                place += 8;
                self.b.ins().load(I64, flags(), args, place - 8)
            };
            self.bases.push(base);
        }
        for symbol in &self.tile.symbols {
            let value = self.b.ins().load(I64, flags(), args, place);
            self.memo.symbol(symbol, value);
            place += 8;
        }
        Ok(())
    }

    pub fn body(&mut self, insts: &'a [Inst]) -> Emitted {
        insts.iter().try_for_each(|inst| self.inst(inst))
    }

    fn inst(&mut self, inst: &'a Inst) -> Emitted {
        match inst {
            Inst::Loop { var, low, high, step, body, .. } => {
                let bounds = (self.index(low)?, self.index(high)?, *step);
                let some = self.facts.lt(low, high);
                let done = self.loop_(var, bounds, (low, high), body, !some)?;
                self.b.switch_to_block(done);
            }
            Inst::If { all, then, otherwise } => self.branch(all, then, otherwise)?,
            Inst::Cell { name, ty, init, .. } => {
                let init = self.operand(init, *ty)?;
                let var = self.b.declare_var(types::value(*ty)?);
                self.b.def_var(var, init);
                self.names.insert(name.clone(), Def::Cell(var, *ty));
            }
            Inst::Set { cell, value } => {
                let (var, ty) = self.cell(cell)?;
                let value = self.operand(value, ty)?;
                self.b.def_var(var, value);
            }
            Inst::Dot { row, cell, a, b } => {
                let (var, ty) = self.cell(cell)?;
                let sum = self.dot(row, ty, var, a, b)?;
                self.b.def_var(var, sum);
            }
            Inst::Let { dst, ty, op } => {
                let value = self.op(*ty, op)?;
                self.names.insert(dst.name.clone(), Def::Value(value, *ty));
            }
            Inst::Store { to, value, ty, first } => self.store(to, value, *ty, first.as_ref())?,
            Inst::Cursor { name, buffer, offset, advance } => self.declare(name, *buffer, offset, advance)?,
        }
        Ok(())
    }

    fn declare(&mut self, name: &Name, buffer: u32, offset: &Index, advance: &Option<(Name, Index)>) -> Emitted {
        let offset = self.index(offset)?;
        let base = self.bases[buffer as usize];
        let start = self.b.ins().iadd(base, offset);
        let def = match advance {
            Some((over, by)) => {
                let var = self.b.declare_var(I64);
                self.b.def_var(var, start);
                Def::Moving(var, over.clone(), by.clone())
            }
            None => Def::Cursor(start),
        };
        self.names.insert(name.clone(), def);
        Ok(())
    }

    /// Emits a loop and returns the block that follows it, to be switched to. `test` asks whether it runs at all.
    fn loop_(
        &mut self,
        var: &Name,
        (low, high, step): (Value, Value, i64),
        range: (&Index, &Index),
        body: &'a [Inst],
        test: bool,
    ) -> Emitted<Block> {
        let [before, head, done] = [(); 3].map(|()| self.b.create_block());
        if test {
            let some = self.b.ins().icmp(IntCC::SignedLessThan, low, high);
            self.b.ins().brif(some, before, &[], done, &[]);
        } else {
            self.b.ins().jump(before, &[]);
        }
        self.enter(before);
        self.facts.range(var.clone(), range.0.clone(), range.1.clone() - 1);
        self.hoist(var, body)?;
        let moving = self.moving(var)?;
        self.b.ins().jump(head, &[BlockArg::from(low)]);

        let value = self.b.append_block_param(head, I64);
        self.b.switch_to_block(head);
        self.memo.enter(var, value);
        self.body(body)?;
        for (cursor, by) in moving {
            let at = self.b.use_var(cursor);
            let next = self.b.ins().iadd(at, by);
            self.b.def_var(cursor, next);
        }
        let next = self.add(value, step);
        let more = self.b.ins().icmp(IntCC::SignedLessThan, next, high);
        self.b.ins().brif(more, head, &[BlockArg::from(next)], done, &[]);
        self.b.seal_block(head);
        self.b.seal_block(done);
        self.memo.leave(var);
        self.memo.pop();
        Ok(done)
    }

    /// The cursors that a loop advances, and by how much.
    fn moving(&mut self, var: &Name) -> Emitted<Vec<(Variable, Value)>> {
        let cursors: Vec<(Name, Variable, Index)> = self
            .names
            .iter()
            .filter_map(|(name, def)| match def {
                Def::Moving(cursor, over, by) if over == var => Some((name.clone(), *cursor, by.clone())),
                _ => None,
            })
            .collect();
        let mut cursors = cursors;
        cursors.sort_by(|a, b| a.0.cmp(&b.0));
        cursors.into_iter().map(|(_, cursor, by)| Ok((cursor, self.index(&by)?))).collect()
    }

    /// Goes on in a block that all known branches lead to, with a memory of its own.
    pub fn enter(&mut self, block: Block) {
        self.b.seal_block(block);
        self.b.switch_to_block(block);
        self.memo.push();
    }

    fn branch(&mut self, all: &[InRange], then: &'a [Inst], otherwise: &'a [Inst]) -> Emitted {
        let mut holds: Option<Value> = None;
        for InRange { index, low, high } in all {
            for (a, b, cc) in [(low, index, IntCC::SignedLessThanOrEqual), (index, high, IntCC::SignedLessThan)] {
                let known = if cc == IntCC::SignedLessThan { self.facts.lt(a, b) } else { self.facts.le(a, b) };
                if known {
                    continue;
                }
                let (a, b) = (self.index(a)?, self.index(b)?);
                let test = self.b.ins().icmp(cc, a, b);
                holds = Some(match holds {
                    Some(so_far) => self.b.ins().band(so_far, test),
                    None => test,
                });
            }
        }
        let Some(holds) = holds else { return self.body(then) };
        let [yes, no, done] = [(); 3].map(|()| self.b.create_block());
        self.b.ins().brif(holds, yes, &[], no, &[]);
        for (block, insts) in [(yes, then), (no, otherwise)] {
            self.enter(block);
            self.body(insts)?;
            self.b.ins().jump(done, &[]);
            self.memo.pop();
        }
        self.b.seal_block(done);
        self.b.switch_to_block(done);
        Ok(())
    }

    fn cell(&self, cell: &Ref) -> Emitted<(Variable, Type)> {
        match self.names.get(&cell.name) {
            Some(Def::Cell(var, ty)) => Ok((*var, *ty)),
            _ => Err(Error::internal(format!("{cell} is no cell"))),
        }
    }

    /// The address a cursor holds.
    pub fn cursor(&mut self, name: &Name) -> Emitted<Value> {
        match self.names.get(name) {
            Some(Def::Cursor(value)) => Ok(*value),
            Some(Def::Moving(var, ..)) => Ok(self.b.use_var(*var)),
            _ => Err(Error::internal(format!("%{name} is no cursor"))),
        }
    }

    /// A value or cell, with its type.
    pub fn reference(&mut self, value: &Ref) -> Emitted<(Value, Type)> {
        match self.names.get(&value.name) {
            Some(Def::Value(value, ty)) => Ok((*value, *ty)),
            Some(Def::Cell(var, ty)) => Ok((self.b.use_var(*var), *ty)),
            _ => Err(Error::internal(format!("{value} is neither a value nor a cell"))),
        }
    }

    /// An operand that has, or is a constant of, a type.
    pub fn operand(&mut self, operand: &Operand, ty: Type) -> Emitted<Value> {
        match operand {
            Operand::Ref(value) => Ok(self.reference(value)?.0),
            Operand::Float(x) => self.constant(ty, types::float_bits(ty.dtype, *x)),
            Operand::Int(n) => self.constant(ty, types::int_bits(ty.dtype, *n)),
        }
    }

    /// A vector operand, with its type.
    pub fn vector(&mut self, operand: &Operand) -> Emitted<(Value, Type)> {
        match operand {
            Operand::Ref(value) => self.reference(value),
            _ => Err(Error::internal(format!("{operand} has no lanes"))),
        }
    }

    /// `value + n`.
    pub fn add(&mut self, value: Value, n: i64) -> Value {
        if n == 0 { value } else { self.b.ins().iadd_imm_s(value, n) }
    }

    /// The type of a Cranelift value.
    pub fn type_of(&self, value: Value) -> Clif {
        self.b.func.dfg.value_type(value)
    }
}
