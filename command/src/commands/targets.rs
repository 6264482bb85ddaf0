//! `mlc targets`

use crate::failure::Result;
use crate::outcome::Outcome;
use crate::targets::{CPUS, find};
use crate::text::Side::Left;
use crate::text::table;
use serde_json::json;

/// List targets and processors.
///
/// Every name can be given to `mlc build --target`; those of one family also to `--cpu`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {}

/// Lists them.
///
/// # Errors
/// If this machine is none that code can be made for.
pub fn execute(_: &Args) -> Result<Outcome> {
    let host = find("host", None)?;
    let mut rows = vec![vec!["host".into(), host.triple.to_string(), "this machine".into(), host.features.join(" ")]];
    for cpu in CPUS {
        let target = find(cpu.name, None)?;
        rows.push(vec![cpu.name.into(), target.triple.to_string(), cpu.text.into(), cpu.features.join(" ")]);
    }
    let head = [("name", Left), ("target", Left), ("processors", Left), ("features", Left)];
    let json = json!({
        "schema": "mlc-targets/1",
        "host": { "triple": host.triple.to_string(), "features": host.features },
        "targets": CPUS.iter().map(|cpu| json!({
            "name": cpu.name, "family": cpu.family, "features": cpu.features, "text": cpu.text,
        })).collect::<Vec<_>>(),
    });
    let note = "\n`--target` also takes a family (x86_64, aarch64: what all of its processors have) or a triple.\n";
    Ok(Outcome::fine(table(&head, &rows) + note, json))
}
