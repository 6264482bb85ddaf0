//! The textual form of programs and kernels.
//!
//! ```text
//! program net {
//!   symbol n: 1..64
//!   buffer @0 x: f32[n, 8]
//!   buffer @1 'layer/w': f32[8] = constant #x1f3a...
//!   buffer @2 y: f32[n, 8]
//!   inputs @0
//!   outputs @2
//!   kernel softmax [%o0: n, %c0: 8] {
//!     %0 [%o0] = max[%c0] @0[%o0, %c0]
//!     %1 [%o0] = sum[%c0] exp(@0[%o0, %c0] - %0)
//!     %2 [%o0, %c0] = exp(@0[%o0, %c0] - %0) / %1 -> @2[%o0, %c0]
//!   }
//! }
//! ```
//!
//! Numbers are F32 if they have a point and I64 if not; others carry their type: `1:u8`. Conversions are calls named by
//! the type. Constants of a few elements stand in the text, others are named by a hash of their bytes.

mod parse;

use super::{Buffer, Expr, ExprKind, Kernel, Program, Stage, Step, Store, StoreMode};
use crate::text::{write_float, write_name};
use crate::tile::{Binary, Compare, InRange};
use crate::{DType, Index, Name, Scalar, Tensor};
use std::fmt::{self, Write};

/// Constants of at most so many elements are written out.
const SMALL: usize = 8;

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("program ")?;
        write_name(f, &self.name)?;
        f.write_str(" {\n")?;
        for name in symbols(self) {
            let (low, high) = self.facts.symbol_range(&name);
            f.write_str("  symbol ")?;
            write_name(f, &name)?;
            write!(f, ": {low}..")?;
            high.map_or(Ok(()), |high| write!(f, "{high}"))?;
            f.write_char('\n')?;
        }
        for (number, buffer) in self.buffers.iter().enumerate() {
            write_buffer(f, number, buffer)?;
        }
        for (what, list) in [("inputs", &self.inputs), ("outputs", &self.outputs)] {
            let list: Vec<String> = list.iter().map(|buffer| format!("@{buffer}")).collect();
            writeln!(f, "  {what} {}", list.join(", "))?;
        }
        for (input, output) in &self.states {
            writeln!(f, "  state @{input} is @{output}")?;
        }
        for (a, b, node) in &self.limits {
            write!(f, "  limit {a} within {b} at ")?;
            write_name(f, node)?;
            f.write_char('\n')?;
        }
        for (a, b, node) in &self.asserts {
            write!(f, "  assert {a} == {b} at ")?;
            write_name(f, node)?;
            f.write_char('\n')?;
        }
        write_steps(f, &self.body, 2)?;
        f.write_str("}\n")
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write_kernel(f, self, 0)
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write_expr(f, self, 0)
    }
}

/// A number that stands for the bytes of a constant in texts.
pub fn fingerprint(tensor: &Tensor) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    tensor.bytes().iter().fold(0xcbf2_9ce4_8422_2325, step)
}

/// Every symbol that occurs, sorted.
fn symbols(program: &Program) -> std::collections::BTreeSet<Name> {
    let mut found = std::collections::BTreeSet::new();
    program.buffers.iter().flat_map(|buffer| &buffer.shape).for_each(|dim| found.extend(dim.syms()));
    program
        .asserts
        .iter()
        .chain(&program.limits)
        .for_each(|(a, b, _)| found.extend(a.syms().into_iter().chain(b.syms())));
    each_index(&program.body, &mut |index| found.extend(index.syms()));
    found
}

/// Calls `visit` on every index expression in steps.
pub(super) fn each_index(steps: &[Step], visit: &mut dyn FnMut(&Index)) {
    for step in steps {
        match step {
            Step::Kernel(kernel) => {
                kernel.axes.iter().for_each(|axis| visit(&axis.extent));
                for stage in &kernel.stages {
                    stage.value.visit(&mut |node| node.visit_indices(visit));
                    if let Some(store) = &stage.store {
                        store.index.iter().for_each(&mut *visit);
                        store
                            .only
                            .iter()
                            .for_each(|test| [&test.index, &test.low, &test.high].into_iter().for_each(&mut *visit));
                    }
                }
            }
            Step::If { then, otherwise, .. } => {
                each_index(then, visit);
                each_index(otherwise, visit);
            }
            Step::Loop { trips, body, .. } => {
                visit(trips);
                each_index(body, visit);
            }
            Step::Bind(_, index) => visit(index),
        }
    }
}

fn write_buffer(f: &mut dyn Write, number: usize, buffer: &Buffer) -> fmt::Result {
    write!(f, "  buffer @{number} ")?;
    write_name(f, &buffer.name)?;
    write!(f, ": {}{}", buffer.dtype, crate::compute::shape_text(&buffer.shape))?;
    match &buffer.constant {
        None => {}
        Some(tensor) if tensor.len() <= SMALL => {
            f.write_str(" = [")?;
            for (place, scalar) in tensor.scalars().enumerate() {
                f.write_str(if place > 0 { ", " } else { "" })?;
                write_scalar(f, scalar)?;
            }
            f.write_str("]")?;
        }
        Some(tensor) => write!(f, " = constant #x{:x}", fingerprint(tensor))?,
    }
    f.write_char('\n')
}

fn write_steps(f: &mut dyn Write, steps: &[Step], depth: usize) -> fmt::Result {
    let pad = " ".repeat(depth);
    for step in steps {
        match step {
            Step::Kernel(kernel) => write_kernel(f, kernel, depth)?,
            Step::If { condition, then, otherwise } => {
                writeln!(f, "{pad}if @{condition} {{")?;
                write_steps(f, then, depth + 2)?;
                writeln!(f, "{pad}}} else {{")?;
                write_steps(f, otherwise, depth + 2)?;
                writeln!(f, "{pad}}}")?;
            }
            Step::Loop { counter, trips, condition, ran, body } => {
                write!(f, "{pad}loop ")?;
                write_name(f, counter)?;
                write!(f, " in {trips}")?;
                condition.map_or(Ok(()), |buffer| write!(f, " while @{buffer}"))?;
                if let Some(ran) = ran {
                    f.write_str(" ran ")?;
                    write_name(f, ran)?;
                }
                f.write_str(" {\n")?;
                write_steps(f, body, depth + 2)?;
                writeln!(f, "{pad}}}")?;
            }
            Step::Bind(name, index) => {
                write!(f, "{pad}bind ")?;
                write_name(f, name)?;
                writeln!(f, " = {index}")?;
            }
        }
    }
    Ok(())
}

fn write_kernel(f: &mut dyn Write, kernel: &Kernel, depth: usize) -> fmt::Result {
    let pad = " ".repeat(depth);
    write!(f, "{pad}kernel ")?;
    write_name(f, &kernel.name)?;
    let axes: Vec<String> = kernel.axes.iter().map(|axis| format!("%{}: {}", axis.name, axis.extent)).collect();
    writeln!(f, " [{}] {{", axes.join(", "))?;
    for (number, stage) in kernel.stages.iter().enumerate() {
        write!(f, "{pad}  %{number} ")?;
        write_stage(f, stage)?;
        f.write_char('\n')?;
    }
    writeln!(f, "{pad}}}")
}

fn write_stage(f: &mut dyn Write, stage: &Stage) -> fmt::Result {
    let list = |names: &[Name]| names.iter().map(|name| format!("%{name}")).collect::<Vec<_>>().join(", ");
    write!(f, "[{}] = ", list(&stage.axes))?;
    if let Some(reduce) = &stage.reduce {
        write!(f, "{}[{}] ", reduce.monoid.name(), list(&reduce.axes))?;
    }
    write_expr(f, &stage.value, 0)?;
    stage.store.as_ref().map_or(Ok(()), |store| write_store(f, store))
}

fn write_store(f: &mut dyn Write, store: &Store) -> fmt::Result {
    f.write_str(" -> ")?;
    match store.mode {
        StoreMode::Set => {}
        StoreMode::Scatter => f.write_str("scatter ")?,
        StoreMode::Combine(monoid) => write!(f, "combine {} ", monoid.name())?,
    }
    write!(f, "@{}{}", store.buffer, crate::compute::shape_text(&store.index))?;
    if !store.only.is_empty() {
        f.write_str(" only ")?;
        write_tests(f, &store.only)?;
    }
    Ok(())
}

fn write_tests(f: &mut dyn Write, tests: &[InRange]) -> fmt::Result {
    for (place, test) in tests.iter().enumerate() {
        let comma = if place > 0 { ", " } else { "" };
        write!(f, "{comma}{} in {}..{}", test.index, test.low, test.high)?;
    }
    Ok(())
}

fn write_scalar(f: &mut dyn Write, scalar: Scalar) -> fmt::Result {
    match scalar {
        Scalar::Float(x) => write_float(f, x),
        Scalar::Int(n) => write!(f, "{n}"),
    }
}

/// The mark of an operator that stands between its operands, and how tightly it binds.
fn infix(kind: &ExprKind) -> Option<(&'static str, u32)> {
    Some(match kind {
        ExprKind::Compare(Compare::Eq, ..) => ("==", 1),
        ExprKind::Compare(Compare::Ne, ..) => ("!=", 1),
        ExprKind::Compare(Compare::Lt, ..) => ("<", 1),
        ExprKind::Compare(Compare::Le, ..) => ("<=", 1),
        ExprKind::Binary(Binary::Add, ..) => ("+", 2),
        ExprKind::Binary(Binary::Sub, ..) => ("-", 2),
        ExprKind::Binary(Binary::Mul, ..) => ("*", 3),
        ExprKind::Binary(Binary::Div, ..) => ("/", 3),
        _ => return None,
    })
}

/// Writes an expression, in parentheses if it binds less tightly than `around`.
fn write_expr(f: &mut dyn Write, expr: &Expr, around: u32) -> fmt::Result {
    if let (Some((mark, strength)), [a, b]) = (infix(expr.kind()), expr.operands().as_slice()) {
        f.write_str(if strength < around { "(" } else { "" })?;
        // Comparisons do not chain.
        write_expr(f, a, if strength == 1 { 2 } else { strength })?;
        write!(f, " {mark} ")?;
        write_expr(f, b, strength + 1)?;
        return f.write_str(if strength < around { ")" } else { "" });
    }
    match expr.kind() {
        ExprKind::Const(value) => write_constant(f, *value, expr.dtype()),
        ExprKind::Load { buffer, index } => write!(f, "@{buffer}{}", crate::compute::shape_text(index)),
        ExprKind::Index(index) => write!(f, "index({index})"),
        ExprKind::Stage(number) => write!(f, "%{number}"),
        ExprKind::Guard { all, then, otherwise } => {
            f.write_str("guard(")?;
            write_expr(f, then, 0)?;
            f.write_str(" else ")?;
            write_scalar(f, *otherwise)?;
            f.write_str(" | ")?;
            write_tests(f, all)?;
            f.write_str(")")
        }
        ExprKind::Unary(function, _) => write_call(f, function.name(), expr),
        ExprKind::Binary(function, ..) => write_call(f, function.name(), expr),
        ExprKind::Math(function, _) => write_call(f, function.name(), expr),
        ExprKind::Select(..) => write_call(f, "select", expr),
        ExprKind::Cast(_) => write_call(f, expr.dtype().name(), expr),
        ExprKind::Bitcast(_) => write_call(f, &format!("bits.{}", expr.dtype()), expr),
        ExprKind::Compare(..) => unreachable!("comparisons stand between their operands"),
    }
}

fn write_call(f: &mut dyn Write, name: &str, expr: &Expr) -> fmt::Result {
    write!(f, "{name}(")?;
    for (place, operand) in expr.operands().into_iter().enumerate() {
        f.write_str(if place > 0 { ", " } else { "" })?;
        write_expr(f, operand, 0)?;
    }
    f.write_str(")")
}

fn write_constant(f: &mut dyn Write, value: Scalar, dtype: DType) -> fmt::Result {
    match (value, dtype) {
        (Scalar::Int(0), DType::Bool) => return f.write_str("false"),
        (Scalar::Int(_), DType::Bool) => return f.write_str("true"),
        _ => write_scalar(f, value)?,
    }
    if matches!(dtype, DType::F32 | DType::I64) { Ok(()) } else { write!(f, ":{dtype}") }
}
