//! What a command works on: a model or a compiled artifact.

use crate::failure::{Failure, Result};
use crate::model::Passes;
use mlc_frontend::{DimRange, Options};
use mlc_passes::state::State;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// What a file is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// An ONNX model.
    Model,
    /// A shared object.
    Artifact,
}

/// Looks at the first bytes of a file, and its name.
///
/// # Errors
/// If the file cannot be read.
pub fn kind(path: &Path) -> Result<Kind> {
    let unreadable = |error: std::io::Error| Failure::invalid(format!("cannot read `{}`: {error}", path.display()));
    let mut file = File::open(path).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.is_dir() {
        return Err(Failure::invalid(format!("`{}` is a folder: name the file in it", path.display())));
    }
    let mut head = [0; 4];
    let is_elf = file.read(&mut head).map_err(unreadable)? == 4 && head == *b"\x7fELF";
    let ends_so = path.extension().is_some_and(|end| end == "so");
    Ok(if is_elf || ends_so { Kind::Artifact } else { Kind::Model })
}

/// What the caller decides about a model.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct ModelArgs {
    /// Size of a symbolic dimension: fixed (`batch=1`), or a range, both ends included (`tokens=1..512`, `tokens=8..`).
    ///
    /// Give it once for each dimension. A dimension that is not mentioned stays symbolic: the compiled code takes any
    /// size. One that the model leaves without a name is called INPUT.POSITION.
    #[arg(long = "dim", value_name = "NAME=N|LO..HI", value_parser = parse_dim)]
    pub dims: Vec<(String, DimRange)>,
    /// An input that always has the value in this file (.npy, .npz, .pb), so that code can be made for it.
    ///
    /// Needed where the value decides a rank or an axis. The input stays in the signature.
    #[arg(long = "value", value_name = "INPUT=FILE", value_parser = parse_value)]
    pub values: Vec<(String, PathBuf)>,
    /// An output that continues an input, as the keys an attention keeps: both become one memory, updated in place. A `*`
    /// stands for the same text in both names.
    ///
    /// The output must be a concatenation that begins with the input. The input's dim along which it grows then says for
    /// how much there is room, and is called NAME.capacity; how much is there follows from the dims of other inputs.
    #[arg(long = "state", value_name = "INPUT=OUTPUT", value_parser = parse_state)]
    pub states: Vec<State>,
}

impl ModelArgs {
    /// For the importer.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn options(&self) -> Result<Options> {
        let mut values = HashMap::new();
        for (name, path) in &self.values {
            values.insert(name.clone(), crate::inputs::read_tensor(name, path)?);
        }
        Ok(Options { dims: self.dims.clone(), values })
    }

    /// For the passes.
    pub fn passes(&self) -> Passes {
        Passes { states: self.states.clone(), ..Passes::default() }
    }
}

fn parse_dim(text: &str) -> std::result::Result<(String, DimRange), String> {
    // A name may have a `=` in it, a range has none.
    let (name, range) = text.rsplit_once('=').ok_or("write NAME=N or NAME=LO..HI")?;
    if name.is_empty() {
        return Err("the name is missing: write NAME=N or NAME=LO..HI".into());
    }
    Ok((name.to_string(), range.parse().map_err(|error: mlc_ir::Error| error.message)?))
}

fn parse_state(text: &str) -> std::result::Result<State, String> {
    let stars = |text: &str| text.matches('*').count();
    match text.split_once('=') {
        Some((past, present)) if !past.is_empty() && !present.is_empty() => match (stars(past), stars(present)) {
            (0, 0) | (1, 1) => Ok(State { past: past.into(), present: present.into() }),
            _ => Err("write one `*` in both names, or none".into()),
        },
        _ => Err("write INPUT=OUTPUT".into()),
    }
}

fn parse_value(text: &str) -> std::result::Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, file)) if !name.is_empty() && !file.is_empty() => Ok((name.to_string(), file.into())),
        _ => Err("write INPUT=FILE".into()),
    }
}

/// A name for C: the stem of the file, or of its folder where the file is called `model`; what C does not allow becomes
/// `_`.
pub fn c_name(path: &Path) -> String {
    let text = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let stem = text(path.file_stem());
    let folder = || {
        let absolute = std::path::absolute(path).ok()?;
        Some(text(absolute.parent()?.file_name())).filter(|name| !name.is_empty())
    };
    let stem = if stem == "model" { folder().unwrap_or(stem) } else { stem };
    let allowed = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let mut name: String = stem.chars().map(allowed).take(100).collect();
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, 'm');
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_identifiers() {
        assert_eq!(c_name(Path::new("a/digits.onnx")), "digits");
        assert_eq!(c_name(Path::new("a/mini-lm l6/model.onnx")), "mini_lm_l6");
        assert_eq!(c_name(Path::new("2x.onnx")), "m2x");
        assert!(mlc_abi::descriptor::is_identifier(&c_name(Path::new("é/ß.onnx"))));
    }

    #[test]
    fn states_parse() {
        assert_eq!(parse_state("a.*=b.*"), Ok(State { past: "a.*".into(), present: "b.*".into() }));
        assert!(parse_state("a").is_err() && parse_state("a=").is_err() && parse_state("a.*=b").is_err());
    }

    #[test]
    fn dims_parse() {
        assert_eq!(parse_dim("n=3"), Ok(("n".into(), DimRange::fixed(3))));
        assert_eq!(parse_dim("a=b=1..2").unwrap().0, "a=b");
        assert!(parse_dim("n").is_err() && parse_dim("=3").is_err() && parse_dim("n=x").is_err());
    }
}
