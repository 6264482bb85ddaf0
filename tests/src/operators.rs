//! `docs/ops.md`: every operator, and how many of its backend tests pass.
//!
//! In: the operators of the standard (`tests/expected/operators.txt`, by `tests/node/operators.py`), those registered, the
//! lists of tests that pass, and the models of the node tests.  Out: the text of `docs/ops.md`.

use crate::{Way, list, node_tests, root};
use onnx_protobuf::{Message, ModelProto};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// Domain and name; the domain of most is `ai.onnx`.
type Key = (String, String);

const HEAD: &str = "\
# Operators

Made from what the tests give, by `UPDATE=1 cargo test -p mlc-tests`; a test fails if it is out of date. A node test counts
for an operator if its graph has nodes of no other; *interpreted* is by the reference interpreter, *compiled* by
machine code. What fails is mostly about types that are not there yet: strings, sequences, 4- and 8-bit floats.
\"versions\" are the opsets in which an operator changed; a model may use any of them.
";

/// Node tests of an operator: all, and those that pass in each way.
#[derive(Clone, Copy, Default)]
struct Count {
    tests: usize,
    passed: [usize; 2],
}

/// The text of `docs/ops.md`.
///
/// # Errors
/// If a list or a node test cannot be read.
pub fn document() -> Result<String, String> {
    let registered: BTreeSet<Key> = mlc_ir::ops::names().into_iter().map(|(domain, name)| key(domain, name)).collect();
    let standard = standard()?;
    let counts = counts()?;
    let mut text = HEAD.to_string();
    let mut domains: Vec<&str> = standard.iter().map(|row| row.0.0.as_str()).collect();
    domains.dedup();
    let supported = standard.iter().filter(|row| registered.contains(&row.0)).count();
    let _ = writeln!(text, "\n{supported} of {} standard operators are there; {}.", standard.len(), summary()?);
    for domain in domains {
        let rows: Vec<_> = standard.iter().filter(|row| row.0.0 == domain).collect();
        let there = rows.iter().filter(|row| registered.contains(&row.0)).count();
        let _ = writeln!(text, "\n## {domain}\n\n{there} of {}.\n", rows.len());
        text += "| operator | versions | there | interpreted | compiled | tests |\n|---|---|---|---|---|---|\n";
        for (operator, versions) in rows {
            let there = if registered.contains(operator) { "yes" } else { "no" };
            let _ = writeln!(text, "| {} | {versions} | {there} | {} |", operator.1, cells(counts.get(operator)));
        }
    }
    text += "\n## Others\n\nNot of the standard; the backend tests have none for them.\n\n| domain | operators |\n|---|---|\n";
    let mut others: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (domain, name) in registered.iter().filter(|key| standard.iter().all(|row| row.0 != **key)) {
        others.entry(domain).or_default().push(name);
    }
    for (domain, names) in others {
        let _ = writeln!(text, "| {domain} | {} |", names.join(", "));
    }
    Ok(text)
}

/// How many node tests pass, in one sentence.
///
/// # Errors
/// If a list or the node tests cannot be read.
pub fn summary() -> Result<String, String> {
    let all = node_tests("node").map_err(|e| e.to_string())?.len();
    let passed = Way::ALL.map(|way| passed(way).map(|set| set.len()));
    let [interpreted, compiled] = passed;
    let (interpreted, compiled) = (thousands(interpreted?), thousands(compiled?));
    Ok(format!("{interpreted} of {} node tests pass interpreted, {compiled} compiled", thousands(all)))
}

fn cells(count: Option<&Count>) -> String {
    match count {
        Some(count) => format!("{} | {} | {}", count.passed[0], count.passed[1], count.tests),
        None => "| |".into(),
    }
}

fn thousands(n: usize) -> String {
    if n < 1000 { n.to_string() } else { format!("{},{:03}", n / 1000, n % 1000) }
}

fn key(domain: &str, name: &str) -> Key {
    (if domain.is_empty() { "ai.onnx" } else { domain }.into(), name.into())
}

/// The operators of the standard with their versions.
fn standard() -> Result<Vec<(Key, String)>, String> {
    let path = root().join("tests").join("expected").join("operators.txt");
    let text = read(&path)?;
    let row = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let [domain, name, versions, ref rest @ ..] = words[..] else { return Err(format!("{path:?}: `{line}`")) };
        let versions = versions.replace(',', " ");
        Ok((key(domain, name), if rest.is_empty() { versions } else { format!("{versions} ({})", rest[0]) }))
    };
    text.lines().map(row).collect()
}

/// Names of the node tests that pass.
fn passed(way: Way) -> Result<BTreeSet<String>, String> {
    let text = read(&list(way))?;
    Ok(text.lines().filter_map(|line| line.strip_prefix("node/")).map(String::from).collect())
}

fn counts() -> Result<BTreeMap<Key, Count>, String> {
    let lists = [passed(Way::Interpreter)?, passed(Way::Compiled)?];
    let mut counts: BTreeMap<Key, Count> = BTreeMap::new();
    for test in node_tests("node").map_err(|e| e.to_string())? {
        let Some(operator) = only_operator(&test.model)? else { continue };
        let count = counts.entry(operator).or_default();
        count.tests += 1;
        for (place, list) in lists.iter().enumerate() {
            count.passed[place] += usize::from(list.contains(&test.name));
        }
    }
    Ok(counts)
}

/// The operator of all nodes of a model, bodies aside.
fn only_operator(path: &Path) -> Result<Option<Key>, String> {
    let wrong = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let bytes = fs::read(path).map_err(|e| wrong(&e))?;
    let model = ModelProto::parse_from_bytes(&bytes).map_err(|e| wrong(&e))?;
    let operators: BTreeSet<Key> = model.graph.node.iter().map(|node| key(&node.domain, &node.op_type)).collect();
    Ok(if operators.len() == 1 { operators.into_iter().next() } else { None })
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
}
