//! Kernels in their simplest form: constants folded, indices and tests folded by the ranges of the axes, axes of extent 1
//! and stages nobody reads left out.

use super::rewrite::{replace_stages, rewrite, substitute};
use mlc_ir::index::Atom;
use mlc_ir::program::{Buffer, Expr, ExprKind, Kernel, Known, Stage, evaluate};
use mlc_ir::tile::{Binary, Compare, InRange, Math};
use mlc_ir::{DType, Facts, Index, Scalar};
use std::collections::HashMap;

/// Simplifies a kernel; `buffers` give the elements of constants.
pub fn simplify(kernel: &Kernel, facts: &Facts, buffers: &[Buffer]) -> Kernel {
    let mut kernel = drop_axes(kernel, facts);
    let facts = kernel.facts(facts);
    let known = |index: &Index| fold_index(index, &facts, buffers);
    for stage in &mut kernel.stages {
        stage.value = simplify_expr(&stage.value, &facts, buffers);
        if let Some(store) = &mut stage.store {
            store.index = store.index.iter().map(known).collect();
            store.only = store.only.iter().map(|test| test.map(&known)).filter(|test| !holds(test, &facts)).collect();
        }
    }
    drop_stages(&mut kernel);
    kernel
}

/// Axes of extent 1 become 0; a fold over none of them is what it folds.
fn drop_axes(kernel: &Kernel, facts: &Facts) -> Kernel {
    let mut kernel = kernel.clone();
    kernel.axes.iter_mut().for_each(|axis| axis.extent = facts.simplify(&axis.extent));
    let ones: HashMap<_, _> =
        kernel.axes.iter().filter(|axis| axis.extent.is(1)).map(|axis| (axis.name.clone(), Index::zero())).collect();
    let facts = kernel.facts(facts);
    for stage in &mut kernel.stages {
        if !ones.is_empty() {
            substitute_stage(stage, &facts, &ones);
        }
        stage.axes.retain(|name| !ones.contains_key(name));
        if let Some(reduce) = &mut stage.reduce {
            reduce.axes.retain(|name| !ones.contains_key(name));
            if reduce.axes.is_empty() {
                stage.reduce = None;
            }
        }
    }
    let used = |stage: &Stage, name: &mlc_ir::Name| {
        stage.axes.contains(name) || stage.reduce.iter().any(|reduce| reduce.axes.contains(name))
    };
    kernel.axes.retain(|axis| kernel.stages.iter().any(|stage| used(stage, &axis.name)));
    kernel
}

/// Replaces axes in a stage's value and store; the lists of its axes stay.
pub fn substitute_stage(stage: &mut Stage, facts: &Facts, axes: &super::rewrite::Substitution) {
    stage.value = substitute(&stage.value, facts, axes);
    let change = |index: &Index| super::rewrite::substitute_index(index, facts, axes);
    if let Some(store) = &mut stage.store {
        store.index = store.index.iter().map(change).collect();
        store.only = store.only.iter().map(|test| test.map(&change)).collect();
    }
}

/// Removes stages that neither store nor are read.
pub fn drop_stages(kernel: &mut Kernel) {
    let count = kernel.stages.len();
    let mut live = vec![false; count];
    for number in (0..count).rev() {
        let stage = &kernel.stages[number];
        live[number] |= stage.store.is_some();
        if live[number] {
            super::rewrite::each(&stage.value, &mut |node| {
                if let ExprKind::Stage(read) = node.kind() {
                    live[*read] = true;
                }
            });
        }
    }
    if live.iter().all(|live| *live) {
        return;
    }
    let numbers: Vec<usize> = (0..count).map(|n| live[..n].iter().filter(|live| **live).count()).collect();
    let mut place = 0..count;
    kernel.stages.retain(|_| place.next().is_some_and(|n| live[n]));
    for stage in &mut kernel.stages {
        let renumbered = |n: usize, node: &Expr| Expr::new(node.dtype(), ExprKind::Stage(numbers[n]));
        stage.value = replace_stages(&stage.value, &renumbered);
    }
    let used = |name: &mlc_ir::Name| {
        kernel.stages.iter().any(|s| s.axes.contains(name) || s.reduce.iter().any(|r| r.axes.contains(name)))
    };
    let axes = std::mem::take(&mut kernel.axes);
    let axes = axes.into_iter().filter(|axis| used(&axis.name)).collect();
    kernel.axes = axes;
}

/// Whether a test always holds. The op files have left out what takes more effort to prove.
fn holds(test: &InRange, facts: &Facts) -> bool {
    test.proven(facts)
}

/// Whether a test never holds.
fn fails(test: &InRange, facts: &Facts) -> bool {
    facts.lt(&test.index, &test.low) || facts.le(&test.high, &test.index)
}

/// An index folded, elements of constants at constant places looked up.
fn fold_index(index: &Index, facts: &Facts, buffers: &[Buffer]) -> Index {
    let looked_up = index.rebuild(facts, &|atom| match atom {
        Atom::At(buffer, at) => match element(&buffers[*buffer as usize], at)? {
            Scalar::Int(n) => Some(Index::from(n)),
            Scalar::Float(_) => None,
        },
        _ => None,
    });
    facts.simplify(&looked_up)
}

/// The element of a constant at a constant place.
fn element(buffer: &Buffer, at: &[Index]) -> Option<Scalar> {
    let tensor = buffer.constant.as_ref()?;
    let mut place = 0usize;
    for (index, &extent) in at.iter().zip(tensor.shape()) {
        let i = usize::try_from(index.as_const()?).ok().filter(|i| *i < extent)?;
        place = place * extent + i;
    }
    Some(tensor.get(place))
}

/// An expression in its simplest form.
pub fn simplify_expr(expr: &Expr, facts: &Facts, buffers: &[Buffer]) -> Expr {
    let known = |index: &Index| fold_index(index, facts, buffers);
    rewrite(expr, &mut |node| match node.kind() {
        ExprKind::Load { buffer, index } => {
            let index: Vec<Index> = index.iter().map(known).collect();
            match element(&buffers[*buffer as usize], &index) {
                Some(value) => Expr::constant(node.dtype(), value),
                None => Expr::load(node.dtype(), *buffer, index),
            }
        }
        ExprKind::Index(index) => Expr::index(known(index)),
        ExprKind::Guard { all, then, otherwise } => {
            let all = all.iter().map(|test| test.map(&known)).collect();
            guard(all, then, *otherwise, facts)
        }
        ExprKind::Cast(inner) => cast(inner, node.dtype()),
        ExprKind::Binary(f, a, b) => binary(*f, a, b).unwrap_or_else(|| fold(node.clone(), facts)),
        ExprKind::Compare(how, a, b) => compare(*how, a, b, facts).unwrap_or_else(|| fold(node.clone(), facts)),
        ExprKind::Select(condition, a, b) => match condition.as_const() {
            Some(value) => if value.int() != 0 { a } else { b }.clone(),
            None if a == b => a.clone(),
            None => node,
        },
        ExprKind::Math(Math::Pow, operands) => {
            power(&operands[0], &operands[1]).unwrap_or_else(|| fold(node.clone(), facts))
        }
        ExprKind::Unary(..) | ExprKind::Math(..) => fold(node, facts),
        _ => node,
    })
}

fn guard(mut all: Vec<InRange>, then: &Expr, otherwise: Scalar, facts: &Facts) -> Expr {
    let constant = Expr::constant(then.dtype(), otherwise);
    if all.iter().any(|test| fails(test, facts)) || *then == constant {
        return constant;
    }
    all.retain(|test| !holds(test, facts));
    match then.kind() {
        ExprKind::Guard { all: inner, then, otherwise: value } if value.same(otherwise) => {
            all.extend(inner.iter().filter(|test| !all.contains(test)).cloned().collect::<Vec<_>>());
            then.clone().guard(all, otherwise)
        }
        _ => then.clone().guard(all, otherwise),
    }
}

fn cast(inner: &Expr, to: DType) -> Expr {
    match inner.kind() {
        ExprKind::Cast(source) if exact(source.dtype(), inner.dtype()) => source.cast(to),
        _ => inner.cast(to),
    }
}

/// Whether every value of `narrow` is one of `wide`.
fn exact(narrow: DType, wide: DType) -> bool {
    match (narrow, wide) {
        (DType::F16 | DType::BF16, DType::F32 | DType::F64) | (DType::F32, DType::F64) => true,
        (DType::U64, _) | (_, DType::U64) => false,
        (DType::Bool, wide) => wide != DType::Bool,
        (narrow, wide) if narrow.is_int() && wide.is_int() => {
            narrow.bytes() < wide.bytes() && (narrow.is_unsigned_int() || wide.is_signed_int())
        }
        _ => false,
    }
}

fn is(expr: &Expr, number: f64) -> bool {
    match expr.as_const() {
        Some(Scalar::Float(x)) => x == number,
        Some(Scalar::Int(n)) => n as f64 == number,
        None => false,
    }
}

/// Identities that hold for every value.
fn binary(f: Binary, a: &Expr, b: &Expr) -> Option<Expr> {
    let truth = a.dtype() == DType::Bool;
    match f {
        Binary::Add if is(b, 0.0) => Some(a.clone()),
        Binary::Add if is(a, 0.0) => Some(b.clone()),
        Binary::Sub if is(b, 0.0) => Some(a.clone()),
        Binary::Mul | Binary::Div if is(b, 1.0) => Some(a.clone()),
        Binary::Mul if is(a, 1.0) => Some(b.clone()),
        Binary::Div if a.dtype().is_float() => match b.as_const()? {
            // The inverse of a power of two is exact.
            Scalar::Float(x) if x.is_normal() && x.to_bits() << 12 == 0 && x.abs() > 1e-30 && x.abs() < 1e30 => {
                (a.as_const().is_none()).then(|| a * (1.0 / x))
            }
            _ => None,
        },
        Binary::And if truth && is(a, 1.0) => Some(b.clone()),
        Binary::And if truth && is(b, 1.0) => Some(a.clone()),
        Binary::And if truth && (is(a, 0.0) || is(b, 0.0)) => Some(Expr::int(DType::Bool, 0)),
        Binary::Or if truth && is(a, 0.0) => Some(b.clone()),
        Binary::Or if truth && is(b, 0.0) => Some(a.clone()),
        Binary::Or if truth && (is(a, 1.0) || is(b, 1.0)) => Some(Expr::int(DType::Bool, 1)),
        _ => None,
    }
}

fn compare(how: Compare, a: &Expr, b: &Expr, facts: &Facts) -> Option<Expr> {
    let index = |e: &Expr| match e.kind() {
        ExprKind::Index(index) => Some(index.clone()),
        ExprKind::Const(Scalar::Int(n)) if e.dtype() == DType::I64 => Some(Index::from(*n)),
        _ => None,
    };
    let (a, b) = (index(a)?, index(b)?);
    let (less, more) = (facts.lt(&a, &b), facts.lt(&b, &a));
    let truth = match how {
        Compare::Eq if a == b => true,
        Compare::Ne if a == b => false,
        Compare::Eq if less || more => false,
        Compare::Ne if less || more => true,
        Compare::Lt if less => true,
        Compare::Lt if facts.le(&b, &a) => false,
        Compare::Le if facts.le(&a, &b) => true,
        Compare::Le if more => false,
        _ => return None,
    };
    Some(Expr::int(DType::Bool, truth.into()))
}

fn power(x: &Expr, by: &Expr) -> Option<Expr> {
    match by.as_const()?.float() {
        1.0 => Some(x.clone()),
        2.0 => Some(x * x),
        3.0 => Some(&(x * x) * x),
        _ => None,
    }
}

/// A node whose operands are numbers is one.
fn fold(node: Expr, facts: &Facts) -> Expr {
    let constant = node.operands().iter().all(|operand| operand.as_const().is_some() && operand.dtype() != DType::U64);
    if !constant {
        return node;
    }
    match evaluate(&node, facts, &|_| None, &|_, _| None) {
        Some(Known::Float(x)) => Expr::float(node.dtype(), x),
        Some(Known::Index(index)) => index.as_const().map_or(node.clone(), |n| Expr::int(node.dtype(), n)),
        None => node,
    }
}
