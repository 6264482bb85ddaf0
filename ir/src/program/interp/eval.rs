//! Evaluation of compiled expressions at one point.

use super::compile::{CAtom, CExpr, CIndex, CKind, CRange, CStage};
use super::{Data, Elements, identity};
use crate::program::StoreMode;
use crate::tensor::Scalar;
use crate::tile::{Binary, Compare, Math, Monoid, Unary};
use crate::{DType, Error, Result};

/// What a point sees: the axes' values, the buffers, the values of earlier stages.
pub struct Env<'a> {
    pub vars: Vec<i64>,
    pub buffers: &'a mut [Option<Data>],
    /// Axes and values (row-major over them) of the stages so far; no values if none is read.
    pub stages: Vec<(Vec<usize>, Vec<i64>, Vec<Scalar>)>,
}

impl Env<'_> {
    /// Sets the axes to the coordinates of the `point`-th point, row-major.
    pub fn set_point(&mut self, axes: &[usize], extents: &[i64], mut point: i64) {
        for &axis in axes.iter().rev() {
            self.vars[axis] = point % extents[axis];
            point /= extents[axis];
        }
    }

    /// The value of a stage at the current point.
    pub fn value(&mut self, stage: &CStage, extents: &[i64]) -> Result<Scalar> {
        let Some((monoid, axes)) = &stage.reduce else { return self.expr(&stage.value) };
        let points: i64 = axes.iter().map(|&axis| extents[axis]).product();
        let mut folded = identity(*monoid, stage.value.dtype);
        for point in 0..points {
            self.set_point(axes, extents, point);
            folded = fold(*monoid, folded, self.expr(&stage.value)?);
        }
        Ok(folded.cast(stage.value.dtype))
    }

    /// Stores a stage's value at the current point, if it stores.
    pub fn store(&mut self, stage: &CStage, value: Scalar) -> Result<()> {
        let Some(store) = &stage.store else { return Ok(()) };
        if !self.inside(&store.only)? {
            return Ok(());
        }
        let index = self.indices(&store.index)?;
        let buffer = self.buffers[store.buffer as usize].as_mut();
        let data = buffer.ok_or_else(|| Error::internal(format!("buffer @{} is not allocated", store.buffer)))?;
        let place = data.place(&index).ok_or_else(|| out_of_bounds(store.buffer, &index, data))?;
        let value = match store.mode {
            StoreMode::Set | StoreMode::Scatter => value,
            StoreMode::Combine(monoid) => fold(monoid, data.get(place), value),
        };
        data.set(place, value);
        Ok(())
    }

    fn index(&self, index: &CIndex) -> Result<i64> {
        let mut sum = index.constant;
        for (factor, atoms) in &index.terms {
            let mut product = *factor;
            for atom in atoms {
                product = product.wrapping_mul(self.atom(atom)?);
            }
            sum = sum.wrapping_add(product);
        }
        Ok(sum)
    }

    fn atom(&self, atom: &CAtom) -> Result<i64> {
        let both = |pair: &(CIndex, CIndex)| Ok::<_, Error>((self.index(&pair.0)?, self.index(&pair.1)?));
        let divisor = |pair: &(CIndex, CIndex)| match both(pair)? {
            (_, ..=0) => Err(Error::invalid("a dim is divided by one that is not positive")),
            pair => Ok(pair),
        };
        Ok(match atom {
            CAtom::Var(slot) => self.vars[*slot],
            CAtom::Div(pair) => divisor(pair).map(|(a, b)| a.div_euclid(b))?,
            CAtom::Mod(pair) => divisor(pair).map(|(a, b)| a.rem_euclid(b))?,
            CAtom::Min(pair) => both(pair).map(|(a, b)| a.min(b))?,
            CAtom::Max(pair) => both(pair).map(|(a, b)| a.max(b))?,
            CAtom::At(buffer, index) => self.load(*buffer, index)?.int(),
        })
    }

    fn indices(&self, index: &[CIndex]) -> Result<Vec<i64>> {
        index.iter().map(|i| self.index(i)).collect()
    }

    fn load(&self, buffer: u32, index: &[CIndex]) -> Result<Scalar> {
        let data = self.buffers[buffer as usize].as_ref();
        let data = data.ok_or_else(|| Error::internal(format!("buffer @{buffer} is read before it is written")))?;
        let mut place = 0usize;
        for (i, &dim) in index.iter().zip(&data.shape) {
            let i = self.index(i)?;
            if i < 0 || i as usize >= dim {
                return Err(out_of_bounds(buffer, &self.indices(index)?, data));
            }
            place = place * dim + i as usize;
        }
        Ok(data.get(place))
    }

    fn inside(&self, tests: &[CRange]) -> Result<bool> {
        for test in tests {
            let index = self.index(&test.index)?;
            if index < self.index(&test.low)? || index >= self.index(&test.high)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn expr(&self, expr: &CExpr) -> Result<Scalar> {
        let dtype = expr.dtype;
        Ok(match &expr.kind {
            CKind::Const(value) => *value,
            CKind::Load(buffer, index) => self.load(*buffer, index)?,
            CKind::Guard(all, then, otherwise) => {
                if self.inside(all)? {
                    self.expr(then)?
                } else {
                    *otherwise
                }
            }
            CKind::Index(index) => Scalar::Int(self.index(index)?),
            CKind::Stage(number) => {
                let (axes, extents, values) = &self.stages[*number];
                let place = axes.iter().fold(0, |place, &axis| place * extents[axis] + self.vars[axis]);
                values[place as usize]
            }
            CKind::Unary(f, a) => unary(*f, self.expr(a)?, dtype),
            CKind::Binary(f, pair) => binary(*f, self.expr(&pair.0)?, self.expr(&pair.1)?, dtype),
            CKind::Compare(f, pair) => compare(*f, self.expr(&pair.0)?, self.expr(&pair.1)?, pair.0.dtype),
            CKind::Select(three) => {
                if self.expr(&three.0)?.int() != 0 {
                    self.expr(&three.1)?
                } else {
                    self.expr(&three.2)?
                }
            }
            CKind::Cast(a) => cast(self.expr(a)?, a.dtype, dtype),
            CKind::Bitcast(a) => {
                let mut bytes = [0; 8];
                let bytes = &mut bytes[..dtype.bytes()];
                self.expr(a)?.store(a.dtype, bytes);
                Scalar::load(dtype, bytes)
            }
            CKind::Math(f, operands) => {
                let x = self.expr(&operands[0])?.float();
                let y = operands.get(1).map_or(Ok(0.0), |e| self.expr(e).map(Scalar::float))?;
                Scalar::Float(math(*f, x, y)).cast(dtype)
            }
        })
    }
}

fn out_of_bounds(buffer: u32, index: &[i64], data: &Data) -> Error {
    Error::internal(format!("{index:?} is out of bounds of buffer @{buffer} with shape {:?}", data.shape))
}

impl Data {
    fn get(&self, place: usize) -> Scalar {
        match &self.elements {
            Elements::Float(values) => Scalar::Float(values[place]),
            Elements::Int(values) => Scalar::Int(values[place]),
        }
    }

    fn set(&mut self, place: usize, value: Scalar) {
        match &mut self.elements {
            Elements::Float(values) => values[place] = value.cast(self.dtype).float(),
            Elements::Int(values) => values[place] = value.cast(self.dtype).int(),
        }
    }
}

fn cast(value: Scalar, from: DType, to: DType) -> Scalar {
    match value {
        // Unsigned 64-bit integers are kept as their bits.
        Scalar::Int(n) if from == DType::U64 && to.is_float() => Scalar::Float(n as u64 as f64).cast(to),
        _ => value.cast(to),
    }
}

/// One step of a fold; the value is rounded or wrapped to its type at the end.
fn fold(monoid: Monoid, a: Scalar, b: Scalar) -> Scalar {
    match (a, b) {
        (Scalar::Float(a), Scalar::Float(b)) => Scalar::Float(match monoid {
            Monoid::Sum => a + b,
            Monoid::Prod => a * b,
            Monoid::Max => {
                if a.is_nan() || a > b {
                    a
                } else {
                    b
                }
            }
            Monoid::Min => {
                if a.is_nan() || a < b {
                    a
                } else {
                    b
                }
            }
            Monoid::And => f64::from(a != 0.0 && b != 0.0),
            Monoid::Or => f64::from(a != 0.0 || b != 0.0),
        }),
        (a, b) => {
            let (a, b) = (a.int(), b.int());
            Scalar::Int(match monoid {
                Monoid::Sum => a.wrapping_add(b),
                Monoid::Prod => a.wrapping_mul(b),
                Monoid::Max => a.max(b),
                Monoid::Min => a.min(b),
                Monoid::And => (a != 0 && b != 0).into(),
                Monoid::Or => (a != 0 || b != 0).into(),
            })
        }
    }
}

fn unary(f: Unary, a: Scalar, dtype: DType) -> Scalar {
    let value = match a {
        Scalar::Float(x) => Scalar::Float(match f {
            Unary::Neg => -x,
            Unary::Abs => x.abs(),
            Unary::Sqrt => x.sqrt(),
            Unary::Floor => x.floor(),
            Unary::Ceil => x.ceil(),
            Unary::Trunc => x.trunc(),
            Unary::Round => x.round_ties_even(),
            Unary::Not => f64::from(x == 0.0),
        }),
        Scalar::Int(n) => Scalar::Int(match f {
            Unary::Neg => n.wrapping_neg(),
            Unary::Abs if dtype == DType::U64 => n,
            Unary::Abs => n.wrapping_abs(),
            Unary::Not if dtype == DType::Bool => (n == 0).into(),
            Unary::Not => !n,
            Unary::Sqrt | Unary::Floor | Unary::Ceil | Unary::Trunc | Unary::Round => n,
        }),
    };
    value.cast(dtype)
}

fn binary(f: Binary, a: Scalar, b: Scalar, dtype: DType) -> Scalar {
    let value = match (a, b) {
        (Scalar::Float(a), Scalar::Float(b)) => Scalar::Float(match f {
            Binary::Add => a + b,
            Binary::Sub => a - b,
            Binary::Mul => a * b,
            Binary::Div => a / b,
            Binary::Rem => a % b,
            Binary::Min => {
                if a < b {
                    a
                } else {
                    b
                }
            }
            Binary::Max => {
                if a > b {
                    a
                } else {
                    b
                }
            }
            Binary::And | Binary::Or | Binary::Xor | Binary::Shl | Binary::Shr => f64::NAN,
        }),
        (a, b) => Scalar::Int(int_binary(f, a.int(), b.int(), dtype)),
    };
    value.cast(dtype)
}

fn int_binary(f: Binary, a: i64, b: i64, dtype: DType) -> i64 {
    let (ua, ub) = (a as u64, b as u64);
    let unsigned = dtype == DType::U64;
    match f {
        Binary::Add => a.wrapping_add(b),
        Binary::Sub => a.wrapping_sub(b),
        Binary::Mul => a.wrapping_mul(b),
        Binary::Div if b == 0 => 0,
        Binary::Rem if b == 0 => 0,
        Binary::Div if unsigned => (ua / ub) as i64,
        Binary::Rem if unsigned => (ua % ub) as i64,
        Binary::Div => a.wrapping_div(b),
        Binary::Rem => a.wrapping_rem(b),
        Binary::Min if unsigned => ua.min(ub) as i64,
        Binary::Max if unsigned => ua.max(ub) as i64,
        Binary::Min => a.min(b),
        Binary::Max => a.max(b),
        Binary::And => a & b,
        Binary::Or => a | b,
        Binary::Xor => a ^ b,
        Binary::Shl => a.wrapping_shl(b as u32),
        Binary::Shr if unsigned => (ua >> (ub & 63)) as i64,
        Binary::Shr => a.wrapping_shr(b as u32),
    }
}

fn compare(f: Compare, a: Scalar, b: Scalar, dtype: DType) -> Scalar {
    let truth = match (a, b) {
        (Scalar::Float(a), Scalar::Float(b)) => match f {
            Compare::Eq => a == b,
            Compare::Ne => a != b,
            Compare::Lt => a < b,
            Compare::Le => a <= b,
        },
        (a, b) => {
            let (a, b) = (a.int(), b.int());
            match f {
                Compare::Eq => a == b,
                Compare::Ne => a != b,
                Compare::Lt if dtype == DType::U64 => (a as u64) < (b as u64),
                Compare::Le if dtype == DType::U64 => (a as u64) <= (b as u64),
                Compare::Lt => a < b,
                Compare::Le => a <= b,
            }
        }
    };
    Scalar::Int(truth.into())
}

fn math(f: Math, x: f64, y: f64) -> f64 {
    match f {
        Math::Exp => x.exp(),
        Math::Expm1 => x.exp_m1(),
        Math::Log => x.ln(),
        Math::Log1p => x.ln_1p(),
        Math::Sin => x.sin(),
        Math::Cos => x.cos(),
        Math::Tan => x.tan(),
        Math::Asin => x.asin(),
        Math::Acos => x.acos(),
        Math::Atan => x.atan(),
        Math::Sinh => x.sinh(),
        Math::Cosh => x.cosh(),
        Math::Tanh => x.tanh(),
        Math::Asinh => x.asinh(),
        Math::Acosh => x.acosh(),
        Math::Atanh => x.atanh(),
        Math::Erf => libm::erf(x),
        Math::Pow => x.powf(y),
        Math::Fmod => x % y,
    }
}
