//! What each kernel did in its time: rates, the part of the roofline, nodes, schedule; as a table, as JSON, as a trace.
//!
//! In: timings of a session, the [`Work`] of its kernels where it is known, sizes of the symbols, the [`Roofline`].
//! Out: a [`Profile`].
//! Invariant: what is not known is absent, never 0.

use crate::explain::end_of;
use crate::interface::{Sizes, formula};
use crate::roofline::Roofline;
use crate::text::Side::{Left, Right};
use crate::text::{table, time};
use mlc_abi::descriptor::Descriptor;
use mlc_codegen::artifact::Kind;
use mlc_codegen::work::Work;
use mlc_runtime::{Call, Timing};
use serde_json::{Value, json};
use std::path::Path;

/// Letters of a table's cell that is a name or a list of names.
pub const WIDTH: usize = 36;

/// The kernels of a model, in the order of its descriptor.
pub struct Profile {
    kernels: Vec<Kernel>,
    roofline: Option<Roofline>,
    /// Why there are times alone.
    unknown: Option<String>,
}

struct Kernel {
    timing: Timing,
    work: Option<Work>,
    /// Of one call.
    operations: Option<f64>,
    /// Of one call.
    bytes: Option<f64>,
}

/// What the manifest beside an artifact says of its kernels, or why that is not known.
///
/// # Errors
/// If there is none, or it belongs to another build.
pub fn beside(artifact: &Path, descriptor: &Descriptor) -> Result<Vec<Work>, String> {
    let path = artifact.with_file_name(Kind::Manifest.file_name(descriptor.name()));
    let text = std::fs::read_to_string(&path).map_err(|error| format!("`{}`: {error}", path.display()))?;
    let other = || format!("`{}` belongs to another build", path.display());
    let mut manifest: Value = serde_json::from_str(&text).map_err(|_| other())?;
    if manifest["content_hash"] != json!(format!("{:016x}", descriptor.content_hash())) {
        return Err(other());
    }
    let work: Vec<Work> = serde_json::from_value(manifest["work"].take()).map_err(|_| other())?;
    if work.iter().map(|it| it.kernel.as_str()).eq(descriptor.kernels()) { Ok(work) } else { Err(other()) }
}

impl Profile {
    /// Puts together what is known.
    pub fn new(
        timings: Vec<Timing>,
        work: Result<Vec<Work>, String>,
        sizes: &Sizes,
        roofline: Option<Roofline>,
    ) -> Profile {
        let (work, unknown) = match work {
            Ok(work) => (work, None),
            Err(why) => (vec![], Some(why)),
        };
        let mut work = work.into_iter();
        let kernel = |timing| {
            let work = work.next();
            let count = |text: Option<&String>| text.and_then(|text| formula(text, sizes)).map(|n| n as f64);
            let operations = count(work.as_ref().and_then(|it| it.operations.as_ref()));
            let bytes = count(work.as_ref().and_then(|it| it.bytes.as_ref()));
            Kernel { timing, work, operations, bytes }
        };
        Profile { kernels: timings.into_iter().map(kernel).collect(), roofline, unknown }
    }

    /// Slowest first, those that never ran left out.
    fn sorted(&self) -> Vec<&Kernel> {
        let mut kernels: Vec<&Kernel> = self.kernels.iter().filter(|kernel| kernel.timing.calls > 0).collect();
        kernels.sort_by_key(|kernel| std::cmp::Reverse(kernel.timing.nanoseconds));
        kernels
    }

    fn all(&self) -> f64 {
        self.kernels.iter().map(|kernel| kernel.timing.nanoseconds).sum::<u64>().max(1) as f64
    }

    /// For people.
    pub fn text(&self) -> String {
        let known = self.unknown.is_none();
        let row = |kernel: &Kernel| {
            let (timing, seconds) = (&kernel.timing, kernel.seconds());
            let share = format!("{:.1}%", timing.nanoseconds as f64 / self.all() * 100.0);
            let mut row = vec![end_of(&timing.kernel, WIDTH), share, time(seconds), timing.calls.to_string()];
            let shown = |value: Option<f64>, digits, unit| {
                value.map_or_else(|| "-".into(), |value| format!("{value:.digits$}{unit}"))
            };
            if let Some(work) = &kernel.work {
                row.push(shown(giga(kernel.operations, seconds), 1, ""));
                row.push(shown(giga(kernel.bytes, seconds), 1, ""));
                row.push(shown(self.fraction(kernel, seconds).map(|part| part * 100.0), 0, "%"));
                row.extend([brief(&work.nodes), steps(&work.schedule)]);
            }
            row
        };
        let mut head = vec![("kernel", Left), ("share", Right), ("a call", Right), ("calls", Right)];
        if known {
            head.extend([("GF/s", Right), ("GB/s", Right), ("roofline", Right), ("nodes", Left), ("schedule", Left)]);
        }
        let mut text = table(&head, &self.sorted().into_iter().map(row).collect::<Vec<_>>());
        if let Some(roofline) = &self.roofline {
            text += &format!("\n{}\n", roofline.text());
        }
        if let Some(why) = &self.unknown {
            text += &format!("\nonly time and share are known without the manifest: {why}\n");
        }
        text
    }

    /// For programs: a list of kernels, slowest first.
    pub fn json(&self) -> Value {
        let kernel = |it: &Kernel| {
            let mut object = json!({
                "kernel": it.timing.kernel, "calls": it.timing.calls, "total_ms": it.timing.nanoseconds as f64 / 1e6,
                "share": it.timing.nanoseconds as f64 / self.all(),
            });
            if it.work.is_some() {
                put(&mut object, self.details(it, it.seconds()));
            }
            object
        };
        self.sorted().into_iter().map(kernel).collect()
    }

    /// The roofline, if it was measured.
    pub fn roofline(&self) -> Option<Value> {
        self.roofline.as_ref().map(Roofline::json)
    }

    /// Why there are times alone, if so.
    pub fn unknown(&self) -> Option<&str> {
        self.unknown.as_deref()
    }

    /// The calls of one run for Perfetto and other readers of Chrome's format: one track, an event for each call.
    pub fn trace(&self, process: &str, calls: &[Call]) -> Value {
        let name =
            |what: &str, name: &str| json!({ "ph": "M", "pid": 1, "tid": 1, "name": what, "args": { "name": name } });
        let mut events = vec![name("process_name", process), name("thread_name", "one run")];
        for call in calls {
            let Some(kernel) = self.kernels.get(call.kernel) else { continue };
            let micros = |time: std::time::Duration| time.as_nanos() as f64 / 1e3;
            events.push(json!({
                "ph": "X", "pid": 1, "tid": 1, "cat": "kernel", "name": kernel.timing.kernel,
                "ts": micros(call.begun), "dur": micros(call.time),
                "args": self.details(kernel, call.time.as_secs_f64()),
            }));
        }
        json!({ "displayTimeUnit": "ns", "traceEvents": events })
    }

    fn fraction(&self, kernel: &Kernel, seconds: f64) -> Option<f64> {
        let fraction = self.roofline?.fraction(kernel.operations?, kernel.bytes?, seconds);
        fraction.is_finite().then_some(fraction)
    }

    /// What is known of a call besides its time.
    fn details(&self, kernel: &Kernel, seconds: f64) -> Value {
        let Some(work) = &kernel.work else { return json!({}) };
        json!({
            "operations": kernel.operations, "bytes": kernel.bytes, "gflops": giga(kernel.operations, seconds),
            "gbps": giga(kernel.bytes, seconds), "roofline": self.fraction(kernel, seconds),
            "nodes": work.nodes, "schedule": work.schedule,
        })
    }
}

impl Kernel {
    /// Of a call.
    fn seconds(&self) -> f64 {
        self.timing.nanoseconds as f64 / 1e9 / self.timing.calls.max(1) as f64
    }
}

fn put(object: &mut Value, more: Value) {
    if let (Value::Object(object), Value::Object(more)) = (object, more) {
        object.extend(more);
    }
}

/// Billions a second.
fn giga(count: Option<f64>, seconds: f64) -> Option<f64> {
    count.map(|count| count / seconds / 1e9).filter(|rate| rate.is_finite())
}

/// Names without the paths before them, as many as there is room for.
fn brief(nodes: &[String]) -> String {
    let mut text = String::new();
    for (place, node) in nodes.iter().enumerate() {
        let name = end_of(node.rsplit('/').next().unwrap_or(node), WIDTH);
        if place > 0 && text.chars().count() + name.chars().count() >= WIDTH {
            return format!("{text} +{}", nodes.len() - place);
        }
        text += if place > 0 { " " } else { "" };
        text += &name;
    }
    text
}

fn steps(schedule: &[String]) -> String {
    if schedule.is_empty() { "one by one".into() } else { schedule.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_where_they_are_alike() {
        assert_eq!(end_of("short", WIDTH), "short");
        let long = format!("{}/last", "x".repeat(60));
        let end = end_of(&long, WIDTH);
        assert!(end.ends_with("x/last") && end.chars().count() == WIDTH);
        let nodes: Vec<String> = ["a/MatMul", "a/b/Add", "Relu"].map(String::from).to_vec();
        assert_eq!(brief(&nodes), "MatMul Add Relu");
        let many: Vec<String> = (0..20).map(|n| format!("layer/Add_{n}")).collect();
        assert_eq!(brief(&many), "Add_0 Add_1 Add_2 Add_3 Add_4 Add_5 +14");
    }

    #[test]
    fn rates_follow_from_counts_and_what_is_unknown_is_absent() {
        let timing = |kernel: &str| Timing { kernel: kernel.into(), calls: 2, nanoseconds: 2_000_000 };
        let work = |kernel: &str, operations: Option<&str>| Work {
            kernel: kernel.into(),
            operations: operations.map(String::from),
            bytes: Some("4*n".into()),
            ..Work::default()
        };
        let roofline = Some(Roofline { operations: 8e9, bytes: 1e9, threads: 1 });
        let sizes = Sizes::from([("n".to_string(), 1000)]);
        let all = vec![work("a", Some("2000*n")), work("b", None)];
        let profile = Profile::new(vec![timing("a"), timing("b")], Ok(all), &sizes, roofline);
        let json = profile.json();
        assert_eq!((&json[0]["gflops"], &json[0]["roofline"]), (&json!(2.0), &json!(0.25)));
        assert_eq!(
            (&json[1]["gflops"], &json[1]["roofline"], &json[1]["bytes"]),
            (&json!(null), &json!(null), &json!(4000.0))
        );
        assert!(profile.text().contains("25%"), "{}", profile.text());
    }
}
