//! Turns a verified tile into [`Program`]: unrolls, numbers names, puts in the values of symbols.

use super::code::{Code, Dst, Expr, Extent, Factor, Piece, Place, Product, Program, Run, Src};
use super::scalar;
use crate::index::Atom;
use crate::tile::scopes::{Scopes, decided};
use crate::tile::{Access, Fragment, Inst, Lines, LoopKind, Operand, Ref, Row, RowKind, Space, Tile, Type};
use crate::{Index, Name};

/// Bytes of one scratch buffer; a kernel that needs more is a mistake.
const MAX_SCRATCH: i64 = 1 << 30;

pub(super) type Compiled<T> = Result<T, String>;

/// What a name stands for.
enum Def {
    /// A value or cell: its first register.
    Lanes(usize, Type),
    /// An unrolled variable.
    Number(i64),
    Var(usize),
    /// Its place, the loop variable that advances it.
    Cursor(usize, Option<(Name, Index)>),
}

pub(super) struct Compiler<'a> {
    tile: &'a Tile,
    symbols: &'a [i64],
    scopes: Scopes<Def>,
    regs: Vec<u64>,
    vars: usize,
    cursors: usize,
}

/// Compiles a tile of good form.
pub(super) fn compile<'a>(tile: &'a Tile, symbols: &'a [i64]) -> Compiled<Program<'a>> {
    if symbols.len() != tile.symbols.len() {
        return Err(format!("{} values for {} symbols", symbols.len(), tile.symbols.len()));
    }
    let mut compiler = Compiler { tile, symbols, scopes: Scopes::new(), regs: Vec::new(), vars: 1, cursors: 0 };
    let params = tile.params.iter().map(|param| compiler.extent(param)).collect::<Compiled<_>>()?;
    let tasks = compiler.number(&tile.tasks.1)?;
    compiler.declare(0, &tile.tasks.0, vec![], Def::Var(0))?;
    let body = compiler.body(&tile.body)?;
    Ok(Program { params, tasks, body, regs: compiler.regs, vars: compiler.vars, cursors: compiler.cursors })
}

impl<'a> Compiler<'a> {
    fn extent(&self, param: &crate::tile::Param) -> Compiled<Extent> {
        let dims = param.dims.iter().map(|dim| self.number(dim)).collect::<Compiled<Vec<i64>>>()?;
        let size = dims.iter().try_fold(param.dtype.bytes() as i64, |size, dim| size.checked_mul(*dim));
        let known = size.filter(|_| dims.iter().all(|dim| *dim >= 0));
        let bytes = known.ok_or_else(|| format!("dims {dims:?} of `{}`", param.name))?;
        if param.space == Space::Scratch && bytes > MAX_SCRATCH {
            return Err(format!("scratch `{}` has {bytes} bytes", param.name));
        }
        let (name, dtype, space) = (param.name.clone(), param.dtype, param.space);
        Ok(Extent { name, dtype, space, dims, bytes, slack: i64::from(param.slack) })
    }

    /// An expression over symbols alone.
    fn number(&self, e: &Index) -> Compiled<i64> {
        let expr = self.expr(e)?;
        if expr.terms.is_empty() { Ok(expr.constant) } else { Err(format!("{e} is no number")) }
    }

    fn declare(&mut self, home: usize, name: &Name, at: Vec<i64>, def: Def) -> Compiled<()> {
        self.scopes.declare(home, name, at, def)
    }

    fn body(&mut self, insts: &'a [Inst]) -> Compiled<Vec<Code<'a>>> {
        let mut codes = Vec::new();
        for inst in insts {
            self.inst(inst, &mut codes)?;
        }
        Ok(codes)
    }

    fn scoped(&mut self, insts: &'a [Inst]) -> Compiled<Vec<Code<'a>>> {
        self.scopes.push(None);
        let codes = self.body(insts);
        self.scopes.pop();
        codes
    }

    fn inst(&mut self, inst: &'a Inst, out: &mut Vec<Code<'a>>) -> Compiled<()> {
        let run = match inst {
            Inst::Loop { kind: LoopKind::Unroll, .. } => return self.unroll(inst, out),
            Inst::Loop { kind, var, low, high, step, body } => {
                let run = self.serial(var, low, high, *step, body)?;
                if *kind == LoopKind::Abreast { backwards(run) } else { run }
            }
            Inst::If { all, then, otherwise } => {
                let decided = decided(all, &|name| self.unrolled(name));
                let test =
                    |t: &crate::tile::InRange| Ok([self.expr(&t.low)?, self.expr(&t.index)?, self.expr(&t.high)?]);
                let all = all.iter().map(test).collect::<Compiled<_>>()?;
                let then = if decided == Some(false) { vec![] } else { self.scoped(then)? };
                let otherwise = if decided == Some(true) { vec![] } else { self.scoped(otherwise)? };
                Run::If { all, then, otherwise }
            }
            Inst::Cell { name, ty, dims, init } => return self.cell(inst, (name, *ty, dims, init), out),
            Inst::Set { cell, value } => {
                let (base, ty) = self.lanes(cell)?;
                Run::Copy(dst(base, ty), self.operand(value, ty)?)
            }
            Inst::Dot { row, cell, a, b } => {
                let row = Row::from_name(row).ok_or("no such row")?;
                let (base, ty) = self.lanes(cell)?;
                let f = scalar::multiply_add(ty.dtype).ok_or("no such row")?;
                let c = self.operand(&Operand::Ref(cell.clone()), ty)?;
                let (a, b) = (self.operand(a, row.a)?, self.operand(b, row.b)?);
                match row.kind {
                    RowKind::Lanes => Run::Three(dst(base, ty), f, a, b, c),
                    RowKind::Matrix(shape) => {
                        let (a, b) = ((a, row.a.dtype), (b, row.b.dtype));
                        Run::Multiply(dst(base, ty), Product { shape, cell: ty.dtype, a, b, f })
                    }
                }
            }
            Inst::Let { dst: to, ty, op } => {
                // Before the operands are looked up, so that the registers of a loop's body stay together.
                let base = self.allocate(*ty);
                let run = self.op(dst(base, *ty), *ty, op)?;
                let at = self.place(&to.at)?;
                self.declare(self.scopes.home(&to.at)?, &to.name, at, Def::Lanes(base, *ty))?;
                run
            }
            Inst::Store { to, value, ty, first } => {
                let first = self.optional(first)?;
                Run::Store(self.access(to)?, self.operand(value, *ty)?, usize::from(ty.lanes), first)
            }
            Inst::StoreFragment { to, value, ty, of } => {
                let piece = self.piece(to, of)?;
                Run::StoreFragment(piece, self.operand(value, *ty)?)
            }
            Inst::Copy { to, from, ty, first } => {
                let first = self.optional(first)?;
                Run::BeginCopy(self.access(to)?, self.access(from)?, usize::from(ty.lanes), first)
            }
            Inst::Commit => Run::Commit,
            Inst::Wait(groups) => Run::Wait(*groups as usize),
            Inst::Cursor { name, offset, advance, .. } => {
                let slot = self.cursors;
                self.cursors += 1;
                let run = Run::Cursor(slot, self.expr(offset)?);
                self.declare(self.scopes.here(), name, vec![], Def::Cursor(slot, advance.clone()))?;
                run
            }
        };
        out.push(Code { inst, run });
        Ok(())
    }

    fn serial(&mut self, var: &Name, low: &Index, high: &Index, step: i64, body: &'a [Inst]) -> Compiled<Run<'a>> {
        let slot = self.vars;
        self.vars += 1;
        let (low, high) = (self.expr(low)?, self.expr(high)?);
        let advancing = self.scopes.innermost().filter_map(|def| match def {
            Def::Cursor(slot, Some((over, by))) if over == var => Some((*slot, by)),
            _ => None,
        });
        let advance = advancing.map(|(slot, by)| Ok((slot, self.expr(by)?))).collect::<Compiled<_>>()?;
        self.scopes.push(None);
        self.declare(self.scopes.here(), var, vec![], Def::Var(slot))?;
        let body = self.body(body)?;
        self.scopes.pop();
        Ok(Run::Loop { var: slot, low, high, step, body, advance })
    }

    fn unroll(&mut self, inst: &'a Inst, out: &mut Vec<Code<'a>>) -> Compiled<()> {
        let Inst::Loop { var, low, high, step, body, .. } = inst else { return Ok(()) };
        let (mut value, high) = (self.number(low)?, self.number(high)?);
        while value < high {
            self.scopes.push(Some(var));
            self.declare(self.scopes.here(), var, vec![], Def::Number(value))?;
            for inst in body {
                self.inst(inst, out)?;
            }
            self.scopes.pop();
            value += step;
        }
        Ok(())
    }

    fn cell(
        &mut self,
        inst: &'a Inst,
        (name, ty, dims, init): (&Name, Type, &[u32], &Operand),
        out: &mut Vec<Code<'a>>,
    ) -> Compiled<()> {
        let init = self.operand(init, ty)?;
        let count: i64 = dims.iter().map(|dim| i64::from(*dim)).product();
        for mut number in 0..count {
            let mut at = vec![0; dims.len()];
            for (place, dim) in at.iter_mut().zip(dims).rev() {
                *place = number % i64::from(*dim);
                number /= i64::from(*dim);
            }
            let base = self.allocate(ty);
            self.declare(self.scopes.here(), name, at, Def::Lanes(base, ty))?;
            out.push(Code { inst, run: Run::Copy(dst(base, ty), init) });
        }
        Ok(())
    }

    pub(super) fn allocate(&mut self, ty: Type) -> usize {
        let base = self.regs.len();
        self.regs.resize(base + usize::from(ty.lanes), 0);
        base
    }

    fn unrolled(&self, name: &str) -> Option<i64> {
        match self.scopes.get(name, &[]) {
            Some(Def::Number(n)) => Some(*n),
            _ => None,
        }
    }

    fn place(&self, at: &[Index]) -> Compiled<Vec<i64>> {
        at.iter().map(|e| self.number(e)).collect()
    }

    /// First register and type of a value or cell.
    pub(super) fn lanes(&self, value: &Ref) -> Compiled<(usize, Type)> {
        match self.scopes.get(&value.name, &self.place(&value.at)?) {
            Some(Def::Lanes(base, ty)) => Ok((*base, *ty)),
            _ => Err(format!("{value} is no value")),
        }
    }

    /// An operand that has, or is a constant of, a type.
    pub(super) fn operand(&mut self, operand: &Operand, ty: Type) -> Compiled<Src> {
        let bits = match operand {
            Operand::Ref(value) => {
                let (base, found) = self.lanes(value)?;
                return Ok(Src { base, step: usize::from(found.lanes > 1) });
            }
            Operand::Float(x) => scalar::from_float(ty.dtype, *x),
            Operand::Int(n) => scalar::from_int(ty.dtype, *n),
        };
        self.regs.push(bits);
        Ok(Src { base: self.regs.len() - 1, step: 0 })
    }

    pub(super) fn optional(&self, first: &Option<Index>) -> Compiled<Option<Expr>> {
        first.as_ref().map(|first| self.expr(first)).transpose()
    }

    pub(super) fn access(&self, access: &Access) -> Compiled<Place> {
        Ok(match access {
            Access::Indexed { buffer, index } => {
                Place::Indexed(*buffer as usize, index.iter().map(|e| self.expr(e)).collect::<Compiled<_>>()?, None)
            }
            Access::Linear { cursor, offset, buffer } => match self.scopes.get(cursor, &[]) {
                Some(Def::Cursor(slot, _)) => Place::Linear(*buffer as usize, *slot, *offset),
                _ => return Err(format!("%{cursor} is no cursor")),
            },
        })
    }

    /// Where a fragment is in memory.
    pub(super) fn piece(&self, access: &Access, of: &Fragment) -> Compiled<Piece> {
        let mut place = self.access(access)?;
        let apart = match (&of.lines, &mut place) {
            (Lines::Along(dim), Place::Indexed(_, _, along)) => {
                *along = Some(*dim as usize);
                None
            }
            (Lines::Apart(bytes), _) => Some(self.expr(bytes)?),
            _ => None,
        };
        let sizes = of.lines().zip(of.size()).ok_or("no such fragment")?;
        let ((lines, length), (_, columns)) = sizes;
        let (lines, length, columns) = (lines.into(), length.into(), columns.into());
        Ok(Piece { place, lines, length, apart, columns, transposed: of.transposed })
    }

    pub(super) fn expr(&self, e: &Index) -> Compiled<Expr> {
        let mut expr = Expr { constant: 0, terms: Vec::new() };
        let overflow = || format!("{e} overflows");
        for (atoms, coefficient) in e.terms() {
            let mut product = *coefficient;
            let mut factors = Vec::new();
            for atom in atoms {
                let factor = match atom {
                    Atom::Sym(name) => Err(self.symbol(name)?),
                    Atom::Var(name) => match self.scopes.get(name, &[]) {
                        Some(Def::Number(n)) => Err(*n),
                        Some(Def::Var(slot)) => Ok(Factor::Var(*slot)),
                        _ => return Err(format!("%{name} is no variable")),
                    },
                    Atom::Div(pair) => self.pair(pair, Factor::Div, |a, b| (b > 0).then(|| a.div_euclid(b)))?,
                    Atom::Mod(pair) => self.pair(pair, Factor::Mod, |a, b| (b > 0).then(|| a.rem_euclid(b)))?,
                    Atom::Min(pair) => self.pair(pair, Factor::Min, |a, b| Some(a.min(b)))?,
                    Atom::Max(pair) => self.pair(pair, Factor::Max, |a, b| Some(a.max(b)))?,
                    Atom::At(buffer, index) => {
                        let index = index.iter().map(|e| self.expr(e)).collect::<Compiled<_>>()?;
                        Ok(Factor::At(*buffer as usize, index))
                    }
                };
                match factor {
                    Ok(factor) => factors.push(factor),
                    Err(number) => product = product.checked_mul(number).ok_or_else(overflow)?,
                }
            }
            match factors.is_empty() {
                true => expr.constant = expr.constant.checked_add(product).ok_or_else(overflow)?,
                false => expr.terms.push((product, factors)),
            }
        }
        Ok(expr)
    }

    fn symbol(&self, name: &Name) -> Compiled<i64> {
        let place = self.tile.symbols.iter().position(|symbol| symbol == name);
        place.map(|place| self.symbols[place]).ok_or_else(|| format!("no symbol `{name}`"))
    }

    /// A function of two expressions; `Err` is the number it is, if it is one.
    fn pair(
        &self,
        pair: &(Index, Index),
        factor: fn(Box<(Expr, Expr)>) -> Factor,
        fold: fn(i64, i64) -> Option<i64>,
    ) -> Compiled<Result<Factor, i64>> {
        let (a, b) = (self.expr(&pair.0)?, self.expr(&pair.1)?);
        let numbers = a.terms.is_empty() && b.terms.is_empty();
        if let Some(number) = fold(a.constant, b.constant).filter(|_| numbers) {
            return Ok(Err(number));
        }
        Ok(Ok(factor(Box::new((a, b)))))
    }
}

/// A loop abreast runs backwards here: what depends on the order of its iterations comes to light.
fn backwards(run: Run) -> Run {
    match run {
        Run::Loop { var, low, high, body, .. } => Run::Backwards { var, low, high, body },
        other => other,
    }
}

pub(super) fn dst(base: usize, ty: Type) -> Dst {
    Dst { base, lanes: usize::from(ty.lanes) }
}
