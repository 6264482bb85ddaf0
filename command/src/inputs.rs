//! Inputs of a model from files: tensors and pictures.

use crate::failure::{Failure, Result};
use crate::interface::{Interface, Port};
use crate::picture;
use crate::progress::Ui;
use mlc_ir::Tensor;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What the caller gives: inputs by name or, where the name is left out, files.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct InputArgs {
    /// An input and the file it is in: .npy, .npz, .pb (ONNX) or, for pictures, .png.
    ///
    /// Give it once for each input. The name may be left out if the model has one input, or before a .npz file that
    /// has all inputs by their names. Pictures become numbers from 0 to 1 in the shape the model wants ([N, C, H, W] or
    /// [N, H, W, C], grey or RGB); several pictures for one input make a batch.
    #[arg(short, long = "input", value_name = "NAME=FILE")]
    pub inputs: Vec<String>,
}

/// Files given for each input, by its place.
type Files = BTreeMap<usize, Vec<PathBuf>>;

impl InputArgs {
    /// The tensors given, by the place of the input. They are of the input's type and rank, if they are pictures.
    ///
    /// # Errors
    /// If a name is no input, or a file cannot be read or does not fit.
    pub fn read(&self, interface: &Interface, ui: Ui) -> Result<BTreeMap<usize, Tensor>> {
        let mut files = Files::new();
        let mut tensors = BTreeMap::new();
        for text in &self.inputs {
            let (name, path) = split(text, interface)?;
            if let Some(name) = name {
                files.entry(interface.input(name)?).or_default().push(path);
            } else if has_end(&path, "npz") {
                tensors.extend(archive(&path, interface)?);
            } else if interface.inputs.len() == 1 {
                files.entry(0).or_default().push(path);
            } else {
                let names = interface.list(&interface.inputs);
                return Err(Failure::usage(format!("`--input {text}`: write NAME={text}; the inputs are {names}")));
            }
        }
        for (place, paths) in files {
            tensors.insert(place, read(&interface.inputs[place], &paths, ui)?);
        }
        Ok(tensors)
    }

    /// Tensors given by name, before anything is known of the model; what cannot be read is left for [`Self::read`] to
    /// complain of.
    pub fn tensors(&self) -> Vec<(String, Tensor)> {
        let named = self.inputs.iter().filter_map(|text| text.split_once('='));
        let files = named.filter(|(_, file)| !has_end(Path::new(file), "png"));
        files.filter_map(|(name, file)| Some((name.to_string(), read_tensor(name, Path::new(file)).ok()?))).collect()
    }

    /// All tensors, in order, checked.
    ///
    /// # Errors
    /// Also if one is missing; the message lists all of those.
    pub fn read_all(&self, interface: &Interface, ui: Ui) -> Result<Vec<Tensor>> {
        let mut given = self.read(interface, ui)?;
        let places = 0..interface.inputs.len();
        let missing: Vec<Port> =
            places.filter(|place| !given.contains_key(place)).map(|place| interface.inputs[place].clone()).collect();
        if !missing.is_empty() {
            let (count, list) = (crate::text::count(missing.len(), "input"), interface.list(&missing));
            return Err(Failure::usage(format!("{count} missing: {list}; give each with `--input NAME=FILE`")));
        }
        let tensors: Vec<Tensor> = (0..given.len()).filter_map(|place| given.remove(&place)).collect();
        interface.bind(&tensors)?;
        Ok(tensors)
    }
}

/// The name, if there is one, and the file.
fn split<'a>(text: &'a str, interface: &Interface) -> Result<(Option<&'a str>, PathBuf)> {
    // Names may have a `=` in them, as files may.
    let ends = text.char_indices().filter(|(_, c)| *c == '=').map(|(at, _)| at);
    let known = ends.clone().find(|at| interface.inputs.iter().any(|port| port.name == text[..*at]));
    let first = ends.into_iter().next();
    match known.or(first.filter(|_| !Path::new(text).exists())) {
        Some(at) if at + 1 == text.len() => Err(Failure::usage(format!("`--input {text}`: the file is missing"))),
        Some(at) => Ok((Some(&text[..at]), text[at + 1..].into())),
        None => Ok((None, text.into())),
    }
}

fn has_end(path: &Path, end: &str) -> bool {
    path.extension().is_some_and(|it| it.eq_ignore_ascii_case(end))
}

fn read(port: &Port, paths: &[PathBuf], ui: Ui) -> Result<Tensor> {
    if paths.iter().all(|path| has_end(path, "png")) {
        return picture::read(port, paths, ui);
    }
    match paths {
        [path] => read_tensor(&port.name, path),
        _ => Err(Failure::usage(format!(
            "input `{}` is given {} times; only pictures make a batch",
            port.name,
            paths.len()
        ))),
    }
}

/// One tensor from a file; from a `.npz`, the one of this name.
///
/// # Errors
/// If the file cannot be read or has no such tensor.
pub fn read_tensor(name: &str, path: &Path) -> Result<Tensor> {
    let mut tensors = mlc_tensorio::read(path)?;
    if tensors.len() != 1 {
        let names: Vec<&str> = tensors.iter().filter_map(|named| named.name.as_deref()).collect();
        let message = format!("{} has no array `{name}`; it has {}", path.display(), names.join(", "));
        tensors.retain(|named| named.name.as_deref() == Some(name));
        return tensors.pop().map(|named| named.tensor).ok_or_else(|| Failure::invalid(message));
    }
    Ok(tensors.remove(0).tensor)
}

/// The arrays of a `.npz` file, by the place of the input of that name.
fn archive(path: &Path, interface: &Interface) -> Result<Vec<(usize, Tensor)>> {
    let place = |named: mlc_tensorio::Named| {
        let name = named.name.unwrap_or_default();
        let place = interface.input(&name).map_err(|failure| failure.in_front(&path.display().to_string()))?;
        Ok((place, named.tensor))
    };
    mlc_tensorio::read(path)?.into_iter().map(place).collect()
}
