//! Half floats between kernels, on processors that compute in `F32`: stored as they are computed with.
//!
//! In: a program with buffers and stages of half floats.  Out: the same in `F32`. Inputs, outputs and weights stay as they
//! are.
//! Invariant: nothing is rounded to half floats that the caller does not get, so results are at least as exact, and what
//! would have become infinite on its way does not: models are made half floats without a look at every sum of squares.

use super::assign::for_kernels;
use mlc_ir::DType;
use mlc_ir::program::{Expr, ExprKind, Kernel, Program, Step, StoreMode};
use mlc_ir::target::Target;
use std::collections::HashSet;

/// Widens buffers and stages, where the target wants it.
pub(super) fn widen(program: &mut Program, target: &Target) {
    if target.keeps_halves {
        return;
    }
    let wide = buffers(program);
    wide.iter().for_each(|buffer| program.buffers[*buffer as usize].dtype = DType::F32);
    for_kernels(&mut program.body, &mut |kernel| widen_kernel(kernel, &wide));
}

/// The buffers that only kernels of the program know, and that no store rounds while it adds.
fn buffers(program: &Program) -> HashSet<u32> {
    let mut wide: HashSet<u32> = (0..).zip(&program.buffers).filter(|it| it.1.dtype.is_half()).map(|it| it.0).collect();
    let states = program.states.iter().flat_map(|state| [state.0, state.1]);
    let known: HashSet<u32> = program.inputs.iter().chain(&program.outputs).copied().chain(states).collect();
    wide.retain(|buffer| program.buffer(*buffer).constant.is_none() && !known.contains(buffer));
    Step::visit_kernels(&program.body, &mut |kernel| {
        for store in kernel.stages.iter().flat_map(|stage| &stage.store) {
            if matches!(store.mode, StoreMode::Combine(_)) {
                wide.remove(&store.buffer);
            }
        }
    });
    wide
}

fn widen_kernel(kernel: &mut Kernel, buffers: &HashSet<u32>) {
    let mut stages: HashSet<usize> = HashSet::new();
    for number in 0..kernel.stages.len() {
        let stage = &mut kernel.stages[number];
        let is_wide = |expr: &Expr| match expr.kind() {
            ExprKind::Load { buffer, .. } => buffers.contains(buffer),
            ExprKind::Stage(read) => stages.contains(read),
            _ => false,
        };
        stage.value = stage.value.transform(&mut |e| match e.kind() {
            ExprKind::Load { .. } | ExprKind::Stage(_) if is_wide(&e) && e.dtype().is_half() => {
                Expr::new(DType::F32, e.kind().clone()).cast(e.dtype())
            }
            ExprKind::Cast(half) if half.dtype().is_half() => float_of(half).cast(e.dtype()),
            _ => e,
        });
        if stage.value.dtype().is_half() && stage.reduce.is_none() {
            stage.value = float_of(&stage.value);
            stages.insert(number);
        }
    }
}

/// The float that a half float was, or is.
fn float_of(half: &Expr) -> Expr {
    let new = |kind| Expr::new(DType::F32, kind);
    match half.kind() {
        ExprKind::Cast(inner) => inner.cast(DType::F32),
        ExprKind::Const(value) => Expr::constant(DType::F32, value.cast(half.dtype())),
        ExprKind::Select(mask, a, b) => new(ExprKind::Select(mask.clone(), float_of(a), float_of(b))),
        ExprKind::Guard { all, then, otherwise } => {
            let otherwise = otherwise.cast(half.dtype());
            new(ExprKind::Guard { all: all.clone(), then: float_of(then), otherwise })
        }
        _ => half.cast(DType::F32),
    }
}
