//! What an expression costs, what kind of nest a stage is, and how often it reads an element.

use super::rewrite::{each, loads};
use mlc_ir::index::Atom;
use mlc_ir::program::{Axis, Expr, ExprKind, Kernel, Stage};
use mlc_ir::tile::{Binary, Monoid, Unary};
use mlc_ir::{Index, Name};
use std::collections::BTreeSet;

/// How dear an expression is to compute again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Moves, converts or makes numbers up.
    View,
    /// A few additions, multiplications, comparisons.
    Cheap,
    /// Divisions, roots, transcendental functions, or much of anything.
    Expensive,
}

/// Operations that an expression may have and still be cheap.
const CHEAP_OPERATIONS: usize = 6;

/// The class of an expression.
pub fn class(expr: &Expr) -> Class {
    let (mut operations, mut expensive) = (0, false);
    each(expr, &mut |node| match node.kind() {
        ExprKind::Math(..) | ExprKind::Unary(Unary::Sqrt, _) => expensive = true,
        ExprKind::Binary(Binary::Div | Binary::Rem, ..) => expensive = true,
        ExprKind::Unary(..) | ExprKind::Binary(..) | ExprKind::Compare(..) | ExprKind::Select(..) => operations += 1,
        _ => {}
    });
    match operations {
        _ if expensive => Class::Expensive,
        0 => Class::View,
        n if n <= CHEAP_OPERATIONS => Class::Cheap,
        _ => Class::Expensive,
    }
}

/// The factors of a contraction: a sum of products in which some axis of the result is missing from one factor, so that
/// elements are used again.
pub fn factors(stage: &Stage) -> Option<(Expr, Expr)> {
    if stage.reduce.as_ref()?.monoid != Monoid::Sum {
        return None;
    }
    let mut value = &stage.value;
    while let ExprKind::Cast(inner) = value.kind() {
        value = inner;
    }
    let ExprKind::Binary(Binary::Mul, a, b) = value.kind() else { return None };
    let (vars_a, vars_b) = (load_vars(a), load_vars(b));
    let again = stage.axes.iter().any(|axis| vars_a.contains(axis) != vars_b.contains(axis));
    (again && !loads(a).is_empty() && !loads(b).is_empty()).then(|| (a.clone(), b.clone()))
}

/// Whether a stage of a kernel is a contraction.
pub fn has_contraction(kernel: &Kernel) -> bool {
    kernel.stages.iter().any(|stage| factors(stage).is_some())
}

/// The axes that the loads of an expression depend on.
pub fn load_vars(expr: &Expr) -> BTreeSet<Name> {
    loads(expr).iter().flat_map(|(_, index)| index.iter().flat_map(Index::vars)).collect()
}

/// The axes inside of divisions, remainders, lookups and the like.
pub fn nonaffine_vars(index: &Index) -> BTreeSet<Name> {
    let mut vars = BTreeSet::new();
    for (atoms, _) in index.terms() {
        let with_vars = atoms.iter().filter(|atom| !Index::atom((*atom).clone()).vars().is_empty()).count();
        for atom in atoms {
            if !matches!(atom, Atom::Var(_) | Atom::Sym(_)) || with_vars > 1 {
                vars.extend(Index::atom(atom.clone()).vars());
            }
        }
    }
    vars
}

/// How often a stage reads each element that one of its loads visits: `None` if that depends on a symbol.
pub fn rereads(stage: &Stage, axes: &[Axis], index: &[Index]) -> Option<i64> {
    let mentioned: BTreeSet<Name> = index.iter().flat_map(Index::vars).collect();
    let nest = stage.axes.iter().chain(stage.reduce.iter().flat_map(|reduce| &reduce.axes));
    let mut factor = 1i64;
    for name in nest.filter(|name| !mentioned.contains(*name)) {
        let extent = &axes.iter().find(|axis| axis.name == *name)?.extent;
        factor = factor.checked_mul(extent.as_const()?)?;
    }
    let extent = |name: &Name| axes.iter().find(|axis| axis.name == *name)?.extent.as_const();
    for name in stage.reduce.iter().flat_map(|reduce| &reduce.axes) {
        for i in index.iter().filter(|i| i.mentions(name)) {
            factor = factor.checked_mul(overlap(i, name, &stage.axes, extent(name)?))?;
        }
    }
    Some(factor)
}

/// How many windows hold an element: `oh + kh` visits one once for each `kh`.
fn overlap(index: &Index, reduced: &Name, own: &[Name], extent: i64) -> i64 {
    let step = |name: &Name| index.linear_in(name).and_then(|(coefficient, _)| coefficient.as_const()).map(i64::abs);
    let reach = step(reduced).unwrap_or(1) * extent;
    let smallest = own.iter().filter(|name| index.mentions(name)).map(|name| step(name).unwrap_or(1).max(1)).min();
    smallest.map_or(1, |stride| (reach + stride - 1) / stride)
}

/// Number of points of some axes, if it is a number.
pub fn points<'a>(kernel: &Kernel, axes: impl IntoIterator<Item = &'a Name>) -> Option<i64> {
    axes.into_iter().try_fold(1i64, |n, name| n.checked_mul(kernel.extent(name)?.as_const()?))
}
