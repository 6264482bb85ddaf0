//! The inverse of an index map: from places in a buffer back to the axes of the kernel that visits them.
//!
//! An axis takes part as *digits*: itself, or `floordiv(axis, s)`, `mod(axis, e)`, `mod(floordiv(axis, s), e)`. Each dim
//! of the map must be a sum of digits in mixed radix that fills the dim, and the digits of each axis must make up the
//! axis. That covers permutations, splits, merges, and reshapes that mix them.

use super::rewrite::Substitution;
use mlc_ir::index::Atom;
use mlc_ir::program::Axis;
use mlc_ir::{Facts, Index, Name};

/// Part of an axis, and where it stands in a dim of the map.
struct Digit {
    axis: Name,
    /// It is `floordiv(axis, place)` modulo `range`.
    place: Index,
    range: Index,
    dim: usize,
    /// Its factor in the dim.
    stride: Index,
}

/// The name of the variable that stands for a place in dim `dim`.
pub fn place_var(dim: usize) -> Name {
    format!("place.{dim}").into()
}

/// The value of each axis, over [`place_var`]s, at the place that `map` sends it to. `None` if the map is no bijection
/// from the axes to a buffer of this shape, or none that is understood.
pub fn invert(map: &[Index], axes: &[Axis], shape: &[Index], facts: &Facts) -> Option<Substitution> {
    let mut facts = facts.clone();
    axes.iter().for_each(|axis| facts.axis(axis.name.clone(), &axis.extent));
    let mut digits = Vec::new();
    for (dim, index) in map.iter().enumerate() {
        if shape[dim].is(1) {
            if !index.is(0) {
                return None;
            }
            continue;
        }
        facts.axis(place_var(dim), &shape[dim]);
        digits.extend(split(dim, index, axes, &facts)?);
    }
    let mut values = Vec::with_capacity(digits.len());
    values.resize(digits.len(), None);
    for (dim, extent) in shape.iter().enumerate() {
        let own: Vec<usize> = (0..digits.len()).filter(|&d| digits[d].dim == dim).collect();
        let order = chain(&own, extent, &facts, |d| (&digits[d].stride, &digits[d].range))?;
        let place = Index::var(place_var(dim));
        for (nth, &d) in order.iter().enumerate() {
            let quotient = facts.div(&place, &digits[d].stride);
            let top = nth + 1 == order.len();
            values[d] = Some(if top { quotient } else { facts.rem(&quotient, &digits[d].range) });
        }
    }
    let mut inverse = Substitution::new();
    for axis in axes {
        let own: Vec<usize> = (0..digits.len()).filter(|&d| digits[d].axis == axis.name).collect();
        let order = chain(&own, &axis.extent, &facts, |d| (&digits[d].place, &digits[d].range))?;
        let terms = order.iter().map(|&d| Some(&digits[d].place * values[d].as_ref()?));
        let value = terms.sum::<Option<Sum>>()?.0;
        inverse.insert(axis.name.clone(), facts.simplify(&value));
    }
    Some(inverse)
}

/// A sum of indices.
struct Sum(Index);

impl std::iter::Sum<Index> for Sum {
    fn sum<I: Iterator<Item = Index>>(terms: I) -> Sum {
        Sum(terms.fold(Index::zero(), |sum, term| sum + term))
    }
}

/// The digits in the order of rising weight, if each weighs what those below it span and all together span `extent`.
fn chain<'a>(
    digits: &[usize],
    extent: &Index,
    facts: &Facts,
    weight_and_range: impl Fn(usize) -> (&'a Index, &'a Index),
) -> Option<Vec<usize>> {
    let mut rest = digits.to_vec();
    let mut order = Vec::with_capacity(rest.len());
    let mut span = Index::from(1);
    while !rest.is_empty() {
        let at = rest.iter().position(|&d| *weight_and_range(d).0 == span)?;
        let digit = rest.remove(at);
        span = facts.simplify(&(&span * weight_and_range(digit).1));
        order.push(digit);
    }
    (span == *extent || (extent.is(1) && order.is_empty())).then_some(order)
}

/// The digits of one dim.
fn split(dim: usize, index: &Index, axes: &[Axis], facts: &Facts) -> Option<Vec<Digit>> {
    let mut digits = Vec::new();
    for (atoms, coefficient) in index.terms() {
        let (mut found, mut stride) = (None, Index::from(*coefficient));
        for atom in atoms {
            if Index::atom(atom.clone()).vars().is_empty() {
                stride = &stride * &Index::atom(atom.clone());
            } else if found.replace(atom).is_some() {
                return None;
            }
        }
        let (axis, place, range) = digit(found?, axes, facts)?;
        digits.push(Digit { axis, place, range, dim, stride });
    }
    Some(digits)
}

/// Axis, place and range of a digit.
fn digit(atom: &Atom, axes: &[Axis], facts: &Facts) -> Option<(Name, Index, Index)> {
    let extent = |name: &Name| axes.iter().find(|axis| axis.name == *name).map(|axis| axis.extent.clone());
    match atom {
        Atom::Var(name) => Some((name.clone(), Index::from(1), extent(name)?)),
        Atom::Div(pair) => {
            let name = pair.0.as_var()?;
            let (extent, by) = (extent(name)?, &pair.1);
            let range = facts.div(&extent, by);
            (by.vars().is_empty() && &range * by == extent).then(|| (name.clone(), by.clone(), range))
        }
        Atom::Mod(pair) if pair.1.vars().is_empty() => {
            let range = pair.1.clone();
            match pair.0.as_atom()? {
                Atom::Var(name) => Some((name.clone(), Index::from(1), range)),
                Atom::Div(inner) if inner.1.vars().is_empty() => {
                    Some((inner.0.as_var()?.clone(), inner.1.clone(), range))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlc_ir::index::parse_index;
    use mlc_ir::text::Lexer;

    fn index(text: &str) -> Index {
        parse_index(&mut Lexer::new(text)).unwrap()
    }

    fn inverse(map: &[&str], axes: &[(&str, &str)], shape: &[&str]) -> Option<Vec<String>> {
        let map: Vec<Index> = map.iter().map(|t| index(t)).collect();
        let shape: Vec<Index> = shape.iter().map(|t| index(t)).collect();
        let axes: Vec<Axis> = axes.iter().map(|(n, e)| Axis { name: (*n).into(), extent: index(e) }).collect();
        let inverse = invert(&map, &axes, &shape, &Facts::default())?;
        Some(axes.iter().map(|axis| inverse[&axis.name].to_string().replace("place.", "")).collect())
    }

    #[test]
    fn permutations_turn_around() {
        let result = inverse(&["%b", "%c", "%a"], &[("a", "2"), ("b", "N"), ("c", "4")], &["N", "4", "2"]);
        assert_eq!(result.unwrap(), ["%2", "%0", "%1"]);
    }

    #[test]
    fn splits_become_divisions_and_merges_products() {
        let split = inverse(&["%a", "32*%h + %d"], &[("a", "S"), ("h", "12"), ("d", "32")], &["S", "384"]);
        assert_eq!(split.unwrap(), ["%0", "floordiv(%1, 32)", "mod(%1, 32)"]);
        let merge =
            inverse(&["floordiv(%k, 32)", "%s", "mod(%k, 32)"], &[("s", "S"), ("k", "384")], &["12", "S", "32"]);
        assert_eq!(merge.unwrap(), ["%1", "32*%0 + %2"]);
        let symbolic = inverse(&["floordiv(%m, S)", "mod(%m, S)"], &[("m", "B*S")], &["B", "S"]);
        assert_eq!(symbolic.unwrap(), ["%0*S + %1"]);
    }

    #[test]
    fn reshapes_that_mix_are_digits() {
        let map = ["2*%a + floordiv(%b, 32)", "mod(%b, 32)"];
        let result = inverse(&map, &[("a", "5"), ("b", "64")], &["10", "32"]);
        assert_eq!(result.unwrap(), ["floordiv(%0, 2)", "%1 + 32*mod(%0, 2)"]);
    }

    #[test]
    fn what_is_no_bijection_has_no_inverse() {
        assert!(inverse(&["%a"], &[("a", "4"), ("b", "3")], &["4"]).is_none());
        assert!(inverse(&["%a + 1"], &[("a", "4")], &["5"]).is_none());
        assert!(inverse(&["%a"], &[("a", "4")], &["5"]).is_none());
        assert!(inverse(&["2*%a"], &[("a", "4")], &["8"]).is_none());
        assert!(inverse(&["%a", "%a"], &[("a", "4")], &["4", "4"]).is_none());
        assert!(inverse(&["3 - %a"], &[("a", "4")], &["4"]).is_none());
    }
}
