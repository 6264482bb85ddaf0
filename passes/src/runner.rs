//! Runs the passes in order: verifies between them, hands out every state, times, stops early, and finds the first pass
//! that breaks a model.

use crate::state::{self, State};
use crate::{fuse, graph};
use mlc_ir::program::verify;
use mlc_ir::{Error, Graph, Program, Result};
use std::time::{Duration, Instant};

/// The state after a pass.
pub enum Snapshot<'a> {
    /// Of the graph passes.
    Graph(&'a Graph),
    /// Of the program passes.
    Program(&'a Program),
}

/// Called with the name of each pass and the state after it.
pub type Dump<'a> = &'a mut dyn FnMut(&str, Snapshot);

/// What to run.
pub struct Options<'a> {
    /// Checks all invariants after each pass; by default in debug builds.
    pub verify: bool,
    /// The last pass to run: its name, or its number from 1. Later ones are left out, but a program is always built.
    pub stop_after: Option<String>,
    /// Names of passes that are left out.
    pub skip: Vec<String>,
    /// Outputs that continue an input and get its memory, in the pass `state`.
    pub states: Vec<State>,
    /// Gets the state after each pass.
    pub dump: Option<Dump<'a>>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Options { verify: cfg!(debug_assertions), stop_after: None, skip: vec![], states: vec![], dump: None }
    }
}

/// What was done.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Name and time of each pass that ran.
    pub passes: Vec<(&'static str, Duration)>,
    /// Which kernels were merged, and which were not and why.
    pub fusion: fuse::Report,
    /// What could not be proven to be in bounds, if it was verified.
    pub warnings: Vec<String>,
}

/// The name of the step from a graph to a program.
const BUILD: &str = "build";

/// The name of the step that puts state in place.
const STATE: &str = "state";

/// Names of all passes, in order. The graph becomes a program in the pass `build`.
pub fn names() -> Vec<&'static str> {
    let graph = graph::PIPELINE.iter().map(|pass| pass.0);
    graph.chain([BUILD, STATE]).chain(fuse::PIPELINE.iter().map(|pass| pass.0)).collect()
}

/// Turns a graph into a fused program.
///
/// # Errors
/// If a pass is named that does not exist, or an invariant does not hold after a pass: a bug.
pub fn optimize(mut graph: Graph, mut options: Options) -> Result<(Program, Report)> {
    let last = last(&options)?;
    let mut report = Report::default();
    for (number, (name, pass)) in graph::PIPELINE.iter().enumerate() {
        if number > last || options.skip.iter().any(|skipped| skipped == name) {
            continue;
        }
        let start = Instant::now();
        pass(&mut graph)?;
        report.passes.push((name, start.elapsed()));
        if options.verify {
            graph.verify().map_err(|e| after(name, e))?;
        }
        if let Some(dump) = &mut options.dump {
            dump(name, Snapshot::Graph(&graph));
        }
    }
    let start = Instant::now();
    let mut program = graph.to_program()?;
    report.passes.push((BUILD, start.elapsed()));
    report.fusion.before = fuse::count(&program);
    finish_pass(BUILD, &program, &mut options, &mut report)?;
    // Left out, it leaves another interface: `skip` has no say.
    if graph::PIPELINE.len() < last {
        let start = Instant::now();
        state::bind(&mut program, &options.states)?;
        report.passes.push((STATE, start.elapsed()));
        finish_pass(STATE, &program, &mut options, &mut report)?;
    }
    for (number, (name, pass)) in fuse::PIPELINE.iter().enumerate() {
        if graph::PIPELINE.len() + 2 + number > last || options.skip.iter().any(|skipped| skipped == name) {
            continue;
        }
        let start = Instant::now();
        pass(&mut program, &mut report.fusion);
        report.passes.push((name, start.elapsed()));
        finish_pass(name, &program, &mut options, &mut report)?;
    }
    report.fusion.after = fuse::count(&program);
    Ok((program, report))
}

/// Checks and hands out a program.
fn finish_pass(name: &str, program: &Program, options: &mut Options, report: &mut Report) -> Result<()> {
    if options.verify {
        report.warnings = verify::verify(program).map_err(|e| after(name, e))?;
    }
    if let Some(dump) = &mut options.dump {
        dump(name, Snapshot::Program(program));
    }
    Ok(())
}

fn after(name: &str, mut e: Error) -> Error {
    e.message = format!("after pass `{name}`: {}", e.message);
    e
}

/// The place of the last pass to run.
fn last(options: &Options) -> Result<usize> {
    let names = names();
    let known = |name: &String| names.contains(&name.as_str());
    if let Some(unknown) = options.skip.iter().find(|name| !known(name)) {
        return Err(unknown_pass(unknown, &names));
    }
    let Some(wanted) = &options.stop_after else { return Ok(names.len()) };
    let by_number = wanted.parse::<usize>().ok().filter(|n| (1..=names.len()).contains(n)).map(|n| n - 1);
    let by_name = names.iter().position(|name| name == wanted);
    by_name.or(by_number).ok_or_else(|| unknown_pass(wanted, &names))
}

fn unknown_pass(name: &str, names: &[&str]) -> Error {
    Error::invalid(format!("there is no pass `{name}`; there are {}", names.join(", ")))
}

/// The first pass after which a program fails a check; `None` if it passes after all. The check sees programs built
/// right after each graph pass, too.
///
/// # Errors
/// If the graph cannot be built.
pub fn bisect(graph: &Graph, check: impl Fn(&Program) -> bool) -> Result<Option<&'static str>> {
    let names = names();
    let fails = |count: usize| -> Result<bool> {
        let options = Options { stop_after: Some(count.to_string()), verify: false, ..Options::default() };
        Ok(!check(&optimize(graph.clone(), options)?.0))
    };
    if !fails(names.len())? {
        return Ok(None);
    }
    // The check holds after `good` passes (or nothing can be said of none) and fails after `bad`.
    let (mut good, mut bad) = (0, names.len());
    while bad - good > 1 {
        let middle = (good + bad) / 2;
        if fails(middle)? {
            bad = middle;
        } else {
            good = middle;
        }
    }
    Ok(Some(names[bad - 1]))
}
