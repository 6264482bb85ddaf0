//! The answer of `mlc build`.

use super::Args;
use crate::explain::fusion;
use crate::explain::memory::Timeline;
use crate::interface::Interface;
use crate::model::Report;
use crate::outcome::Outcome;
use crate::progress::Stages;
use crate::text::Side::{Left, Right};
use crate::text::{bytes, count, table};
use crate::tuning::Records;
use mlc_codegen::artifact::Placement;
use mlc_codegen::compile::{Compiled, Tuned};
use mlc_codegen::driver::memory::Arena;
use serde_json::{Value, json};
use std::path::PathBuf;

/// What is known of a build.
pub(super) struct Built<'a> {
    pub args: &'a Args,
    pub name: String,
    pub interface: Interface,
    pub sizes: Sizes,
    pub files: Vec<(PathBuf, u64)>,
    pub stages: Stages,
    pub report: Report,
    pub records: Records,
    pub tuned: Tuned,
}

/// Sizes of the compiled model.
pub(super) struct Sizes {
    target: String,
    arena: Option<u64>,
    arena_text: String,
    weights: u64,
    placement: Placement,
    code: u64,
    kernels: Vec<String>,
    plan: Arena,
    /// Kernels left to Cranelift though the processor has wider vectors, and why.
    narrow: Vec<String>,
}

impl Sizes {
    /// Of what is not written yet.
    pub fn of(compiled: &Compiled) -> Sizes {
        let description = &compiled.description;
        Sizes {
            target: description.target.trim().into(),
            arena: description.arena.bytes,
            arena_text: description.arena.text.clone(),
            weights: description.weights_bytes,
            placement: description.placement,
            code: crate::artifact::text_bytes(&compiled.object),
            kernels: description.kernels.clone(),
            plan: compiled.arena.clone(),
            narrow: crate::listing::left_to_cranelift(&compiled.kernels),
        }
    }

    fn placement(&self) -> &'static str {
        match self.placement {
            _ if self.weights == 0 => "none",
            Placement::Embedded => "embedded",
            Placement::Sidecar => "sidecar",
        }
    }
}

impl Built<'_> {
    /// For people and programs.
    pub fn answer(&self) -> Outcome {
        Outcome::fine(self.text(), self.json())
    }

    fn text(&self) -> String {
        let rows: Vec<Vec<String>> =
            self.files.iter().map(|(path, size)| vec![path.display().to_string(), bytes(*size)]).collect();
        let sizes = &self.sizes;
        let arena = sizes.arena.map_or_else(|| format!("{} bytes", sizes.arena_text), bytes);
        let weights = self.weights();
        let facts = [
            ("inputs", self.interface.list(&self.interface.inputs)),
            ("outputs", self.interface.list(&self.interface.outputs)),
            ("target", sizes.target.clone()),
            ("weights", weights),
            ("arena", arena),
            ("code", format!("{} in {}", bytes(sizes.code), count(sizes.kernels.len(), "kernel"))),
            ("time", self.stages.text()),
        ];
        let mut text = table(&[("file", Left), ("size", Right)], &rows) + "\n";
        facts.iter().for_each(|(name, value)| text += &format!("{name:<8} {value}\n"));
        text += &self.records.text(&self.tuned);
        if self.args.explain {
            text += &self.explain();
        }
        text
    }

    fn weights(&self) -> String {
        match self.sizes.placement() {
            "none" => "none".into(),
            place => format!("{}, {place}", bytes(self.sizes.weights)),
        }
    }

    fn json(&self) -> Value {
        let sizes = &self.sizes;
        let files = self.files.iter().map(|(path, size)| json!({ "path": path, "bytes": size }));
        let report = &self.report.fusion;
        let passes = self.report.passes.iter();
        let passes = passes.map(|(name, time)| json!({ "pass": name, "ms": time.as_secs_f64() * 1e3 }));
        let fused = report.fused.iter().map(|it| {
            json!({ "rule": format!("{:?}", it.rule).to_lowercase(), "consumer": &*it.consumer, "producer": &*it.producer })
        });
        let refused = report.refused.iter().map(|it| json!({ "consumer": &*it.0, "producer": &*it.1, "reason": it.2 }));
        json!({
            "schema": "mlc-build/1",
            "name": self.name,
            "target": sizes.target,
            "interface": self.interface.json(),
            "files": files.collect::<Vec<_>>(),
            "arena": { "bytes": sizes.arena, "formula": sizes.arena_text },
            "weights": { "bytes": sizes.weights, "placement": sizes.placement() },
            "code_bytes": sizes.code,
            "kernels": sizes.kernels.len(),
            "narrow": sizes.narrow,
            "times_ms": self.stages.json(),
            "passes_ms": passes.collect::<Vec<_>>(),
            "warnings": self.report.warnings,
            "memory": self.args.explain.then(|| Timeline::new(&sizes.plan).json(sizes.weights)),
            "tuning": self.records.json(&self.tuned),
            "fusion": {
                "before": report.before, "after": report.after,
                "fused": fused.collect::<Vec<_>>(), "refused": refused.collect::<Vec<_>>(),
            },
        })
    }

    /// What the passes did, and which kernels stand apart and why.
    fn explain(&self) -> String {
        let report = &self.report.fusion;
        let mut text = String::from("\npasses:");
        for (name, time) in &self.report.passes {
            text += &format!(" {name} {},", crate::text::time(time.as_secs_f64()));
        }
        text.pop();
        text += "\n";
        text += &fusion::text(report, &self.sizes.kernels);
        if !self.sizes.narrow.is_empty() {
            text += "left to 128-bit vectors:\n";
            self.sizes.narrow.iter().for_each(|line| text += &format!("  {line}\n"));
        }
        self.report.warnings.iter().for_each(|warning| text += &format!("  not proven: {warning}\n"));
        let sizes = &self.sizes;
        text + &Timeline::new(&sizes.plan).text(&self.weights())
    }
}
