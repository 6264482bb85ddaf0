//! `mma.sync`: a product of small matrices that a warp holds in its registers.

use crate::Result;
use crate::fragment::{accumulator, row_major};
use crate::warp::{LANES, Warp};
use half::{bf16, f16};

const COLUMNS: usize = 8;

/// What is multiplied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Element {
    F16,
    Bf16,
    Tf32,
    S8,
    U8,
}

impl Element {
    fn from_name(name: &str) -> Option<Element> {
        Some(match name {
            "f16" => Element::F16,
            "bf16" => Element::Bf16,
            "tf32" => Element::Tf32,
            "s8" => Element::S8,
            "u8" => Element::U8,
            _ => return None,
        })
    }

    /// Elements of 32 bits.
    fn parts(self) -> usize {
        match self {
            Element::F16 | Element::Bf16 => 2,
            Element::Tf32 => 1,
            Element::S8 | Element::U8 => 4,
        }
    }

    fn is_int(self) -> bool {
        self.parts() == 4
    }

    /// The number that a part of 32 bits is; every one fits.
    fn number(self, word: u32, part: usize) -> Result<f64> {
        let half = (word >> (16 * (part & 1))) as u16;
        let byte = (word >> (8 * part)) as u8;
        Ok(match self {
            Element::F16 => f16::from_bits(half).into(),
            Element::Bf16 => bf16::from_bits(half).into(),
            Element::Tf32 if word & 0x1fff != 0 => return Err(format!("{word:#x} is no tf32: `cvt.rna` makes one")),
            Element::Tf32 => f32::from_bits(word).into(),
            Element::S8 => f64::from(byte as i8),
            Element::U8 => f64::from(byte),
        })
    }
}

/// `to = a * b + c`, with `a` of 16 or 8 rows and `b` of 8 columns.
pub(crate) struct Mma {
    pub a_element: Element,
    pub b_element: Element,
    /// Rows of `a`.
    pub rows: usize,
    /// Columns of `a`.
    pub depth: usize,
    /// Sums of ints stay at the ends of their range, and do not wrap.
    pub saturates: bool,
    pub to: Vec<usize>,
    pub a: Vec<usize>,
    pub b: Vec<usize>,
    pub c: Vec<usize>,
}

impl Mma {
    /// The instruction with a shape and types, as its name has them.
    pub fn named(shape: &str, types: &[&str], saturates: bool) -> Option<Mma> {
        let (rows, depth) = match shape.strip_prefix("m16n8k") {
            Some(depth) => (16, depth.parse().ok()?),
            None => (8, shape.strip_prefix("m8n8k")?.parse().ok()?),
        };
        let [to, a, b, c] = *types else { return None };
        let (a_element, b_element) = (Element::from_name(a)?, Element::from_name(b)?);
        let same = a_element == b_element || a_element.is_int() && b_element.is_int();
        let sum = if a_element.is_int() { "s32" } else { "f32" };
        // A row of `a` has 32 bytes, or half as many in the small shapes.
        let row = 8 * a_element.parts();
        let sums = (to, c) == (sum, sum) && (!saturates || a_element.is_int());
        // With 8 rows, there is the small shape of ints alone.
        let shapes = if rows == 16 { [row, row / 2].contains(&depth) } else { a_element.is_int() && depth == row / 2 };
        let exists = same && sums && shapes;
        exists.then(|| Mma {
            rows,
            a_element,
            b_element,
            depth,
            saturates,
            to: vec![],
            a: vec![],
            b: vec![],
            c: vec![],
        })
    }

    /// Registers of `a`, of `b` and of the accumulators.
    pub fn registers(&self) -> [usize; 3] {
        let words = self.depth / self.a_element.parts();
        [self.rows * words / LANES, COLUMNS * words / LANES, self.rows * COLUMNS / LANES]
    }
}

impl Mma {
    /// An accumulator after products are added. A GPU rounds sums of floats in an order of its own, this once.
    fn sum(&self, before: u32, products: f64) -> u32 {
        match (self.a_element.is_int(), self.saturates) {
            (false, _) => ((f64::from(f32::from_bits(before)) + products) as f32).to_bits(),
            (true, false) => (before as i32).wrapping_add(products as i32) as u32,
            (true, true) => (before as i32).saturating_add(products as i32) as u32,
        }
    }
}

impl Warp {
    pub(crate) fn multiply(&mut self, mma: &Mma, lanes: u32) -> Result<()> {
        if lanes == 0 {
            return Ok(());
        }
        self.complete(lanes)?;
        mma.a.iter().chain(&mma.b).chain(&mma.c).try_for_each(|register| self.check(*register, lanes))?;
        let a = self.operand(&mma.a, mma.a_element, mma.rows, mma.depth)?;
        let b = self.operand(&mma.b, mma.b_element, COLUMNS, mma.depth)?;
        let sums = (0..mma.rows * COLUMNS).map(|at| {
            let (row, column) = (at / COLUMNS, at % COLUMNS);
            let (a, b) = (&a[row * mma.depth..][..mma.depth], &b[column * mma.depth..][..mma.depth]);
            let place = accumulator(row, column);
            let before = self.values[mma.c[place.register] * LANES + place.lane] as u32;
            (place, mma.sum(before, a.iter().zip(b).map(|(a, b)| a * b).sum()))
        });
        // The registers of the result may be those of an operand.
        for (place, sum) in sums.collect::<Vec<_>>() {
            self.set(mma.to[place.register], place.lane, sum.into());
        }
        Ok(())
    }

    /// An operand's lines along the depth: rows of `a`, columns of `b`, which lies in registers as `a` does.
    fn operand(&self, registers: &[usize], element: Element, lines: usize, depth: usize) -> Result<Vec<f64>> {
        let number = |at: usize| {
            let place = row_major(at / depth, at % depth, lines, element.parts());
            element.number(self.values[registers[place.register] * LANES + place.lane] as u32, place.part)
        };
        (0..lines * depth).map(number).collect()
    }

    /// Fails unless all 32 lanes take part.
    pub(crate) fn complete(&self, lanes: u32) -> Result<()> {
        if lanes == u32::MAX { Ok(()) } else { Err(format!("all lanes must come here together, not {lanes:#x}")) }
    }
}
