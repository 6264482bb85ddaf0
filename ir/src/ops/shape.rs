use super::OpDef;
use crate::compute::{Compute, T};
use crate::onnx::OnnxNode;
use crate::program::{Expr, Known};
use crate::{DType, Index, Result};

/// The dims of `x`, from axis `start` up to axis `end`, as I64 (ONNX `Shape`). Both are clamped to the rank.
///
/// The dims are known while building, as expressions of the symbols.
#[derive(Debug)]
pub struct Shape {
    start: i64,
    end: i64,
}

impl Shape {
    pub(super) fn parse(node: &OnnxNode) -> Result<Shape> {
        Ok(Shape { start: node.int("start", 0)?, end: node.int("end", i64::MAX)? })
    }
}

impl OpDef for Shape {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        let rank = x.rank() as i64;
        let clamp = |axis: i64| if axis < 0 { axis.saturating_add(rank).max(0) } else { axis.min(rank) } as usize;
        let dims = x.shape.get(clamp(self.start)..clamp(self.end)).unwrap_or_default();
        let y = index_vector(c, dims);
        c.output(0, y);
        Ok(())
    }
}

/// A rank-1 I64 tensor with these elements.
pub(super) fn index_vector(c: &mut Compute, elements: &[Index]) -> T {
    let y = c.map(DType::I64, &[Index::from(elements.len() as i64)], |i| {
        let last = elements.len().saturating_sub(1);
        let pick = |rest: Expr, place: usize| {
            Expr::index(i[0].clone()).equals(&Expr::int(DType::I64, place as i64)).select(&at(elements, place), &rest)
        };
        (0..last).rev().fold(at(elements, last), pick)
    });
    c.with_known(y, Some(elements.iter().cloned().map(Known::Index).collect()))
}

fn at(elements: &[Index], place: usize) -> Expr {
    Expr::index(elements.get(place).cloned().unwrap_or_default())
}
