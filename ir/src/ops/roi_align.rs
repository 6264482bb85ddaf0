use super::OpDef;
use crate::compute::{Compute, T, compute_type};
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::tensor::Scalar;
use crate::tile::{InRange, Monoid, Unary};
use crate::{DType, Error, Index, Result};

/// Pools regions `[x1, y1, x2, y2]` to one size, by linear interpolation at a few points of each bin (ONNX `RoiAlign`).
///
/// With `sampling_ratio` 0 a bin has as many points as it is high and wide, rounded up. Points further than 1 outside
/// are 0. Mode `max` takes the largest weighted corner. Before opset 16 there is no half pixel, and a region is
/// at least 1 wide and high.
#[derive(Debug)]
pub struct RoiAlign {
    max: bool,
    half_pixel: bool,
    bins: [i64; 2],
    samples: i64,
    scale: f64,
}

impl RoiAlign {
    pub(super) fn parse(node: &OnnxNode) -> Result<RoiAlign> {
        let default = if node.opset >= 16 { "half_pixel" } else { "output_half_pixel" };
        let bins = [node.int("output_height", 1)?, node.int("output_width", 1)?];
        let samples = node.int("sampling_ratio", 0)?;
        if bins.iter().any(|&n| n < 1) || samples < 0 {
            return Err(Error::invalid("the output size of RoiAlign must be positive"));
        }
        Ok(RoiAlign {
            max: node.string("mode", "avg")? == "max",
            half_pixel: node.string("coordinate_transformation_mode", default)? == "half_pixel",
            bins,
            samples,
            scale: node.float("spatial_scale", 1.0)?.into(),
        })
    }

    /// Start and length of a region along an axis (0: height, 1: width).
    fn region(&self, regions: &T, r: &Index, axis: usize) -> (Expr, Expr) {
        let offset = if self.half_pixel { 0.5 } else { 0.0 };
        let end = |place: usize| {
            let end = regions.at(vec![r.clone(), Index::from((place + 1 - axis) as i64)]);
            end.cast(DType::F64) * self.scale - offset
        };
        let (start, length) = (end(0), end(2) - end(0));
        let length = if self.half_pixel { length } else { length.max(&length.like(1.0)) };
        (start, length)
    }

    fn axis(&self, c: &mut Compute, regions: &T, axis: usize, extent: &Index) -> Axis {
        let (count, bins) = (regions.shape[0].clone(), Index::from(self.bins[axis]));
        let (mut counts, mut points) = (None, Index::from(self.samples));
        if self.samples == 0 {
            let own = c.map(DType::I64, std::slice::from_ref(&count), |i| {
                let (_, length) = self.region(regions, &i[0], axis);
                (length / self.bins[axis] as f64).unary(Unary::Ceil)
            });
            let most = c.reduce(Monoid::Max, DType::I64, &[], &[count.clone()], |_, r| own.at(r.to_vec()));
            let most = Expr::int(DType::I64, 0).max(&most.at(vec![]));
            points = c.value("points", &most, None);
            counts = Some(own);
        }
        let shape = [count, bins, points.clone(), 2.into()];
        let extent = Expr::index(extent.clone()).cast(DType::F64);
        let last = &extent - 1.0;
        let real = |i: &Index| Expr::index(i.clone()).cast(DType::F64);
        let position = |i: &[Index]| {
            let (start, length) = self.region(regions, &i[0], axis);
            let count = counts
                .as_ref()
                .map_or(Expr::float(DType::F64, self.samples as f64), |t| t.at(vec![i[0].clone()]).cast(DType::F64));
            (real(&i[1]) + (real(&i[2]) + 0.5) / count) * (length / self.bins[axis] as f64) + start
        };
        let clamped = |i: &[Index]| {
            let position = position(i);
            position.max(&position.like(0.0)).min(&last)
        };
        let places = c.map(DType::I64, &shape, |i| (clamped(i).unary(Unary::Floor) + real(&i[3])).min(&last));
        let weights = c.map(DType::F32, &shape, |i| {
            let (position, raw) = (clamped(i), position(i));
            let high = &position - position.unary(Unary::Floor);
            let weight = real(&i[3]).equals(&high.like(1.0)).select(&high, &(high.like(1.0) - &high));
            let inside = raw.like(-1.0).le(&raw) & raw.le(&extent);
            inside.select(&weight, &weight.like(0.0))
        });
        Axis { places, weights, counts, points }
    }
}

/// Samples along one axis: elements and weights `[regions, bins, points, 2]`, and how many points each region has.
struct Axis {
    places: T,
    weights: T,
    counts: Option<T>,
    points: Index,
}

impl OpDef for RoiAlign {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (x, regions, batches) = (c.input(0)?, c.input(1)?, c.input(2)?);
        if x.rank() != 4 || regions.rank() != 2 || batches.rank() != 1 {
            return Err(Error::invalid(
                "RoiAlign needs images of rank 4, regions of rank 2 and batch indices of rank 1",
            ));
        }
        c.same_dim(&regions.shape[1], &4.into())?;
        c.same_dim(&regions.shape[0], &batches.shape[0])?;
        let axes = [self.axis(c, &regions, 0, &x.shape[2]), self.axis(c, &regions, 1, &x.shape[3])];
        let shape = [regions.shape[0].clone(), x.shape[1].clone(), self.bins[0].into(), self.bins[1].into()];
        let over = [axes[0].points.clone(), axes[1].points.clone(), 2.into(), 2.into()];
        let wide = compute_type(x.dtype);
        let (monoid, none) = if self.max { (Monoid::Max, f64::NEG_INFINITY) } else { (Monoid::Sum, 0.0) };
        let folded = c.reduce(monoid, wide, &shape, &over, |i, r| {
            let mut at = vec![batches.lookup(vec![i[0].clone()], &x.shape[0]), i[1].clone()];
            let (mut weight, mut tests) = (Expr::float(wide, 1.0), vec![]);
            for (a, axis) in axes.iter().enumerate() {
                let tap = vec![i[0].clone(), i[2 + a].clone(), r[a].clone(), r[2 + a].clone()];
                at.push(axis.places.lookup(tap.clone(), &x.shape[2 + a]));
                weight = weight * axis.weights.at(tap).cast(wide);
                for counts in axis.counts.iter() {
                    tests.push(InRange::extent(r[a].clone(), Index::at(counts.buffer, vec![i[0].clone()])));
                }
            }
            (x.at(at) * weight).guard(tests, Scalar::Float(none))
        });
        let y = c.map(x.dtype, &shape, |i| {
            let folded = folded.at(i.to_vec());
            if self.max {
                return folded;
            }
            let count = |axis: &Axis| match &axis.counts {
                Some(counts) => counts.at(vec![i[0].clone()]),
                None => Expr::int(DType::I64, self.samples),
            };
            let count = count(&axes[0]) * count(&axes[1]);
            folded / count.max(&Expr::int(DType::I64, 1)).cast(wide)
        });
        c.output(0, y);
        Ok(())
    }
}

/// Largest element of each bin of regions `[batch, x1, y1, x2, y2]` (ONNX `MaxRoiPool`). Coordinates are scaled and rounded; an empty
/// bin gives 0.
#[derive(Debug)]
pub struct MaxRoiPool {
    bins: [i64; 2],
    scale: f64,
}

impl MaxRoiPool {
    pub(super) fn parse(node: &OnnxNode) -> Result<MaxRoiPool> {
        let scale = node.float("spatial_scale", 1.0)?.into();
        match node.ints("pooled_shape")?.as_deref() {
            Some(&[height, width]) if height > 0 && width > 0 => Ok(MaxRoiPool { bins: [height, width], scale }),
            _ => Err(Error::invalid("attribute `pooled_shape` of MaxRoiPool must be two positive integers")),
        }
    }

    /// First element and end of every bin along an axis, and the most elements of one.
    fn axis(&self, c: &mut Compute, regions: &T, axis: usize, extent: &Index) -> (T, T, Index) {
        let shape = [regions.shape[0].clone(), Index::from(self.bins[axis])];
        let last = Expr::index(extent.clone()).cast(DType::F64);
        let bound = |i: &[Index], bin: Expr, rounding: Unary| {
            let end = |place: usize| {
                let end = regions.at(vec![i[0].clone(), Index::from((place + 1 - axis) as i64)]);
                (end.cast(DType::F64) * self.scale + 0.5).unary(Unary::Floor)
            };
            let length = end(3) - end(1) + 1.0;
            let size = length.max(&length.like(1.0)) / self.bins[axis] as f64;
            let place = (bin * size).unary(rounding) + end(1);
            place.max(&place.like(0.0)).min(&last)
        };
        let bin = |i: &[Index]| Expr::index(i[1].clone()).cast(DType::F64);
        let first = c.map(DType::I64, &shape, |i| bound(i, bin(i), Unary::Floor));
        let end = c.map(DType::I64, &shape, |i| bound(i, bin(i) + 1.0, Unary::Ceil));
        let most = c.reduce(Monoid::Max, DType::I64, &[], &shape, |_, r| end.at(r.to_vec()) - first.at(r.to_vec()));
        let most = Expr::int(DType::I64, 0).max(&most.at(vec![]));
        let most = c.value("bin", &most, None);
        (first, end, most)
    }
}

impl OpDef for MaxRoiPool {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (x, regions) = (c.input(0)?, c.input(1)?);
        if x.rank() != 4 || regions.rank() != 2 {
            return Err(Error::invalid("MaxRoiPool needs images of rank 4 and regions of rank 2"));
        }
        c.same_dim(&regions.shape[1], &5.into())?;
        let batches = c.map(DType::I64, &regions.shape[..1], |i| regions.at(vec![i[0].clone(), Index::zero()]));
        let axes = [self.axis(c, &regions, 0, &x.shape[2]), self.axis(c, &regions, 1, &x.shape[3])];
        let shape = [regions.shape[0].clone(), x.shape[1].clone(), self.bins[0].into(), self.bins[1].into()];
        let over = [axes[0].2.clone(), axes[1].2.clone()];
        let folded = c.reduce(Monoid::Max, compute_type(x.dtype), &shape, &over, |i, r| {
            let mut at = vec![batches.lookup(vec![i[0].clone()], &x.shape[0]), i[1].clone()];
            let mut tests = vec![];
            for (a, (first, end, _)) in axes.iter().enumerate() {
                let bin = vec![i[0].clone(), i[2 + a].clone()];
                let place = Index::at(first.buffer, bin.clone()) + r[a].clone();
                tests.push(InRange { index: place.clone(), low: Index::zero(), high: Index::at(end.buffer, bin) });
                at.push(place.rem(&x.shape[2 + a]));
            }
            x.at(at).guard(tests, Scalar::Float(f64::NEG_INFINITY))
        });
        let y = c.map(x.dtype, &shape, |i| {
            let folded = folded.at(i.to_vec());
            folded.equals(&folded.like(f64::NEG_INFINITY)).select(&folded.like(0.0), &folded)
        });
        c.output(0, y);
        Ok(())
    }
}
