//! From a model file to a fused program.

use crate::failure::{Failure, Result};
use mlc_codegen::work::Work;
use mlc_frontend::Options;
use mlc_ir::{ErrorKind, Graph, Program, Tensor};
use mlc_passes::Snapshot;
use mlc_passes::state::{self, State};
use std::path::Path;

/// What the passes did.
pub type Report = mlc_passes::Report;

/// The name of the step before all passes.
pub const IMPORT: &str = "import";

/// Names of all passes, in order.
pub fn passes() -> Vec<&'static str> {
    let mut names = vec![IMPORT];
    for name in mlc_passes::runner::names() {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// How to optimize.
#[derive(Clone, Debug, Default)]
pub struct Passes {
    /// Outputs that continue an input in its memory.
    pub states: Vec<State>,
    /// Ends after the pass of this name; one of [`passes`].
    pub stop_after: Option<String>,
    /// Checks every invariant after each pass.
    pub verify: bool,
}

/// Imports a model.
///
/// # Errors
/// If the file is no valid model, or needs what is not supported: then all of that is listed.
pub fn import(path: &Path, options: &Options) -> Result<Graph> {
    mlc_frontend::import(path, options).map_err(|error| {
        let gaps = match error.kind {
            ErrorKind::Unsupported => mlc_frontend::check(path, options).unwrap_or_default(),
            _ => vec![],
        };
        if gaps.is_empty() { error.into() } else { Failure::gaps(&path.display().to_string(), gaps) }
    })
}

/// The program of a graph as the op files state it, nothing fused: for the reference interpreter.
///
/// # Errors
/// If a node breaks a rule of its operator, or a state is none.
pub fn reference(graph: &Graph, states: &[State]) -> mlc_ir::Result<Program> {
    let mut program = graph.to_program()?;
    state::bind(&mut program, states)?;
    Ok(program)
}

/// The fused program of a graph.
///
/// # Errors
/// As [`reference()`].
pub fn optimize(graph: Graph, passes: &Passes) -> mlc_ir::Result<(Program, Report)> {
    mlc_passes::optimize(graph, options(passes))
}

/// Says which nodes are in each kernel.
pub fn name_nodes(work: &mut [Work], report: &Report) {
    let kernels: Vec<String> = work.iter().map(|it| it.kernel.clone()).collect();
    work.iter_mut().zip(report.fusion.nodes(&kernels)).for_each(|(it, nodes)| it.nodes = nodes);
}

/// What a pass leaves, as text.
///
/// # Errors
/// As [`optimize`].
pub fn state_after(graph: Graph, pass: &str, passes: &Passes) -> mlc_ir::Result<String> {
    let mut text = graph.to_string();
    if pass == IMPORT {
        return Ok(text);
    }
    let mut dump = |name: &str, state: Snapshot| {
        if name == pass {
            text = match state {
                Snapshot::Graph(graph) => graph.to_string(),
                Snapshot::Program(program) => program.to_string(),
            };
        }
    };
    let passes = Passes { stop_after: Some(pass.into()), ..passes.clone() };
    mlc_passes::optimize(graph, mlc_passes::Options { dump: Some(&mut dump), ..options(&passes) })?;
    Ok(text)
}

fn options(passes: &Passes) -> mlc_passes::Options<'static> {
    let usual = mlc_passes::Options::default();
    let Passes { states, stop_after, .. } = passes.clone();
    mlc_passes::Options { verify: passes.verify || usual.verify, stop_after, states, ..usual }
}

/// Runs `attempt` with options under which a model whose inputs are known compiles: first as it is, then, as long as
/// something is not supported, with integer inputs as constants, and at last with all small ones. Gives the names of the
/// inputs that became constants, too.
///
/// # Errors
/// The first error of the kind "unsupported" if no attempt succeeds, else that of the attempt.
pub fn with_known_inputs<T>(
    base: &Options,
    inputs: &[(String, Tensor)],
    mut attempt: impl FnMut(&Options) -> Result<T>,
) -> Result<(T, Vec<String>)> {
    let mut first = None;
    for level in 0..3 {
        let small = |tensor: &Tensor| match level {
            0 => false,
            1 => !tensor.dtype().is_float() && tensor.shape().len() <= 1,
            _ => tensor.shape().len() <= 1 && tensor.len() <= 64,
        };
        let mut options = base.clone();
        let fixed: Vec<_> = inputs.iter().filter(|(_, tensor)| small(tensor)).cloned().collect();
        if level > 0 && fixed.is_empty() {
            continue;
        }
        let names = fixed.iter().map(|it| it.0.clone()).collect();
        options.values.extend(fixed);
        match attempt(&options) {
            Err(failure) if failure.exit == crate::Exit::Unsupported => first = first.or(Some(failure)),
            other => return other.map(|value| (value, names)),
        }
    }
    Err(first.unwrap_or_else(|| Failure::new(crate::Exit::Internal, "nothing was attempted")))
}
