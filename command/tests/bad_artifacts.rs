//! Artifacts that are damaged, incomplete, or made for something else; and inputs that do not fit a good one.

mod common;

use common::{Ran, example_text, mlc, names};
use mlc_abi::descriptor::field;
use mlc_abi::note::{self, Note};
use mlc_ir::{DType, Scalar, Tensor};
use mlc_tensorio::{Named, write};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const HOST: &str = std::env::consts::ARCH;
const OTHER: &str = if cfg!(target_arch = "x86_64") { "aarch64" } else { "x86_64" };

struct Place(TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    /// Builds the example; gives the bytes of its shared object.
    fn build(&self, name: &str, more: &[&str]) -> Vec<u8> {
        let (model, folder) = (example_text("digits.onnx"), self.path(""));
        let args = ["build", &model, "--emit", "so", "-o", &folder, "--name", name];
        mlc(args.iter().chain(more)).fine();
        fs::read(self.path(&format!("{name}.so"))).unwrap()
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    /// Runs an artifact; no result may be left where that fails.
    fn run(&self, name: &str, input: &str) -> Ran {
        let results = self.path("results");
        let ran = mlc(["run", &self.path(name), "-i", input, "-o", &results]);
        assert_eq!(Path::new(&results).exists(), ran.code == 0, "{}{}", ran.out, ran.err);
        let _ = fs::remove_dir_all(results);
        ran
    }
}

fn picture() -> String {
    example_text("pictures/1-a.png")
}

/// The artifact as if it had been written with other bytes in its descriptor.
fn rewritten(artifact: &[u8], field: usize, value: &[u8]) -> Vec<u8> {
    let mut bytes = artifact.to_vec();
    let (note, at) = Note::find(&bytes).unwrap();
    let place = note.descriptor_offset as usize + field;
    bytes[place..place + value.len()].copy_from_slice(value);
    let hash = at + note::HASH;
    bytes[hash..hash + 8].fill(0);
    let sum = xxhash_rust::xxh3::xxh3_64(&bytes[..note.weights_offset as usize]);
    bytes[hash..hash + 8].copy_from_slice(&sum.to_le_bytes());
    bytes
}

#[test]
fn artifacts_for_another_machine() {
    let place = Place::new();
    place.build("other", &["--target", OTHER]);
    place.run("other.so", &picture()).fails(4, &["other.so", OTHER, HOST]);
    mlc(["bench", &place.path("other.so"), "--dim", "batch=1"]).fails(4, &["other.so", OTHER]);
    mlc(["inspect", &place.path("other.so")]).fine();
}

#[test]
fn artifacts_for_another_processor_or_version() {
    let place = Place::new();
    let good = place.build("good", &[]);
    place.put("same.so", &rewritten(&good, field::ABI, &mlc_abi::ABI.to_le_bytes()));
    place.run("same.so", &picture()).fine();
    place.put("version.so", &rewritten(&good, field::ABI, &77u32.to_le_bytes()));
    place.run("version.so", &picture()).fails(4, &["version.so", "ABI version 77", "build the model again"]);
    mlc(["inspect", &place.path("version.so")]).fails(4, &["version.so", "ABI version 77"]);
    // A feature that no processor has yet.
    place.put("feature.so", &rewritten(&good, field::FEATURES, &(1u64 << 63).to_le_bytes()));
    place.run("feature.so", &picture()).fails(4, &["feature.so", "processor feature", "--cpu"]);
}

#[test]
fn artifacts_that_are_damaged() {
    let place = Place::new();
    let good = place.build("good", &[]);
    for (name, bytes) in [("cut.so", &good[..good.len() / 2]), ("head.so", &good[..100]), ("none.so", b"\x7fELF only")]
    {
        place.put(name, bytes);
        place.run(name, &picture()).fails(3, &[name]);
        mlc(["inspect", &place.path(name)]).fails(3, &[name]);
    }
    let weights = Note::find(&good).unwrap().0.weights_offset as usize;
    for part in 0..16 {
        let mut bytes = good.clone();
        bytes[weights * part / 16 + 7] ^= 1;
        place.put("changed.so", &bytes);
        place.run("changed.so", &picture()).fails(3, &["changed.so"]);
        mlc(["inspect", &place.path("changed.so")]).fails(3, &["changed.so"]);
    }
    let long = [&good[..], b"more"].concat();
    place.put("long.so", &long);
    place.run("long.so", &picture()).fails(3, &["long.so", "damaged"]);
    place.run("good.so", &picture()).fine();
}

#[test]
fn weights_that_are_missing_or_of_another_build() {
    let place = Place::new();
    place.build("side", &["--weights", "sidecar"]);
    let weights = fs::read(place.path("side.weights")).unwrap();
    place.run("side.so", &picture()).fine();
    place.put("side.weights", &weights[..weights.len() / 2]);
    place.run("side.so", &picture()).fails(3, &["side.weights", "another build or is truncated"]);
    fs::remove_file(place.path("side.weights")).unwrap();
    place.run("side.so", &picture()).fails(3, &["side.weights", "is missing"]);
    assert_eq!(names(place.0.path()), ["side.so"]);
}

#[test]
fn inputs_that_do_not_fit() {
    let place = Place::new();
    place.build("good", &[]);
    let put = |name: &str, tensor: Tensor| {
        write(Path::new(&place.path(name)), &[Named { name: None, tensor }]).unwrap();
        format!("image={}", place.path(name))
    };
    let good = put("good.npy", Tensor::from_f32s(vec![2, 1, 28, 28], &[0.5; 1568]).unwrap());
    let shape = put("shape.npy", Tensor::from_f32s(vec![1, 2, 28, 28], &[0.5; 1568]).unwrap());
    let rank = put("rank.npy", Tensor::from_f32s(vec![28, 28], &[0.5; 784]).unwrap());
    let half = Tensor::from_scalars(DType::F16, vec![1, 1, 28, 28], &[Scalar::Float(0.5); 784]).unwrap();
    let half = put("type.npy", half);
    place.run("good.so", &shape).fails(3, &["`image`", "f32[1, 2, 28, 28]", "f32[batch, 1, 28, 28]"]);
    place.run("good.so", &rank).fails(3, &["`image`", "f32[28, 28]"]);
    place.run("good.so", &half).fails(3, &["`image`", "f16", "f32"]);
    place.run("good.so", &good.replace("image=", "scores=")).fails(2, &["no input `scores`", "`image`"]);
    place.run("good.so", &good).fine();
}

#[test]
fn what_is_for_models_only() {
    let place = Place::new();
    place.build("good", &[]);
    let good = place.path("good.so");
    mlc(["run", &good, "-i", &picture(), "--engine", "interpreter"]).fails(2, &["--engine interpreter"]);
    mlc(["build", &good]).fails(3, &["compiled already"]);
}
