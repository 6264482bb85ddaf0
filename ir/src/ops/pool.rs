use super::OpDef;
use super::window::{WindowAttributes, Windows};
use crate::compute::{Compute, T, compute_type};
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::tensor::Scalar;
use crate::tile::{Binary, Math, Monoid};
use crate::{DType, Error, Index, Result};

/// `y[n, c, o] = max x[n, c, o*stride + k*dilation - pad]` over `k` (ONNX `MaxPool`).
///
/// Padding never wins. Output 1 is the position of the first maximum in the whole tensor; with `storage_order` 1 it is
/// column-major within a plane. `ceil_mode` drops a window that would start in the padding after `x`.
#[derive(Debug)]
pub struct MaxPool {
    windows: WindowAttributes,
    column_major: bool,
    indices: bool,
}

impl MaxPool {
    pub(super) fn parse(node: &OnnxNode) -> Result<MaxPool> {
        Ok(MaxPool {
            windows: WindowAttributes::parse(node)?,
            column_major: node.flag("storage_order", false)?,
            indices: node.outputs > 1,
        })
    }
}

impl OpDef for MaxPool {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        let windows = pool_windows(c, &self.windows, &x)?;
        let y = max_pool(c, &x, &windows);
        if self.indices {
            let first = first_maximum(c, &x, &y, &windows, self.column_major);
            c.output(1, first);
        }
        c.output(0, y);
        Ok(())
    }
}

/// Windows of a pool over the spatial axes of `[N, C, ..]`.
pub(super) fn pool_windows(c: &Compute, windows: &WindowAttributes, x: &T) -> Result<Windows> {
    if x.rank() < 3 {
        return Err(Error::invalid(format!("a pool over a rank-{} tensor", x.rank())));
    }
    windows.place(c, &x.shape[2..], &windows.kernel()?)
}

/// The least value of a type.
pub(super) fn lowest(dtype: DType) -> Scalar {
    match dtype {
        _ if dtype.is_float() => Scalar::Float(f64::NEG_INFINITY),
        _ if dtype.is_signed_int() => Scalar::Int(-1 << (8 * dtype.bytes() - 1)),
        _ => Scalar::Int(0),
    }
}

pub(super) fn max_pool(c: &mut Compute, x: &T, windows: &Windows) -> T {
    let low = lowest(x.dtype);
    fold_windows(c, Monoid::Max, x.dtype, x, windows, |element| element, low)
}

/// Folds a function of the elements of each window; `fill` stands for padding.
fn fold_windows(
    c: &mut Compute,
    monoid: Monoid,
    dtype: DType,
    x: &T,
    windows: &Windows,
    f: impl FnOnce(Expr) -> Expr,
    fill: Scalar,
) -> T {
    let shape = [&x.shape[..2], &windows.out].concat();
    let facts = c.scope(&shape, &windows.kernel);
    c.reduce(monoid, dtype, &shape, &windows.kernel, |i, k| {
        let position = windows.position(&i[2..], k);
        let tests = windows.tests(&facts, &position);
        f(x.at([&i[..2], &position].concat())).guard(tests, fill)
    })
}

/// Where the first element equal to the maximum `y` of its window lies in `x`.
fn first_maximum(c: &mut Compute, x: &T, y: &T, windows: &Windows, column_major: bool) -> T {
    let shape = y.shape.clone();
    let facts = c.scope(&shape, &windows.kernel);
    let first = c.reduce(Monoid::Min, DType::I64, &shape, &windows.kernel, |i, k| {
        let position = windows.position(&i[2..], k);
        let tests = windows.tests(&facts, &position);
        let flat = position.iter().zip(&windows.extents).fold(Index::zero(), |flat, (p, dim)| &flat * dim + p.clone());
        let element = x.at([&i[..2], &position].concat());
        let wins = element.equals(&y.at(i.to_vec())).binary(Binary::Or, &element.is_nan());
        let none = Expr::int(DType::I64, i64::MAX);
        wins.select(&Expr::index(flat), &none).guard(tests, Scalar::Int(i64::MAX))
    });
    let extents = &windows.extents;
    c.map(DType::I64, &shape, |i| {
        let mut place = first.at(i.to_vec());
        if column_major {
            let strides = (0..extents.len()).map(|d| Index::product(&extents[d + 1..]));
            let columns = (0..extents.len()).map(|d| Index::product(&extents[..d]));
            let terms = strides.zip(columns).zip(extents).map(|((row, column), dim)| {
                let coordinate = (&place / &Expr::index(row)).binary(Binary::Rem, &Expr::index(dim.clone()));
                coordinate * Expr::index(column)
            });
            place = terms.reduce(|a, b| a + b).unwrap_or_else(|| place.like(0.0));
        }
        let plane = &(&i[0] * &x.shape[1] + i[1].clone()) * &Index::product(extents);
        place + Expr::index(plane)
    })
}

/// Mean of each window (ONNX `AveragePool`).
///
/// Padding counts only with `count_include_pad`; what `ceil_mode` adds after the padding never counts.
#[derive(Debug)]
pub struct AveragePool {
    windows: WindowAttributes,
    count_padding: bool,
}

impl AveragePool {
    pub(super) fn parse(node: &OnnxNode) -> Result<AveragePool> {
        let count_padding = node.flag("count_include_pad", false)?;
        Ok(AveragePool { windows: WindowAttributes::parse(node)?, count_padding })
    }
}

impl OpDef for AveragePool {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        let windows = pool_windows(c, &self.windows, &x)?;
        let y = average_pool(c, &x, &windows, self.count_padding);
        c.output(0, y);
        Ok(())
    }
}

pub(super) fn average_pool(c: &mut Compute, x: &T, windows: &Windows, count_padding: bool) -> T {
    let wide = compute_type(x.dtype);
    let sum = fold_windows(c, Monoid::Sum, wide, x, windows, |element| element, Scalar::Int(0));
    let facts = c.scope(&sum.shape, &[]);
    c.map(x.dtype, &sum.shape, |i| {
        let count = counted(&facts, windows, &i[2..], count_padding);
        let sum = sum.at(i.to_vec());
        &sum / &Expr::index(count).cast(sum.dtype())
    })
}

/// How many elements of window `o` count.
fn counted(facts: &crate::Facts, w: &Windows, o: &[Index], count_padding: bool) -> Index {
    let axis = |axis: usize| {
        let (stride, step) = (w.strides[axis], Index::from(w.dilations[axis]));
        let start = o[axis].clone() * stride - w.low[axis].clone();
        let (mut first, mut end) = (Index::zero(), w.extents[axis].clone());
        if count_padding {
            (first, end) = (first - w.low[axis].clone(), end + w.high[axis].clone());
        }
        // The first `k` at or after a place.
        let after = |place: Index| facts.div(&(place - start.clone() + step.clone() - 1), &step);
        facts.min(&w.kernel[axis], &after(end)) - facts.max(&Index::zero(), &after(first))
    };
    (0..w.out.len()).fold(Index::from(1), |count, a| count * axis(a))
}

/// `(sum |x|^p)^(1/p)` of each window (ONNX `LpPool`).
#[derive(Debug)]
pub struct LpPool {
    windows: WindowAttributes,
    p: f64,
}

impl LpPool {
    pub(super) fn parse(node: &OnnxNode) -> Result<LpPool> {
        Ok(LpPool { windows: WindowAttributes::parse(node)?, p: power(node)? })
    }
}

/// The attribute `p`, a float before opset 2.
fn power(node: &OnnxNode) -> Result<f64> {
    if node.opset < 2 { Ok(node.float("p", 2.0)?.into()) } else { Ok(node.int("p", 2)? as f64) }
}

/// `|x|^p`
fn raised(x: &Expr, p: f64) -> Expr {
    match p {
        1.0 => x.abs(),
        2.0 => x * x,
        _ => x.abs().math2(Math::Pow, &x.like(p)),
    }
}

/// `x^(1/p)`
fn root(x: &Expr, p: f64) -> Expr {
    match p {
        1.0 => x.clone(),
        2.0 => x.sqrt(),
        _ => x.math2(Math::Pow, &x.like(1.0 / p)),
    }
}

impl OpDef for LpPool {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        let windows = pool_windows(c, &self.windows, &x)?;
        let wide = compute_type(x.dtype);
        let sum = fold_windows(c, Monoid::Sum, wide, &x, &windows, |x| raised(&x, self.p), Scalar::Int(0));
        let y = c.map(x.dtype, &sum.shape, |i| root(&sum.at(i.to_vec()), self.p));
        c.output(0, y);
        Ok(())
    }
}

/// Folds all spatial axes (ONNX `GlobalAveragePool`, `GlobalMaxPool`, `GlobalLpPool`).
#[derive(Debug)]
pub struct GlobalPool {
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Average,
    Max,
    Lp(f64),
}

impl GlobalPool {
    pub(super) fn parse(node: &OnnxNode) -> Result<GlobalPool> {
        let kind = match node.op_type.as_str() {
            "GlobalMaxPool" => Kind::Max,
            "GlobalLpPool" => Kind::Lp(power(node)?),
            _ => Kind::Average,
        };
        Ok(GlobalPool { kind })
    }
}

impl OpDef for GlobalPool {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        if x.rank() < 2 {
            return Err(Error::invalid(format!("a pool over a rank-{} tensor", x.rank())));
        }
        let axes: Vec<usize> = (2..x.rank()).collect();
        let wide = compute_type(x.dtype);
        let y = match self.kind {
            Kind::Max => c.fold(Monoid::Max, x.dtype, &x, &axes, |x| x),
            Kind::Average => {
                let sum = c.fold(Monoid::Sum, wide, &x, &axes, |x| x);
                let count = Expr::index(Index::product(&x.shape[2..])).cast(wide);
                c.map(x.dtype, &sum.shape, |i| &sum.at(i.to_vec()) / &count)
            }
            Kind::Lp(p) => {
                let sum = c.fold(Monoid::Sum, wide, &x, &axes, |x| raised(&x, p));
                c.map(x.dtype, &sum.shape, |i| root(&sum.at(i.to_vec()), p))
            }
        };
        c.output(0, y);
        Ok(())
    }
}
