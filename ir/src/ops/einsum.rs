use super::OpDef;
use crate::compute::{Compute, T, compute_type};
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::tile::Monoid;
use crate::{DType, Error, Index, Result};

/// Sums products of elements by Einstein's convention (ONNX `Einsum`): `bij,bjk->bik`.
///
/// A letter that the result lacks is summed over. A letter that occurs twice in one operand takes its diagonal. `...` stands
/// for leading axes, which broadcast. Without `->` the result has the letters that occur once, in alphabetical order.
#[derive(Debug)]
pub struct Einsum {
    operands: Vec<Term>,
    result: Term,
}

/// The letters of an operand, before and after `...` if it has one.
#[derive(Clone, Debug, Default)]
struct Term {
    before: Vec<char>,
    after: Option<Vec<char>>,
}

impl Term {
    fn parse(text: &str) -> Result<Term> {
        let letters = |text: &str| -> Result<Vec<char>> {
            match text.chars().find(|c| !c.is_ascii_alphabetic()) {
                Some(wrong) => Err(Error::invalid(format!("an equation of Einsum has `{wrong}`"))),
                None => Ok(text.chars().collect()),
            }
        };
        match text.split_once("...") {
            None => Ok(Term { before: letters(text)?, after: None }),
            Some((before, after)) => Ok(Term { before: letters(before)?, after: Some(letters(after)?) }),
        }
    }

    fn letters(&self) -> impl Iterator<Item = char> + '_ {
        self.before.iter().chain(self.after.iter().flatten()).copied()
    }

    /// What each axis of a tensor of some rank stands for.
    fn axes(&self, rank: usize, wide: usize) -> Result<Vec<Label>> {
        let named = self.letters().count();
        if named > rank || (self.after.is_none() && named != rank) {
            return Err(Error::invalid(format!("an operand of Einsum has rank {rank}, but {named} letters")));
        }
        let more = rank - named;
        let before = self.before.iter().copied().map(Label::Letter);
        let after = self.after.iter().flatten().copied().map(Label::Letter);
        Ok(before.chain((wide - more..wide).map(Label::Leading)).chain(after).collect())
    }
}

/// An axis: a letter, or one of those that `...` stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Label {
    Letter(char),
    Leading(usize),
}

impl Einsum {
    pub(super) fn parse(node: &OnnxNode) -> Result<Einsum> {
        let equation: String = node.string("equation", "")?.split_whitespace().collect();
        let (left, right) = match equation.split_once("->") {
            Some((left, right)) => (left, Some(right)),
            None => (equation.as_str(), None),
        };
        let operands: Vec<Term> = left.split(',').map(Term::parse).collect::<Result<_>>()?;
        let result = match right {
            Some(right) => Term::parse(right)?,
            None => {
                let mut all: Vec<char> = operands.iter().flat_map(Term::letters).collect();
                all.sort_unstable();
                let once = all.iter().filter(|c| all.iter().filter(|d| d == c).count() == 1);
                let leading = operands.iter().any(|term| term.after.is_some());
                let (once, none) = (once.copied().collect(), vec![]);
                if leading { Term { before: none, after: Some(once) } } else { Term { before: once, after: None } }
            }
        };
        let mut seen: Vec<char> = result.letters().collect();
        seen.sort_unstable();
        let known = |c: &char| operands.iter().any(|term| term.letters().any(|d| d == *c));
        if seen.windows(2).any(|pair| pair[0] == pair[1]) || !seen.iter().all(known) {
            return Err(Error::invalid(format!("the result of the equation `{equation}` of Einsum is wrong")));
        }
        Ok(Einsum { operands, result })
    }
}

impl OpDef for Einsum {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let operands = (0..c.input_count()).map(|place| c.input(place)).collect::<Result<Vec<_>>>()?;
        let dtype = operands.first().map_or(DType::Bool, |t| t.dtype);
        if operands.len() != self.operands.len() || operands.iter().any(|t| t.dtype != dtype) || dtype == DType::Bool {
            return Err(Error::invalid("the operands of Einsum do not fit its equation"));
        }
        let leading = |(t, term): (&T, &Term)| t.rank().saturating_sub(term.letters().count());
        let wide = operands.iter().zip(&self.operands).map(leading).max().unwrap_or(0);
        let axes = operands.iter().zip(&self.operands).map(|(t, term)| term.axes(t.rank(), wide));
        let axes = axes.collect::<Result<Vec<_>>>()?;
        // The extent of every label; an extent of 1 gives way.
        let mut extents: Vec<(Label, Index)> = Vec::new();
        for (t, labels) in operands.iter().zip(&axes) {
            for (label, dim) in labels.iter().zip(&t.shape) {
                match extents.iter_mut().find(|known| known.0 == *label) {
                    None => extents.push((*label, dim.clone())),
                    Some(known) if known.1.is(1) => known.1 = dim.clone(),
                    Some(known) if !dim.is(1) => known.1 = c.same_dim(&known.1, dim)?,
                    Some(_) => {}
                }
            }
        }
        let rank = self.result.letters().count() + if self.result.after.is_some() { wide } else { 0 };
        let kept = self.result.axes(rank, wide)?;
        let extent =
            |label: &Label| extents.iter().find(|known| known.0 == *label).map_or(Index::from(1), |e| e.1.clone());
        let summed: Vec<Label> = extents.iter().map(|known| known.0).filter(|label| !kept.contains(label)).collect();
        let product = |i: &[Index], r: &[Index]| {
            let value = |label: &Label| {
                let all = kept.iter().zip(i).chain(summed.iter().zip(r));
                all.into_iter().find(|(known, _)| *known == label).map_or_else(Index::zero, |(_, index)| index.clone())
            };
            let factors = operands.iter().zip(&axes).map(|(t, labels)| {
                let index = labels.iter().zip(&t.shape);
                t.at(index.map(|(label, dim)| if dim.is(1) { Index::zero() } else { value(label) }).collect())
            });
            factors.reduce(|a, b| a * b).unwrap_or_else(|| Expr::float(compute_type(dtype), 1.0))
        };
        let shape: Vec<Index> = kept.iter().map(extent).collect();
        let over: Vec<Index> = summed.iter().map(extent).collect();
        let y = if over.is_empty() {
            c.map(dtype, &shape, |i| product(i, &[]))
        } else {
            c.reduce(Monoid::Sum, dtype, &shape, &over, product)
        };
        c.output(0, y);
        Ok(())
    }
}
