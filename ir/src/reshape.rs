//! The index map of a reshape: which element of `from` a point of `to` is, row-major.
//!
//! Dims are first paired into groups of equal product, so that a map mentions only the dims that really change:
//! `[B, S, 384] -> [B, S, 12, 32]` is `[b, s, h*32 + d]`, whatever `B` and `S` are.

use crate::{Facts, Index};

/// The index into a tensor of shape `from` of the element at index `i` of shape `to`; both have equally many elements.
pub fn reshape_index(facts: &Facts, from: &[Index], to: &[Index], i: &[Index]) -> Vec<Index> {
    let mut facts = facts.clone();
    let i: Vec<Index> =
        i.iter().zip(to).map(|(i, extent)| if extent.is(1) { Index::zero() } else { i.clone() }).collect();
    for (index, extent) in i.iter().zip(to) {
        if let Some(name) = index.as_var() {
            facts.axis(name.clone(), extent);
        }
    }
    let mut index = Vec::with_capacity(from.len());
    let (mut a, mut b) = (0, 0);
    while a < from.len() {
        let (next_a, next_b) = group(&from[a..], &to[b..]);
        let (from, to, i) = (&from[a..a + next_a], &to[b..b + next_b], &i[b..b + next_b]);
        index.extend(group_index(&facts, from, to, i));
        (a, b) = (a + next_a, b + next_b);
    }
    index
}

/// How many leading dims of both sides have the same product: as few as possible, at least one of `from`.
fn group(from: &[Index], to: &[Index]) -> (usize, usize) {
    for a in 1..=from.len() {
        let product = Index::product(&from[..a]);
        let fits = (0..=to.len()).find(|&b| Index::product(&to[..b]) == product);
        if let Some(b) = fits {
            return (a, b);
        }
    }
    (from.len(), to.len())
}

fn group_index(facts: &Facts, from: &[Index], to: &[Index], i: &[Index]) -> Vec<Index> {
    if from.len() == 1 && from[0].is(1) {
        return vec![Index::zero()];
    }
    let flat = to.iter().zip(i).fold(Index::zero(), |flat, (extent, i)| &flat * extent + i.clone());
    let mut result = Vec::with_capacity(from.len());
    for place in 0..from.len() {
        let stride = Index::product(&from[place + 1..]);
        let quotient = facts.div(&flat, &stride);
        // The outermost coordinate cannot exceed its extent, since the sizes are equal.
        let bounded = place == 0 || from[..place].iter().all(|dim| dim.is(1));
        let coordinate = if from[place].is(1) {
            Index::zero()
        } else if bounded {
            quotient
        } else {
            facts.rem(&quotient, &from[place])
        };
        result.push(coordinate);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(from: &[Index], to: &[Index]) -> String {
        let i: Vec<Index> = (0..to.len()).map(|d| Index::var(format!("i{d}"))).collect();
        let index = reshape_index(&Facts::default(), from, to, &i);
        index.iter().map(Index::to_string).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn heads_are_split_and_merged() {
        let (b, s) = (Index::sym("B"), Index::sym("S"));
        let (c, h, d) = (Index::from(384), Index::from(12), Index::from(32));
        let flat = [b.clone(), s.clone(), c];
        let split = [b.clone(), s.clone(), h, d];
        assert_eq!(map(&flat, &split), "%i0, %i1, 32*%i2 + %i3");
        assert_eq!(map(&split, &flat), "%i0, %i1, floordiv(%i2, 32), mod(%i2, 32)");
        assert_eq!(map(&[b.clone(), s.clone()], &[b.clone() * s.clone()]), "floordiv(%i0, S), mod(%i0, S)");
        assert_eq!(map(&[b.clone() * s.clone()], &[b, s]), "%i0*S + %i1");
    }
}
