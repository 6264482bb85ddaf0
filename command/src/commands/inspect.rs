//! `mlc inspect`

use crate::artifact::Artifact;
use crate::failure::Result;
use crate::interface::Interface;
use crate::listing::left_to_processor;
use crate::model::{self, Passes};
use crate::outcome::Outcome;
use crate::profile::beside;
use crate::source::{Kind, ModelArgs, kind};
use crate::targets::{self, Target};
use crate::text::{bytes, count};
use mlc_abi::descriptor::Descriptor;
use mlc_abi::feature;
use mlc_codegen::driver::memory;
use mlc_codegen::kernels::{Schedules, lower_program, schedule_program};
use mlc_codegen::ptx::Capability;
use mlc_codegen::tuning::Tuning;
use mlc_codegen::work::{Place, Work};
use mlc_ir::Index;
use mlc_ir::graph::{Graph, NodeKind};
use mlc_ir::onnx::Attribute;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Show what a model or artifact is: inputs, outputs, operators, sizes.
///
/// An artifact may be for another machine; none of its code is run.
#[derive(clap::Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  mlc inspect model.onnx\n  mlc inspect model.so --json\n  mlc inspect model.onnx --target nvptx64"
)]
pub struct Args {
    /// An ONNX model or a compiled artifact.
    #[arg(value_name = "MODEL.onnx|ARTIFACT.so")]
    pub file: PathBuf,
    #[command(flatten)]
    /// Dimensions and constant inputs.
    pub source: ModelArgs,
    /// Of a model: the GPU, such as nvptx64 or sm_90, whose kernels are counted beside the processor's.
    #[arg(long, value_name = "TARGET", default_value = "host")]
    pub target: String,
}

/// Looks into the file.
///
/// # Errors
/// If it is neither a model nor an artifact.
pub fn execute(args: &Args) -> Result<Outcome> {
    match kind(&args.file)? {
        Kind::Artifact => artifact(args),
        Kind::Model => onnx(args),
    }
}

/// What is known of a graph.
#[derive(Default)]
struct Counts {
    ops: BTreeMap<String, usize>,
    constants: usize,
    elements: u64,
    bytes: u64,
}

impl Counts {
    fn add(&mut self, graph: &Graph) {
        for id in graph.nodes() {
            match &graph.node(id).kind {
                NodeKind::Input => {}
                NodeKind::Constant(tensor) => {
                    self.constants += 1;
                    self.elements += tensor.len() as u64;
                    self.bytes += tensor.bytes().len() as u64;
                }
                NodeKind::Op(onnx, _) => {
                    let domain = if onnx.domain.is_empty() { String::new() } else { format!("{}.", onnx.domain) };
                    *self.ops.entry(format!("{domain}{}", onnx.op_type)).or_default() += 1;
                    for attribute in onnx.attributes.values() {
                        if let Attribute::Graph(body) = attribute {
                            self.add(body);
                        }
                    }
                }
            }
        }
    }

    /// Most frequent first.
    fn sorted(&self) -> Vec<(&String, usize)> {
        let mut ops: Vec<_> = self.ops.iter().map(|(name, count)| (name, *count)).collect();
        ops.sort_by_key(|op| std::cmp::Reverse(op.1));
        ops
    }
}

/// Number of kernels and size of the arena, or why they are not known.
fn lowered(graph: Graph, passes: &Passes) -> mlc_ir::Result<(usize, Option<i64>, String)> {
    let target = mlc_ir::target::Target::x86_64();
    let (mut program, _) = model::optimize(graph, passes)?;
    let (kernels, layouts) = lower_program(&mut program, &target)?;
    let arena = memory::plan(&program, &layouts, kernels.iter().map(|kernel| &kernel.tile));
    let total = arena.total(&Index::from(1)).as_const();
    Ok((kernels.len(), total, arena.total(&Index::sym("workers")).to_string()))
}

/// Kernels that run on a GPU, and those left to the processor with the reasons; `None` without a GPU.
fn cut(graph: Graph, passes: &Passes, target: &Target) -> mlc_ir::Result<Option<(usize, Vec<String>)>> {
    let Some(gpu) = target.gpu else { return Ok(None) };
    let (mut program, _) = model::optimize(graph, passes)?;
    let Schedules { kernels, .. } = schedule_program(&mut program, &target.machine(), Some(gpu), &Tuning::NONE)?;
    let there = kernels.iter().filter(|kernel| kernel.code.on_gpu()).count();
    Ok(Some((there, left_to_processor(&kernels))))
}

fn onnx(args: &Args) -> Result<Outcome> {
    let target = targets::find(&args.target, None)?;
    let graph = model::import(&args.file, &args.source.options()?)?;
    let mut counts = Counts::default();
    counts.add(&graph);
    let interface = Interface::of_graph(&graph);
    let cut = cut(graph.clone(), &args.source.passes(), &target).unwrap_or_default();
    let lowered = lowered(graph, &args.source.passes());
    let nodes: usize = counts.ops.values().sum();
    let mut text = format!("{}: ONNX model\n{}", args.file.display(), ports(&interface));
    let ops: Vec<String> = counts.sorted().iter().map(|(name, count)| format!("{name} {count}")).collect();
    text += &format!("nodes    {nodes}: {}\n", ops.join(", "));
    let (elements, size) = (counts.elements, bytes(counts.bytes));
    text += &format!("weights  {elements} numbers in {}, {size}\n", count(counts.constants, "tensor"));
    text += &match &lowered {
        Ok((kernels, number, formula)) => {
            let arena = number.map_or_else(|| format!("{formula} bytes"), |n| bytes(n as u64));
            format!("kernels  {kernels}\narena    {arena}\n")
        }
        Err(error) => format!("kernels  cannot be compiled yet: {error}\n"),
    };
    if let Some((there, left)) = &cut {
        text += &format!("gpu      {}, {} left to the processor\n", count(*there, "kernel"), left.len());
        left.iter().for_each(|line| text += &format!("left     {line}\n"));
    }
    let compiled = lowered.ok().map(
        |(kernels, number, formula)| json!({ "kernels": kernels, "arena": { "bytes": number, "formula": formula } }),
    );
    let json = json!({
        "schema": "mlc-inspect/1", "kind": "model", "file": args.file, "interface": interface.json(),
        "nodes": nodes, "ops": counts.ops,
        "weights": { "tensors": counts.constants, "elements": counts.elements, "bytes": counts.bytes },
        "compiled": compiled,
        "gpu": cut.map(|(there, left)| json!({ "kernels": there, "left": left })),
    });
    Ok(Outcome::fine(text, json))
}

fn ports(interface: &Interface) -> String {
    let mut text = String::new();
    for (name, ports) in [("input", &interface.inputs), ("output", &interface.outputs)] {
        ports.iter().for_each(|port| text += &format!("{name:<8} {port}\n"));
    }
    for (input, output) in &interface.states {
        let (input, output) = (&interface.inputs[*input].name, &interface.outputs[*output].name);
        text += &format!("state    `{output}` continues `{input}`, in its memory\n");
    }
    interface.symbols.iter().for_each(|symbol| text += &format!("symbol   {symbol}\n"));
    text
}

fn artifact(args: &Args) -> Result<Outcome> {
    let artifact = Artifact::read(&args.file)?;
    let it = artifact.descriptor();
    let interface = Interface::of_descriptor(&it);
    let place = match (it.weights_bytes(), it.embedded()) {
        (0, _) => "none",
        (_, true) => "embedded",
        _ => "sidecar",
    };
    let arena = it.arena_bytes().map_or_else(|| format!("{} bytes", it.arena_text()), bytes);
    let features: Vec<&str> = feature::named(it.architecture(), it.features()).map(|it| it.name).collect();
    let mut text = format!("{}: artifact `{}`, {}\n", args.file.display(), it.name(), bytes(artifact.file_bytes));
    text += &ports(&interface);
    text += &format!("target   {}, features {}\n", it.architecture().name(), list(&features));
    text += &format!("weights  {}, {place}\narena    {arena}\n", bytes(it.weights_bytes()));
    text += &format!("code     {} in {}\n", bytes(artifact.code_bytes), count(it.kernels().len(), "kernel"));
    let places = places(&args.file, &it);
    text += &placed(places.as_ref());
    text += &format!("hash     {:016x}\n", it.content_hash());
    let mut json = artifact_json(args, &artifact, &interface, &features, place);
    json["gpu"] = match places {
        None => Value::Null,
        Some(Err(why)) => json!({ "unknown": why }),
        Some(Ok(work)) => {
            json!(work.iter().map(|it| json!({ "kernel": it.kernel, "place": it.place })).collect::<Vec<_>>())
        }
    };
    Ok(Outcome::fine(text, json))
}

/// What each kernel does, or why that is not known.
type Known = std::result::Result<Vec<Work>, String>;

/// Where the kernels of an artifact for a GPU run, as the manifest beside it says; `None` without a GPU.
fn places(file: &Path, it: &Descriptor) -> Option<Known> {
    let gpu = it.target().split_whitespace().next_back().and_then(Capability::from_name);
    gpu.map(|_| beside(file, it))
}

fn placed(places: Option<&Known>) -> String {
    let work = match places {
        None => return String::new(),
        Some(Err(why)) => return format!("gpu      which kernels run there is unknown: {why}\n"),
        Some(Ok(work)) => work,
    };
    let (mut there, mut left) = (vec![], vec![]);
    for it in work {
        match &it.place {
            Some(Place::Processor(why)) => left.push(format!("left     `{}`: {why}\n", it.kernel)),
            _ => there.push(format!("there    `{}`\n", it.kernel)),
        }
    }
    let head = format!("gpu      {}, {} left to the processor\n", count(there.len(), "kernel"), left.len());
    head + &there.concat() + &left.concat()
}

fn list(features: &[&str]) -> String {
    if features.is_empty() { "none".into() } else { features.join(" ") }
}

fn artifact_json(args: &Args, artifact: &Artifact, interface: &Interface, features: &[&str], place: &str) -> Value {
    let it = artifact.descriptor();
    json!({
        "schema": "mlc-inspect/1", "kind": "artifact", "file": args.file, "name": it.name(),
        "interface": interface.json(), "architecture": it.architecture().name(), "target": it.target(),
        "features": features, "file_bytes": artifact.file_bytes, "code_bytes": artifact.code_bytes,
        "weights": { "bytes": it.weights_bytes(), "placement": place },
        "arena": { "bytes": it.arena_bytes(), "formula": it.arena_text() },
        "stack_bytes": it.stack_bytes(), "kernels": it.kernels().collect::<Vec<_>>(),
        "content_hash": format!("{:016x}", it.content_hash()),
    })
}
