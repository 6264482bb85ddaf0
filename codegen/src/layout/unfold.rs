//! Weights that a target cannot convert where they are read: computed while building instead.
//!
//! In: a program whose folds may read `f32(q[k, n])`.  Out: for targets that have no instruction for this conversion, the
//! same over constants that are stored as they are computed with.

use super::assign::for_kernels;
use crate::schedule::loads;
use mlc_ir::program::{Axis, Buffer, Expr, ExprKind, Kernel, Program, interp};
use mlc_ir::target::Target;
use mlc_ir::{DType, Index, Name};

/// Computes what folds convert.
pub(super) fn unfold(program: &mut Program, target: &Target) {
    let mut body = std::mem::take(&mut program.body);
    let mut known: Vec<(Expr, Vec<Name>, u32)> = Vec::new();
    for_kernels(&mut body, &mut |kernel| {
        for number in 0..kernel.stages.len() {
            if kernel.stages[number].reduce.is_none() {
                continue;
            }
            while let Some(part) = find(&kernel.stages[number].value, program, target) {
                let axes: Vec<Name> = axes(&part);
                let before = known.iter().find(|it| it.0 == part && it.1 == axes).map(|it| it.2);
                let Some(buffer) = before.or_else(|| compute(&part, &axes, kernel, program)) else { break };
                let place = axes.iter().map(|axis| Index::var(axis.clone())).collect();
                known.push((part.clone(), axes, buffer));
                let read = Expr::load(part.dtype(), buffer, place);
                let stage = &mut kernel.stages[number];
                stage.value = stage.value.transform(&mut |e| if e == part { read.clone() } else { e });
            }
        }
    });
    program.body = body;
}

/// The largest part of an expression that is made of constants, and for which they have to be converted.
fn find(expr: &Expr, program: &Program, target: &Target) -> Option<Expr> {
    let loads = loads(expr);
    let narrow = |dtype: DType| dtype.bytes() < expr.dtype().bytes() && !target.converts.contains(&dtype);
    let of = |buffer: u32| program.buffer(buffer);
    let constant = loads.iter().all(|load| of(load.0).constant.is_some() && !load.1.iter().any(Index::looks_up));
    let whole = constant && loads.iter().any(|load| of(load.0).shape.len() >= 2 && narrow(of(load.0).dtype));
    match expr.kind() {
        ExprKind::Load { .. } | ExprKind::Guard { .. } => None,
        _ if whole => Some(expr.clone()),
        _ => expr.operands().into_iter().find_map(|operand| find(operand, program, target)),
    }
}

/// The axes that an expression depends on, in the order of its largest load.
fn axes(expr: &Expr) -> Vec<Name> {
    let mut loads = loads(expr);
    loads.sort_by_key(|load| std::cmp::Reverse(load.1.len()));
    let mut axes: Vec<Name> = Vec::new();
    for axis in loads.iter().flat_map(|load| &load.1).flat_map(Index::vars) {
        if !axes.contains(&axis) {
            axes.push(axis);
        }
    }
    axes
}

/// A constant with the values of an expression at all points of its axes.
fn compute(expr: &Expr, axes: &[Name], kernel: &Kernel, program: &mut Program) -> Option<u32> {
    let of = |name: &Name| kernel.axes.iter().find(|axis| axis.name == *name).cloned();
    let axes: Vec<Axis> = axes.iter().map(of).collect::<Option<_>>()?;
    let tensor = interp::tabulate(expr, &axes, &program.buffers)?;
    let name = program.buffer(loads(expr).first()?.0).name.clone();
    let shape = axes.into_iter().map(|axis| axis.extent).collect();
    Some(program.add_buffer(Buffer { name, dtype: expr.dtype(), shape, constant: Some(tensor) }))
}
