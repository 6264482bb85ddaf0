//! The command line.

use crate::commands::{bench, build, check, inspect, run, targets, tune, verify};
use crate::failure::Result;
use crate::outcome::Outcome;
use crate::progress::Ui;
use clap::{Parser, Subcommand};

/// Compiles neural networks to native code that needs nothing else.
///
/// An ONNX model goes in; a shared object, an object or a static library with a C header comes out, for this machine or
/// another one. The result imports nothing: no runtime, no libc.
#[derive(Parser, Debug)]
#[command(name = "mlc", version, max_term_width = 110, propagate_version = false, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Answer with one JSON object under a versioned schema, errors included.
    #[arg(long, global = true)]
    pub json: bool,
}

const EXAMPLES: &str = "\
Examples:
  mlc build model.onnx                              native code for this machine: model.so, model.h, model.json
  mlc build model.onnx --target aarch64 --emit obj,header -o out
  mlc run model.onnx --input image=cat.png --top 5  compile in memory, run, name the best classes

Exit codes: 0 fine, 1 a comparison failed, 2 wrong usage, 3 invalid model or file, 4 not supported, 5 a budget (such as
memory) does not suffice, 70 a bug of mlc.";

/// The subcommands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Compile a model to files.
    Build(build::Args),
    /// List everything in a model that cannot be compiled yet, in one run.
    Check(check::Args),
    /// Show what a model or artifact is: inputs, outputs, operators, sizes.
    Inspect(inspect::Args),
    /// Run a model or artifact on tensors or pictures.
    Run(run::Args),
    /// Compare what a model computes with reference data, or with the reference interpreter.
    Verify(verify::Args),
    /// Measure how fast a model or artifact runs, and where its time goes.
    Bench(bench::Args),
    /// Find faster schedules for a model's kernels, by measuring on this machine.
    Tune(tune::Args),
    /// List targets and processors.
    Targets(targets::Args),
}

impl Cli {
    /// Does what the command line says.
    ///
    /// # Errors
    /// If there is no answer.
    pub fn execute(&self) -> Result<Outcome> {
        let ui = Ui { json: self.json };
        match &self.command {
            Command::Build(args) => build::execute(args, ui),
            Command::Check(args) => check::execute(args, ui),
            Command::Inspect(args) => inspect::execute(args),
            Command::Run(args) => run::execute(args, ui),
            Command::Verify(args) => verify::execute(args, ui),
            Command::Bench(args) => bench::execute(args, ui),
            Command::Tune(args) => tune::execute(args, ui),
            Command::Targets(args) => targets::execute(args),
        }
    }
}
