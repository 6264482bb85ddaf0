//! Evaluation of compiled expressions at one point.

use super::compile::{CAtom, CExpr, CIndex, CKind, CRange, CStage};
use super::{Data, Elements, identity};
use crate::program::StoreMode;
use crate::program::numbers::{binary, cast, compare, fold, math, unary};
use crate::tensor::Scalar;
use crate::{Error, Result};

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
                math(*f, x, y, dtype)
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
