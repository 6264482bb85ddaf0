use super::OpDef;
use crate::compute::{Compute, T};
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::{DType, Error, Index, Result, Scalar, Tensor};

/// `y[.., i, ..] = x[.., start + i * step, ..]` on some axes (ONNX `Slice`), by the rules of Python: negative positions
/// count from the end, everything is clamped, steps may be negative.
///
/// Before opset 10 starts, ends and axes are attributes. Starts and ends may be known only at run time.
#[derive(Debug)]
pub struct Slice {
    attributes: Option<[Vec<i64>; 2]>,
    axes: Option<Vec<i64>>,
}

impl Slice {
    pub(super) fn parse(node: &OnnxNode) -> Result<Slice> {
        let attributes = match (node.ints("starts")?, node.ints("ends")?) {
            (Some(starts), Some(ends)) if starts.len() == ends.len() => Some([starts, ends]),
            (None, None) => None,
            _ => return Err(Error::invalid("Slice needs as many starts as ends")),
        };
        Ok(Slice { attributes, axes: node.ints("axes")? })
    }

    /// Starts, ends, axes and steps.
    fn operands(&self, c: &mut Compute, x: &T) -> Result<(T, T, Vec<usize>, Vec<i64>)> {
        let (starts, ends) = match &self.attributes {
            Some(both) => {
                let [starts, ends] = both.each_ref().map(|list| c.constant(Tensor::from_i64s(list)));
                (starts, ends)
            }
            None => (c.input(1)?, c.input(2)?),
        };
        let wrong = || Error::invalid("starts, ends, axes and steps of Slice must be equally many integers");
        let count = starts.size().as_const().filter(|n| ends.size().is(*n)).ok_or_else(wrong)?;
        let axes = match (c.optional(3), &self.axes) {
            (Some(axes), _) => c.ints(&axes, "the axes of Slice")?,
            (None, Some(axes)) => axes.clone(),
            (None, None) => (0..count).collect(),
        };
        let steps = match c.optional(4) {
            Some(steps) => c.ints(&steps, "the steps of Slice")?,
            None => vec![1; axes.len()],
        };
        let vectors = starts.rank() == 1 && ends.rank() == 1 && starts.dtype.is_int() && ends.dtype.is_int();
        if !vectors || axes.len() as i64 != count || steps.len() != axes.len() || steps.contains(&0) {
            return Err(wrong());
        }
        Ok((starts, ends, axes.into_iter().map(|a| x.axis(a)).collect::<Result<_>>()?, steps))
    }
}

impl OpDef for Slice {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        let (starts, ends, axes, steps) = self.operands(c, &x)?;
        let mut maps: Vec<(Index, i64, Index)> = x.shape.iter().map(|n| (Index::zero(), 1, n.clone())).collect();
        for (place, (&axis, &step)) in axes.iter().zip(&steps).enumerate() {
            let extent = &x.shape[axis];
            let start = position(&starts, place, extent, step);
            let end = position(&ends, place, extent, step);
            let (distance, stride) =
                if step > 0 { (&end - &start, step) } else { (&start - &end, step.saturating_neg()) };
            let stride = start.like(stride as f64);
            let count = start.like(0.0).max(&((distance + (&stride - &start.like(1.0))) / stride));
            let high = extent.as_const();
            maps[axis] = (c.value("start", &start, high), step, c.value("count", &count, high));
        }
        let y = strided(c, &x, &maps);
        c.output(0, y);
        Ok(())
    }
}

/// No dim is as large: exporters write some such number for "to the end".
const BEYOND: i64 = 1_000_000_000;

/// The place of a start or an end: wrapped, then clamped to where a step can begin or end.
fn position(t: &T, place: usize, extent: &Index, step: i64) -> Expr {
    let extent = Expr::index(extent.clone());
    let (low, high) = (extent.like(0.0), extent.clone());
    let (low, high) = if step > 0 { (low, high) } else { (extent.like(-1.0), high - extent.like(1.0)) };
    let known = t.known.as_ref().and_then(|known| match known.get(place)? {
        crate::program::Known::Index(index) => index.as_const(),
        crate::program::Known::Float(_) => None,
    });
    match known {
        Some(n) if n >= BEYOND => return high,
        Some(n) if n <= -BEYOND => return low,
        _ => {}
    }
    let at = t.raw(vec![Index::from(place as i64)]).cast(DType::I64);
    let wrapped = at.lt(&at.like(0.0)).select(&(&at + &extent), &at);
    high.min(&low.max(&wrapped))
}

/// `y[i] = x[start + i * step]`, one `(start, step, extent)` for each axis.
pub(super) fn strided(c: &mut Compute, x: &T, maps: &[(Index, i64, Index)]) -> T {
    let shape: Vec<Index> = maps.iter().map(|map| map.2.clone()).collect();
    let facts = c.facts_at(&shape);
    c.map(x.dtype, &shape, |i| {
        let index = maps.iter().zip(i).map(|((start, step, _), i)| start.clone() + i.clone() * *step);
        x.raw_or(&facts, index.collect(), Scalar::Int(0))
    })
}

/// `extent` elements from `start` on, along one axis.
pub(super) fn part(c: &mut Compute, x: &T, axis: usize, start: Index, extent: Index) -> T {
    let mut maps: Vec<(Index, i64, Index)> = x.shape.iter().map(|n| (Index::zero(), 1, n.clone())).collect();
    maps[axis] = (start, 1, extent);
    strided(c, x, &maps)
}
