//! Artifacts of a hand-made model: written, loaded, linked, run, damaged.

mod damage;
mod files;
mod foreign;
mod raw;
mod tiny;

use std::path::{Path, PathBuf};
use std::process::Command;

use mlc_codegen::artifact::{Description, Kind, Parts, Placement, Slice, Written, write};

/// Every kind that is asked for by name.
pub const KINDS: &[Kind] = &[Kind::Shared, Kind::Object, Kind::Archive, Kind::Header, Kind::Manifest];

/// The target of this machine, if it is one of those artifacts are made for.
pub fn host() -> Option<&'static str> {
    match std::env::consts::ARCH {
        _ if !cfg!(target_os = "linux") => None,
        "x86_64" => Some("x86_64-unknown-linux-gnu"),
        "aarch64" => Some("aarch64-unknown-linux-gnu"),
        _ => None,
    }
}

/// Writes all kinds of files of the model called `name`.
pub fn build(triple: &str, name: &str, weights: usize, placement: Placement, folder: &Path) -> Vec<Written> {
    let description = tiny::description(name, weights as u64, placement);
    let object = tiny::object(triple, &description, |_| {});
    emit(triple, object, &description, &tiny::weights(weights), folder).expect("artifact")
}

/// Writes all kinds of files from an object.
pub fn emit(
    triple: &str,
    object: Vec<u8>,
    description: &Description,
    weights: &[u8],
    folder: &Path,
) -> Result<Vec<Written>, mlc_codegen::artifact::Error> {
    let target = triple.parse().expect("triple");
    write(Parts { target, object, description, weights: &Slice(weights) }, KINDS, folder)
}

/// The path of a written kind.
pub fn path(files: &[Written], kind: Kind) -> PathBuf {
    files.iter().find(|it| it.kind == kind).expect("kind").path.clone()
}

/// The output of a tool, or `None` with a notice if the machine lacks it. A failing tool fails the test.
pub fn tool(name: &str, args: &[&str]) -> Option<String> {
    let Ok(output) = Command::new(name).args(args).output() else {
        eprintln!("notice: `{name}` is not installed, this part is skipped");
        return None;
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{name} {args:?}: {}{}", text(&output.stdout), text(&output.stderr));
    Some(text(&output.stdout))
}
