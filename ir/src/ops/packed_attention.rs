use super::OpDef;
use super::attend::split_heads;
use super::concat::concat;
use super::contrib_attention::Common;
use super::matmul::matmul;
use super::qlinear::Operand;
use super::quantized_matmul::scaled_product;
use crate::compute::{Compute, T};
use crate::onnx::OnnxNode;
use crate::program::StoreMode;
use crate::{Error, Index, Result};

/// Attention whose queries, keys and values are one product `x * W + bias` (ONNX Runtime `Attention`), which may be
/// quantized (`QAttention`).
///
/// A mask gives the length of each row of keys, or says which keys are seen; `mask_filter_value` is added to the others.
/// The cache is one tensor `[2, B, heads, S, D]`, output 1.
#[derive(Debug)]
pub struct PackedAttention {
    common: Common,
    sizes: Option<Vec<i64>>,
    quantized: bool,
}

/// The product, and where mask and cache are among the inputs.
struct Projected {
    product: T,
    mask: usize,
    past: usize,
}

impl PackedAttention {
    pub(super) fn parse(node: &OnnxNode) -> Result<PackedAttention> {
        for name in ["do_rotary", "past_present_share_buffer"] {
            if node.flag(name, false)? {
                return Err(Error::unsupported(format!("{} with `{name}` is not supported", node.op_type)));
            }
        }
        let quantized = node.op_type == "QAttention";
        Ok(PackedAttention { common: Common::parse(node)?, sizes: node.ints("qkv_hidden_sizes")?, quantized })
    }

    fn project(&self, c: &mut Compute) -> Result<Projected> {
        let (x, w) = (c.input(0)?, c.input(1)?);
        if x.rank() != 3 || w.rank() != 2 {
            return Err(Error::invalid("Attention needs an input of rank 3 and weights of rank 2"));
        }
        if !self.quantized {
            return Ok(Projected { product: matmul(c, &x, &w)?, mask: 3, past: 4 });
        }
        let (x_scale, w_scale, x_zero, w_zero) = (c.input(3)?, c.input(4)?, c.optional(6), c.optional(7));
        let (x, w) = (Operand::rows(c, x, x_zero)?, Operand::columns(c, w, w_zero)?);
        Ok(Projected { product: scaled_product(c, (&x, &x_scale), (&w, &w_scale), None)?, mask: 5, past: 8 })
    }

    /// Heads of queries, keys and values.
    fn parts(&self, c: &mut Compute, product: &T) -> Result<Vec<T>> {
        let (bias, whole) = (c.optional(2), product.shape[2].clone());
        let sizes: Vec<Index> = match &self.sizes {
            Some(sizes) if sizes.len() == 3 => sizes.iter().map(|&n| n.into()).collect(),
            _ => vec![c.facts().div(&whole, &3.into()); 3],
        };
        c.same_dim(&whole, &sizes.iter().fold(Index::zero(), |sum, size| sum + size.clone()))?;
        if let Some(bias) = &bias {
            c.demand(bias, "the bias", std::slice::from_ref(&whole))?;
        }
        let mut start = Index::zero();
        let mut parts = Vec::new();
        for size in sizes {
            let shape = [&product.shape[..2], std::slice::from_ref(&size)].concat();
            let part = c.map(product.dtype, &shape, |i| {
                let column = i[2].clone() + start.clone();
                let element = product.at([&i[..2], std::slice::from_ref(&column)].concat());
                bias.iter().fold(element, |sum, bias| sum + bias.at(vec![column.clone()]))
            });
            parts.push(split_heads(c, &part, self.common.heads)?);
            start = start + size;
        }
        Ok(parts)
    }
}

impl OpDef for PackedAttention {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let Projected { product, mask, past } = self.project(c)?;
        let mut parts = self.parts(c, &product)?;
        let (padding, past, added) = (c.optional(mask), c.optional(past), c.optional(5).filter(|_| !self.quantized));
        let length = past.as_ref().map_or(Index::zero(), |past| past.shape.get(3).cloned().unwrap_or_default());
        if let Some(past) = &past {
            for (which, part) in parts[1..].iter_mut().enumerate() {
                let old = cached(c, past, which as i64)?;
                *part = concat(c, vec![old, part.clone()], 2)?;
            }
        }
        let heads = [&parts[0], &parts[1], &parts[2]];
        let y = self.common.attend(c, heads, padding.as_ref(), added.as_ref(), &length)?;
        c.output(0, y);
        // A cache needs keys and values of one size.
        if parts[1].shape[3] == parts[2].shape[3] {
            let present = c.buffer(parts[1].dtype, &[&[Index::from(2)], parts[1].shape.as_slice()].concat());
            for (which, part) in parts[1..].iter().enumerate() {
                c.store(&present, &part.shape, StoreMode::Set, |i| {
                    ([&[Index::from(which as i64)], i].concat(), part.raw(i.to_vec()))
                });
            }
            c.output(1, present);
        }
        Ok(())
    }
}

/// Keys (0) or values (1) of a cache.
fn cached(c: &mut Compute, past: &T, which: i64) -> Result<T> {
    if past.rank() != 5 {
        return Err(Error::invalid(format!("a cache of rank {}, not 5", past.rank())));
    }
    Ok(c.map(past.dtype, &past.shape[1..], |i| past.raw([&[Index::from(which)], i].concat())))
}
