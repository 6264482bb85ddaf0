use super::OpDef;
use super::qlinear::{Operand, along, integer_product};
use super::quantize::{dynamic_quantize, quantized};
use crate::compute::{Compute, T, compute_type};
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::tile::Monoid;
use crate::{DType, Error, Index, Result};

/// A product of quantized matrices with a float result: `(A - a_zero)(B - b_zero) * a_scale * b_scale + bias` (ONNX Runtime
/// `MatMulIntegerToFloat`); `DynamicQuantizeMatMul` first quantizes a float `A` as `DynamicQuantizeLinear` does. Scale and
/// zero point of `B` may be one a column.
#[derive(Debug)]
pub struct QuantizedMatMul {
    dynamic: bool,
}

impl QuantizedMatMul {
    pub(super) fn parse(node: &OnnxNode) -> Result<QuantizedMatMul> {
        Ok(QuantizedMatMul { dynamic: node.op_type == "DynamicQuantizeMatMul" })
    }
}

impl OpDef for QuantizedMatMul {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (a, b) = (c.input(0)?, c.input(1)?);
        let y = if self.dynamic {
            let (scale, zero, bias) = (c.input(2)?, c.optional(3), c.optional(4));
            let (a, a_scale, a_zero) = dynamic_quantize(c, &a);
            let (a, b) = (Operand::rows(c, a, Some(a_zero))?, Operand::columns(c, b, zero)?);
            scaled_product(c, (&a, &a_scale), (&b, &scale), bias.as_ref())?
        } else {
            let (a_scale, b_scale) = (c.input(2)?, c.input(3)?);
            let (a_zero, b_zero, bias) = (c.optional(4), c.optional(5), c.optional(6));
            let (a, b) = (Operand::rows(c, a, a_zero)?, Operand::columns(c, b, b_zero)?);
            scaled_product(c, (&a, &a_scale), (&b, &b_scale), bias.as_ref())?
        };
        c.output(0, y);
        Ok(())
    }
}

/// `a * b * scales + bias`, as F32.
pub(super) fn scaled_product(c: &mut Compute, a: (&Operand, &T), b: (&Operand, &T), bias: Option<&T>) -> Result<T> {
    let sum = integer_product(c, a.0, b.0)?;
    let (row, column) = (sum.rank().saturating_sub(2), sum.rank().saturating_sub(1));
    let dtype = a.1.dtype;
    let scales = [(a.1, row), (b.1, column)];
    for (scale, axis) in scales {
        let fits = scale.size().is(1) || scale.rank() == 1 && c.same_dim(&scale.shape[0], &sum.shape[axis]).is_ok();
        if !fits && scale.rank() > sum.rank() {
            return Err(Error::invalid("a scale does not fit its matrix"));
        }
    }
    if let Some(bias) = bias {
        c.broadcast_shape(&[&sum.shape, &bias.shape])?;
    }
    Ok(c.map(dtype, &sum.shape, |i| {
        let product = sum.at(i.to_vec()).cast(DType::F32);
        let scale = |(scale, axis): (&T, usize)| along(scale, axis, i).cast(DType::F32);
        let y = product * (scale(scales[0]) * scale(scales[1]));
        bias.into_iter().fold(y, |y, bias| y + bias.broadcast(i).cast(DType::F32))
    }))
}

/// `alpha * A * B` of quantized matrices plus an I32 bias `C`, whose scale is that of the product (ONNX Runtime `QGemm`);
/// quantized again if there is a scale for the result, else F32.
#[derive(Debug)]
pub struct QGemm {
    alpha: f64,
    transposed: [bool; 2],
}

impl QGemm {
    pub(super) fn parse(node: &OnnxNode) -> Result<QGemm> {
        let transposed = [node.flag("transA", false)?, node.flag("transB", false)?];
        Ok(QGemm { alpha: node.float("alpha", 1.0)?.into(), transposed })
    }
}

impl OpDef for QGemm {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (mut a, sa, za) = (c.input(0)?, c.input(1)?, c.optional(2));
        let (mut b, sb, zb) = (c.input(3)?, c.input(4)?, c.optional(5));
        let (bias, sy, zy) = (c.optional(6), c.optional(7), c.optional(8));
        if a.rank() != 2 || b.rank() != 2 || !sa.size().is(1) || sb.rank() > 1 {
            return Err(Error::invalid("QGemm needs matrices, a scalar scale of A, and a scale or one a column of B"));
        }
        for (t, transposed) in [(&mut a, self.transposed[0]), (&mut b, self.transposed[1])] {
            if transposed {
                *t = c.transpose(t, &[1, 0]);
            }
        }
        let dtype = if sy.is_some() { a.dtype } else { DType::F32 };
        let (a, b) = (Operand::rows(c, a, za)?, Operand::columns(c, b, zb)?);
        let sum = integer_product(c, &a, &b)?;
        if let Some(bias) = &bias {
            c.broadcast_shape(&[&sum.shape, &bias.shape])?;
        }
        let y = c.map(dtype, &sum.shape, |i| {
            let sum = bias.iter().fold(sum.at(i.to_vec()), |sum, bias| sum + bias.broadcast(i));
            let scale = along(&sa, 0, i) * along(&sb, 1, i) * self.alpha;
            match &sy {
                Some(sy) => {
                    let zero = zy.as_ref().map(|zy| along(zy, 0, i));
                    quantized(&(sum.cast(DType::F32) * scale), &along(sy, 0, i), zero, dtype)
                }
                None => sum.cast(DType::F32) * scale,
            }
        });
        c.output(0, y);
        Ok(())
    }
}

/// `A * W^T + bias` where `W` is stored in blocks of few bits, low bits first: `(q - zero) * scale` (ONNX Runtime
/// `MatMulNBits`). Zero points are packed like `W`, a row rounded up to whole bytes, or floats; by default the middle.
/// `g_idx` names the block of each element; with it ONNX Runtime's CPU kernel leaves packed zero points out, which is not followed.
#[derive(Debug)]
pub struct MatMulNBits {
    k: i64,
    n: i64,
    bits: i64,
    block: i64,
}

impl MatMulNBits {
    pub(super) fn parse(node: &OnnxNode) -> Result<MatMulNBits> {
        let number = |name: &str| {
            let number = node.optional_int(name)?.filter(|&n| n > 0);
            number.ok_or_else(|| Error::invalid(format!("attribute `{name}` must be a positive integer")))
        };
        let bits = node.int("bits", 4)?;
        if ![2, 4, 8].contains(&bits) {
            return Err(Error::unsupported(format!("MatMulNBits with {bits} bits is not supported")));
        }
        Ok(MatMulNBits { k: number("K")?, n: number("N")?, bits, block: number("block_size")? })
    }
}

/// A field of a few bits of a byte, as I32; `place` counts fields.
pub(super) fn field(byte: &Expr, place: &Index, bits: i64) -> Expr {
    if bits == 8 {
        return byte.cast(DType::I32);
    }
    let shift = Expr::index(place.rem(&(8 / bits).into()) * bits).cast(DType::I32);
    let mask = Expr::int(DType::I32, (1 << bits) - 1);
    byte.cast(DType::U8).cast(DType::I32).binary(crate::tile::Binary::Shr, &shift) & mask
}

impl MatMulNBits {
    /// The weights `[N, K]` as floats.
    fn weights(&self, c: &mut Compute, dtype: DType) -> Result<T> {
        let (packed, scales, zeros, groups) = (c.input(1)?, c.input(2)?, c.optional(3), c.optional(4));
        let blocks = (self.k + self.block - 1) / self.block;
        let bytes = (blocks * self.block * self.bits + 7) / 8;
        let n = Index::from(self.n);
        let sizes = [(&packed, self.n * bytes), (&scales, self.n * blocks)];
        for (t, size) in sizes {
            c.same_dim(&t.size(), &size.into())?;
        }
        let packed = c.reshape(&packed, &[n.clone(), bytes.into()]);
        let scales = c.reshape(&scales, &[n.clone(), blocks.into()]);
        let zeros = match zeros {
            Some(zeros) => {
                let float = zeros.dtype.is_float();
                let row = if float { blocks } else { (blocks * self.bits + 7) / 8 };
                c.same_dim(&zeros.size(), &(self.n * row).into())?;
                Some(c.reshape(&zeros, &[n.clone(), row.into()]))
            }
            None => None,
        };
        let per_byte = Index::from(8 / self.bits);
        let (block, count) = (Index::from(self.block), Index::from(blocks));
        let shape = [n, Index::from(self.k)];
        let facts = c.scope(&shape, &[]);
        let wide = compute_type(dtype);
        Ok(c.map(dtype, &shape, |i| {
            let own = match &groups {
                Some(groups) => groups.lookup(vec![i[1].clone()], &count),
                None => facts.div(&i[1], &block),
            };
            let byte = packed.at(vec![i[0].clone(), facts.div(&i[1], &per_byte)]);
            let q = field(&byte, &i[1], self.bits);
            let centered = match &zeros {
                Some(zeros) if zeros.dtype.is_float() => {
                    q.cast(wide) - zeros.at(vec![i[0].clone(), own.clone()]).cast(wide)
                }
                Some(zeros) => {
                    let byte = zeros.at(vec![i[0].clone(), facts.div(&own, &per_byte)]);
                    (q - field(&byte, &own, self.bits)).cast(wide)
                }
                None => (q - Expr::int(DType::I32, 1 << (self.bits - 1))).cast(wide),
            };
            centered * scales.at(vec![i[0].clone(), own]).cast(wide)
        }))
    }
}

impl OpDef for MatMulNBits {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (a, bias) = (c.input(0)?, c.optional(5));
        let w = self.weights(c, compute_type(a.dtype))?;
        let y = product_with_rows(c, &a, &w, bias.as_ref())?;
        c.output(0, y);
        Ok(())
    }
}

/// `a * w^T + bias`
fn product_with_rows(c: &mut Compute, a: &T, w: &T, bias: Option<&T>) -> Result<T> {
    let last = a.axis(-1)?;
    c.same_dim(&a.shape[last], &w.shape[1])?;
    let shape = [&a.shape[..last], &w.shape[..1]].concat();
    let wide = compute_type(a.dtype);
    let dtype = if bias.is_some() { wide } else { a.dtype };
    let y = c.reduce(Monoid::Sum, dtype, &shape, &w.shape[1..], |i, r| {
        let a = a.at([&i[..last], r].concat());
        a * w.at(vec![i[last].clone(), r[0].clone()])
    });
    let Some(bias) = bias else { return Ok(y) };
    c.demand(bias, "the bias", &w.shape[..1])?;
    Ok(c.map(a.dtype, &shape, |i| y.at(i.to_vec()) + bias.at(vec![i[last].clone()]).cast(wide)))
}

/// `A * W^T` where `W` is stored in 4 bits that name one of 16 numbers, high bits first, times the largest magnitude of the
/// block (ONNX Runtime `MatMulBnb4`): FP4, or NF4 if `quant_type` is 1.
#[derive(Debug)]
pub struct MatMulBnb4 {
    k: i64,
    n: i64,
    block: i64,
    normal: bool,
}

const FP4: [f64; 16] = [
    0.0,
    0.005208333333333333,
    0.6666666666666666,
    1.0,
    0.3333333333333333,
    0.5,
    0.16666666666666666,
    0.25,
    0.0,
    -0.005208333333333333,
    -0.6666666666666666,
    -1.0,
    -0.3333333333333333,
    -0.5,
    -0.16666666666666666,
    -0.25,
];

const NF4: [f64; 16] = [
    -1.0,
    -0.6961928009986877,
    -0.5250730514526367,
    -0.39491748809814453,
    -0.28444138169288635,
    -0.18477343022823334,
    -0.09105003625154495,
    0.0,
    0.07958029955625534,
    0.16093020141124725,
    0.24611230194568634,
    0.33791524171829224,
    0.44070982933044434,
    0.5626170039176941,
    0.7229568362236023,
    1.0,
];

impl MatMulBnb4 {
    pub(super) fn parse(node: &OnnxNode) -> Result<MatMulBnb4> {
        let number = |name: &str| {
            let number = node.optional_int(name)?.filter(|&n| n > 0);
            number.ok_or_else(|| Error::invalid(format!("attribute `{name}` must be a positive integer")))
        };
        if !node.flag("transB", true)? {
            return Err(Error::unsupported("MatMulBnb4 with `transB` 0 is not supported"));
        }
        let normal = node.int("quant_type", 1)? == 1;
        Ok(MatMulBnb4 { k: number("K")?, n: number("N")?, block: number("block_size")?, normal })
    }
}

impl OpDef for MatMulBnb4 {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (a, packed, largest) = (c.input(0)?, c.input(1)?, c.input(2)?);
        let (size, k) = (self.n * self.k, Index::from(self.k));
        c.same_dim(&packed.size(), &((size + 1) / 2).into())?;
        c.same_dim(&largest.size(), &((size + self.block - 1) / self.block).into())?;
        let packed = c.reshape(&packed, &[packed.size()]);
        let largest = c.reshape(&largest, &[largest.size()]);
        let table = super::ml::numbers(c, DType::F32, &[16], if self.normal { &NF4 } else { &FP4 })?;
        let shape = [Index::from(self.n), k.clone()];
        let facts = c.scope(&shape, &[]);
        let flat = |i: &[Index]| &i[0] * &k + i[1].clone();
        let codes = c.map(DType::I64, &shape, |i| {
            let byte = packed.at(vec![facts.div(&flat(i), &2.into())]);
            // The high bits come first.
            field(&byte, &(flat(i) + 1), 4)
        });
        let wide = compute_type(a.dtype);
        let w = c.map(wide, &shape, |i| {
            let scale = largest.at(vec![facts.div(&flat(i), &self.block.into())]).cast(wide);
            table.at(vec![codes.lookup(i.to_vec(), &16.into())]).cast(wide) * scale
        });
        let y = product_with_rows(c, &a, &w, None)?;
        c.output(0, y);
        Ok(())
    }
}

/// Rows of a table stored in blocks of few bits (ONNX Runtime `GatherBlockQuantized`): gathered along `gather_axis`, and
/// dequantized in blocks of `quantize_axis`. Bytes hold fields of `bits`, low bits first, whose zero point is by default the
/// middle.
#[derive(Debug)]
pub struct GatherBlockQuantized {
    bits: i64,
    block: i64,
    gather: i64,
    quantize: i64,
}

impl GatherBlockQuantized {
    pub(super) fn parse(node: &OnnxNode) -> Result<GatherBlockQuantized> {
        let (bits, block) = (node.int("bits", 4)?, node.int("block_size", 128)?);
        if ![2, 4, 8].contains(&bits) || block < 1 {
            return Err(Error::unsupported(format!("GatherBlockQuantized with {bits} bits is not supported")));
        }
        let (gather, quantize) = (node.int("gather_axis", 0)?, node.int("quantize_axis", 1)?);
        Ok(GatherBlockQuantized { bits, block, gather, quantize })
    }
}

impl OpDef for GatherBlockQuantized {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (data, indices, scales, zeros) = (c.input(0)?, c.input(1)?, c.input(2)?, c.optional(3));
        let (gather, quantize, last) = (data.axis(self.gather)?, data.axis(self.quantize)?, data.rank() - 1);
        if data.dtype != DType::U8
            || scales.rank() != data.rank()
            || zeros.as_ref().is_some_and(|z| z.rank() != data.rank())
        {
            return Err(Error::unsupported(
                "GatherBlockQuantized needs bytes, and scales and zero points of their rank",
            ));
        }
        let fields = Index::from(8 / self.bits);
        let mut whole = data.shape.clone();
        whole[last] = &whole[last] * &fields;
        let shape = [&whole[..gather], &indices.shape, &whole[gather + 1..]].concat();
        let facts = c.scope(&shape, &[]);
        let y = c.map(scales.dtype, &shape, |i| {
            let row = indices.lookup(i[gather..gather + indices.rank()].to_vec(), &whole[gather]);
            let at = [&i[..gather], &[row], &i[gather + indices.rank()..]].concat();
            let unpacked = |t: &T, at: &[Index]| {
                let mut byte = at.to_vec();
                byte[last] = facts.div(&byte[last], &fields);
                field(&t.at(byte), &at[last], self.bits)
            };
            let mut block = at.clone();
            block[quantize] = facts.div(&block[quantize], &self.block.into());
            let zero = zeros.as_ref().map(|zeros| unpacked(zeros, &block));
            let middle = Expr::int(DType::I32, 1 << (self.bits - 1));
            let scale = scales.at(block);
            (unpacked(&data, &at) - zero.unwrap_or(middle)).cast(scale.dtype()) * scale
        });
        c.output(0, y);
        Ok(())
    }
}
