//! `mlc tune`

use crate::engine::Inputs;
use crate::explain::end_of;
use crate::failure::{Failure, Result};
use crate::inputs::InputArgs;
use crate::interface::{Interface, Sizes};
use crate::model;
use crate::outcome::Outcome;
use crate::output::{Folder, Texts};
use crate::profile::WIDTH;
use crate::progress::{Stages, Ui};
use crate::random;
use crate::source::{Kind, ModelArgs, c_name, kind};
use crate::targets;
use crate::text::Side::{Left, Right};
use crate::text::{count, table, time};
use crate::trial::{Pair, Times, Trials};
use crate::tuning;
use mlc_codegen::kernels::{Candidates, Steps, candidates};
use mlc_codegen::tuning::{Book, Record, Tuning};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Find faster schedules for the kernels of a model, by measuring on this machine.
///
/// A cost model ranks schedules of each kernel, and the best of them are measured beside the one that a build chooses by
/// itself, on the inputs of `mlc bench`. A schedule that is faster by more than noise is kept in a file that `mlc build`,
/// `run` and `bench` take with --tuning: in a comparison of its own its median is at least 3% less, and three of four of its
/// runs are faster than three of four of the usual build's.
///
/// A build proves that code made by records stays in bounds, which takes a large model some seconds more where dimensions
/// are symbolic. Attention and other kernels of several contractions have no records.
///
/// Records are for kernels of the same form, whatever model they are in; a size that --dim fixes is part of the form. So
/// give the --dim that you build with, and say with --size how large to measure what stays symbolic.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  mlc tune model.onnx --size batch=1 --size tokens=128 -o model.tuning
  mlc build model.onnx --tuning model.tuning
  mlc tune model.onnx --dim batch=1 --threads 4 --seconds 300")]
pub struct Args {
    /// An ONNX model.
    #[arg(value_name = "MODEL.onnx")]
    pub model: PathBuf,
    #[command(flatten)]
    /// What to run on.
    pub inputs: InputArgs,
    #[command(flatten)]
    /// Dimensions and constant inputs.
    pub source: ModelArgs,
    /// Size at which a dimension that stays symbolic is measured. Give it once for each.
    #[arg(long = "size", value_name = "NAME=N", value_parser = parse_size)]
    pub sizes: Vec<(String, i64)>,
    /// The file for the records; those it has of other kernels and targets stay. Without it, NAME.tuning here.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Number of threads; 0: as many as the machine has.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub threads: usize,
    /// About how long to measure, in seconds.
    #[arg(long, value_name = "S", default_value_t = 60.0, value_parser = super::bench::seconds)]
    pub seconds: f64,
}

/// Schedules of a kernel at most, the usual one among them.
const MOST: usize = 32;
/// A kernel with less than this part of a run is left alone.
const SMALL: f64 = 0.002;
/// The part of the time that is for the last comparisons.
const LAST: f64 = 0.25;
/// Turns of a comparison at least and at most; of the last one, so many times as many.
const TURNS: (usize, usize) = (3, 15);
const LAST_TURNS: usize = 3;

/// Kernels of one form, what can be tried, and the best that was seen.
struct Group {
    form: Candidates,
    best: Option<(f64, Steps)>,
}

/// A schedule that is kept.
struct Kept {
    record: Record,
    kernels: Vec<String>,
}

/// What came out.
struct Tuned {
    kept: Vec<Kept>,
    tried: usize,
    builds: usize,
    /// Of whole runs: the usual build, and the one with records.
    whole: Option<(Times, Times)>,
}

/// Tunes.
///
/// # Errors
/// If a symbol has no size, or the model does not run.
pub fn execute(args: &Args, ui: Ui) -> Result<Outcome> {
    if kind(&args.model)? == Kind::Artifact {
        return Err(Failure::usage(format!("`{}` is compiled already: name an ONNX model", args.model.display())));
    }
    let path = args.output.clone().unwrap_or_else(|| format!("{}.tuning", c_name(&args.model)).into());
    let target = targets::find("host", None)?;
    let name = tuning::name(&target);
    let mut book = if path.exists() { tuning::book(&path)? } else { Book::default() };
    book.unread.iter().for_each(|line| ui.note(&format!("{}: {line}", path.display())));
    let folder = Folder::open(super::folder_of(&path))?;
    let mut stages = Stages::new(ui);
    let options = args.source.options()?;
    let graph = stages.stage("read", || model::import(&args.model, &options))?;
    let (program, _) = stages.stage("optimize", || model::optimize(graph, &args.source.passes()))?;
    let interface = Interface::of_program(&program);
    let given = args.inputs.read(&interface, ui)?;
    let sizes: Sizes = args.sizes.iter().cloned().collect();
    let inputs = Inputs::new(&random::fill(&interface, &given, &sizes)?);
    let forms = stages.stage("rank", || candidates(&program, &target.machine(), MOST));
    let mut trials = stages.stage("compile", || Trials::new(program, target.clone(), inputs, args.threads))?;
    let groups = groups(forms, &book, &name, args.threads, &trials.usual(TURNS.0)?);
    let begun = Instant::now();
    let mut search = Search { args, groups, trials: &mut trials, begun, builds: 0, tried: 0, stages: &stages };
    let tuned = search.run()?;
    // What was measured anew and is not kept is no longer true.
    search.groups.iter().for_each(|group| book.remove(&name, group.form.key));
    tuned.kept.iter().for_each(|kept| book.add(&name, kept.record.clone()));
    stages.done.push(("measure", begun.elapsed()));
    if !book.is_empty() || path.exists() {
        write(&path, book.text())?;
        folder.keep();
    }
    drop(stages);
    Ok(Outcome::fine(tuned.text(&path), tuned.json(args, &path, &name)))
}

/// The kernels that are worth it, with what the file already has for them first.
fn groups(
    forms: Vec<Candidates>,
    book: &Book,
    target: &str,
    threads: usize,
    usual: &crate::trial::Samples,
) -> Vec<Group> {
    let whole = usual.whole().median() as f64;
    let mut groups = Vec::new();
    for mut form in forms {
        if usual.of(&form.kernels).median() as f64 <= whole * SMALL {
            continue;
        }
        if let Some(record) = book.find(target, form.key) {
            form.list.insert(1, record.steps.clone());
        }
        if threads == 1 {
            // Tasks are of no consequence.
            let untasked = |steps: &Steps| steps.iter().filter(|step| !step.is_parallel()).cloned().collect::<Vec<_>>();
            let chosen = untasked(&form.list[0]);
            let mut place = 0;
            form.list.retain(|steps| {
                place += 1;
                place == 1 || untasked(steps) != chosen
            });
        }
        groups.push(Group { form, best: None });
    }
    groups
}

struct Search<'a> {
    args: &'a Args,
    groups: Vec<Group>,
    trials: &'a mut Trials,
    begun: Instant,
    builds: usize,
    tried: usize,
    stages: &'a Stages,
}

impl Search<'_> {
    fn run(&mut self) -> Result<Tuned> {
        let most = self.groups.iter().map(|group| group.form.list.len()).max().unwrap_or(1);
        let turns = self.turns(most)?;
        for place in 1..most {
            if self.begun.elapsed() > self.time(1.0 - LAST) {
                break;
            }
            self.stages.say(&format!("measure {place} of {}", most - 1));
            // The first may be the file's; the others are no stranger's.
            let empty = if place == 1 { Tuning::NONE } else { Tuning::OWN };
            let tuning = self.tuning(empty, |group| group.form.list.get(place));
            let pair = self.trials.compare(tuning, turns)?;
            self.builds += 1;
            self.note(place, &pair);
        }
        let better = self.groups.iter().filter(|group| group.better().is_some());
        let mut last: Vec<u64> = better.map(|group| group.form.key).collect();
        let mut tuned = Tuned { kept: vec![], tried: self.tried, builds: self.builds, whole: None };
        // What holds beside all other changes is kept, and measured once more without what does not.
        while !last.is_empty() {
            self.stages.say("compare");
            let tuning = self.tuning(Tuning::NONE, |group| group.better().filter(|_| last.contains(&group.form.key)));
            let pair = self.trials.compare(tuning, turns * LAST_TURNS)?;
            let measured = self.groups.iter().filter(|group| last.contains(&group.form.key));
            tuned.kept = measured.filter_map(|group| group.kept(&pair)).collect();
            tuned.whole = Some((pair.usual.whole(), pair.other.whole()));
            if tuned.kept.len() == last.len() {
                break;
            }
            last = tuned.kept.iter().map(|kept| kept.record.key).collect();
            tuned.whole = None;
        }
        Ok(tuned)
    }

    fn time(&self, part: f64) -> Duration {
        Duration::from_secs_f64(self.args.seconds * part)
    }

    /// Turns of a comparison, so that all of them take the time there is.
    fn turns(&mut self, comparisons: usize) -> Result<usize> {
        let begun = Instant::now();
        self.trials.usual(1)?;
        let turn = 2.0 * begun.elapsed().as_secs_f64();
        let turns = self.args.seconds * (1.0 - LAST) / comparisons as f64 / turn;
        Ok((turns as usize).clamp(TURNS.0, TURNS.1))
    }

    /// Adds a record for each group that has steps.
    fn tuning<'b>(&'b self, mut tuning: Tuning, steps: impl Fn(&'b Group) -> Option<&'b Steps>) -> Tuning {
        for group in &self.groups {
            let Some(steps) = steps(group) else { continue };
            tuning.add(group.form.key, "a candidate".into(), steps.clone());
        }
        tuning
    }

    fn note(&mut self, place: usize, pair: &Pair) {
        for group in &mut self.groups {
            let ignored = pair.tuned.ignored.iter().any(|it| it.key == group.form.key);
            let Some(steps) = group.form.list.get(place).filter(|_| !ignored) else { continue };
            self.tried += 1;
            let [usual, other] = [&pair.usual, &pair.other].map(|it| it.of(&group.form.kernels).median() as f64);
            let ratio = other / usual;
            if group.best.as_ref().is_none_or(|best| ratio < best.0) {
                group.best = Some((ratio, steps.clone()));
            }
        }
    }
}

impl Group {
    /// The best schedule, if it seemed better than the usual one.
    fn better(&self) -> Option<&Steps> {
        self.best.as_ref().filter(|best| best.0 < 1.0).map(|best| &best.1)
    }

    /// The record of the best schedule, if it is better than the usual one beyond doubt.
    fn kept(&self, pair: &Pair) -> Option<Kept> {
        let kernels = self.form.kernels.clone();
        let (usual, other) = (pair.usual.of(&kernels), pair.other.of(&kernels));
        let steps = self.best.as_ref().filter(|_| other.beats(&usual))?.1.clone();
        let name = kernels.first()?.clone();
        let record = Record { key: self.form.key, name, steps, before_ns: usual.call(), ns: other.call() };
        Some(Kept { record, kernels })
    }
}

impl Tuned {
    fn text(&self, path: &Path) -> String {
        let row = |kept: &Kept| {
            let Record { name, before_ns, ns, steps, .. } = &kept.record;
            let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
            let seconds = |ns: u64| time(ns as f64 / 1e9);
            let more = if kept.kernels.len() > 1 { format!(" +{}", kept.kernels.len() - 1) } else { String::new() };
            vec![end_of(name, WIDTH) + &more, seconds(*before_ns), seconds(*ns), gain(*before_ns, *ns), steps.join(" ")]
        };
        let head = [("kernel", Left), ("before", Right), ("after", Right), ("gain", Right), ("steps", Left)];
        let mut text = table(&head, &self.kept.iter().map(row).collect::<Vec<_>>());
        let tried = format!("{} in {}", count(self.tried, "schedule"), count(self.builds, "build"));
        if self.kept.is_empty() {
            return format!("nothing is faster than what is chosen without a file by more than noise; tried {tried}\n");
        }
        text += &format!("\ntried    {tried}\n");
        if let Some((before, after)) = &self.whole {
            let [before, after] = [before, after].map(Times::median);
            let [a, b] = [before, after].map(|ns| time(ns as f64 / 1e9));
            text += &format!("run      {a} before, {b} after: {}\n", gain(before, after));
        }
        text + &format!("kept     {} in {}\n", count(self.kept.len(), "record"), path.display())
    }

    fn json(&self, args: &Args, path: &Path, target: &str) -> Value {
        let kernel = |kept: &Kept| {
            let Record { key, before_ns, ns, steps, .. } = &kept.record;
            let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
            json!({
                "kernel": format!("{key:016x}"), "names": kept.kernels, "before_ns": before_ns, "ns": ns, "steps": steps,
            })
        };
        let whole = |of: &dyn Fn(&(Times, Times)) -> Times| self.whole.as_ref().map(|it| of(it).median() as f64 / 1e6);
        json!({
            "schema": "mlc-tune/1", "model": args.model, "file": path, "target": target,
            "builds": self.builds, "tried": self.tried, "kernels": self.kept.iter().map(kernel).collect::<Vec<_>>(),
            "before_ms": whole(&|it| it.0), "after_ms": whole(&|it| it.1),
        })
    }
}

fn gain(before: u64, after: u64) -> String {
    format!("{:.0}%", (1.0 - after as f64 / before.max(1) as f64) * 100.0)
}

/// Writes the file whole or not at all.
fn write(path: &Path, text: String) -> Result<()> {
    let name = path.file_name().ok_or_else(|| Failure::usage("`--output`: name a file"))?;
    let mut texts = Texts::default();
    texts.add(name.to_string_lossy().into_owned(), text);
    texts.stage(super::folder_of(path))?.commit()?;
    Ok(())
}

fn parse_size(text: &str) -> std::result::Result<(String, i64), String> {
    let size = text.rsplit_once('=').and_then(|(name, n)| Some((name.to_string(), n.parse().ok()?)));
    size.filter(|(name, n)| !name.is_empty() && *n >= 0).ok_or_else(|| "write NAME=N".into())
}
