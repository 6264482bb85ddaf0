//! A decision of a schedule, and its text.

use mlc_ir::{Error, Name, Result};
use std::fmt;
use std::str::FromStr;

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The order of the kernel's outer axes, outermost first.
    Order(Vec<Name>),
    /// Lanes run along an axis: an outer one, or an inner one of a stage.
    Vector(Name, u16),
    /// So many points (on a vector axis: vectors) of an axis are computed at once, in registers.
    Block(Name, u32),
    /// What is left of a row of vectors along an axis is one more vector, of which only the first lanes count.
    Mask(Name),
    /// A task computes so many blocks of an outer axis (and all of those that no such step names).
    Parallel(Name, u32),
    /// The blocks of an inner axis are dealt out to a crew of so many, which runs each task together. Along an outer axis, a
    /// task has so many blocks, which the members of its crew share.
    Crew(Name, u32),
    /// What a fold multiplies is brought to scratch memory, so many points of an axis that it folds at a time, where the crew
    /// of the task reads it; the last number is how many such panels are there or on their way at once.
    Panel(Name, u32, u32),
    /// The fold multiplies matrices, by a row of the matrix table. So many warps share the rows of a task, and so many its
    /// columns.
    Matrix(Name, u32, u32),
    /// A vector, block or crew of an inner axis, in the nest that begins with a stage and in no other.
    Within(usize, Box<Step>),
    /// The nest that begins with a stage computes the points of a block one by one, in a loop. A map behind a fold on the
    /// same axes so begins a nest of its own.
    Single(usize),
    /// A stage's values are written to scratch memory, where later nests read them.
    Keep(usize),
}

impl Step {
    /// Whether it is of consequence for several threads alone.
    pub fn is_parallel(&self) -> bool {
        matches!(self, Step::Parallel(..))
    }

    /// Whether it lets vectors go beyond an axis.
    pub(crate) fn masks(&self) -> bool {
        match self {
            Step::Mask(_) => true,
            Step::Within(_, step) => step.masks(),
            _ => false,
        }
    }
}

/// As profiles show it: `order(o1, o0)`, `vector(o1, 16)`, `%2 vector(c0, 16)`.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Order(axes) => write!(f, "order({})", axes.join(", ")),
            Step::Vector(axis, n) => write!(f, "vector({axis}, {n})"),
            Step::Block(axis, n) => write!(f, "block({axis}, {n})"),
            Step::Mask(axis) => write!(f, "mask({axis})"),
            Step::Parallel(axis, n) => write!(f, "parallel({axis}, {n})"),
            Step::Crew(axis, n) => write!(f, "crew({axis}, {n})"),
            Step::Panel(axis, n, slots) => write!(f, "panel({axis}, {n}, {slots})"),
            Step::Matrix(row, down, across) => write!(f, "matrix({row}, {down}, {across})"),
            Step::Within(stage, step) => write!(f, "%{stage} {step}"),
            Step::Single(stage) => write!(f, "single(%{stage})"),
            Step::Keep(stage) => write!(f, "keep(%{stage})"),
        }
    }
}

impl FromStr for Step {
    type Err = Error;

    /// Reads what [`fmt::Display`] writes. Whether the step fits a kernel is another question: see [`super::check`].
    fn from_str(text: &str) -> Result<Step> {
        let wrong = || Error::invalid(format!("`{text}` is no step of a schedule"));
        if let Some((stage, step)) = text.strip_prefix('%').and_then(|rest| rest.split_once(' ')) {
            // No nest is within another.
            let step = if step.starts_with('%') { Err(wrong()) } else { step.parse() };
            return Ok(Step::Within(stage.parse().map_err(|_| wrong())?, Box::new(step?)));
        }
        let (verb, rest) = text.split_once('(').ok_or_else(wrong)?;
        let inside = rest.strip_suffix(')').ok_or_else(wrong)?;
        if verb == "order" {
            let axes = inside.split(", ").filter(|axis| !axis.is_empty());
            return Ok(Step::Order(axes.map(Name::from).collect()));
        }
        if verb == "mask" && !inside.is_empty() {
            return Ok(Step::Mask(inside.into()));
        }
        match (verb, inside.strip_prefix('%').map(str::parse)) {
            ("single", Some(Ok(stage))) => return Ok(Step::Single(stage)),
            ("keep", Some(Ok(stage))) => return Ok(Step::Keep(stage)),
            _ => {}
        }
        let (axis, number) = inside.rsplit_once(", ").ok_or_else(wrong)?;
        let axis = Name::from(axis);
        match verb {
            "vector" => Ok(Step::Vector(axis, number.parse().map_err(|_| wrong())?)),
            "block" => Ok(Step::Block(axis, number.parse().map_err(|_| wrong())?)),
            "panel" | "matrix" => {
                let (name, first) = axis.rsplit_once(", ").ok_or_else(wrong)?;
                let (first, second) = (first.parse().map_err(|_| wrong())?, number.parse().map_err(|_| wrong())?);
                let name = Name::from(name);
                Ok(if verb == "panel" { Step::Panel(name, first, second) } else { Step::Matrix(name, first, second) })
            }
            "crew" => Ok(Step::Crew(axis, number.parse().map_err(|_| wrong())?)),
            "parallel" => Ok(Step::Parallel(axis, number.parse().map_err(|_| wrong())?)),
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_read_back() {
        let steps = [
            Step::Order(vec!["o1".into(), "N".into()]),
            Step::Order(vec![]),
            Step::Vector("o1".into(), 16),
            Step::Block("c0".into(), 4),
            Step::Mask("o1".into()),
            Step::Parallel("o1".into(), 16),
            Step::Within(2, Box::new(Step::Vector("c0".into(), 16))),
            Step::Within(0, Box::new(Step::Mask("c0".into()))),
            Step::Crew("c0".into(), 128),
            Step::Panel("c0".into(), 16, 2),
            Step::Matrix("mma.f16".into(), 4, 2),
            Step::Single(1),
            Step::Keep(10),
        ];
        for step in steps {
            assert_eq!(step.to_string().parse(), Ok(step));
        }
        for text in [
            "",
            "order",
            "order(a",
            "block(a)",
            "block(a, -1)",
            "vector(a, 65536)",
            "mask()",
            "keep(1)",
            "panel(a, 4)",
            "matrix(a, 4)",
            "single(%)",
            "single(%-1)",
            "%1",
            "%a block(a, 4)",
            "%1 %2 block(a, 4)",
            "split(a, 2)",
            "block(a, 4) ",
        ] {
            assert!(text.parse::<Step>().is_err(), "{text}");
        }
    }
}
