//! Parts that are dear to compute and stand in several stages of a kernel: they become a stage of their own, so that what
//! they give is kept instead of computed again.
//!
//! In: a kernel.  Out: the same with more stages.
//! Invariant: a part mentions inner axes, else it is hoisted anyway, and the stages that have it loop over no other.

use super::cost::{Class, class};
use super::rewrite::{each, insert_stage, rewrite};
use mlc_ir::Name;
use mlc_ir::program::{Expr, ExprKind, Kernel, Stage};

/// Gives each dear part that several stages have a stage of its own.
pub fn share(kernel: &mut Kernel) {
    while let Some((first, part, axes)) = find(kernel) {
        insert_stage(kernel, first, Stage { axes, reduce: None, value: part.clone(), store: None });
        let shared = Expr::new(part.dtype(), ExprKind::Stage(first));
        for stage in &mut kernel.stages[first + 1..] {
            stage.value = rewrite(&stage.value, &mut |node| if node == part { shared.clone() } else { node });
        }
    }
}

/// The largest such part, its axes, and the first stage that has it.
fn find(kernel: &Kernel) -> Option<(usize, Expr, Vec<Name>)> {
    let outer = kernel.outer_axes();
    for (number, stage) in kernel.stages.iter().enumerate() {
        let mut parts: Vec<Expr> = Vec::new();
        unguarded(&stage.value, &mut |node| {
            if dear(node) && kernel.stages[number + 1..].iter().any(|later| has(&later.value, node)) {
                parts.push(node.clone());
            }
        });
        let nest =
            |stage: &Stage| stage.axes.iter().chain(stage.reduce.iter().flat_map(|r| &r.axes)).cloned().collect();
        let axes: Vec<Name> = nest(stage);
        // Operands come before what they belong to.
        let inner = |part: &Expr| axes_of(kernel, part).iter().filter(|axis| !outer.contains(axis)).count();
        let all = axes.iter().filter(|axis| !outer.contains(axis)).count();
        if let Some(part) = parts.into_iter().rev().find(|part| inner(part) == all && all > 0) {
            return Some((number, part, axes));
        }
    }
    None
}

fn dear(node: &Expr) -> bool {
    !matches!(node.kind(), ExprKind::Cast(_)) && class(node) == Class::Expensive
}

/// Visits what is evaluated whatever tests say, operands first.
fn unguarded(expr: &Expr, visit: &mut dyn FnMut(&Expr)) {
    if !matches!(expr.kind(), ExprKind::Guard { .. }) {
        expr.operands().into_iter().for_each(|operand| unguarded(operand, visit));
    }
    visit(expr);
}

fn has(expr: &Expr, part: &Expr) -> bool {
    let mut found = false;
    each(expr, &mut |node| found |= node == part);
    found
}

/// The axes an expression depends on.
fn axes_of(kernel: &Kernel, expr: &Expr) -> std::collections::BTreeSet<Name> {
    let mut axes = std::collections::BTreeSet::new();
    each(expr, &mut |node| {
        if let ExprKind::Stage(stage) = node.kind() {
            axes.extend(kernel.stages[*stage].axes.iter().cloned());
        }
        node.visit_indices(&mut |index| axes.extend(index.vars()));
    });
    axes
}
