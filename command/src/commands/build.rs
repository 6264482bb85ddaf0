//! `mlc build`

mod answer;

use crate::failure::{Failure, Result};
use crate::interface::Interface;
use crate::listing::{self, Form};
use crate::model::{self, Passes};
use crate::outcome::Outcome;
use crate::output::{Folder, Texts};
use crate::progress::{Stages, Ui};
use crate::source::{Kind as FileKind, ModelArgs, c_name, kind};
use crate::targets::{self, Target};
use crate::tuning::TuningArgs;
use answer::{Built, Sizes};
use mlc_codegen::artifact::{self, Kind, Parts, Placement, Written};
use mlc_codegen::compile::{Compiled, Options, compile};
use mlc_codegen::tuning::Tuning;
use mlc_ir::Facts;
use serde_json::json;
use std::path::PathBuf;

/// Compile a model to files.
///
/// Without --target the code is for this machine's own processor and uses all it has. Other targets need no tools: the
/// compiler writes shared objects itself.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  mlc build model.onnx -o out                      out/model.so, out/model.h, out/model.json
  mlc build model.onnx --target raspberry-pi-5 --emit obj,header
  mlc build model.onnx --dim batch=1 --dim tokens=1..512
  mlc build model.onnx --emit tile,asm             what the kernels became")]
pub struct Args {
    /// The ONNX model.
    #[arg(value_name = "MODEL.onnx")]
    pub model: PathBuf,
    /// For which machine: host, x86_64, aarch64, a triple, or a name of `mlc targets`.
    #[arg(long, default_value = "host", value_name = "NAME|TRIPLE")]
    pub target: String,
    /// For which processor of the target's family; see `mlc targets`.
    #[arg(long, value_name = "NAME")]
    pub cpu: Option<String>,
    #[command(flatten)]
    /// Dimensions and constant inputs.
    pub source: ModelArgs,
    #[command(flatten)]
    /// Measured schedules.
    pub tuning: TuningArgs,
    /// What to write.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "KIND,...", default_value = "so,header,manifest")]
    pub emit: Vec<Emit>,
    /// Prefix of all symbols and name of all files: a C identifier. Without it, made from the file's name.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Where the weights go.
    #[arg(long, value_enum, default_value = "auto")]
    pub weights: WeightsPlace,
    /// The folder to write to; it is made if it is not there.
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub output: PathBuf,
    /// Also show what was fused, what was not and why, and the memory plan over time: what is alive when and where, the
    /// peak, and which buffer takes the place of which.
    #[arg(long)]
    pub explain: bool,
    /// End after a pass and print what it left; writes no file.
    #[arg(long, value_name = "PASS", value_parser = clap::builder::PossibleValuesParser::new(model::passes()))]
    pub stop_after: Option<String>,
    /// Check every invariant after each pass.
    #[arg(long)]
    pub verify_passes: bool,
}

/// A kind of file that `build` can write.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Emit {
    /// NAME.so: a shared object
    So,
    /// NAME.o: an object to link
    Obj,
    /// libNAME.a: the object as a static library
    Lib,
    /// NAME.h: the interface for C and C++
    Header,
    /// NAME.json: the interface and all sizes
    Manifest,
    /// NAME.graph: the graph that was read
    Graph,
    /// NAME.program: the fused kernels
    Program,
    /// NAME.tile: the scheduled kernels
    Tile,
    /// NAME.clif: the kernels as Cranelift gets them
    Clif,
    /// NAME.s: the kernels' machine code
    Asm,
}

/// Where the weights go.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum WeightsPlace {
    /// Into the artifact
    Embed,
    /// Into NAME.weights beside it, which is mapped
    Sidecar,
    /// Embedded up to 16 MB
    Auto,
}

impl Emit {
    fn artifact(self) -> Option<Kind> {
        match self {
            Emit::So => Some(Kind::Shared),
            Emit::Obj => Some(Kind::Object),
            Emit::Lib => Some(Kind::Archive),
            Emit::Header => Some(Kind::Header),
            Emit::Manifest => Some(Kind::Manifest),
            Emit::Graph | Emit::Program | Emit::Tile | Emit::Clif | Emit::Asm => None,
        }
    }
}

/// Builds.
///
/// # Errors
/// If the model is invalid or not supported, or the files cannot be written.
pub fn execute(args: &Args, ui: Ui) -> Result<Outcome> {
    let target = targets::find(&args.target, args.cpu.as_deref())?;
    let name = args.name.clone().unwrap_or_else(|| c_name(&args.model));
    if !mlc_abi::descriptor::is_identifier(&name) {
        return Err(Failure::usage(format!(
            "`--name {name}`: write a C identifier, such as `{}`",
            c_name(name.as_ref())
        )));
    }
    if kind(&args.model)? == FileKind::Artifact {
        return Err(Failure::invalid(format!("`{}` is compiled already: name an ONNX model", args.model.display())));
    }
    let records = args.tuning.read(&target)?;
    let mut stages = Stages::new(ui);
    let options = args.source.options()?;
    let graph = stages.stage("read", || model::import(&args.model, &options))?;
    let passes = Passes { verify: args.verify_passes, ..args.source.passes() };
    if let Some(pass) = &args.stop_after {
        let text = stages.stage("optimize", || model::state_after(graph, pass, &passes))?;
        return Ok(stopped(pass, text));
    }
    let wants = |kind: Emit| args.emit.contains(&kind);
    let mut texts = Texts::default();
    if wants(Emit::Graph) {
        texts.add(format!("{name}.graph"), graph.to_string());
    }
    let (program, report) = stages.stage("optimize", || model::optimize(graph, &passes))?;
    let (facts, interface) = (program.facts.clone(), Interface::of_program(&program));
    if wants(Emit::Program) {
        texts.add(format!("{name}.program"), program.to_string());
    }
    let folder = Folder::open(&args.output)?;
    let options = options_of(args, &name, &target, records.tuning.clone());
    let mut compiled = stages.stage("compile", || compile(program, &options))?;
    records.warn(&compiled.tuned, ui);
    crate::model::name_nodes(&mut compiled.description.work, &report);
    list(args, &name, &compiled, &facts, &mut texts)?;
    let sizes = Sizes::of(&compiled);
    let tuned = compiled.tuned.clone();
    let files = stages.stage("write", || write(args, compiled, &folder, texts))?;
    folder.keep();
    Ok(Built { args, name, interface, sizes, files, stages, report, records, tuned }.answer())
}

fn stopped(pass: &str, text: String) -> Outcome {
    let json = json!({ "schema": "mlc-build/1", "stopped_after": pass, "text": text });
    Outcome::fine(text, json)
}

fn options_of(args: &Args, name: &str, target: &Target, tuning: Tuning) -> Options {
    let placement = match args.weights {
        WeightsPlace::Embed => Some(Placement::Embedded),
        WeightsPlace::Sidecar => Some(Placement::Sidecar),
        WeightsPlace::Auto => None,
    };
    let (triple, features) = (target.triple.clone(), target.features.clone());
    Options { name: name.into(), triple, features, gpu: target.gpu, placement, tuning }
}

/// The texts made from the compiled kernels.
fn list(args: &Args, name: &str, compiled: &Compiled, facts: &Facts, texts: &mut Texts) -> Result<()> {
    for emit in &args.emit {
        match emit {
            Emit::Tile => texts.add(format!("{name}.tile"), listing::tiles(&compiled.kernels)),
            Emit::Clif => {
                texts.add(format!("{name}.clif"), listing::code(compiled, facts, Form::Clif)?);
            }
            Emit::Asm => {
                texts.add(format!("{name}.s"), listing::code(compiled, facts, Form::Assembly)?);
            }
            _ => {}
        }
    }
    Ok(())
}

/// Writes everything or nothing.
fn write(args: &Args, compiled: Compiled, folder: &Folder, texts: Texts) -> Result<Vec<(PathBuf, u64)>> {
    let mut kinds: Vec<Kind> = args.emit.iter().filter_map(|emit| emit.artifact()).collect();
    kinds.dedup();
    let staged = texts.stage(folder.path())?;
    let mut files = Vec::new();
    if !kinds.is_empty() {
        let Compiled { object, description, weights, triple, .. } = compiled;
        let parts = Parts { target: triple, object, description: &description, weights: &weights };
        let written = artifact::write(parts, &kinds, folder.path())?;
        files.extend(written.into_iter().map(|Written { path, bytes, .. }| (path, bytes)));
    }
    files.extend(staged.commit()?);
    Ok(files)
}
