//! `mlc bench`

use super::{folder_of, open_artifact};
use crate::engine::{self, Choice, Engine, Inputs};
use crate::failure::{Failure, Result};
use crate::inputs::InputArgs;
use crate::interface::{Interface, Sizes};
use crate::model;
use crate::outcome::Outcome;
use crate::output::{Folder, Texts};
use crate::profile::{Profile, beside};
use crate::progress::{Stages, Ui};
use crate::random;
use crate::roofline::Roofline;
use crate::source::{Kind, ModelArgs, kind};
use crate::targets;
use crate::text::{bytes, time};
use crate::tuning::TuningArgs;
use mlc_codegen::work::Work;
use mlc_runtime::{Call, Session, TensorView, Threads, Timing};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Measure how fast a model or artifact runs, and where its time goes.
///
/// Inputs are random numbers (floats) or 0 (everything else) unless they are given. A model is compiled for the sizes
/// of --dim; an artifact keeps its own, and --dim says which sizes to measure.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  mlc bench model.onnx --dim batch=1 --threads 1
  mlc bench model.so --dim tokens=128 --profile
  mlc bench model.onnx --dim tokens=128 --trace run.trace.json
  mlc bench model.so --duration 10 --json")]
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
    /// Number of threads; 0: as many as the machine has.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub threads: usize,
    /// Tie each thread but the first to a processor of its own; on Linux.
    #[arg(long)]
    pub pin: bool,
    /// How long to measure, in seconds; at least 3 runs are made.
    #[arg(long, value_name = "S", default_value_t = 3.0, value_parser = seconds)]
    pub duration: f64,
    /// Also measure each kernel: time, arithmetic and memory a second, the part of this machine's roofline, the nodes in
    /// it, its schedule.
    ///
    /// Arithmetic is that on floats. A kernel's roofline is the time it would take at the rates that this machine was seen
    /// to reach, with as many threads; more than 100% says that data came from caches. An artifact needs its manifest
    /// beside it.
    #[arg(long)]
    pub profile: bool,
    /// Write the calls of kernels in one run for ui.perfetto.dev or chrome://tracing.
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
}

/// What was measured.
struct Measured {
    /// Seconds of each run, sorted.
    runs: Vec<f64>,
    first: f64,
    load: f64,
    arena: u64,
    threads: usize,
    peak: u64,
    timings: Vec<Timing>,
    /// Of one run.
    calls: Vec<Call>,
}

/// Measures.
///
/// # Errors
/// If a symbol has no size, or the model does not run.
pub fn execute(args: &Args, ui: Ui) -> Result<Outcome> {
    let sizes = sizes(args)?;
    let mut stages = Stages::new(ui);
    let begun = Instant::now();
    let (mut session, work) = open(args, ui, &mut stages)?;
    let load = begun.elapsed().as_secs_f64();
    let interface = Interface::of_descriptor(&session.model().descriptor());
    let given = args.inputs.read(&interface, ui)?;
    let inputs = random::fill(&interface, &given, &sizes)?;
    let sizes: Sizes = sizes.into_iter().chain(interface.bind(&inputs)?).collect();
    let inputs = Inputs::new(&inputs);
    let folder = args.trace.as_deref().map(|path| Folder::open(folder_of(path))).transpose()?;
    let mut measured = stages.stage("measure", || measure(args, &mut session, &inputs.views()?, load))?;
    // After the process's memory was looked at: this needs some.
    let wanted = (args.profile || args.trace.is_some()) && work.is_ok();
    let roofline = stages.stage("roofline", || wanted.then(|| Roofline::measure(measured.threads)).transpose())?;
    drop(stages);
    let profile = Profile::new(std::mem::take(&mut measured.timings), work, &sizes, roofline);
    if let (Some(path), Some(folder)) = (&args.trace, folder) {
        write_trace(path, &profile.trace(&args.file.display().to_string(), &measured.calls))?;
        folder.keep();
    }
    Ok(Outcome::fine(measured.text(args, &profile), measured.json(args, &profile)))
}

/// A session, and what its kernels do or why that is not known.
fn open(args: &Args, ui: Ui, stages: &mut Stages) -> Result<(Box<Session>, std::result::Result<Vec<Work>, String>)> {
    let threads = Threads { count: args.threads, pin: args.pin };
    if kind(&args.file)? == Kind::Artifact {
        args.tuning.refuse(&args.file)?;
        let engine = open_artifact(&args.file, &args.source, Choice::Compiled, threads, stages)?;
        let Engine::Compiled(session) = engine else {
            return Err(Failure::usage("only compiled code is measured"));
        };
        let work = beside(&args.file, &session.model().descriptor());
        return Ok((session, work));
    }
    let options = args.source.options()?;
    let records = args.tuning.read(&targets::find("host", None)?)?;
    let graph = stages.stage("read", || model::import(&args.file, &options))?;
    let (program, report) = stages.stage("optimize", || model::optimize(graph, &args.source.passes()))?;
    let made = stages.stage("compile", || engine::compile(program, threads, records.tuning.clone()))?;
    records.warn(&made.tuned, ui);
    let mut work = made.work;
    model::name_nodes(&mut work, &report);
    Ok((Box::new(made.session), Ok(work)))
}

fn write_trace(path: &Path, trace: &Value) -> Result<()> {
    let name = path.file_name().ok_or_else(|| Failure::usage("`--trace`: name a file"))?;
    let mut texts = Texts::default();
    texts.add(name.to_string_lossy().into_owned(), format!("{trace}\n"));
    texts.stage(folder_of(path))?.commit()?;
    Ok(())
}

/// Sizes of symbols; a model has them fixed, and so has none left.
fn sizes(args: &Args) -> Result<Sizes> {
    let mut sizes = Sizes::new();
    let artifact = kind(&args.file)? == Kind::Artifact;
    for (name, range) in &args.source.dims {
        match range.as_fixed() {
            Some(n) => drop(sizes.insert(name.clone(), n)),
            None if artifact => return Err(Failure::usage(format!("`--dim {name}`: give one size to measure"))),
            None => {}
        }
    }
    Ok(sizes)
}

fn measure(args: &Args, session: &mut Session, inputs: &[TensorView], load: f64) -> Result<Measured> {
    let mut outputs = Vec::new();
    // After the first run, state is where that left it.
    let fresh = inputs.iter().enumerate().filter(|(place, _)| session.states().iter().all(|state| state.0 != *place));
    let fresh: Vec<TensorView> = fresh.map(|(_, view)| *view).collect();
    let begun = Instant::now();
    session.run_into(inputs, &mut outputs)?;
    let first = begun.elapsed().as_secs_f64();
    let mut repeat = |session: &mut Session, duration: f64, least: usize| -> Result<Vec<f64>> {
        let (end, mut runs) = (Instant::now() + Duration::from_secs_f64(duration), Vec::new());
        while runs.len() < least || Instant::now() < end {
            let begun = Instant::now();
            session.advance(&fresh, &mut outputs)?;
            runs.push(begun.elapsed().as_secs_f64());
        }
        Ok(runs)
    };
    repeat(session, args.duration / 10.0, 1)?;
    let mut runs = repeat(session, args.duration, 3)?;
    runs.sort_by(f64::total_cmp);
    let (mut timings, mut calls) = (session.timings(), Vec::new());
    if args.profile {
        session.profile(true);
        repeat(session, args.duration / 3.0, 3)?;
        timings = session.timings();
        session.profile(false);
    }
    if args.trace.is_some() {
        session.trace(true);
        repeat(session, 0.0, 1)?;
        calls = session.calls();
        session.trace(false);
    }
    let (arena, threads) = (session.arena_bytes(), session.threads());
    Ok(Measured { runs, first, load, arena, threads, peak: peak_rss(), timings, calls })
}

impl Measured {
    /// A percentile of the runs in seconds.
    fn percentile(&self, part: f64) -> f64 {
        let place = (part * self.runs.len() as f64).ceil() as usize;
        self.runs.get(place.clamp(1, self.runs.len().max(1)) - 1).copied().unwrap_or(0.0)
    }

    fn text(&self, args: &Args, profile: &Profile) -> String {
        let [p50, p90, p99] = [0.5, 0.9, 0.99].map(|part| time(self.percentile(part)));
        let mut text = format!("{}, {}\n", args.file.display(), crate::text::count(self.threads, "thread"));
        text += &format!("P50      {p50}\nP90      {p90}\nP99      {p99}\n");
        text += &format!("runs     {}\nload     {}\nfirst    {}\n", self.runs.len(), time(self.load), time(self.first));
        text += &format!("arena    {}\npeak     {} (whole process)\n", bytes(self.arena), bytes(self.peak));
        if let Some(path) = &args.trace {
            text += &format!("trace    {}, {}\n", path.display(), crate::text::count(self.calls.len(), "call"));
        }
        if args.profile { text + "\n" + &profile.text() } else { text }
    }

    fn json(&self, args: &Args, profile: &Profile) -> Value {
        json!({
            "schema": "mlc-bench/1", "file": args.file, "threads": self.threads, "runs": self.runs.len(),
            "p50_ms": self.percentile(0.5) * 1e3, "p90_ms": self.percentile(0.9) * 1e3,
            "p99_ms": self.percentile(0.99) * 1e3, "min_ms": self.percentile(0.0) * 1e3,
            "load_ms": self.load * 1e3, "first_ms": self.first * 1e3,
            "peak_rss_bytes": self.peak, "arena_bytes": self.arena,
            "kernels": profile.json(), "roofline": profile.roofline(), "trace": args.trace,
            "unknown": profile.unknown().filter(|_| args.profile || args.trace.is_some()),
        })
    }
}

/// The most memory this process ever had; 0 where the system does not say.
fn peak_rss() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// A number of seconds, up to a day.
///
/// # Errors
/// Says what to write.
pub fn seconds(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=86_400.0).contains(&seconds) => Ok(seconds),
        _ => Err("write a number of seconds, at most a day".into()),
    }
}
