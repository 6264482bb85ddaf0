//! Rewriting of expressions that keeps what is shared shared.

use mlc_ir::index::Atom;
use mlc_ir::program::{Expr, ExprKind, Kernel, Stage};
use mlc_ir::tile::InRange;
use mlc_ir::{Facts, Index, Name};
use std::collections::{HashMap, HashSet};

/// The expression rebuilt from the leaves up; `change` gets every node once, with its operands already changed.
pub fn rewrite(expr: &Expr, change: &mut dyn FnMut(Expr) -> Expr) -> Expr {
    go(expr, change, &mut HashMap::new())
}

fn go(expr: &Expr, change: &mut dyn FnMut(Expr) -> Expr, done: &mut HashMap<usize, Expr>) -> Expr {
    if let Some(known) = done.get(&expr.id()) {
        return known.clone();
    }
    let operands: Vec<Expr> = expr.operands().into_iter().map(|operand| go(operand, change, done)).collect();
    let same = operands.iter().zip(expr.operands()).all(|(a, b)| a.id() == b.id());
    let node = if same { expr.clone() } else { with_operands(expr, operands) };
    let result = change(node);
    done.insert(expr.id(), result.clone());
    result
}

/// The same node over other operands.
fn with_operands(expr: &Expr, operands: Vec<Expr>) -> Expr {
    let mut operands = operands.into_iter();
    let mut next = || operands.next().expect("as many operands as before");
    let kind = match expr.kind() {
        leaf @ (ExprKind::Const(_) | ExprKind::Load { .. } | ExprKind::Index(_) | ExprKind::Stage(_)) => leaf.clone(),
        ExprKind::Guard { all, otherwise, .. } => {
            ExprKind::Guard { all: all.clone(), then: next(), otherwise: *otherwise }
        }
        ExprKind::Unary(f, _) => ExprKind::Unary(*f, next()),
        ExprKind::Cast(_) => ExprKind::Cast(next()),
        ExprKind::Bitcast(_) => ExprKind::Bitcast(next()),
        ExprKind::Binary(f, ..) => ExprKind::Binary(*f, next(), next()),
        ExprKind::Compare(f, ..) => ExprKind::Compare(*f, next(), next()),
        ExprKind::Select(..) => ExprKind::Select(next(), next(), next()),
        ExprKind::Math(f, operands) => ExprKind::Math(*f, operands.iter().map(|_| next()).collect()),
    };
    Expr::new(expr.dtype(), kind)
}

/// Calls `visit` on every node once, however often it is shared; operands first.
pub fn each(expr: &Expr, visit: &mut dyn FnMut(&Expr)) {
    fn go(expr: &Expr, visit: &mut dyn FnMut(&Expr), seen: &mut HashSet<usize>) {
        if seen.insert(expr.id()) {
            expr.operands().into_iter().for_each(|operand| go(operand, visit, seen));
            visit(expr);
        }
    }
    go(expr, visit, &mut HashSet::new());
}

/// Number of nodes, shared ones counted once for each use.
pub fn tree_size(expr: &Expr) -> usize {
    fn go(expr: &Expr, known: &mut HashMap<usize, usize>) -> usize {
        if let Some(size) = known.get(&expr.id()) {
            return *size;
        }
        let size = expr.operands().into_iter().fold(1usize, |n, operand| n.saturating_add(go(operand, known)));
        known.insert(expr.id(), size);
        size
    }
    go(expr, &mut HashMap::new())
}

/// What axes become.
pub type Substitution = HashMap<Name, Index>;

/// An index with axes replaced, folded by `facts` of the new axes.
pub fn substitute_index(index: &Index, facts: &Facts, axes: &Substitution) -> Index {
    let replaced = index.rebuild(facts, &|atom| match atom {
        Atom::Var(name) => axes.get(name).cloned(),
        _ => None,
    });
    facts.simplify(&replaced)
}

/// An expression with axes replaced.
pub fn substitute(expr: &Expr, facts: &Facts, axes: &Substitution) -> Expr {
    map_indices(expr, &|index| substitute_index(index, facts, axes))
}

/// An expression with every index expression rewritten.
pub fn map_indices(expr: &Expr, change: &dyn Fn(&Index) -> Index) -> Expr {
    rewrite(expr, &mut |node| match node.kind() {
        ExprKind::Load { buffer, index } => Expr::load(node.dtype(), *buffer, index.iter().map(change).collect()),
        ExprKind::Index(index) => Expr::index(change(index)),
        ExprKind::Guard { all, then, otherwise } => {
            let all = all.iter().map(|test| test.map(change)).collect();
            Expr::new(node.dtype(), ExprKind::Guard { all, then: then.clone(), otherwise: *otherwise })
        }
        _ => node,
    })
}

/// A stage with every index expression of its value and store rewritten.
pub fn map_stage_indices(stage: &Stage, change: &dyn Fn(&Index) -> Index) -> Stage {
    let mut stage = stage.clone();
    stage.value = map_indices(&stage.value, change);
    if let Some(store) = &mut stage.store {
        store.index = store.index.iter().map(change).collect();
        store.only = store.only.iter().map(|test| test.map(change)).collect();
    }
    stage
}

/// Every load of an expression, each once: buffer and index.
pub fn loads(expr: &Expr) -> Vec<(u32, Vec<Index>)> {
    let mut found: Vec<(u32, Vec<Index>)> = Vec::new();
    each(expr, &mut |node| {
        if let ExprKind::Load { buffer, index } = node.kind()
            && !found.iter().any(|(b, i)| b == buffer && i == index)
        {
            found.push((*buffer, index.clone()));
        }
    });
    found
}

/// Calls `visit` on every index expression of a stage.
pub fn each_index(stage: &Stage, visit: &mut dyn FnMut(&Index)) {
    each(&stage.value, &mut |node| node.visit_indices(visit));
    if let Some(store) = &stage.store {
        store.index.iter().for_each(&mut *visit);
        store.only.iter().for_each(|test| range_indices(test, visit));
    }
}

fn range_indices(test: &InRange, visit: &mut dyn FnMut(&Index)) {
    visit(&test.index);
    visit(&test.low);
    visit(&test.high);
}

/// Whether an index expression of a kernel looks into a buffer.
pub fn looks_up(kernel: &Kernel, buffer: u32) -> bool {
    let mut found = Vec::new();
    for stage in &kernel.stages {
        each_index(stage, &mut |index| mlc_ir::program::lookups(index, &mut found));
    }
    found.contains(&buffer)
}

/// Puts a stage before another; nobody reads it yet.
pub fn insert_stage(kernel: &mut Kernel, at: usize, stage: Stage) {
    let moved = |n: usize, node: &Expr| Expr::new(node.dtype(), ExprKind::Stage(n + usize::from(n >= at)));
    kernel.stages.iter_mut().for_each(|stage| stage.value = replace_stages(&stage.value, &moved));
    kernel.stages.insert(at, stage);
}

/// Stage numbers in an expression replaced.
pub fn replace_stages(expr: &Expr, with: &dyn Fn(usize, &Expr) -> Expr) -> Expr {
    rewrite(expr, &mut |node| match node.kind() {
        ExprKind::Stage(number) => with(*number, &node),
        _ => node,
    })
}

/// How often an expression reads each stage, shared nodes counted once for each use.
pub fn stage_uses(expr: &Expr, count: usize) -> Vec<usize> {
    let mut uses = vec![0; count];
    expr.visit(&mut |node| {
        if let ExprKind::Stage(number) = node.kind() {
            uses[*number] += 1;
        }
    });
    uses
}
