//! One file for each subcommand: its arguments, and what it does.

pub mod bench;
pub mod build;
pub mod check;
pub mod inspect;
pub mod run;
pub mod targets;
pub mod tune;
pub mod verify;

use crate::engine::{self, Choice, Engine};
use crate::failure::{Failure, Result};
use crate::model;
use crate::progress::Stages;
use crate::source::ModelArgs;
use mlc_codegen::compile::Tuned;
use mlc_codegen::tuning::Tuning;
use mlc_ir::Graph;
use mlc_runtime::Threads;
use std::path::Path;

/// An artifact, ready to run.
fn open_artifact(
    path: &Path,
    args: &ModelArgs,
    engine: Choice,
    threads: impl Into<Threads>,
    stages: &mut Stages,
) -> Result<Engine> {
    // What decides how code is made cannot be asked of code that is there.
    let flag = match engine {
        Choice::Interpreter => Some("--engine interpreter"),
        Choice::Compiled if !args.values.is_empty() => Some("--value"),
        Choice::Compiled if !args.states.is_empty() => Some("--state"),
        Choice::Compiled => None,
    };
    if let Some(flag) = flag {
        let path = path.display();
        return Err(Failure::usage(format!("`{flag}` needs the ONNX model; `{path}` is compiled already")));
    }
    stages.stage("load", || Engine::artifact(path, threads))
}

/// A graph, ready to run.
fn engine_of(
    graph: Graph,
    args: &ModelArgs,
    engine: Choice,
    threads: usize,
    tuning: Tuning,
    stages: &mut Stages,
) -> Result<(Engine, Tuned)> {
    if engine == Choice::Interpreter {
        let engine = stages.stage("expand", || model::reference(&graph, &args.states).map(Engine::interpreter))?;
        return Ok((engine, Tuned::default()));
    }
    let (program, _) = stages.stage("optimize", || model::optimize(graph, &args.passes()))?;
    let made = stages.stage("compile", || engine::compile(program, threads, tuning))?;
    Ok((Engine::Compiled(Box::new(made.session)), made.tuned))
}

/// The folder that a file is in.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
