//! The transforms of a convolution of `outputs` places by 3 taps, by Toom and Cook: polynomials are multiplied through their
//! values at points, of which the last is infinity.
//!
//! `y = A^T ((G g) * (B^T d))`, from Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks", 2016. Points other
//! than 0 come in pairs `p, -p`: the rows of both share their even and their odd part.

use super::stages::Stages;
use mlc_ir::program::Expr;

/// Taps of a filter along one axis.
pub const TAPS: usize = 3;

/// Transforms along one axis.
pub struct Toom {
    /// Places of the result that are computed at once.
    pub outputs: usize,
    /// 0 is one besides them, and each stands for itself and its negative.
    pairs: &'static [f64],
}

/// 16 products for 4 places.
pub const F2: Toom = Toom { outputs: 2, pairs: &[1.0] };
/// 36 products for 16 places. The points are fractions of few bits, so that powers of them are exact, and lie so that no
/// power is large or small: errors are a third of those at 1 and 2.
pub const F4: Toom = Toom { outputs: 4, pairs: &[0.75, 1.5] };

impl Toom {
    /// Places of the input that are read at once: also the number of products.
    pub fn inputs(&self) -> usize {
        self.outputs + TAPS - 1
    }

    /// All points but infinity.
    fn points(&self) -> Vec<f64> {
        std::iter::once(0.0).chain(self.pairs.iter().flat_map(|p| [*p, -p])).collect()
    }

    /// `G`: takes a filter to its values at the points, each divided by what `B^T` leaves out.
    pub fn filter(&self) -> Vec<[f64; TAPS]> {
        let points = self.points();
        let row = |at: &f64| {
            let scale: f64 = points.iter().filter(|p| *p != at).map(|p| at - p).product();
            [1.0, *at, at * at].map(|power| power / scale)
        };
        points.iter().map(row).chain([[0.0, 0.0, 1.0]]).collect()
    }

    /// `B^T`: the coefficients of the polynomials that vanish at all points but one; of the last, at all.
    fn input_rows(&self) -> Vec<Vec<f64>> {
        let points = self.points();
        let vanishing = |but: Option<usize>| {
            let roots = points.iter().enumerate().filter(|(n, _)| Some(*n) != but).map(|(_, p)| *p);
            let mut row = roots.fold(vec![1.0], |poly, root| {
                let shifted = std::iter::once(0.0).chain(poly.iter().copied());
                let scaled = poly.iter().map(|c| -root * c).chain([0.0]);
                shifted.zip(scaled).map(|(a, b)| a + b).collect()
            });
            row.resize(self.inputs(), 0.0);
            row
        };
        (0..points.len()).map(Some).chain([None]).map(vanishing).collect()
    }

    /// `B^T d`
    pub fn input(&self, d: &[Expr], stages: &mut Stages) -> Vec<Expr> {
        let rows = self.input_rows();
        let part = |row: &[f64], odd: usize| -> Option<Expr> {
            let terms = row.iter().zip(d).enumerate().filter(|(n, _)| n % 2 == odd).map(|(_, (c, x))| (*c, x.clone()));
            combine(terms.collect())
        };
        let mut values = Vec::new();
        for row in [0].into_iter().chain((1..rows.len() - 1).step_by(2)).chain([rows.len() - 1]) {
            let (even, odd) = (part(&rows[row], 0), part(&rows[row], 1));
            match even.zip(odd) {
                Some((even, odd)) => {
                    let (even, odd) = (stages.keep(even), stages.keep(odd));
                    values.push(&even + &odd);
                    values.push(even - odd);
                }
                // 0 and infinity have an even or an odd part only.
                None => values.extend(part(&rows[row], 0).or(part(&rows[row], 1))),
            }
        }
        values
    }

    /// `A^T m`
    pub fn output(&self, m: &[Expr], stages: &mut Stages) -> Vec<Expr> {
        let pairs: Vec<(f64, Expr, Expr)> = self
            .pairs
            .iter()
            .enumerate()
            .map(|(n, p)| {
                let (a, b) = (&m[1 + 2 * n], &m[2 + 2 * n]);
                (*p, stages.keep(a + b), stages.keep(a - b))
            })
            .collect();
        let row = |power: usize| {
            let first = (power == 0).then(|| (1.0, m[0].clone()));
            let last = (power + 1 == self.outputs).then(|| (1.0, m[m.len() - 1].clone()));
            let middle = pairs.iter().map(|(p, sum, difference)| {
                (p.powi(power as i32), if power.is_multiple_of(2) { sum } else { difference }.clone())
            });
            combine(first.into_iter().chain(middle).chain(last).collect())
        };
        (0..self.outputs).filter_map(row).collect()
    }
}

/// A sum of products with numbers: the dearest factors last, common ones once.
fn combine(mut terms: Vec<(f64, Expr)>) -> Option<Expr> {
    terms.retain(|(c, _)| *c != 0.0);
    let factor = terms.first()?.0.abs();
    if factor != 1.0 && terms.len() > 1 && terms.iter().all(|(c, _)| c.abs() == factor) {
        terms.iter_mut().for_each(|(c, _)| *c /= factor);
        return combine(terms).map(|sum| sum * factor);
    }
    // Begin with one that needs no product.
    terms.sort_by_key(|(c, _)| (*c != 1.0, *c < 0.0));
    let scaled = |c: f64, x: Expr| if c == 1.0 { x } else { x * c };
    terms.into_iter().fold(None, |sum: Option<Expr>, (c, x)| {
        Some(match sum {
            None => scaled(c, x),
            Some(sum) if c < 0.0 => sum - scaled(-c, x),
            Some(sum) => sum + scaled(c, x),
        })
    })
}
