//! Expressions over constants, computed once for all.

use super::run;
use crate::program::{Axis, Buffer, Expr, ExprKind, Kernel, Program, Stage, Step, Store, StoreMode, lookups};
use crate::{Index, Tensor};

/// Elements that are computed, at most.
const MOST: i64 = 1 << 26;

/// The values of an expression at all points of some axes, in row-major order; `None` if it reads what is no constant, or
/// there are too many points or a number of them that a symbol decides.
pub fn tabulate(expr: &Expr, axes: &[Axis], buffers: &[Buffer]) -> Option<Tensor> {
    let shape: Vec<Index> = axes.iter().map(|axis| axis.extent.clone()).collect();
    Index::product(&shape).as_const().filter(|points| *points <= MOST)?;
    let mut read = Vec::new();
    expr.visit(&mut |e| {
        if let ExprKind::Load { buffer, .. } = e.kind() {
            read.push(*buffer);
        }
        e.visit_indices(&mut |index| lookups(index, &mut read));
    });
    if read.iter().any(|buffer| buffers[*buffer as usize].constant.is_none()) {
        return None;
    }
    // Constants of others are not worth being unpacked.
    let own = |(number, buffer): (u32, &Buffer)| {
        let constant = buffer.constant.clone().filter(|_| read.contains(&number));
        Buffer { constant, name: buffer.name.clone(), shape: buffer.shape.clone(), ..*buffer }
    };
    let mut buffers: Vec<Buffer> = (0..).zip(buffers).map(own).collect();
    let output = buffers.len() as u32;
    buffers.push(Buffer { name: "table".into(), dtype: expr.dtype(), shape, constant: None });
    let names: Vec<_> = axes.iter().map(|axis| axis.name.clone()).collect();
    let index = names.iter().map(|name| Index::var(name.clone())).collect();
    let store = Some(Store { buffer: output, index, only: vec![], mode: StoreMode::Set });
    let stage = Stage { axes: names, reduce: None, value: expr.clone(), store };
    let kernel = Kernel { name: "table".into(), axes: axes.to_vec(), stages: vec![stage] };
    let program = Program { buffers, outputs: vec![output], body: vec![Step::Kernel(kernel)], ..Program::default() };
    run(&program, &[]).ok()?.pop()
}
