//! Products of fragments: `mma.sync`.

use super::body::Emitter;
use super::fragment::Layout;
use super::register::{Class, Reg, Val, list};
use mlc_ir::tile::{Fragment, Row, Type};
use mlc_ir::{DType, Error, Name, Result};

impl Emitter<'_> {
    /// The words of a factor as products take them.
    pub(super) fn as_multiplied(&mut self, ty: Type, of: &Fragment, regs: Vec<Reg>) -> Vec<Reg> {
        match ty.dtype {
            DType::F32 if rounds(of) => regs.iter().map(|reg| self.let_(Class::Word, ROUND, &[reg])).collect(),
            DType::F32 => self.in_two(regs),
            _ => regs,
        }
    }

    /// Floats as sums of two that products of matrices take: the first bits of each, then what is left.
    fn in_two(&mut self, regs: Vec<Reg>) -> Vec<Reg> {
        let first: Vec<Reg> = regs.iter().map(|reg| self.let_(Class::Word, "and.b32", &[reg, &FIRST_BITS])).collect();
        let left = regs.iter().zip(&first).map(|(whole, first)| {
            let [whole, first] = [whole, first].map(|reg| self.let_(Class::Single, "mov.b32", &[reg]));
            let left = self.let_(Class::Single, "sub.rn.f32", &[&whole, &first]);
            self.let_(Class::Word, ROUND, &[&left])
        });
        let left: Vec<Reg> = left.collect();
        [first, left].concat()
    }

    /// Adds the product of two factors that are sums of two each. What is left of one times what is left of the other is less
    /// than a rounding loses. Hardware cuts off what it adds to long sums; so short ones, of this product alone, are added to
    /// the accumulators, and rounded.
    fn multiply_in_two(&mut self, depth: u16, c: &[Reg], a: &[Reg], b: &[Reg]) {
        let ((a, a_left), (b, b_left)) = (a.split_at(a.len() / 2), b.split_at(b.len() / 2));
        let nothing = self.let_(Class::Single, "mov.f32", &[&"0f00000000"]);
        let mut sum = vec![nothing; c.len()];
        for (a, b) in [(a_left, b), (a, b_left), (a, b)] {
            let next: Vec<Reg> = c.iter().map(|_| self.reg(Class::Single)).collect();
            let op = format!("mma.sync.aligned.m16n8k{depth}.row.col.f32.tf32.tf32.f32");
            self.ins(&op, &[&list(&next), &list(a), &list(b), &list(&sum)]);
            sum = next;
        }
        for (c, sum) in c.iter().zip(&sum) {
            self.ins("add.rn.f32", &[c, c, sum]);
        }
    }

    /// Adds the product of two factors to accumulators.
    pub(super) fn multiply(&mut self, name: &Name, row: Row, cell: &Val, a: &Val, b: &Val) -> Result<()> {
        let layouts = [cell.layout(), a.layout(), b.layout()];
        if layouts != [Layout::Accumulators, Layout::Factor, Layout::Factor] {
            return Err(Error::unsupported(format!("a product `{name}` of values that are no fragments")));
        }
        let depth = row.shape().map_or(0, |shape| shape.k);
        let types = format!("{}.{}", factor_type(row.a.dtype), factor_type(row.b.dtype));
        let (c, a, b) = (&cell.regs, &a.regs, &b.regs);
        let wide = self.capability.has_wide_products();
        if row.a.dtype == DType::F32 && wide && !row.shape().is_some_and(|shape| shape.rounds) {
            self.multiply_in_two(depth, c, a, b);
            return Ok(());
        }
        let mut product = |shape: &str, sum: &str, c: &[Reg], a: &[Reg], b: &[Reg]| {
            let op = format!("mma.sync.aligned.{shape}.row.col.{sum}.{types}.{sum}");
            self.ins(&op, &[&list(c), &list(a), &list(b), &list(c)]);
        };
        let is_int = row.cell.dtype == DType::I32;
        let sum = if is_int { "s32" } else { "f32" };
        match (row.a.dtype, wide) {
            (_, true) => product(&format!("m16n8k{depth}"), sum, c, a, b),
            // Those before have half the depth, or a quarter of the product.
            (DType::F16, false) => {
                product("m16n8k8", sum, c, &a[..2], &b[..1]);
                product("m16n8k8", sum, c, &a[2..], &b[1..]);
            }
            (_, false) if is_int => {
                for word in 0..4 {
                    let rows = 2 * (word % 2);
                    product("m8n8k16", sum, &c[rows..rows + 2], &a[word..word + 1], &b[word / 2..word / 2 + 1]);
                }
            }
            _ => return Err(Error::unsupported(format!("`{name}` on {}", self.capability))),
        }
        Ok(())
    }
}

/// Rounds a float to what products of matrices take.
const ROUND: &str = "cvt.rna.tf32.f32";

/// The bits of a float that they take.
const FIRST_BITS: &str = "0xffffe000";

/// Whether a fragment's elements are rounded to so many bits.
fn rounds(of: &Fragment) -> bool {
    Row::from_name(&of.row).and_then(|row| row.shape()).is_some_and(|shape| shape.rounds)
}

/// What products call an element type.
fn factor_type(dtype: DType) -> &'static str {
    match dtype {
        DType::F16 => "f16",
        DType::BF16 => "bf16",
        DType::I8 => "s8",
        DType::U8 => "u8",
        _ => "tf32",
    }
}
