//! What was fused, and what was not and why: for `--explain`.

use mlc_ir::Name;
use std::collections::HashSet;

/// The rules by which kernels are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// A producer's expression replaces the consumer's reads.
    Inline,
    /// The consumer becomes a stage after the producer, on the producer's axes.
    Epilogue,
    /// Both become stages over the producer's rows.
    Rows,
    /// The consumer only copies: the producer writes where the copy would go.
    Output,
    /// Two kernels compute the same.
    Same,
    /// A copy with a border lets windows be read without tests.
    Halo,
    /// A copy of an operand that lies across.
    Transpose,
}

/// Two kernels that became one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fused {
    /// By which rule.
    pub rule: Rule,
    /// Name of the kernel that reads.
    pub consumer: Name,
    /// Name of the kernel that wrote.
    pub producer: Name,
}

/// What fusion did.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// In order.
    pub fused: Vec<Fused>,
    /// Consumer, producer, reason; each once.
    pub refused: Vec<(Name, Name, &'static str)>,
    /// Kernels before.
    pub before: usize,
    /// Kernels after.
    pub after: usize,
    pub(super) seen: HashSet<(Name, Name, &'static str)>,
}

impl Report {
    pub(super) fn fused(&mut self, rule: Rule, consumer: &Name, producer: &Name) {
        self.fused.push(Fused { rule, consumer: consumer.clone(), producer: producer.clone() });
    }

    pub(super) fn refused(&mut self, consumer: &Name, producer: &Name, reason: &'static str) {
        let entry = (consumer.clone(), producer.clone(), reason);
        if self.seen.insert(entry.clone()) {
            self.refused.push(entry);
        }
    }
}
