//! The order of nodes, and which names nodes and bodies need from around them.

use mlc_ir::{Error, Result};
use onnx_protobuf::{GraphProto, NodeProto};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

/// A node's name; its first output's if it has none.
pub fn name(node: &NodeProto) -> &str {
    if !node.name.is_empty() {
        return &node.name;
    }
    node.output.iter().find(|name| !name.is_empty()).unwrap_or(&node.op_type)
}

/// The names a node uses: its inputs, then those its bodies capture; each once, in order of first use.
pub fn uses(node: &NodeProto) -> Vec<&str> {
    let mut uses = Uses::default();
    node.input.iter().for_each(|name| uses.add(name));
    captures_into(node, &mut uses);
    uses.list
}

/// The names a node's bodies capture; each once, in order of first use.
pub fn captures(node: &NodeProto) -> Vec<&str> {
    let mut uses = Uses::default();
    captures_into(node, &mut uses);
    uses.list
}

#[derive(Default)]
struct Uses<'a> {
    list: Vec<&'a str>,
    seen: HashSet<&'a str>,
}

impl<'a> Uses<'a> {
    fn add(&mut self, name: &'a str) {
        if !name.is_empty() && self.seen.insert(name) {
            self.list.push(name);
        }
    }
}

fn captures_into<'a>(node: &'a NodeProto, uses: &mut Uses<'a>) {
    for graph in node.attribute.iter().filter_map(|attribute| attribute.g.as_ref()) {
        let defined = defined(graph);
        let inner = graph.node.iter().flat_map(self::uses).chain(graph.output.iter().map(|o| o.name.as_str()));
        inner.filter(|name| !defined.contains(name)).for_each(|name| uses.add(name));
    }
}

fn defined(graph: &GraphProto) -> HashSet<&str> {
    let inputs = graph.input.iter().map(|input| input.name.as_str());
    let dense = graph.initializer.iter().map(|tensor| tensor.name.as_str());
    let sparse = graph.sparse_initializer.iter().map(|tensor| tensor.values.name.as_str());
    let outputs = graph.node.iter().flat_map(|node| node.output.iter().map(String::as_str));
    inputs.chain(dense).chain(sparse).chain(outputs).collect()
}

/// The nodes that `wanted` values need, each after those it uses and otherwise as the model states them. `outer` are
/// the values that are there already.
///
/// # Errors
/// If a value is used and not defined, defined twice, or needs itself.
pub fn needed<'a>(
    nodes: &'a [NodeProto],
    outer: impl Fn(&str) -> bool,
    wanted: &[&'a str],
) -> Result<Vec<&'a NodeProto>> {
    let producers = producers(nodes, &outer)?;
    let uses: Vec<Vec<&str>> = nodes.iter().map(self::uses).collect();
    let order = sort(nodes, &producers, &uses, &outer)?;
    let mut live = vec![false; nodes.len()];
    for name in wanted {
        match producers.get(name) {
            Some(&producer) => live[producer] = true,
            None if outer(name) => {}
            None => return Err(Error::invalid(format!("output `{name}` is not computed by any node"))),
        }
    }
    for &node in order.iter().rev() {
        if live[node] {
            uses[node].iter().filter_map(|name| producers.get(name)).for_each(|&producer| live[producer] = true);
        }
    }
    Ok(order.into_iter().filter(|node| live[*node]).map(|node| &nodes[node]).collect())
}

/// The node that computes each value.
fn producers<'a>(nodes: &'a [NodeProto], outer: &impl Fn(&str) -> bool) -> Result<HashMap<&'a str, usize>> {
    let mut producers = HashMap::new();
    for (place, node) in nodes.iter().enumerate() {
        for output in node.output.iter().filter(|output| !output.is_empty()) {
            if producers.insert(output.as_str(), place).is_some() || outer(output) {
                return Err(Error::invalid(format!("value `{output}` is defined more than once")).at(name(node)));
            }
        }
    }
    Ok(producers)
}

fn sort(
    nodes: &[NodeProto],
    producers: &HashMap<&str, usize>,
    uses: &[Vec<&str>],
    outer: &impl Fn(&str) -> bool,
) -> Result<Vec<usize>> {
    let mut waiting = vec![0; nodes.len()];
    let mut users = vec![vec![]; nodes.len()];
    for (place, names) in uses.iter().enumerate() {
        for name in names {
            match producers.get(name) {
                Some(&producer) => {
                    waiting[place] += 1;
                    users[producer].push(place);
                }
                None if outer(name) => {}
                None => {
                    let message = format!("it uses `{name}`, which no node, initializer or input defines");
                    return Err(Error::invalid(message).at(self::name(&nodes[place])));
                }
            }
        }
    }
    let mut ready: BinaryHeap<_> = (0..nodes.len()).filter(|node| waiting[*node] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(Reverse(node)) = ready.pop() {
        order.push(node);
        for &user in &users[node] {
            waiting[user] -= 1;
            if waiting[user] == 0 {
                ready.push(Reverse(user));
            }
        }
    }
    match waiting.iter().position(|count| *count > 0) {
        None => Ok(order),
        Some(stuck) => Err(cycle(nodes, producers, uses, &waiting, stuck)),
    }
}

/// Walks from a node that cannot be sorted to one that needs itself.
fn cycle(
    nodes: &[NodeProto],
    producers: &HashMap<&str, usize>,
    uses: &[Vec<&str>],
    waiting: &[usize],
    stuck: usize,
) -> Error {
    let mut seen = HashSet::new();
    let (mut at, mut value) = (stuck, "");
    while seen.insert(at) {
        let before = uses[at].iter().find_map(|name| Some((*producers.get(name)?, *name)).filter(|p| waiting[p.0] > 0));
        let Some(before) = before else { break };
        (at, value) = before;
    }
    Error::invalid(format!("its output `{value}` needs itself: the graph has a cycle")).at(name(&nodes[at]))
}
