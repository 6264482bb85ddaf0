//! What keeps a model from being compiled, all of it in one run.

use crate::scope::Slot;
use mlc_ir::{Error, ErrorKind};
use std::fmt;

/// One thing `mlc` cannot do with a model yet, or the model does wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gap {
    /// The operator, or empty if it is about the model.
    pub op: String,
    /// Its domain; empty for `ai.onnx`.
    pub domain: String,
    /// The version of the domain the model imports; 0 if none applies.
    pub opset: i64,
    /// The first node it occurs at, or empty.
    pub node: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub advice: String,
    /// How many nodes have it.
    pub count: usize,
}

impl Gap {
    /// From an error at an operator.
    pub(crate) fn new(error: Error, op: &str, domain: &str, opset: i64) -> Gap {
        let advice = match error.kind {
            ErrorKind::Unsupported if op.is_empty() => "export the model without it",
            ErrorKind::Unsupported => "export the model with other operators, or ask for this one",
            ErrorKind::Invalid if op.is_empty() => "correct the model, or the options it is read with",
            ErrorKind::Invalid => "the model breaks ONNX's rules here: check it with onnx.checker and export it again",
            ErrorKind::Internal => "report this as a bug of mlc, with the model",
        };
        let (node, message) = (error.node.unwrap_or_default(), error.message);
        Gap { op: op.into(), domain: domain.into(), opset, node, message, advice: advice.into(), count: 1 }
    }

    fn same(&self, other: &Gap) -> bool {
        (&self.op, &self.domain, self.opset, &self.message) == (&other.op, &other.domain, other.opset, &other.message)
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if !self.node.is_empty() {
            write!(f, "node `{}`", self.node)?;
            if self.count > 1 {
                write!(f, " and {} more", self.count - 1)?;
            }
            f.write_str(": ")?;
        }
        let domain = if self.domain.is_empty() { "ai.onnx" } else { &self.domain };
        if !self.op.is_empty() {
            write!(f, "{} ({domain} {}): ", self.op, self.opset)?;
        }
        write!(f, "{}; {}", self.message, self.advice)
    }
}

/// Gaps while they are collected.
#[derive(Default)]
pub(crate) struct Gaps {
    pub list: Vec<Gap>,
    /// How many values are unknown or made up so far; a body in which this grows is not complete.
    pub made_up: usize,
}

impl Gaps {
    /// Adds one, or counts it.
    pub fn add(&mut self, gap: Gap) {
        match self.list.iter_mut().find(|other| other.same(&gap)) {
            Some(other) => other.count += 1,
            None => self.list.push(gap),
        }
    }

    /// Notes that a value is not what the model computes.
    pub fn made_up(&mut self, slot: Slot) -> Slot {
        self.made_up += 1;
        slot
    }
}
