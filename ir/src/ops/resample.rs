//! Resampling along one axis: which elements of the input an element of the output is made of, and with which weights.

use crate::compute::{Compute, T};
use crate::program::Expr;
use crate::tile::{Binary, Unary};
use crate::{DType, Index};

/// Which position of the input belongs to an element of the output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Coordinate {
    HalfPixel,
    HalfPixelSymmetric,
    PytorchHalfPixel,
    AlignCorners,
    Asymmetric,
    TfHalfPixelForNn,
    TfCropAndResize,
}

/// How a position is rounded to an element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Rounding {
    PreferFloor,
    PreferCeil,
    Floor,
    Ceil,
}

/// The weight of an element by its distance from a position.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Filter {
    Linear,
    Cubic(f64),
}

/// One resized axis.
#[derive(Clone, Debug)]
pub(super) struct Resampled {
    pub axis: usize,
    /// Extents of input and output.
    pub input: Index,
    pub output: Index,
    pub scale: Scale,
    /// Start and end of the region of interest, for `TfCropAndResize`.
    pub region: (f64, f64),
}

/// How much larger the output is.
#[derive(Clone, Debug)]
pub(super) enum Scale {
    Number(f64),
    /// The quotient of the extents.
    Ratio,
}

impl Resampled {
    /// The scale as a number, if it is known.
    pub(super) fn number(&self) -> Option<f64> {
        match (&self.scale, self.input.as_const(), self.output.as_const()) {
            (Scale::Number(scale), ..) => Some(*scale),
            (Scale::Ratio, Some(input), Some(output)) => Some(output as f64 / input as f64),
            _ => self.whole().map(|n| n as f64),
        }
    }

    /// The scale, if the output is so many times the input.
    fn whole(&self) -> Option<i64> {
        match self.scale {
            Scale::Number(scale) => (scale.fract() == 0.0 && scale >= 1.0).then_some(scale as i64),
            Scale::Ratio => {
                let quotient = self.output.div(&self.input).as_const().filter(|&n| n >= 1)?;
                (self.output == self.input.clone() * quotient).then_some(quotient)
            }
        }
    }

    /// Whether nothing changes.
    pub(super) fn is_identity(&self, coordinate: Coordinate) -> bool {
        self.output == self.input && self.number().is_none_or(|s| s == 1.0) && coordinate != Coordinate::TfCropAndResize
    }

    fn scale(&self) -> Expr {
        match self.number() {
            Some(scale) => Expr::float(DType::F64, scale),
            None => real(&self.output) / real(&self.input),
        }
    }

    /// The position in the input of element `o`.
    pub(super) fn position(&self, coordinate: Coordinate, o: &Index) -> Expr {
        let (input, output, scale) = (real(&self.input), real(&self.output), self.scale());
        let o = real(o);
        let resized = &scale * &input;
        let half = (&o + &o.like(0.5)) / scale.clone() - 0.5;
        let one = o.like(1.0);
        match coordinate {
            Coordinate::HalfPixel => half,
            Coordinate::PytorchHalfPixel => one.lt(&resized).select(&half, &o.like(-0.5)),
            Coordinate::HalfPixelSymmetric => half + input * 0.5 * (one - output / resized),
            Coordinate::Asymmetric => o / scale,
            Coordinate::TfHalfPixelForNn => (o + 0.5) / scale,
            Coordinate::AlignCorners => {
                // The length is not rounded here: it is the scale that counts.
                let step = (input - 1.0) / (&resized - &one);
                o.clone() * resized.equals(&one).select(&o.like(0.0), &step)
            }
            Coordinate::TfCropAndResize => {
                let (start, end) = self.region;
                let last = input - 1.0;
                let step = last.clone() * (end - start) / (&output - &one);
                let middle = last.clone() * (0.5 * (start + end));
                one.lt(&output).select(&(o * step + last * start), &middle)
            }
        }
    }

    /// The element of the input nearest to element `o`, where it is a simple expression.
    pub(super) fn nearest_index(&self, coordinate: Coordinate, rounding: Rounding, o: &Index) -> Option<Index> {
        let halves = matches!(rounding, Rounding::PreferFloor | Rounding::PreferCeil);
        let copies = match coordinate {
            Coordinate::Asymmetric | Coordinate::TfHalfPixelForNn => rounding == Rounding::Floor,
            Coordinate::HalfPixel => halves,
            _ => false,
        };
        self.whole().filter(|_| copies).map(|n| o.div(&n.into()))
    }

    /// The elements nearest to every element of the output.
    pub(super) fn nearest_table(&self, c: &mut Compute, coordinate: Coordinate, rounding: Rounding) -> T {
        c.table(DType::I64, std::slice::from_ref(&self.output), |i| {
            let x = self.position(coordinate, &i[0]);
            let nearest = match rounding {
                Rounding::PreferFloor => (x - 0.5).unary(Unary::Ceil),
                Rounding::PreferCeil => (x + 0.5).unary(Unary::Floor),
                Rounding::Floor => x.unary(Unary::Floor),
                Rounding::Ceil => x.unary(Unary::Ceil),
            };
            self.clamp(&nearest)
        })
    }

    /// A whole number made an index of the input.
    fn clamp(&self, x: &Expr) -> Expr {
        let last = real(&self.input) - 1.0;
        x.max(&x.like(0.0)).min(&last).cast(DType::I64)
    }

    /// Element and weight tables `[output, taps]`.
    pub(super) fn taps(&self, c: &mut Compute, coordinate: Coordinate, filter: Filter, how: Weighting) -> (T, T) {
        let stretch = self.number().filter(|_| how.antialias).map_or(1.0, |scale| 1.0 / scale.min(1.0));
        let support = if filter == Filter::Linear { 1.0 } else { 2.0 };
        let reach = (support * stretch).ceil() as i64;
        let shape = [self.output.clone(), Index::from(2 * reach)];
        let place = |o: &Index, tap: &Index| {
            let base = self.position(coordinate, o).unary(Unary::Floor);
            base + real(&(tap.clone() - (reach - 1)))
        };
        let weight = |o: &Index, tap: &Index| {
            let place = place(o, tap);
            let weight = filter.weight(&((&place - &self.position(coordinate, o)) / place.like(stretch)));
            if !how.exclude_outside {
                return weight;
            }
            let inside = place.like(0.0).le(&place).binary(Binary::And, &place.lt(&real(&self.input)));
            inside.select(&weight, &weight.like(0.0))
        };
        let elements = c.table(DType::I64, &shape, |i| self.clamp(&place(&i[0], &i[1])));
        let mut weights = c.table(DType::F64, &shape, |i| weight(&i[0], &i[1]));
        if how.exclude_outside || how.antialias {
            let raw = weights;
            let sum = |o: &Index| (0..2 * reach).map(|k| raw.at(vec![o.clone(), k.into()])).reduce(|a, b| a + b);
            weights = c.map(DType::F64, &shape, |i| {
                let own = raw.at(i.to_vec());
                sum(&i[0]).map_or(own.clone(), |sum| own / sum)
            });
        }
        (elements, weights)
    }

    /// Whether each element of the output lies outside of the input.
    pub(super) fn outside(&self, c: &mut Compute, coordinate: Coordinate) -> T {
        c.table(DType::Bool, std::slice::from_ref(&self.output), |i| {
            let x = self.position(coordinate, &i[0]);
            let last = real(&self.input) - 1.0;
            x.lt(&x.like(0.0)).binary(Binary::Or, &last.lt(&x))
        })
    }
}

/// Corrections of the weights.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weighting {
    /// Widens the filter when shrinking.
    pub antialias: bool,
    /// Elements outside of the input weigh nothing.
    pub exclude_outside: bool,
}

impl Filter {
    /// The weight of an element at a distance.
    pub(super) fn weight(self, distance: &Expr) -> Expr {
        let x = distance.abs();
        match self {
            Filter::Linear => {
                let weight = x.like(1.0) - x.clone();
                weight.max(&x.like(0.0))
            }
            Filter::Cubic(a) => {
                let near = ((x.clone() * (a + 2.0) - (a + 3.0)) * &x * &x) + 1.0;
                let far = ((x.clone() * a - 5.0 * a) * &x + 8.0 * a) * &x - 4.0 * a;
                let outer = x.lt(&x.like(2.0)).select(&far, &x.like(0.0));
                x.le(&x.like(1.0)).select(&near, &outer)
            }
        }
    }
}

fn real(index: &Index) -> Expr {
    Expr::index(index.clone()).cast(DType::F64)
}
