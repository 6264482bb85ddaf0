//! The best classes of what a classifier answers.

use mlc_ir::Tensor;

/// A class.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Class {
    /// Its place in the last dimension.
    pub number: usize,
    /// How likely the model takes it to be.
    pub probability: f64,
}

/// The best classes of each row along the last dimension, best first. What is no distribution yet is made one by
/// softmax. Nothing for tensors of integers, or with less than two classes.
pub fn top(tensor: &Tensor, count: usize) -> Vec<Vec<Class>> {
    let classes = tensor.shape().last().copied().unwrap_or(0);
    if !tensor.dtype().is_float() || classes < 2 {
        return vec![];
    }
    let values: Vec<f64> = tensor.scalars().map(|scalar| scalar.float()).collect();
    let row = |row: &[f64]| {
        let mut all: Vec<Class> = distribution(row)
            .into_iter()
            .enumerate()
            .map(|(number, probability)| Class { number, probability })
            .collect();
        all.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        all.truncate(count);
        all
    };
    values.chunks_exact(classes).map(row).collect()
}

fn distribution(row: &[f64]) -> Vec<f64> {
    let sum: f64 = row.iter().sum();
    if row.iter().all(|value| *value >= 0.0) && (sum - 1.0).abs() < 1e-2 {
        return row.to_vec();
    }
    let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = row.iter().map(|value| (value - most).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_stay_and_logits_become_some() {
        let tensor = Tensor::from_f32s(vec![2, 2], &[0.25, 0.75, 0.0, 5.0]).unwrap();
        let rows = top(&tensor, 1);
        assert_eq!(rows[0], [Class { number: 1, probability: 0.75 }]);
        assert!(rows[1][0].number == 1 && rows[1][0].probability > 0.99 && rows[1][0].probability < 1.0);
        assert!(top(&Tensor::from_i64s(&[1, 2]), 1).is_empty());
    }
}
