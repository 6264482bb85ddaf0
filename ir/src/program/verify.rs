//! Checks a program.
//!
//! | what | must hold |
//! |---|---|
//! | buffers | every number is one of a buffer; inputs are no constants; what is written is neither input nor constant |
//! | order | a buffer is written before it is read, also by indices, conditions and results; a branch counts as taken |
//! | symbols | occur in the shapes of inputs, or are bound before they are used |
//! | axes | names are unique in a kernel; extents mention no axis |
//! | stages | own and folded axes are axes of the kernel, each once |
//! | stage values | read later, by stages that have all their axes, in their type |
//! | indices | one for each dim of the buffer; they mention only axes of the nest (stores: only own axes) |
//! | types | loads have the buffer's type; operands agree; conditions are `Bool`; 16-bit floats are only moved and converted |
//!
//! That indices are in bounds is proven where the ranges of axes, symbols and guards are enough; what is not proven is
//! returned as warnings, since it may depend on data.

use super::{Expr, ExprKind, Kernel, Program, Stage, Step, StoreMode};
use crate::index::Atom;
use crate::tile::{Binary, InRange, Unary};
use crate::{DType, Error, Facts, Index, Name, Result};
use std::collections::HashSet;

/// Checks every invariant; what could not be proven to be in bounds is returned.
///
/// # Errors
/// Names the first kernel that breaks a rule, and how.
pub fn verify(program: &Program) -> Result<Vec<String>> {
    let mut verifier = Verifier {
        program,
        written: program.inputs.iter().copied().chain(program.states.iter().map(|state| state.1)).collect(),
        symbols: HashSet::new(),
        warnings: vec![],
    };
    for (number, buffer) in program.buffers.iter().enumerate() {
        if buffer.constant.is_some() && !verifier.written.insert(number as u32) {
            return Err(Error::internal(format!("input @{number} is a constant")));
        }
    }
    for &input in &program.inputs {
        let buffer = verifier.buffer(input)?;
        buffer.shape.iter().for_each(|dim| verifier.symbols.extend(dim.syms()));
    }
    program.states.iter().try_for_each(|state| verifier.state(*state))?;
    verifier.steps(&program.body)?;
    program.outputs.iter().try_for_each(|&output| verifier.readable(output))?;
    Ok(verifier.warnings)
}

struct Verifier<'a> {
    program: &'a Program,
    written: HashSet<u32>,
    symbols: HashSet<Name>,
    warnings: Vec<String>,
}

impl<'a> Verifier<'a> {
    fn buffer(&self, number: u32) -> Result<&'a super::Buffer> {
        let buffer = self.program.buffers.get(number as usize);
        buffer.ok_or_else(|| Error::internal(format!("there is no buffer @{number}")))
    }

    fn readable(&self, number: u32) -> Result<()> {
        self.buffer(number)?;
        if self.written.contains(&number) {
            return Ok(());
        }
        Err(Error::internal(format!("buffer @{number} is read before it is written")))
    }

    /// An input and an output of one type and shape.
    fn state(&self, (input, output): (u32, u32)) -> Result<()> {
        let (from, to) = (self.buffer(input)?, self.buffer(output)?);
        let listed = self.program.inputs.contains(&input) && self.program.outputs.contains(&output);
        if listed && from.dtype == to.dtype && from.shape == to.shape {
            return Ok(());
        }
        Err(Error::internal(format!("state @{input} is @{output}: no input and output of one type and shape")))
    }

    fn steps(&mut self, steps: &[Step]) -> Result<()> {
        for step in steps {
            match step {
                Step::Kernel(kernel) => self.kernel(kernel).map_err(|e| e.at(&kernel.name))?,
                Step::If { condition, then, otherwise } => {
                    self.condition(*condition)?;
                    self.steps(then)?;
                    self.steps(otherwise)?;
                }
                Step::Loop { counter, trips, condition, ran, body } => {
                    self.plain(trips)?;
                    condition.map_or(Ok(()), |buffer| self.condition(buffer))?;
                    self.symbols.insert(counter.clone());
                    self.steps(body)?;
                    self.symbols.extend(ran.clone());
                }
                Step::Bind(name, index) => {
                    self.plain(index)?;
                    self.symbols.insert(name.clone());
                }
            }
        }
        Ok(())
    }

    fn condition(&self, buffer: u32) -> Result<()> {
        self.readable(buffer)?;
        if self.buffer(buffer)?.dtype == DType::Bool {
            return Ok(());
        }
        Err(Error::internal(format!("condition @{buffer} is no `Bool`")))
    }

    /// An index outside of kernels: over symbols and lookups.
    fn plain(&self, index: &Index) -> Result<()> {
        self.index(index, &HashSet::new())
    }

    fn index(&self, index: &Index, axes: &HashSet<&Name>) -> Result<()> {
        let mut result = Ok(());
        index.visit(&mut |atom| {
            let fault = match atom {
                Atom::Var(name) if !axes.contains(name) => format!("`{index}` mentions %{name}, no axis of its nest"),
                Atom::Sym(name) if !self.symbols.contains(name) => format!("symbol `{name}` has no value yet"),
                Atom::At(buffer, at) => match self.readable(*buffer).and_then(|()| self.rank(*buffer, at)) {
                    Ok(()) => return,
                    Err(e) => e.message,
                },
                _ => return,
            };
            if result.is_ok() {
                result = Err(Error::internal(fault));
            }
        });
        result
    }

    fn rank(&self, buffer: u32, index: &[Index]) -> Result<()> {
        let rank = self.buffer(buffer)?.shape.len();
        if rank == index.len() {
            return Ok(());
        }
        Err(Error::internal(format!("buffer @{buffer} of rank {rank} has {} indices", index.len())))
    }

    fn kernel(&mut self, kernel: &Kernel) -> Result<()> {
        let names: HashSet<&Name> = kernel.axes.iter().map(|axis| &axis.name).collect();
        if names.len() != kernel.axes.len() {
            return Err(Error::internal("two axes have one name"));
        }
        kernel.axes.iter().try_for_each(|axis| self.plain(&axis.extent))?;
        let facts = kernel.facts(&self.program.facts);
        for number in 0..kernel.stages.len() {
            self.stage(kernel, number, &names, &facts).map_err(|mut e| {
                e.message = format!("stage %{number}: {}", e.message);
                e
            })?;
        }
        Ok(())
    }

    fn stage(&mut self, kernel: &Kernel, number: usize, names: &HashSet<&Name>, facts: &Facts) -> Result<()> {
        let stage = &kernel.stages[number];
        let nest: HashSet<&Name> = nest(stage).collect();
        if nest.len() != nest_len(stage) || !nest.is_subset(names) {
            return Err(Error::internal("its axes are not distinct axes of the kernel"));
        }
        let mut walk =
            Walk { verifier: self, kernel, number, nest: &nest, kernel_name: &kernel.name, seen: HashSet::new() };
        walk.expr(&stage.value, facts)?;
        let Some(store) = &stage.store else { return Ok(()) };
        let buffer = self.buffer(store.buffer)?;
        self.rank(store.buffer, &store.index)?;
        if buffer.constant.is_some() || self.program.inputs.contains(&store.buffer) {
            return Err(Error::internal(format!("it writes @{}, an input or constant", store.buffer)));
        }
        if matches!(store.mode, StoreMode::Combine(_)) {
            self.readable(store.buffer)?;
        }
        let own: HashSet<&Name> = stage.axes.iter().collect();
        let tests = store.only.iter().flat_map(|test| [&test.index, &test.low, &test.high]);
        store.index.iter().chain(tests).try_for_each(|index| self.index(index, &own))?;
        let facts = assume(facts, &store.only);
        self.bounds(&kernel.name, "a store", store.buffer, &store.index, &facts);
        self.written.insert(store.buffer);
        Ok(())
    }

    fn bounds(&mut self, kernel: &Name, what: &str, buffer: u32, index: &[Index], facts: &Facts) {
        let Ok(shape) = self.buffer(buffer).map(|buffer| &buffer.shape) else { return };
        for (dim, (i, extent)) in index.iter().zip(shape).enumerate() {
            let inside = facts.within(i, extent) || facts.proves(i) && facts.proves(&(extent.clone() - i.clone() - 1));
            if !inside {
                let place = format!("dim {dim} of @{buffer}");
                self.warnings
                    .push(format!("kernel `{kernel}`: {what} of {place} at `{i}` is not proven below {extent}"));
            }
        }
    }
}

fn nest(stage: &Stage) -> impl Iterator<Item = &Name> {
    stage.axes.iter().chain(stage.reduce.iter().flat_map(|reduce| &reduce.axes))
}

fn nest_len(stage: &Stage) -> usize {
    nest(stage).count()
}

/// Facts where tests hold.
fn assume(facts: &Facts, tests: &[InRange]) -> Facts {
    let mut facts = facts.clone();
    for test in tests {
        facts.assume(test.index.clone() - test.low.clone());
        facts.assume(test.high.clone() - test.index.clone() - 1);
    }
    facts
}

/// Through the expression of a stage, every node once under the same guards.
struct Walk<'v, 'a, 'k> {
    verifier: &'v mut Verifier<'a>,
    kernel: &'k Kernel,
    number: usize,
    nest: &'k HashSet<&'k Name>,
    kernel_name: &'k Name,
    seen: HashSet<usize>,
}

impl Walk<'_, '_, '_> {
    fn expr(&mut self, expr: &Expr, facts: &Facts) -> Result<()> {
        if !self.seen.insert(expr.id()) {
            return Ok(());
        }
        let mut result = Ok(());
        expr.visit_indices(&mut |index| {
            if result.is_ok() {
                result = self.verifier.index(index, self.nest);
            }
        });
        result?;
        match expr.kind() {
            ExprKind::Guard { all, then, .. } => self.expr(then, &assume(facts, all))?,
            _ => expr.operands().into_iter().try_for_each(|operand| self.expr(operand, facts))?,
        }
        if let ExprKind::Load { buffer, index } = expr.kind() {
            self.verifier.readable(*buffer)?;
            self.verifier.rank(*buffer, index)?;
            self.verifier.bounds(self.kernel_name, "a read", *buffer, index, facts);
        }
        self.types(expr).map_err(|why| Error::internal(format!("`{expr}` {why}")))
    }

    fn types(&self, expr: &Expr) -> std::result::Result<(), &'static str> {
        let dtype = expr.dtype();
        let operands = expr.operands();
        let same = operands.iter().all(|operand| operand.dtype() == dtype);
        let check = |holds: bool, why: &'static str| if holds { Ok(()) } else { Err(why) };
        match expr.kind() {
            ExprKind::Const(value) => check(
                dtype.is_float() == matches!(value, crate::Scalar::Float(_)),
                "is a number of another kind than its type",
            ),
            ExprKind::Load { buffer, .. } => {
                check(self.verifier.program.buffer(*buffer).dtype == dtype, "has another type than its buffer")
            }
            ExprKind::Index(_) => check(dtype == DType::I64, "is an index of another type than I64"),
            ExprKind::Stage(number) => {
                let read = self.kernel.stages.get(*number).filter(|_| *number < self.number);
                let read = read.ok_or("is no earlier stage")?;
                check(read.value.dtype() == dtype, "has another type than the stage")?;
                check(read.axes.iter().all(|axis| self.nest.contains(axis)), "has axes that its reader has not")
            }
            ExprKind::Guard { .. } => check(same, "has another type than what it guards"),
            ExprKind::Cast(_) => Ok(()),
            ExprKind::Bitcast(inner) => check(inner.dtype().bytes() == dtype.bytes(), "changes the size"),
            ExprKind::Compare(_, a, b) => {
                check(dtype == DType::Bool && a.dtype() == b.dtype(), "compares different types")
            }
            ExprKind::Select(condition, a, b) => check(
                condition.dtype() == DType::Bool && a.dtype() == dtype && b.dtype() == dtype,
                "selects by something else than a `Bool`, or different types",
            ),
            ExprKind::Unary(Unary::Not, _) => check(same && !dtype.is_float(), "negates the bits of a float"),
            ExprKind::Unary(Unary::Neg | Unary::Abs, _) => check(same && computes(dtype), "has wrong types"),
            ExprKind::Unary(..) => check(same && computes(dtype) && dtype.is_float(), "has wrong types"),
            ExprKind::Binary(Binary::And | Binary::Or | Binary::Xor | Binary::Shl | Binary::Shr, ..) => {
                check(same && !dtype.is_float(), "combines bits of floats or of different types")
            }
            ExprKind::Binary(..) => check(same && computes(dtype), "has operands of different or 16-bit types"),
            ExprKind::Math(function, operands) => {
                let float = matches!(dtype, DType::F32 | DType::F64);
                check(same && float && operands.len() == function.arity(), "is no function of such operands")
            }
        }
    }
}

/// Whether arithmetic is done in a type.
fn computes(dtype: DType) -> bool {
    !dtype.is_half()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOFTMAX: &str = "
program net {
  symbol n: 1..64
  buffer @0 x: f32[n, 8]
  buffer @1 'layer/w': f32[2] = [0.5, -1.25]
  buffer @2 y: f16[n, 8]
  inputs @0
  outputs @2
  kernel softmax [%o0: n, %c0: 8] {
    %0 [%o0] = max[%c0] @0[%o0, %c0]
    %1 [%o0] = sum[%c0] exp(@0[%o0, %c0] - %0)
    %2 [%o0, %c0] = exp(@0[%o0, %c0] - %0) / %1 * (@1[1] + 2.0) -> @2[%o0, %c0]
  }
}
";

    fn parse(text: &str) -> Program {
        Program::parse(text, &|_| None).unwrap_or_else(|e| panic!("{e}\n{text}"))
    }

    #[test]
    fn texts_read_back() {
        let printed = parse(SOFTMAX).to_string();
        assert_eq!(printed.trim(), SOFTMAX.trim());
        assert_eq!(parse(&printed).to_string(), printed);
        assert_eq!(verify(&parse(SOFTMAX)).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn every_form_reads_back() {
        let body = "
  loop i in n while @1 ran r {
    bind m = at(@2, i) + 1
    if @1 {
      kernel 'a/b' [%o0: n, %o1: 4] {
        %0 [%o0, %o1] = guard(@0[%o0 - 1, %o1] else 0.0 | %o0 - 1 in 0..n) + f32(1:i32 - -2:i32)
        %1 [%o0, %o1] = select(%0 < 1.0, max(%0, -#inf), pow(%0, 2.5)) -> scatter @3[%o0, %o1] only %o1 in 1..3
      }
    } else {
      kernel c [%c0: n] {
        %0 [] = or[%c0] index(%c0 + 1) == 3 -> @1[]
        %1 [] = i64(f64(0.1:f64) <= 2.0:f64) + bits.i64(1.0:f64) * 2 -> combine sum @2[0]
      }
    }
  }
";
        let head = "program p {\n  symbol n: 0..\n  buffer @0 x: f32[n, 4]\n  buffer @1 c: bool[]\n  buffer @2 t: i64[3]\n  buffer @3 y: f32[n, 4]\n";
        let text = format!("{head}  inputs @0, @1, @2\n  outputs @3\n{body}}}\n");
        let printed = parse(&text).to_string();
        assert_eq!(parse(&printed).to_string(), printed);
        assert!(printed.contains("scatter @3[%o0, %o1] only %o1 in 1..3"), "{printed}");
    }

    #[test]
    fn faults_are_found() {
        let faults = [
            ("@0[%o0, %c0] - %0)\n", "@0[%o0, %o0, %c0] - %0)\n", "rank"),
            ("max[%c0] @0[%o0, %c0]", "max[%c0] f32(@2[%o0, %c0])", "before it is written"),
            ("outputs @2", "outputs @1, @2", ""),
            ("%1 [%o0] =", "%1 [] =", "no axis of its nest"),
            ("/ %1", "/ f32(true) + 1.0", ""),
            ("-> @2", "-> @0", "input or constant"),
            ("[%o0: n,", "[%o0: m,", "has no value"),
            ("max[%c0]", "max[%o0]", "distinct"),
        ];
        for (from, to, message) in faults {
            let result = verify(&parse(&SOFTMAX.replace(from, to)));
            match (result, message) {
                (Ok(_), "") => {}
                (Err(e), _) if !message.is_empty() && e.message.contains(message) => {}
                (other, _) => panic!("{to}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_is_not_proven_is_a_warning() {
        let text = SOFTMAX.replace("exp(@0[%o0, %c0] - %0) / %1", "@0[%o0, %c0 + 1]");
        assert_eq!(verify(&parse(&text)).unwrap().len(), 1);
        let guarded =
            SOFTMAX.replace("exp(@0[%o0, %c0] - %0) / %1", "guard(@0[%o0, %c0 + 1] else 0.0 | %c0 + 1 in 0..8)");
        assert_eq!(verify(&parse(&guarded)).unwrap(), Vec::<String>::new());
    }
}
