//! Computes while building what depends on constants only, with the reference interpreter.
//!
//! A result larger than its inputs stays an operator, since it would only make the artifact larger; fusion decides whether
//! kernels read through it. So does a large constant with its dims in another order: weights are packed for kernels anyway.

use super::is_random;
use mlc_ir::graph::{Fact, Graph, NodeId, NodeKind, Value};
use mlc_ir::onnx::{Attribute, OnnxNode};
use mlc_ir::program::{ExprKind, Known, Program, Stage, Step, interp};
use mlc_ir::reshape::reshape_index;
use mlc_ir::{Index, Name, Result, Scalar, Tensor};
use std::collections::{BTreeSet, HashMap};

/// Bytes that a result may have more than the inputs.
const SPARE: usize = 1 << 16;
/// Scalar operations that may be spent on one node.
const WORK: i64 = 1 << 26;

/// Replaces values that are known by constants.
pub(super) fn fold(graph: &mut Graph) -> Result<usize> {
    let mut changed = 0;
    for id in graph.order() {
        let node = graph.node(id);
        let NodeKind::Op(onnx, _) = &node.kind else { continue };
        let name = node.name.clone();
        let known: Vec<Option<Tensor>> = node.outputs.iter().map(numeric).collect();
        let tensors = if known.iter().all(Option::is_some) {
            known
        } else {
            match computed(graph, id, &onnx.clone(), &name) {
                Some(tensors) => tensors.into_iter().map(Some).collect(),
                None => known,
            }
        };
        for (port, tensor) in tensors.into_iter().enumerate() {
            let value = Value { node: id, port: port as u32 };
            if let Some(tensor) = tensor.filter(|_| graph.uses(value) > 0) {
                let constant = graph.add_constant(name.clone(), tensor);
                graph.replace(value, constant);
                changed += 1;
            }
        }
    }
    graph.remove_dead();
    Ok(changed)
}

/// The tensor a fact describes, if every element is a number.
fn numeric(fact: &Fact) -> Option<Tensor> {
    let number = |known: &Known| match known {
        Known::Index(index) => index.as_const().map(Scalar::Int),
        Known::Float(x) => Some(Scalar::Float(*x)),
    };
    let scalars: Vec<Scalar> = fact.known.as_ref()?.iter().map(number).collect::<Option<_>>()?;
    Tensor::from_scalars(fact.dtype, extents(fact)?, &scalars).ok()
}

fn extents(fact: &Fact) -> Option<Vec<usize>> {
    fact.shape.iter().map(|dim| usize::try_from(dim.as_const()?).ok()).collect()
}

/// The outputs of a node whose inputs are all constants, if they are worth having.
fn computed(graph: &Graph, id: NodeId, onnx: &OnnxNode, name: &str) -> Option<Vec<Tensor>> {
    if is_random(onnx) || onnx.attributes.values().any(|value| matches!(value, Attribute::Graph(_))) {
        return None;
    }
    let inputs = graph.inputs_of(id);
    let tensors: Option<Vec<Option<&Tensor>>> =
        inputs.iter().map(|value| value.map_or(Some(None), |v| graph.constant(v).map(Some))).collect();
    let tensors = tensors?;
    let given: usize = tensors.iter().flatten().map(|tensor| tensor.bytes().len()).sum();
    let bytes = |fact: &Fact| Some(extents(fact)?.iter().product::<usize>() * fact.dtype.bytes());
    let made = graph.node(id).outputs.iter().map(bytes).sum::<Option<usize>>()?;
    if made > given + SPARE {
        return None;
    }
    let mut single = Graph::new(name);
    let mut constant = |tensor: Option<&Tensor>| tensor.map(|tensor| single.add_constant("constant", tensor.clone()));
    let values: Vec<Option<Value>> = tensors.iter().map(|tensor| constant(*tensor)).collect();
    let outputs = single.add(name, onnx.clone(), &values).ok()?;
    let program = alone(&single, &outputs)?;
    match view(&program) {
        Some(View::Same(tensor)) => return Some(vec![tensor]),
        Some(View::Permuted) if made > SPARE => return None,
        _ => {}
    }
    if work(&program)? > WORK {
        return None;
    }
    interp::run(&program, &[]).ok()
}

/// The program of a graph without inputs, without the copies that give outputs a buffer of their own.
fn alone(graph: &Graph, outputs: &[Value]) -> Option<Program> {
    let mut program = Program::default();
    let mut built = HashMap::new();
    program.body = graph.build_into(&mut program, &mut built).ok()?;
    program.outputs = outputs.iter().map(|output| Some(built.get(output)?.buffer)).collect::<Option<_>>()?;
    Some(program)
}

/// What a program is that only moves the elements of one constant.
enum View {
    /// All of them in their order: the same bytes with another shape.
    Same(Tensor),
    /// The dims in another order.
    Permuted,
}

fn view(program: &Program) -> Option<View> {
    let ([Step::Kernel(kernel)], [output]) = (program.body.as_slice(), program.outputs.as_slice()) else { return None };
    let [Stage { reduce: None, store: Some(store), value, .. }] = kernel.stages.as_slice() else { return None };
    let ExprKind::Load { buffer, index } = value.kind() else { return None };
    let (from, to) = (program.buffer(*buffer), program.buffer(*output));
    let axes: Vec<&Name> = store.index.iter().filter_map(Index::as_var).collect();
    if store.buffer != *output || axes.len() != store.index.len() || !store.only.is_empty() {
        return None;
    }
    let facts = kernel.facts(&program.facts);
    if Index::product(&from.shape) == Index::product(&to.shape)
        && *index == reshape_index(&facts, &from.shape, &to.shape, &store.index)
    {
        let shape = to.shape.iter().map(|dim| usize::try_from(dim.as_const()?).ok()).collect::<Option<_>>()?;
        return from.constant.as_ref()?.reshaped(shape).ok().map(View::Same);
    }
    let read: BTreeSet<&Name> = index.iter().filter_map(Index::as_var).collect();
    (read.len() == index.len() && axes.len() == index.len()).then_some(View::Permuted)
}

/// Points of all kernels; `None` if a loop or a symbol decides.
fn work(program: &Program) -> Option<i64> {
    let mut total = Some(0i64);
    let simple = program.body.iter().all(|step| matches!(step, Step::Kernel(_)));
    Step::visit_kernels(&program.body, &mut |kernel| {
        let points = |stage: &Stage| {
            let nest = stage.axes.iter().chain(stage.reduce.iter().flat_map(|reduce| &reduce.axes));
            nest.map(|name| kernel.extent(name)?.as_const()).try_fold(1i64, |n, extent| n.checked_mul(extent?))
        };
        let all = kernel.stages.iter().map(points).try_fold(0i64, |n, points| n.checked_add(points?));
        total = total.zip(all).and_then(|(a, b)| a.checked_add(b));
    });
    total.filter(|_| simple)
}
