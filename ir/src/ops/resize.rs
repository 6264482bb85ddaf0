use super::OpDef;
use super::resample::{Coordinate, Filter, Resampled, Rounding, Scale, Weighting};
use crate::compute::{Compute, T, compute_type};
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::tile::{Monoid, Unary};
use crate::{DType, Error, Index, Result};

/// Resamples along some axes by `scales` or to `sizes` (ONNX `Resize`, `Upsample`).
///
/// Modes are nearest (four roundings), linear and cubic; `antialias` widens their filter when shrinking. Opset 10 and
/// `Upsample` are asymmetric and floor. Integers are rounded and saturated. `align_corners` divides by the unrounded
/// length.
#[derive(Debug)]
pub struct Resize {
    mode: Mode,
    coordinate: Coordinate,
    weighting: Weighting,
    extrapolation: f64,
    policy: Policy,
    axes: Option<Vec<i64>>,
    scales: Option<Vec<f32>>,
    inputs: Inputs,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Nearest(Rounding),
    Filtered(Filter),
}

/// What `sizes` mean if they change the aspect ratio.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Policy {
    Stretch,
    NotLarger,
    NotSmaller,
}

/// Where region, scales and sizes are among the inputs.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Inputs {
    region: Option<usize>,
    scales: Option<usize>,
    sizes: Option<usize>,
}

impl Resize {
    pub(super) fn parse(node: &OnnxNode) -> Result<Resize> {
        let old = node.op_type == "Upsample" || node.opset < 11;
        let inputs = match old {
            true => Inputs { region: None, scales: Some(1), sizes: None },
            false => Inputs { region: Some(1), scales: Some(2), sizes: Some(3) },
        };
        let (coordinate, rounding) = if old {
            (Coordinate::Asymmetric, Rounding::Floor)
        } else {
            (coordinate(&node.string("coordinate_transformation_mode", "half_pixel")?)?, rounding(node)?)
        };
        let mode = match node.string("mode", "nearest")?.as_str() {
            "nearest" => Mode::Nearest(rounding),
            "linear" | "bilinear" => Mode::Filtered(Filter::Linear),
            "cubic" => Mode::Filtered(Filter::Cubic(node.float("cubic_coeff_a", -0.75)?.into())),
            other => return Err(Error::invalid(format!("attribute `mode` of Resize is `{other}`"))),
        };
        Ok(Resize {
            mode,
            coordinate,
            weighting: Weighting {
                antialias: node.flag("antialias", false)?,
                exclude_outside: node.flag("exclude_outside", false)?,
            },
            extrapolation: node.float("extrapolation_value", 0.0)?.into(),
            policy: policy(&node.string("keep_aspect_ratio_policy", "stretch")?)?,
            axes: node.ints("axes")?,
            scales: node.floats("scales")?,
            inputs,
        })
    }

    /// What happens to each axis that is named.
    fn resampled(&self, c: &Compute, x: &T) -> Result<Vec<Resampled>> {
        let axes: Vec<usize> = match &self.axes {
            None => (0..x.rank()).collect(),
            Some(axes) => axes.iter().map(|&a| x.axis(a)).collect::<Result<_>>()?,
        };
        let input = |place: Option<usize>| place.and_then(|place| c.optional(place)).filter(|t| !t.size().is(0));
        let regions = match (self.coordinate, input(self.inputs.region)) {
            (Coordinate::TfCropAndResize, Some(region)) => c.floats(&region, "the region given to Resize")?,
            _ => [vec![0.0; axes.len()], vec![1.0; axes.len()]].concat(),
        };
        let counted = |what: &str, n: usize, expected: usize| match n == expected {
            true => Ok(()),
            false => Err(Error::invalid(format!("{n} {what} for {} axes", axes.len()))),
        };
        counted("ends of regions", regions.len(), 2 * axes.len())?;
        let region = |k: usize| (regions[k], regions[k + axes.len()]);
        let scales = match (&self.scales, input(self.inputs.scales)) {
            (Some(scales), _) => Some(scales.iter().map(|&s| s.into()).collect()),
            (None, Some(scales)) => Some(c.floats(&scales, "the scales given to Resize")?),
            (None, None) => None,
        };
        let old = |k: usize| x.shape[axes[k]].clone();
        let make = |k: usize, output: Index, scale: Scale| Resampled {
            axis: axes[k],
            input: old(k),
            output,
            scale,
            region: region(k),
        };
        if let Some(scales) = scales {
            counted("scales", scales.len(), axes.len())?;
            let one = |k: usize| Ok(make(k, scaled(&old(k), scales[k], region(k))?, Scale::Number(scales[k])));
            return (0..axes.len()).map(one).collect();
        }
        let sizes = input(self.inputs.sizes).ok_or_else(|| Error::invalid("Resize needs scales or sizes"))?;
        let sizes = c.dims(&sizes, "the sizes given to Resize")?;
        counted("sizes", sizes.len(), axes.len())?;
        if self.policy == Policy::Stretch {
            return Ok((0..axes.len()).map(|k| make(k, sizes[k].clone(), Scale::Ratio)).collect());
        }
        let scale = self.common_scale(&sizes, &(0..axes.len()).map(old).collect::<Vec<_>>())?;
        let one = |k: usize| {
            let output = (old(k).as_const().unwrap_or(0) as f64 * scale + 0.5).floor() as i64;
            make(k, output.into(), Scale::Number(scale))
        };
        Ok((0..axes.len()).map(one).collect())
    }

    /// The one scale of all axes that keeps the aspect ratio.
    fn common_scale(&self, sizes: &[Index], old: &[Index]) -> Result<f64> {
        let ratios = sizes.iter().zip(old).map(|(new, old)| Some(new.as_const()? as f64 / old.as_const()? as f64));
        let ratios: Option<Vec<f64>> = ratios.collect();
        let message = "Resize that keeps the aspect ratio needs dims that are numbers (`--dim` fixes one)";
        let ratios = ratios.ok_or_else(|| Error::unsupported(message))?.into_iter();
        Ok(if self.policy == Policy::NotLarger {
            ratios.fold(f64::INFINITY, f64::min)
        } else {
            ratios.fold(0.0, f64::max)
        })
    }

    /// All axes at once: each element is copied from its nearest.
    fn nearest(&self, c: &mut Compute, x: &T, axes: &[Resampled], rounding: Rounding) -> T {
        let mut shape = x.shape.clone();
        let mut tables = Vec::new();
        for axis in axes {
            shape[axis.axis] = axis.output.clone();
            let simple = axis.nearest_index(self.coordinate, rounding, &Index::zero()).is_some();
            tables.push(if simple { None } else { Some(axis.nearest_table(c, self.coordinate, rounding)) });
        }
        c.map(x.dtype, &shape, |i| {
            let mut index = i.to_vec();
            for (axis, table) in axes.iter().zip(&tables) {
                let o = &i[axis.axis];
                index[axis.axis] = match table {
                    Some(table) => table.lookup(vec![o.clone()], &axis.input),
                    None => axis.nearest_index(self.coordinate, rounding, o).unwrap_or_else(|| o.clone()),
                };
            }
            x.raw(index)
        })
    }

    /// One axis: each element is a weighted sum of a few.
    fn filtered(&self, c: &mut Compute, x: &T, axis: &Resampled, filter: Filter, dtype: DType) -> Result<T> {
        if self.weighting.antialias && axis.number().is_none() {
            return Err(Error::unsupported(
                "an antialiased Resize needs scales that are numbers (`--dim` fixes a dim)",
            ));
        }
        let (elements, weights) = axis.taps(c, self.coordinate, filter, self.weighting);
        let mut shape = x.shape.clone();
        shape[axis.axis] = axis.output.clone();
        let wide = wide(dtype);
        let taps = [elements.shape[1].clone()];
        Ok(c.reduce(Monoid::Sum, wide, &shape, &taps, |i, r| {
            let mut index = i.to_vec();
            let tap = vec![i[axis.axis].clone(), r[0].clone()];
            index[axis.axis] = elements.lookup(tap.clone(), &axis.input);
            let weight = weights.at(tap);
            x.at(index).cast(wide) * weight.cast(wide)
        }))
    }
}

/// The type in which elements are weighted.
fn wide(dtype: DType) -> DType {
    if dtype.is_float() { compute_type(dtype) } else { DType::F32 }
}

/// The extent of an axis that is scaled.
fn scaled(input: &Index, scale: f64, region: (f64, f64)) -> Result<Index> {
    let scale = scale * (region.1 - region.0);
    if scale.is_nan() || scale <= 0.0 {
        return Err(Error::invalid(format!("Resize cannot scale by {scale}")));
    }
    if let Some(n) = input.as_const() {
        return Ok(((n as f64 * scale).floor() as i64).into());
    }
    // `scale` as a fraction with a small power of two below.
    let denominator = (0..16).map(|bits| 1i64 << bits).find(|&d| (scale * d as f64).fract() == 0.0);
    let message = format!("Resize cannot scale the symbolic dim {input} by {scale} (`--dim` fixes it)");
    let denominator = denominator.ok_or_else(|| Error::unsupported(message))?;
    Ok((input.clone() * (scale * denominator as f64) as i64).div(&denominator.into()))
}

impl OpDef for Resize {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        let axes = self.resampled(c, &x)?;
        let changed: Vec<Resampled> = axes.iter().filter(|a| !a.is_identity(self.coordinate)).cloned().collect();
        let mut y = match self.mode {
            Mode::Nearest(rounding) => self.nearest(c, &x, &changed, rounding),
            Mode::Filtered(filter) => {
                let mut y = x.clone();
                for axis in &changed {
                    y = self.filtered(c, &y, axis, filter, x.dtype)?;
                }
                c.map(x.dtype, &y.shape, |i| saturate(&y.at(i.to_vec()), x.dtype))
            }
        };
        if self.coordinate == Coordinate::TfCropAndResize {
            for axis in &axes {
                let outside = axis.outside(c, self.coordinate);
                let inner = y;
                y = c.map(x.dtype, &inner.shape, |i| {
                    let element = inner.at(i.to_vec());
                    outside.at(vec![i[axis.axis].clone()]).select(&element.like(self.extrapolation), &element)
                });
            }
        }
        c.output(0, y);
        Ok(())
    }
}

/// Rounded, and kept in the range of an integer type.
fn saturate(x: &Expr, dtype: DType) -> Expr {
    if dtype.is_float() || !x.dtype().is_float() { x.clone() } else { x.unary(Unary::Round) }
}

fn coordinate(name: &str) -> Result<Coordinate> {
    Ok(match name {
        "half_pixel" => Coordinate::HalfPixel,
        "half_pixel_symmetric" => Coordinate::HalfPixelSymmetric,
        "pytorch_half_pixel" => Coordinate::PytorchHalfPixel,
        "align_corners" => Coordinate::AlignCorners,
        "asymmetric" => Coordinate::Asymmetric,
        "tf_half_pixel_for_nn" => Coordinate::TfHalfPixelForNn,
        "tf_crop_and_resize" => Coordinate::TfCropAndResize,
        _ => return Err(Error::invalid(format!("attribute `coordinate_transformation_mode` is `{name}`"))),
    })
}

fn rounding(node: &OnnxNode) -> Result<Rounding> {
    Ok(match node.string("nearest_mode", "round_prefer_floor")?.as_str() {
        "round_prefer_floor" | "" => Rounding::PreferFloor,
        "round_prefer_ceil" => Rounding::PreferCeil,
        "floor" => Rounding::Floor,
        "ceil" => Rounding::Ceil,
        other => return Err(Error::invalid(format!("attribute `nearest_mode` is `{other}`"))),
    })
}

fn policy(name: &str) -> Result<Policy> {
    Ok(match name {
        "stretch" => Policy::Stretch,
        "not_larger" => Policy::NotLarger,
        "not_smaller" => Policy::NotSmaller,
        _ => return Err(Error::invalid(format!("attribute `keep_aspect_ratio_policy` is `{name}`"))),
    })
}
