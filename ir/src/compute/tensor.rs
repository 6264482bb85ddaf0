//! Handles on tensors, and what is asked of shapes and types.

use crate::index::Atom;
use crate::program::{Expr, Known};
use crate::tensor::Scalar;
use crate::tile::InRange;
use crate::{DType, Error, Facts, Index, Result};

/// A tensor while an op is built: a buffer of the program.
#[derive(Clone, Debug)]
pub struct T {
    /// Its number.
    pub buffer: u32,
    /// Element type.
    pub dtype: DType,
    /// Extents, outermost first.
    pub shape: Vec<Index>,
    /// Its elements in row-major order, if they are known while building (small integers, mostly shapes).
    pub known: Option<Vec<Known>>,
}

impl T {
    /// Number of dims.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// The element at an index, one expression a dim; 16-bit floats are widened to F32, in which they are computed.
    pub fn at(&self, index: Vec<Index>) -> Expr {
        let load = Expr::load(self.dtype, self.buffer, index);
        load.cast(compute_type(self.dtype))
    }

    /// The element in the memory type, for ops that only move data.
    pub fn raw(&self, index: Vec<Index>) -> Expr {
        Expr::load(self.dtype, self.buffer, index)
    }

    /// The element in the memory type where the index is inside, else a number; `facts` leave out what they prove.
    pub fn raw_or(&self, facts: &Facts, index: Vec<Index>, otherwise: Scalar) -> Expr {
        let tests = inside(facts, index.iter().cloned().zip(self.shape.iter().cloned()));
        self.raw(index).guard(tests, otherwise)
    }

    /// The element that ONNX's multidirectional broadcasting pairs with index `i` of the result.
    pub fn broadcast(&self, i: &[Index]) -> Expr {
        self.at(self.broadcast_index(i))
    }

    /// The index that broadcasting pairs with index `i` of the result: dims align at the end, extent 1 repeats.
    pub fn broadcast_index(&self, i: &[Index]) -> Vec<Index> {
        let skip = i.len() - self.rank();
        let pairs = self.shape.iter().zip(&i[skip..]);
        pairs.map(|(extent, i)| if extent.is(1) { Index::zero() } else { i.clone() }).collect()
    }

    /// The element as an index in `0..extent`: negative ones count from the end.
    pub fn lookup(&self, at: Vec<Index>, extent: &Index) -> Index {
        let known = self.known_at(&at);
        match (known.as_ref().and_then(Index::as_const), extent.as_const()) {
            (Some(n), Some(extent)) if extent > 0 => n.rem_euclid(extent).into(),
            (Some(n), _) if n < 0 => extent.clone() + n,
            (Some(n), _) => n.into(),
            (None, _) => known.unwrap_or_else(|| Index::at(self.buffer, at)).rem(extent),
        }
    }

    /// The integer at an index, if both are known.
    fn known_at(&self, at: &[Index]) -> Option<Index> {
        let at: Option<Vec<i64>> = at.iter().map(Index::as_const).collect();
        let place = self.shape.iter().zip(at?).try_fold(0i64, |place, (dim, i)| Some(place * dim.as_const()? + i))?;
        match self.known.as_ref()?.get(usize::try_from(place).ok()?)? {
            Known::Index(index) => Some(index.clone()),
            Known::Float(_) => None,
        }
    }

    /// Number of elements.
    pub fn size(&self) -> Index {
        Index::product(&self.shape)
    }

    /// A dim counted from the end if negative.
    pub fn axis(&self, axis: i64) -> Result<usize> {
        normalize_axis(axis, self.rank())
    }
}

/// The type in which elements of a memory type are computed.
pub fn compute_type(dtype: DType) -> DType {
    match dtype {
        DType::F16 | DType::BF16 => DType::F32,
        other => other,
    }
}

/// An axis in `0..rank` from one in `-rank..rank`.
pub fn normalize_axis(axis: i64, rank: usize) -> Result<usize> {
    let wrapped = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
    if (0..rank as i64).contains(&wrapped) {
        return Ok(wrapped as usize);
    }
    Err(Error::invalid(format!("axis {axis} is out of range for a rank-{rank} tensor")))
}

/// `[batch, 3, 224]`
pub fn shape_text(shape: &[Index]) -> String {
    let dims: Vec<String> = shape.iter().map(Index::to_string).collect();
    format!("[{}]", dims.join(", "))
}

/// Tests `0 <= index < extent`, left out if `facts` prove them.
///
/// A remainder lies inside of any extent but 0, as which an extent of a symbol may turn out; so that is tested first.
pub fn inside(facts: &Facts, tests: impl IntoIterator<Item = (Index, Index)>) -> Vec<InRange> {
    let mut needed = vec![];
    for (index, extent) in tests {
        index.visit(&mut |atom| {
            if let Atom::Div(pair) | Atom::Mod(pair) = atom
                && !facts.proves(&(pair.1.clone() - 1))
            {
                let divides = InRange::extent(Index::zero(), pair.1.clone());
                if !needed.contains(&divides) {
                    needed.push(divides);
                }
            }
        });
        let test = InRange::extent(index, extent);
        let (low, high) = (test.index.clone() - test.low.clone(), test.high.clone() - test.index.clone() - 1);
        if !(test.proven(facts) || facts.proves(&low) && facts.proves(&high)) {
            needed.push(test);
        }
    }
    needed
}
