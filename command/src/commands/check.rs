//! `mlc check`

use crate::failure::{Exit, Result, gap_json};
use crate::model::{self, Passes};
use crate::outcome::Outcome;
use crate::progress::{Stages, Ui};
use crate::source::{ModelArgs, c_name};
use crate::targets::Target;
use crate::{targets, text};
use mlc_codegen::compile::{Options, compile};
use mlc_codegen::layout::assign;
use mlc_codegen::lower::lower;
use mlc_codegen::schedule::{Plan, choose};
use mlc_codegen::tuning::Tuning;
use mlc_frontend::Gap;
use mlc_ir::program::{Program, Step};
use mlc_ir::{Error, ErrorKind};
use serde_json::json;
use std::path::{Path, PathBuf};

/// List everything in a model that cannot be compiled yet, in one run.
///
/// Each gap names the operator, its domain and opset, the first node that has it, how many do, and what to do about it.
/// Without gaps the model is compiled on trial; nothing is written. The exit code is 4 if there is a gap.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "Example:\n  mlc check model.onnx --dim batch=1")]
pub struct Args {
    /// The ONNX model.
    #[arg(value_name = "MODEL.onnx")]
    pub model: PathBuf,
    /// For which machine to compile on trial; see `mlc targets`.
    #[arg(long, default_value = "host", value_name = "NAME|TRIPLE")]
    pub target: String,
    #[command(flatten)]
    /// Dimensions and constant inputs.
    pub source: ModelArgs,
}

/// Finds all gaps.
///
/// # Errors
/// If the file is no model at all.
pub fn execute(args: &Args, ui: Ui) -> Result<Outcome> {
    let target = targets::find(&args.target, None)?;
    let options = args.source.options()?;
    crate::source::kind(&args.model)?;
    let mut stages = Stages::new(ui);
    let mut gaps = stages.stage("read", || mlc_frontend::check(&args.model, &options))?;
    if gaps.is_empty() {
        gaps = stages.stage("compile", || trial(&args.model, &options, &args.source.passes(), target))?;
    }
    let model = args.model.display();
    let mut shown = format!("`{model}`: {}\n", text::count(gaps.len(), "gap"));
    gaps.iter().for_each(|gap| shown += &format!("  - {gap}\n"));
    if gaps.is_empty() {
        shown = format!("`{model}` can be compiled for {}\n", args.target);
    }
    let json = json!({
        "schema": "mlc-check/1", "model": args.model, "target": args.target,
        "gaps": gaps.iter().map(gap_json).collect::<Vec<_>>(),
    });
    let exit = if gaps.is_empty() { Exit::Fine } else { Exit::Unsupported };
    Ok(Outcome { exit, text: shown, json })
}

/// Compiles without writing.
fn trial(path: &Path, options: &mlc_frontend::Options, passes: &Passes, target: Target) -> Result<Vec<Gap>> {
    let graph = model::import(path, options)?;
    let program = match model::optimize(graph, passes) {
        Ok((program, _)) => program,
        Err(error) => return Ok(vec![gap(error)]),
    };
    let gaps = lowering_gaps(program.clone(), &target);
    if !gaps.is_empty() {
        return Ok(gaps);
    }
    let Target { triple, features, gpu } = target;
    let options = Options { name: c_name(path), triple, features, gpu, placement: None, tuning: Tuning::NONE };
    Ok(compile(program, &options).err().map(gap).into_iter().collect())
}

/// Every kernel that cannot be lowered.
fn lowering_gaps(mut program: Program, target: &Target) -> Vec<Gap> {
    let machine = target.machine();
    let layouts = assign(&mut program, &machine);
    let mut gaps = Vec::new();
    Step::visit_kernels(&program.body, &mut |kernel| {
        let steps = choose(kernel, &program, &layouts, &machine);
        let lowered = Plan::new(kernel, &steps).and_then(|plan| lower(kernel, &program, &layouts, &plan));
        gaps.extend(lowered.err().map(|error| gap(error.at(&kernel.name))));
    });
    gaps
}

fn gap(error: Error) -> Gap {
    let advice = match error.kind {
        ErrorKind::Internal => "this is a bug of mlc: report it, with the model",
        _ => "export the model without it, or ask for it",
    };
    let (node, message) = (error.node.unwrap_or_default(), error.message);
    let empty = String::new();
    Gap { op: empty.clone(), domain: empty, opset: 0, node, message, advice: advice.into(), count: 1 }
}
