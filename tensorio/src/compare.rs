//! When two tensors agree.
//!
//! Types and shapes must be the same. Integers and truth values must be equal. Floats follow `numpy.allclose` as the ONNX
//! backend tests use it: `|got - expected| <= atol + rtol * |expected|`, NaN equals NaN, an infinity equals only itself.

use mlc_ir::{DType, Error, Result, Scalar, Tensor};
use std::fmt;

/// How far a float may be off.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Tolerance {
    /// Relative to the expected value.
    pub rtol: f64,
    /// Absolute.
    pub atol: f64,
}

impl Tolerance {
    /// What the ONNX backend tests use where a test says nothing else.
    pub const ONNX: Tolerance = Tolerance { rtol: 1e-3, atol: 1e-7 };

    /// Nothing may be off.
    pub const EXACT: Tolerance = Tolerance { rtol: 0.0, atol: 0.0 };

    /// The tolerance for one type: the ONNX backend tests give bfloat16 at least two units in the last place.
    pub fn of(self, dtype: DType) -> Tolerance {
        let exact = self == Tolerance::EXACT;
        match dtype {
            DType::BF16 if !exact => Tolerance { rtol: self.rtol.max(1.0 / 64.0), ..self },
            _ => self,
        }
    }

    fn accepts(self, got: f64, expected: f64) -> bool {
        if got.is_nan() || expected.is_nan() {
            return got.is_nan() && expected.is_nan();
        }
        if got.is_infinite() || expected.is_infinite() {
            return got == expected;
        }
        (got - expected).abs() <= self.atol + self.rtol * expected.abs()
    }
}

/// What a comparison found.
#[derive(Clone, PartialEq, Debug)]
pub struct Report {
    /// Number of elements.
    pub elements: usize,
    /// Number of elements that are off by more than is tolerated.
    pub differing: usize,
    /// Largest `|got - expected|` of all elements; infinite where only one of the two is a finite number.
    pub max_abs: f64,
    /// Largest `|got - expected| / |expected|` where `expected` is not 0.
    pub max_rel: f64,
    /// The first element that is off by too much.
    pub first: Option<Difference>,
}

/// An element that is off by too much.
#[derive(Clone, PartialEq, Debug)]
pub struct Difference {
    /// Where it is, one number an axis.
    pub index: Vec<usize>,
    /// What was computed.
    pub got: f64,
    /// What should have been.
    pub expected: f64,
}

impl Report {
    /// Whether no element is off by too much.
    pub fn passed(&self) -> bool {
        self.differing == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.first {
            None => write!(f, "{} elements agree", self.elements)?,
            Some(Difference { index, got, expected }) => {
                write!(f, "{} of {} elements differ, first at {index:?}: ", self.differing, self.elements)?;
                write!(f, "{got} instead of {expected}")?;
            }
        }
        write!(f, " (largest error {:.3e} absolute, {:.3e} relative)", self.max_abs, self.max_rel)
    }
}

/// Compares two tensors of the same type and shape; another type or shape is an error.
pub fn compare(got: &Tensor, expected: &Tensor, tolerance: Tolerance) -> Result<Report> {
    same_kind(got, expected)?;
    let tolerance = tolerance.of(expected.dtype());
    let mut report = Report { elements: expected.len(), differing: 0, max_abs: 0.0, max_rel: 0.0, first: None };
    for (position, (a, b)) in got.scalars().zip(expected.scalars()).enumerate() {
        let accepted = match (a, b) {
            (Scalar::Float(a), Scalar::Float(b)) => tolerance.accepts(a, b),
            _ => a == b,
        };
        let (a, b) = (value(a, got.dtype()), value(b, got.dtype()));
        let error = distance(a, b);
        report.max_abs = report.max_abs.max(error);
        if b != 0.0 && error > 0.0 {
            let relative = if error.is_infinite() { error } else { error / b.abs() };
            report.max_rel = report.max_rel.max(relative);
        }
        if !accepted {
            report.differing += 1;
            report.first.get_or_insert_with(|| {
                let index = unravel(position, expected.shape());
                Difference { index, got: a, expected: b }
            });
        }
    }
    Ok(report)
}

/// `max|got - expected| / max|expected|`, the measure of whether two runs of a model agree (1e-4 is usual for f32).
///
/// Elements that are the same NaN or infinity count as equal and do not count for the scale; where only one of the two
/// is finite, or all of `expected` is 0 and `got` is not, the result is infinite.
pub fn relative_to_scale(got: &Tensor, expected: &Tensor) -> Result<f64> {
    same_kind(got, expected)?;
    let (mut error, mut scale) = (0.0f64, 0.0f64);
    for (a, b) in got.scalars().zip(expected.scalars()) {
        let (a, b) = (value(a, got.dtype()), value(b, got.dtype()));
        error = error.max(distance(a, b));
        if b.is_finite() {
            scale = scale.max(b.abs());
        }
    }
    Ok(if error == 0.0 { 0.0 } else { error / scale })
}

fn same_kind(got: &Tensor, expected: &Tensor) -> Result<()> {
    if got.dtype() == expected.dtype() && got.shape() == expected.shape() {
        return Ok(());
    }
    Err(Error::invalid(format!("the result is {got:?}, expected was {expected:?}")))
}

/// An element as a number; unsigned 64-bit integers are kept as bits by [`Scalar`].
fn value(scalar: Scalar, dtype: DType) -> f64 {
    match scalar {
        Scalar::Int(n) if dtype == DType::U64 => n as u64 as f64,
        _ => scalar.float(),
    }
}

fn distance(a: f64, b: f64) -> f64 {
    if a == b || (a.is_nan() && b.is_nan()) {
        return 0.0;
    }
    let distance = (a - b).abs();
    if distance.is_nan() { f64::INFINITY } else { distance }
}

fn unravel(mut position: usize, shape: &[usize]) -> Vec<usize> {
    let mut index = vec![0; shape.len()];
    for (place, extent) in index.iter_mut().zip(shape).rev() {
        *place = position % extent;
        position /= extent;
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(values: &[f32]) -> Tensor {
        Tensor::from_f32s(vec![values.len()], values).unwrap()
    }

    fn passes(got: &[f32], expected: &[f32]) -> bool {
        compare(&floats(got), &floats(expected), Tolerance::ONNX).unwrap().passed()
    }

    #[test]
    fn floats_follow_numpy() {
        assert!(passes(&[1.0009, f32::NAN, f32::INFINITY], &[1.0, f32::NAN, f32::INFINITY]));
        assert!(!passes(&[1.0011], &[1.0]));
        assert!(!passes(&[f32::INFINITY], &[f32::NEG_INFINITY]));
        assert!(!passes(&[f32::INFINITY], &[3e38]));
        assert!(!passes(&[3e38], &[f32::INFINITY]), "rtol times infinity accepts nothing");
        assert!(!passes(&[0.0], &[f32::NAN]));
        assert!(!passes(&[f32::NAN], &[0.0]));
        assert!(passes(&[0.99e-7, -0.0], &[0.0, 0.0]));
        assert!(passes(&[], &[]));
    }

    #[test]
    fn the_report_says_where_and_how_much() {
        let got = Tensor::from_f32s(vec![2, 2], &[1.0, 2.0, 3.5, 8.0]).unwrap();
        let expected = Tensor::from_f32s(vec![2, 2], &[1.0, 2.0, 3.0, 4.0]).unwrap();
        let report = compare(&got, &expected, Tolerance::ONNX).unwrap();
        assert_eq!((report.differing, report.max_abs, report.max_rel), (2, 4.0, 1.0));
        assert_eq!(report.first, Some(Difference { index: vec![1, 0], got: 3.5, expected: 3.0 }));
        assert_eq!(
            report.to_string(),
            "2 of 4 elements differ, first at [1, 0]: 3.5 instead of 3 (largest error 4.000e0 absolute, 1.000e0 relative)"
        );
    }

    #[test]
    fn integers_are_exact() {
        let (a, b) = (i64::MAX, i64::MAX - 1);
        let report = compare(&Tensor::from_i64s(&[a]), &Tensor::from_i64s(&[b]), Tolerance::ONNX).unwrap();
        assert!(!report.passed(), "they are the same f64");
        let wide = |n: u64| Tensor::new(DType::U64, vec![1], n.to_le_bytes().to_vec()).unwrap();
        let report = compare(&wide(u64::MAX), &wide(0), Tolerance::ONNX).unwrap();
        assert_eq!(report.first.unwrap().got, u64::MAX as f64);
    }

    #[test]
    fn types_and_shapes_must_be_the_same() {
        let one = floats(&[1.0]);
        let other = one.reshaped(vec![1, 1]).unwrap();
        let message = compare(&one, &other, Tolerance::ONNX).unwrap_err().to_string();
        assert_eq!(message, "the result is f32[1], expected was f32[1, 1]");
        assert!(relative_to_scale(&one, &Tensor::from_i64s(&[1])).is_err());
    }

    #[test]
    fn the_scale_is_the_largest_expected_value() {
        let scale = |got: &[f32], expected: &[f32]| relative_to_scale(&floats(got), &floats(expected)).unwrap();
        assert_eq!(scale(&[0.5, 100.0], &[0.0, 100.0]), 0.005);
        assert_eq!(scale(&[f32::INFINITY, 2.0], &[f32::INFINITY, 2.0]), 0.0);
        assert_eq!(scale(&[1.0], &[0.0]), f64::INFINITY);
        assert_eq!(scale(&[f32::NAN], &[1.0]), f64::INFINITY);
        assert_eq!(scale(&[0.0], &[f32::NAN]), f64::INFINITY);
        assert_eq!(scale(&[], &[]), 0.0);
    }

    #[test]
    fn bfloat16_has_two_units_in_the_last_place() {
        assert_eq!(Tolerance::ONNX.of(DType::BF16).rtol, 1.0 / 64.0);
        assert_eq!(Tolerance::ONNX.of(DType::F16), Tolerance::ONNX);
        assert_eq!(Tolerance::EXACT.of(DType::BF16), Tolerance::EXACT);
    }
}
