use super::OpDef;
use super::resample::Filter;
use crate::compute::{Compute, T, compute_type};
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::tensor::Scalar;
use crate::tile::{Binary, InRange, Monoid, Unary};
use crate::{DType, Error, Index, Result};

/// Samples an image at the positions of a grid, -1 to 1 along each axis, the last axis first (ONNX `GridSample`).
///
/// Modes are nearest (halves to even), linear and cubic (`a` = -0.75) in any number of dimensions. Outside is 0, the
/// border, or a reflection, which `align_corners` places on the elements instead of their edges.
#[derive(Debug)]
pub struct GridSample {
    mode: Mode,
    padding: Padding,
    align_corners: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Nearest,
    Filtered(Filter),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Padding {
    Zeros,
    Border,
    Reflection,
}

impl GridSample {
    pub(super) fn parse(node: &OnnxNode) -> Result<GridSample> {
        let mode = match node.string("mode", "linear")?.as_str() {
            "nearest" => Mode::Nearest,
            "linear" | "bilinear" => Mode::Filtered(Filter::Linear),
            "cubic" | "bicubic" => Mode::Filtered(Filter::Cubic(-0.75)),
            other => return Err(Error::invalid(format!("attribute `mode` of GridSample is `{other}`"))),
        };
        let padding = match node.string("padding_mode", "zeros")?.as_str() {
            "zeros" => Padding::Zeros,
            "border" => Padding::Border,
            "reflection" => Padding::Reflection,
            other => return Err(Error::invalid(format!("attribute `padding_mode` is `{other}`"))),
        };
        Ok(GridSample { mode, padding, align_corners: node.flag("align_corners", false)? })
    }

    /// The position along an axis with so many elements.
    fn position(&self, grid: &Expr, extent: &Expr) -> Expr {
        if self.align_corners { (grid + 1.0) * ((extent - 1.0) / 2.0) } else { ((grid + 1.0) * extent - 1.0) / 2.0 }
    }

    /// Elements around each position: how many, and the number of the first.
    fn taps(&self) -> (i64, i64) {
        match self.mode {
            Mode::Nearest => (1, 0),
            Mode::Filtered(Filter::Linear) => (2, 0),
            Mode::Filtered(Filter::Cubic(_)) => (4, -1),
        }
    }

    /// An element's number brought into the image, unless it counts as 0.
    fn inside(&self, place: &Expr, extent: &Expr) -> Expr {
        let clamp = |x: Expr| {
            let low = x.max(&x.like(0.0));
            low.min(&(extent - 1.0))
        };
        match self.padding {
            Padding::Zeros => place.clone(),
            Padding::Border => clamp(place.clone()),
            Padding::Reflection => clamp(self.reflected(place, extent)),
        }
    }

    fn reflected(&self, place: &Expr, extent: &Expr) -> Expr {
        let low = place.like(if self.align_corners { 0.0 } else { -0.5 });
        let range = if self.align_corners { extent - 1.0 } else { extent.clone() };
        let away = (place - &low).abs();
        let turns = (&away / &range).unary(Unary::Floor);
        let left = &away - &turns * &range;
        let even = (&turns - (&turns / 2.0).unary(Unary::Floor) * 2.0).equals(&turns.like(0.0));
        let inner = even.select(&left, &(&range - &left)) + low;
        range.equals(&range.like(0.0)).select(&place.like(0.0), &inner)
    }

    /// Element numbers and weights `[N, out.., taps]` of one axis.
    fn axis(&self, c: &mut Compute, grid: &T, axis: usize, extent: &Index) -> (T, T) {
        let n = grid.rank() - 2;
        let wide = compute_type(grid.dtype);
        let (count, first) = self.taps();
        let shape = [&grid.shape[..=n], &[Index::from(count)]].concat();
        let extent = Expr::index(extent.clone()).cast(wide);
        let position = |i: &[Index]| {
            let component = [&i[..=n], &[Index::from((n - 1 - axis) as i64)]].concat();
            self.position(&grid.at(component), &extent)
        };
        let offset = |i: &[Index]| Expr::index(i[n + 1].clone() + first).cast(wide);
        let places = c.map(DType::I64, &shape, |i| {
            let base = if self.mode == Mode::Nearest { Unary::Round } else { Unary::Floor };
            self.inside(&(position(i).unary(base) + offset(i)), &extent)
        });
        let weights = c.map(wide, &shape, |i| match self.mode {
            Mode::Nearest => Expr::float(wide, 1.0),
            Mode::Filtered(filter) => {
                let position = position(i);
                filter.weight(&(&position - position.unary(Unary::Floor) - offset(i)))
            }
        });
        (places, weights)
    }
}

impl OpDef for GridSample {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (x, grid) = (c.input(0)?, c.input(1)?);
        let n = x.rank().saturating_sub(2);
        if n == 0 || grid.rank() != x.rank() {
            return Err(Error::invalid("GridSample needs an image of rank 3 or more, and a grid of its rank"));
        }
        c.same_dim(&grid.shape[0], &x.shape[0])?;
        c.same_dim(&grid.shape[n + 1], &(n as i64).into())?;
        let tables: Vec<(T, T)> = (0..n).map(|axis| self.axis(c, &grid, axis, &x.shape[2 + axis])).collect();
        let shape = [&x.shape[..2], &grid.shape[1..=n]].concat();
        let over = vec![Index::from(self.taps().0); n];
        let wide = compute_type(x.dtype);
        let y = c.reduce(Monoid::Sum, wide, &shape, &over, |i, r| {
            let (mut at, mut tests, mut weight) = (i[..2].to_vec(), vec![], None::<Expr>);
            for (axis, (places, weights)) in tables.iter().enumerate() {
                let tap = [&i[..1], &i[2..], &r[axis..=axis]].concat();
                let place = Index::at(places.buffer, tap.clone());
                let extent = x.shape[2 + axis].clone();
                if self.padding == Padding::Zeros {
                    tests.push(InRange::extent(place.clone(), extent));
                    at.push(place);
                } else {
                    at.push(place.rem(&extent));
                }
                let own = weights.at(tap).cast(wide);
                weight = Some(weight.map_or(own.clone(), |weight| weight * own));
            }
            let element = x.at(at).guard(tests, Scalar::Int(0));
            weight.into_iter().fold(element, |element, weight| element.binary(Binary::Mul, &weight))
        });
        let y = c.map(x.dtype, &shape, |i| y.at(i.to_vec()));
        c.output(0, y);
        Ok(())
    }
}

/// The grid of an affine map of each image: `theta * [x, y, (z,) 1]` at the positions -1 to 1 (ONNX `AffineGrid`).
#[derive(Debug)]
pub struct AffineGrid {
    align_corners: bool,
}

impl AffineGrid {
    pub(super) fn parse(node: &OnnxNode) -> Result<AffineGrid> {
        Ok(AffineGrid { align_corners: node.flag("align_corners", false)? })
    }

    /// The position of element `i` of an axis.
    fn position(&self, i: &Index, extent: &Index, wide: DType) -> Expr {
        let real = |index: &Index| Expr::index(index.clone()).cast(DType::F64);
        let (i, extent) = (real(i), real(extent));
        let one = extent.like(1.0);
        let position = if self.align_corners {
            let step = one.lt(&extent).select(&(extent.like(2.0) / (&extent - &one)), &extent.like(0.0));
            i * step - one
        } else {
            (i + 0.5) * 2.0 / extent - one
        };
        position.cast(wide)
    }
}

impl OpDef for AffineGrid {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (theta, size) = (c.input(0)?, c.input(1)?);
        let size = c.dims(&size, "the size given to AffineGrid")?;
        let n = size.len().saturating_sub(2);
        if n == 0 {
            return Err(Error::invalid("the size given to AffineGrid has fewer than 3 elements"));
        }
        c.demand(&theta, "theta", &[size[0].clone(), (n as i64).into(), (n as i64 + 1).into()])?;
        let wide = compute_type(theta.dtype);
        let shape = [&[theta.shape[0].clone()], &size[2..], &[Index::from(n as i64)]].concat();
        let y = c.map(theta.dtype, &shape, |i| {
            let at = |k: usize| theta.at(vec![i[0].clone(), i[n + 1].clone(), (k as i64).into()]);
            // The last axis is the first component.
            let terms = (0..n).map(|k| at(k) * self.position(&i[n - k], &size[1 + n - k], wide));
            terms.fold(at(n), |sum, term| sum + term)
        });
        c.output(0, y);
        Ok(())
    }
}
