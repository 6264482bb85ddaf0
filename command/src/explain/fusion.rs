//! Which kernels became one, and which stand apart and why, so that it is read at a glance for a model with hundreds.
//!
//! In: the passes' report and the names of the kernels that are left.  Out: text, grouped by rule and by reason; names that
//! differ in numbers alone, as those of layers do, are one line with a count and an example.

use crate::explain::end_of;
use mlc_passes::fuse::{Report, Rule};
use std::collections::BTreeMap;

/// Lines of a group.
const LINES: usize = 8;
/// Letters of a name.
const WIDTH: usize = 44;

/// A pair of kernels.
type Pair<'a> = (&'a str, &'a str);

/// For people.
pub fn text(report: &Report, kernels: &[String]) -> String {
    let mut text = format!("fusion: {} kernels became {}\n", report.before, report.after);
    for (rule, what) in RULES {
        let pairs: Vec<Pair> =
            report.fused.iter().filter(|it| it.rule == *rule).map(|it| (&*it.consumer, &*it.producer)).collect();
        let name = format!("{rule:?}").to_lowercase();
        text += &group(&format!("{name}: {what}"), &pairs, "took in");
    }
    let apart = apart(report, kernels);
    let count: usize = apart.values().map(Vec::len).sum();
    if count > 0 {
        text += &format!("kept apart: {}\n", crate::text::count(count, "pair"));
    }
    let mut reasons: Vec<_> = apart.into_iter().collect();
    reasons.sort_by_key(|(_, pairs)| std::cmp::Reverse(pairs.len()));
    reasons.into_iter().for_each(|(reason, pairs)| text += &group(reason, &pairs, "and"));
    text
}

/// What each rule does, in the order in which they are explained.
const RULES: &[(Rule, &str)] = &[
    (Rule::Inline, "the producer's expression replaces the consumer's reads"),
    (Rule::Epilogue, "the consumer is a stage after the producer, on its axes"),
    (Rule::Rows, "both are stages over the same rows"),
    (Rule::Siblings, "products of one activation, of which one reads the other, in one kernel"),
    (Rule::Output, "the producer writes where a copy would have gone"),
    (Rule::Same, "both compute the same"),
    (Rule::Halo, "a copy with a border, so that windows are read without tests"),
    (Rule::Constant, "computed while building, from weights that are stored in fewer bytes"),
    (Rule::Transpose, "a copy of an operand that lies across"),
    (Rule::Columns, "products of one activation are one, with the columns of all"),
    (Rule::Winograd, "a convolution in fewer multiplications"),
];

/// Pairs of kernels that are both left, producer first, by the last reason, which is the one that counted.
fn apart<'a>(report: &'a Report, kernels: &[String]) -> BTreeMap<&'a str, Vec<Pair<'a>>> {
    let remains = |name: &str| kernels.iter().any(|kernel| kernel == name);
    let mut last: BTreeMap<Pair, &str> = BTreeMap::new();
    for (consumer, producer, reason) in &report.refused {
        if consumer != producer && remains(consumer) && remains(producer) {
            last.insert((producer, consumer), reason);
        }
    }
    let mut reasons: BTreeMap<&str, Vec<Pair>> = BTreeMap::new();
    last.into_iter().for_each(|(pair, reason)| reasons.entry(reason).or_default().push(pair));
    reasons
}

/// The pairs of one group, those of one pattern in one line; nothing if there are none.
fn group(head: &str, pairs: &[Pair], verb: &str) -> String {
    if pairs.is_empty() {
        return String::new();
    }
    let mut patterns: Vec<((String, String), Vec<&Pair>)> = Vec::new();
    for pair in pairs {
        let pattern = (pattern(pair.0), pattern(pair.1));
        match patterns.iter_mut().find(|it| it.0 == pattern) {
            Some((_, pairs)) => pairs.push(pair),
            None => patterns.push((pattern, vec![pair])),
        }
    }
    patterns.sort_by_key(|(_, pairs)| std::cmp::Reverse(pairs.len()));
    let mut text = format!("{:>5}  {head}\n", pairs.len());
    for ((a, b), pairs) in patterns.iter().take(LINES) {
        let name = |text: &str| end_of(text, WIDTH);
        text += &match pairs[..] {
            _ if a == b && pairs.iter().all(|pair| pair.0 == pair.1) => {
                format!("{:>11}  `{}`, parts of its own\n", pairs.len(), name(a))
            }
            [(a, b)] => format!("{:>11}  `{}` {verb} `{}`\n", 1, name(a), name(b)),
            _ => {
                let (c, d) = pairs[0];
                let (a, b, c, d) = (name(a), name(b), name(c), name(d));
                format!("{:>11}  `{a}` {verb} `{b}`, such as `{c}`, `{d}`\n", pairs.len())
            }
        };
    }
    let more: usize = patterns.iter().skip(LINES).map(|it| it.1.len()).sum();
    if more > 0 {
        text += &format!("{more:>11}  others; --json lists all\n");
    }
    text
}

/// A name with `#` for every number.
fn pattern(name: &str) -> String {
    let mut pattern = String::new();
    for letter in name.chars() {
        match letter {
            '0'..='9' if pattern.ends_with('#') => {}
            '0'..='9' => pattern.push('#'),
            _ => pattern.push(letter),
        }
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlc_passes::fuse::Fused;

    #[test]
    fn layers_are_one_line() {
        let mut report = Report::default();
        (report.before, report.after) = (9, 4);
        for layer in 0..12 {
            let name = |what: &str| format!("layer.{layer}/{what}").into();
            report.fused.push(Fused { rule: Rule::Epilogue, consumer: name("Relu"), producer: name("Conv") });
        }
        report.refused = vec![
            ("b".into(), "a".into(), "first"),
            ("b".into(), "a".into(), "the last reason"),
            ("gone".into(), "a".into(), "not left"),
        ];
        let text = text(&report, &["a".into(), "b".into()]);
        assert!(
            text.contains("12  `layer.#/Relu` took in `layer.#/Conv`, such as `layer.0/Relu`, `layer.0/Conv`"),
            "{text}"
        );
        assert!(text.contains("   12  epilogue: "), "{text}");
        assert!(text.contains("1  the last reason") && text.contains("`a` and `b`"), "{text}");
        assert!(!text.contains("first") && !text.contains("not left"), "{text}");
    }
}
