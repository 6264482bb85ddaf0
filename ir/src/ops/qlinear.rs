use super::OpDef;
use super::conv::Convolution;
use super::matmul::product;
use super::quantize::{centered, quantized};
use super::window::WindowAttributes;
use crate::compute::{Compute, T};
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::{DType, Error, Index, Result};

/// The element that belongs to axis `axis` of an element at `i`: of a scalar, of a vector along that axis, or of a tensor that
/// broadcasts.
pub(super) fn along(p: &T, axis: usize, i: &[Index]) -> Expr {
    if p.size().is(1) {
        p.at(vec![Index::zero(); p.rank()])
    } else if p.rank() == 1 {
        p.at(vec![i[axis].clone()])
    } else {
        p.broadcast(i)
    }
}

/// Refuses a parameter that is neither a scalar, nor a vector of an extent, nor of the rank of its tensor.
fn check_parameter(c: &mut Compute, p: &T, t: &T, axis: usize) -> Result<()> {
    if p.size().is(1) {
        return Ok(());
    }
    match p.rank() {
        1 => c.same_dim(&p.shape[0], &t.shape[axis]).map(|_| ()),
        rank if rank == t.rank() => c.broadcast_shape(&[&t.shape, &p.shape]).map(|_| ()),
        rank => Err(Error::invalid(format!("a scale or zero point of rank {rank} for a tensor of rank {}", t.rank()))),
    }
}

/// A quantized operand: its elements less the zero point, as I32.
pub(super) struct Operand {
    pub t: T,
    zero: Option<T>,
    /// Along which the zero point may vary.
    axis: usize,
}

impl Operand {
    pub(super) fn new(c: &mut Compute, t: T, zero: Option<T>, axis: usize) -> Result<Operand> {
        zero.iter().try_for_each(|zero| check_parameter(c, zero, &t, axis))?;
        Ok(Operand { t, zero, axis })
    }

    /// The rows of a left factor.
    pub(super) fn rows(c: &mut Compute, t: T, zero: Option<T>) -> Result<Operand> {
        let axis = t.rank().saturating_sub(2);
        Operand::new(c, t, zero, axis)
    }

    /// The columns of a right factor.
    pub(super) fn columns(c: &mut Compute, t: T, zero: Option<T>) -> Result<Operand> {
        let axis = t.rank().saturating_sub(1);
        Operand::new(c, t, zero, axis)
    }

    pub(super) fn at(&self, i: Vec<Index>) -> Expr {
        let zero = self.zero.as_ref().map(|zero| along(zero, self.axis, &i));
        centered(&self.t.at(i), zero)
    }
}

/// The product in I32.
pub(super) fn integer_product(c: &mut Compute, a: &Operand, b: &Operand) -> Result<T> {
    product(c, DType::I32, &a.t, &b.t, &|i| a.at(i), &|i| b.at(i))
}

/// `(A - a_zero_point) * (B - b_zero_point)` in I32 (ONNX `MatMulInteger`); zero points may be one a row of `A`, one a
/// column of `B`.
#[derive(Debug)]
pub struct MatMulInteger;

impl MatMulInteger {
    pub(super) fn parse(_: &OnnxNode) -> Result<MatMulInteger> {
        Ok(MatMulInteger)
    }
}

impl OpDef for MatMulInteger {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (a, b, za, zb) = (c.input(0)?, c.input(1)?, c.optional(2), c.optional(3));
        let (a, b) = (Operand::rows(c, a, za)?, Operand::columns(c, b, zb)?);
        let y = integer_product(c, &a, &b)?;
        c.output(0, y);
        Ok(())
    }
}

/// `saturate(round(A * B * (a_scale * b_scale / y_scale)) + y_zero_point)` of quantized matrices (ONNX `QLinearMatMul`).
#[derive(Debug)]
pub struct QLinearMatMul;

impl QLinearMatMul {
    pub(super) fn parse(_: &OnnxNode) -> Result<QLinearMatMul> {
        Ok(QLinearMatMul)
    }
}

impl OpDef for QLinearMatMul {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (a, sa, za) = (c.input(0)?, c.input(1)?, c.input(2)?);
        let (b, sb, zb) = (c.input(3)?, c.input(4)?, c.input(5)?);
        let (sy, zy) = (c.input(6)?, c.input(7)?);
        let (a, b) = (Operand::rows(c, a, Some(za))?, Operand::columns(c, b, Some(zb))?);
        check_parameter(c, &sa, &a.t, a.axis)?;
        check_parameter(c, &sb, &b.t, b.axis)?;
        let sum = integer_product(c, &a, &b)?;
        let (row, column) = (sum.rank().saturating_sub(2), sum.rank().saturating_sub(1));
        for p in [&sy, &zy] {
            check_parameter(c, p, &sum, row)?;
        }
        let y = c.map(zy.dtype, &sum.shape, |i| {
            let scale = |p: &T, axis| along(p, axis, i).cast(DType::F32);
            let scale = scale(&sy, row) / scale(&sa, row) / scale(&sb, column);
            quantized(&sum.at(i.to_vec()).cast(DType::F32), &scale, Some(along(&zy, row, i)), zy.dtype)
        });
        c.output(0, y);
        Ok(())
    }
}

/// Convolution of `x - x_zero_point` with `w - w_zero_point` in I32 (ONNX `ConvInteger`); what lies outside of `x` counts as
/// its zero point. The kernel may have one zero point an output channel.
#[derive(Debug)]
pub struct ConvInteger {
    windows: WindowAttributes,
    groups: i64,
}

impl ConvInteger {
    pub(super) fn parse(node: &OnnxNode) -> Result<ConvInteger> {
        Ok(ConvInteger { windows: WindowAttributes::parse(node)?, groups: node.int("group", 1)? })
    }
}

/// The convolution in I32.
fn integer_convolution(
    c: &mut Compute,
    windows: &WindowAttributes,
    groups: i64,
    x: &Operand,
    w: &Operand,
) -> Result<T> {
    let shape = Convolution::new(c, windows, groups, &x.t, &w.t)?;
    Ok(shape.sum(c, DType::I32, &|i| x.at(i), &|i| w.at(i)))
}

impl OpDef for ConvInteger {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (x, w, zx, zw) = (c.input(0)?, c.input(1)?, c.optional(2), c.optional(3));
        let (x, w) = (Operand::new(c, x, zx, 1)?, Operand::new(c, w, zw, 0)?);
        let y = integer_convolution(c, &self.windows, self.groups, &x, &w)?;
        c.output(0, y);
        Ok(())
    }
}

/// Convolution of quantized tensors (ONNX `QLinearConv`, also ONNX Runtime's with `channels_last`): the sum in I32 with a
/// bias in I32, then `saturate(round(sum * (x_scale * w_scale / y_scale)) + y_zero_point)`.
#[derive(Debug)]
pub struct QLinearConv {
    windows: WindowAttributes,
    groups: i64,
    channels_last: bool,
}

impl QLinearConv {
    pub(super) fn parse(node: &OnnxNode) -> Result<QLinearConv> {
        Ok(QLinearConv {
            windows: WindowAttributes::parse(node)?,
            groups: node.int("group", 1)?,
            channels_last: node.flag("channels_last", false)?,
        })
    }
}

impl OpDef for QLinearConv {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (mut x, sx, zx) = (c.input(0)?, c.input(1)?, c.input(2)?);
        let (w, sw, zw) = (c.input(3)?, c.input(4)?, c.input(5)?);
        let (sy, zy, bias) = (c.input(6)?, c.input(7)?, c.optional(8));
        if self.channels_last {
            x = channels_first(c, &x)?;
        }
        let (x, w) = (Operand::new(c, x, Some(zx), 1)?, Operand::new(c, w, Some(zw), 0)?);
        check_parameter(c, &sw, &w.t, 0)?;
        if !sx.size().is(1) || !sy.size().is(1) || !zy.size().is(1) || bias.as_ref().is_some_and(|b| b.rank() != 1) {
            return Err(Error::invalid("QLinearConv needs scalar scales of input and output, and a bias of rank 1"));
        }
        let sum = integer_convolution(c, &self.windows, self.groups, &x, &w)?;
        let y = c.map(zy.dtype, &sum.shape, |i| {
            let channel = i[1].clone();
            let sum = sum.at(i.to_vec());
            let sum = bias.iter().fold(sum, |sum, bias| sum + bias.at(vec![channel.clone()]));
            let one = |p: &T| along(p, 0, std::slice::from_ref(&channel)).cast(DType::F32);
            let scale = one(&sy) / (one(&sx) * one(&sw));
            quantized(&sum.cast(DType::F32), &scale, Some(along(&zy, 0, i)), zy.dtype)
        });
        let y = if self.channels_last { channels_last(c, &y) } else { y };
        c.output(0, y);
        Ok(())
    }
}

/// `[N, .., C]` as `[N, C, ..]`.
pub(super) fn channels_first(c: &mut Compute, x: &T) -> Result<T> {
    if x.rank() < 3 {
        return Err(Error::invalid(format!("a convolution or pool over a rank-{} tensor", x.rank())));
    }
    let perm: Vec<usize> = [0, x.rank() - 1].into_iter().chain(1..x.rank() - 1).collect();
    Ok(c.transpose(x, &perm))
}

/// `[N, C, ..]` as `[N, .., C]`.
pub(super) fn channels_last(c: &mut Compute, x: &T) -> T {
    let perm: Vec<usize> = [0].into_iter().chain(2..x.rank()).chain([1]).collect();
    c.transpose(x, &perm)
}
