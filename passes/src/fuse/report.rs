//! What was fused, and what was not and why: for `--explain`.

use mlc_ir::Name;
use std::collections::{HashMap, HashSet};

/// The rules by which kernels are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// A producer's expression replaces the consumer's reads.
    Inline,
    /// The consumer becomes a stage after the producer, on the producer's axes.
    Epilogue,
    /// Both become stages over the producer's rows.
    Rows,
    /// Products of the same activation, of which one reads the other, fold one after the other.
    Siblings,
    /// The consumer only copies: the producer writes where the copy would go.
    Output,
    /// Two kernels compute the same.
    Same,
    /// A copy with a border lets windows be read without tests.
    Halo,
    /// It depends on constants alone, and is computed while building.
    Constant,
    /// A copy of an operand that lies across.
    Transpose,
    /// Products of one activation that became one, with the columns of all.
    Columns,
    /// A convolution in fewer multiplications: transforms before and after its products.
    Winograd,
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
    /// New and old name of each kernel that was renamed at last, so that names are unique.
    pub renamed: Vec<(Name, Name)>,
    pub(super) seen: HashSet<(Name, Name, &'static str)>,
}

impl Report {
    /// The nodes whose computation is in each of these kernels, in the order they were merged. What fusion knows of nodes
    /// are names, so all kernels that are left of one node name the same.
    pub fn nodes(&self, kernels: &[String]) -> Vec<Vec<String>> {
        let mut nodes: HashMap<&str, Vec<&str>> = HashMap::new();
        for Fused { rule, consumer, producer } in &self.fused {
            let (to, from): (&str, &str) = (consumer, producer);
            let of = |name| nodes.get(name).cloned().unwrap_or_else(|| vec![name]);
            let (mut all, last) = (of(from), of(to));
            all.extend(last.into_iter().filter(|name| !of(from).contains(name)));
            match rule {
                Rule::Inline => drop(nodes.insert(to, all)),
                // One of the two names is left.
                Rule::Epilogue | Rule::Rows | Rule::Siblings | Rule::Output | Rule::Same | Rule::Columns => {
                    nodes.insert(from, all.clone());
                    nodes.insert(to, all);
                }
                // A copy made for a kernel, and called after it, is the work of that kernel's node.
                _ if from.strip_prefix(to).is_some_and(|rest| rest.starts_with('.')) => {
                    nodes.insert(from, vec![to]);
                }
                _ => {}
            }
        }
        let old: HashMap<&str, &str> = self.renamed.iter().map(|(new, old)| (&**new, &**old)).collect();
        let of = |kernel: &String| {
            let name = old.get(kernel.as_str()).copied().unwrap_or(kernel);
            nodes.get(name).map_or_else(|| vec![name.into()], |all| all.iter().map(|&node| node.into()).collect())
        };
        kernels.iter().map(of).collect()
    }

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
