//! `mlc run`

use super::{engine_of, open_artifact};
use crate::classes::{Class, top};
use crate::engine::{Choice, Engine};
use crate::failure::{Failure, Result};
use crate::inputs::InputArgs;
use crate::interface::Interface;
use crate::model::{self, with_known_inputs};
use crate::outcome::Outcome;
use crate::output::Folder;
use crate::progress::{Stages, Ui};
use crate::source::{Kind, ModelArgs, kind};
use crate::targets;
use crate::text::number;
use crate::tuning::TuningArgs;
use mlc_frontend::Options;
use mlc_ir::Tensor;
use mlc_tensorio::Named;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Run a model or artifact on tensors or pictures.
///
/// A model is compiled in memory. Without --output the results are summarised.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  mlc run model.onnx --input image=cat.png --top 5 --labels labels.txt
  mlc run model.so --input ids=ids.npy --input mask=mask.npy --output results")]
pub struct Args {
    /// An ONNX model or a compiled artifact.
    #[arg(value_name = "MODEL.onnx|ARTIFACT.so")]
    pub file: PathBuf,
    #[command(flatten)]
    /// What to run on.
    pub inputs: InputArgs,
    #[command(flatten)]
    /// Dimensions and constant inputs.
    pub source: ModelArgs,
    #[command(flatten)]
    /// Measured schedules.
    pub tuning: TuningArgs,
    /// Write each output to this folder, as NAME.npy.
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Number of threads; 0: as many as the machine has.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub threads: usize,
    /// Name the K best classes of each output with their probabilities.
    #[arg(long, value_name = "K")]
    pub top: Option<usize>,
    /// Names of the classes, one a line, for --top.
    #[arg(long, value_name = "FILE", requires = "top")]
    pub labels: Option<PathBuf>,
    /// How to run a model.
    #[arg(long, value_enum, default_value = "compiled")]
    pub engine: Choice,
}

/// Runs.
///
/// # Errors
/// If an input is missing or does not fit, or the model cannot be compiled.
pub fn execute(args: &Args, ui: Ui) -> Result<Outcome> {
    let labels = labels(args.labels.as_deref())?;
    let folder = args.output.as_deref().map(Folder::open).transpose()?;
    let mut stages = Stages::new(ui);
    let (mut engine, inputs) = open(args, &mut stages, ui)?;
    let interface = engine.interface();
    let outputs = stages.stage("run", || engine.run(&inputs))?;
    let mut text = String::new();
    let mut rows = Vec::new();
    for (port, tensor) in interface.outputs.iter().zip(&outputs) {
        let classes = args.top.map(|count| top(tensor, count)).unwrap_or_default();
        let file = folder.as_ref().map(|folder| folder.path().join(file_name(&port.name)));
        if let Some(path) = &file {
            mlc_tensorio::write(path, &[Named { name: None, tensor: tensor.clone() }])?;
        }
        text += &match (&file, classes.is_empty()) {
            (Some(path), true) => format!("{}: {tensor:?} written to {}\n", port.name, path.display()),
            (_, true) => summary(&port.name, tensor),
            (_, false) => best(&port.name, &classes, &labels, args),
        };
        rows.push(output_json(&port.name, tensor, file.as_deref(), &classes, &labels));
    }
    if let Some(folder) = folder {
        folder.keep();
    }
    text += &format!("{}\n", stages.text());
    let json = json!({
        "schema": "mlc-run/1", "file": args.file, "outputs": rows,
        "times_ms": stages.json(), "run_ms": stages.millis("run"),
    });
    Ok(Outcome::fine(text, json))
}

/// The engine and its inputs. A model that needs the values of small inputs to be compiled gets them.
fn open(args: &Args, stages: &mut Stages, ui: Ui) -> Result<(Engine, Vec<Tensor>)> {
    if kind(&args.file)? == Kind::Artifact {
        args.tuning.refuse(&args.file)?;
        let engine = open_artifact(&args.file, &args.source, args.engine, args.threads, stages)?;
        let inputs = args.inputs.read_all(&engine.interface(), ui)?;
        return Ok((engine, inputs));
    }
    let records = args.tuning.read(&targets::find("host", None)?)?;
    let attempt = |options: &Options| {
        let graph = stages.stage("read", || model::import(&args.file, options))?;
        let inputs = args.inputs.read_all(&Interface::of_graph(&graph), ui)?;
        let (engine, tuned) =
            engine_of(graph, &args.source, args.engine, args.threads, records.tuning.clone(), stages)?;
        records.warn(&tuned, ui);
        Ok((engine, inputs))
    };
    let (opened, constant) = with_known_inputs(&args.source.options()?, &args.inputs.tensors(), attempt)?;
    if !constant.is_empty() {
        ui.note(&format!("the model is compiled for these values of {}", constant.join(", ")));
    }
    Ok(opened)
}

fn labels(path: Option<&Path>) -> Result<Vec<String>> {
    let Some(path) = path else { return Ok(vec![]) };
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| Failure::invalid(format!("cannot read `{}`: {error}", path.display())))?;
    Ok(text.lines().map(|line| line.trim().to_string()).collect())
}

/// What a file system takes as a name.
fn file_name(output: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let name: String = output.trim_start_matches('.').chars().map(allowed).collect();
    format!("{name}.npy")
}

/// Smallest, largest and mean of the elements that are numbers.
fn range(tensor: &Tensor) -> Option<(f64, f64, f64)> {
    let (mut low, mut high, mut sum, mut count) = (f64::INFINITY, f64::NEG_INFINITY, 0.0, 0usize);
    for value in tensor.scalars().map(|scalar| scalar.float()).filter(|value| !value.is_nan()) {
        (low, high, sum, count) = (low.min(value), high.max(value), sum + value, count + 1);
    }
    (count > 0).then(|| (low, high, sum / count as f64))
}

fn summary(name: &str, tensor: &Tensor) -> String {
    let mut text = format!("{name}: {tensor:?}");
    if let Some((low, high, mean)) = range(tensor) {
        text += &format!("  min {} max {} mean {}", number(low), number(high), number(mean));
    }
    let first: Vec<String> = tensor.scalars().take(8).map(|scalar| number(scalar.float())).collect();
    let more = if tensor.len() > 8 { ", ..." } else { "" };
    format!("{text}\n  [{}{more}]\n", first.join(", "))
}

fn label(class: &Class, labels: &[String]) -> Option<String> {
    labels.get(class.number).cloned()
}

/// The best classes of each row; a row is called after its picture, if there is one for each.
fn best(name: &str, rows: &[Vec<Class>], labels: &[String], args: &Args) -> String {
    let files = &args.inputs.inputs;
    let mut text = String::new();
    for (place, row) in rows.iter().enumerate() {
        let head = match files.get(place) {
            Some(file) if files.len() == rows.len() => file.split('=').next_back().unwrap_or(file).to_string(),
            _ if rows.len() == 1 => name.to_string(),
            _ => format!("{name}[{place}]"),
        };
        let classes = row.iter().map(|class| {
            let shown = label(class, labels).unwrap_or_else(|| class.number.to_string());
            format!("{shown} {:.1}%", class.probability * 100.0)
        });
        text += &format!("{head}: {}\n", classes.collect::<Vec<_>>().join(", "));
    }
    text
}

fn output_json(name: &str, tensor: &Tensor, file: Option<&Path>, rows: &[Vec<Class>], labels: &[String]) -> Value {
    let range = range(tensor);
    let class = |class: &Class| json!({ "class": class.number, "label": label(class, labels), "probability": class.probability });
    json!({
        "name": name, "dtype": tensor.dtype().name(), "shape": tensor.shape(), "file": file,
        "min": range.map(|it| it.0), "max": range.map(|it| it.1), "mean": range.map(|it| it.2),
        "first": tensor.scalars().take(8).map(|scalar| scalar.float()).collect::<Vec<_>>(),
        "top": rows.iter().map(|row| row.iter().map(class).collect::<Vec<_>>()).collect::<Vec<_>>(),
    })
}
