//! Operands that decide shapes, axes and places: known while building, or symbols bound when the program runs.

use super::{Compute, T, shape_text};
use crate::program::{Expr, Known, Step};
use crate::{DType, Error, Index, Result};

impl Compute<'_> {
    /// A new symbol with the value of `index`, known from here on when the program runs.
    pub fn bind(&mut self, stem: &str, index: Index, high: Option<i64>) -> Index {
        let name = self.fresh(stem);
        self.program.facts.symbol(name.clone(), 0, high);
        self.steps.push(Step::Bind(name.clone(), index));
        Index::sym(name)
    }

    /// The element of an integer tensor that must have one only, where an index may use it: known, or looked up.
    pub fn scalar_index(&self, t: &T, what: &str) -> Result<Index> {
        if !t.dtype.is_int() || t.size().as_const().is_some_and(|n| n != 1) {
            return Err(Error::invalid(format!("{what} must be one integer")));
        }
        match t.known.as_deref() {
            Some([Known::Index(index)]) => Ok(index.clone()),
            _ => Ok(Index::at(t.buffer, vec![Index::zero(); t.rank()])),
        }
    }

    /// The element of a tensor that must have one only.
    ///
    /// # Errors
    /// If it has another number of elements, as far as that is known.
    pub fn one(&self, t: &T, what: &str) -> Result<Expr> {
        match t.size().as_const() {
            Some(1) | None => Ok(t.at(vec![Index::zero(); t.rank()])),
            Some(n) => Err(Error::invalid(format!("{what} must be one number, not {n}"))),
        }
    }

    /// The extents in a rank-1 tensor of known length; those not known while building become symbols.
    pub fn extents(&mut self, t: &T, what: &str) -> Result<Vec<Index>> {
        let count = t.size().as_const().filter(|_| t.rank() == 1 && t.dtype.is_int());
        let count = count.ok_or_else(|| Error::unsupported(format!("{what} must be a vector of known length")))?;
        let extents: Vec<Index> =
            (0..count).map(|k| self.value("extent", &t.raw(vec![k.into()]).cast(DType::I64), None)).collect();
        match extents.iter().find(|extent| extent.as_const().is_some_and(|n| n < 0)) {
            Some(negative) => Err(Error::invalid(format!("{what} has a negative extent {negative}"))),
            None => Ok(extents),
        }
    }

    /// An integer scalar that decides an extent or a place: evaluated now if it is known, else computed by a kernel and
    /// bound to a symbol, at most `high`.
    pub fn value(&mut self, stem: &str, expr: &Expr, high: Option<i64>) -> Index {
        if let Some(Known::Index(index)) =
            self.know(&[], &[], None, expr, &[]).and_then(|known| known.into_iter().next())
        {
            return index;
        }
        let t = self.map(DType::I64, &[], |_| expr.clone());
        self.bind(stem, Index::at(t.buffer, vec![]), high)
    }

    /// Demands that two dims are equal; returns the one that says more.
    pub fn same_dim(&mut self, a: &Index, b: &Index) -> Result<Index> {
        if a == b {
            return Ok(a.clone());
        }
        if let (Some(a), Some(b)) = (a.as_const(), b.as_const()) {
            return Err(Error::invalid(format!("dims {a} and {b} differ")));
        }
        self.program.asserts.push((a.clone(), b.clone(), self.node.clone()));
        Ok(if b.as_const().is_some() { b.clone() } else { a.clone() })
    }

    /// The shape that several broadcast to.
    pub fn broadcast_shape(&mut self, shapes: &[&[Index]]) -> Result<Vec<Index>> {
        let rank = shapes.iter().map(|s| s.len()).max().unwrap_or(0);
        let mut result = vec![Index::from(1); rank];
        for shape in shapes {
            for (place, dim) in shape.iter().enumerate() {
                let there = &mut result[rank - shape.len() + place];
                if there.is(1) {
                    *there = dim.clone();
                } else if !dim.is(1) {
                    *there = self.same_dim(there, dim).map_err(|_| {
                        let shapes: Vec<String> = shapes.iter().map(|s| shape_text(s)).collect();
                        Error::invalid(format!("shapes {} do not broadcast", shapes.join(" and ")))
                    })?;
                }
            }
        }
        Ok(result)
    }

    /// The integer elements of a rank-0 or rank-1 tensor that decides a shape or an axis.
    ///
    /// # Errors
    /// If they are not known while building.
    pub fn dims(&self, t: &T, what: &str) -> Result<Vec<Index>> {
        let indices = t.known.as_ref().map(|known| {
            let index = |known: &Known| if let Known::Index(index) = known { Some(index.clone()) } else { None };
            known.iter().map(index).collect::<Option<Vec<_>>>()
        });
        indices.flatten().ok_or_else(|| {
            Error::unsupported(format!(
                "{what} must be known when the model is built (`--value INPUT=..` fixes an input)"
            ))
        })
    }

    /// The numbers of a rank-0 or rank-1 tensor that must be known while building.
    pub fn ints(&self, t: &T, what: &str) -> Result<Vec<i64>> {
        let numbers: Option<Vec<i64>> = self.dims(t, what)?.iter().map(Index::as_const).collect();
        numbers.ok_or_else(|| {
            Error::unsupported(format!("{what} must be numbers; they depend on a symbolic dim (`--dim` fixes one)"))
        })
    }

    /// The floats (or integers) of a small tensor that must be known while building.
    pub fn floats(&self, t: &T, what: &str) -> Result<Vec<f64>> {
        let number = |known: &Known| match known {
            Known::Float(x) => Some(*x),
            Known::Index(index) => index.as_const().map(|n| n as f64),
        };
        let numbers = t.known.as_ref().and_then(|known| known.iter().map(number).collect::<Option<Vec<_>>>());
        numbers.ok_or_else(|| {
            Error::unsupported(format!(
                "{what} must be known when the model is built (`--value INPUT=..` fixes an input)"
            ))
        })
    }
}
