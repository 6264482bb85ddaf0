//! A disk without room: the error names the file, and what was there stays as it was.
#![cfg(unix)]

mod common;

use common::{Ran, example_text, mlc, names};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Calls `mlc` where no file may grow beyond some blocks, of 512 or 1,024 bytes; the system then refuses as a full disk does.
fn limited(blocks: u32, args: &[&str]) -> Ran {
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
    let output = Command::new("sh").args(["-c", &script, env!("CARGO_BIN_EXE_mlc")]).args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

/// Names and contents of the files in a folder.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    names(folder).into_iter().map(|name| (name.clone(), fs::read(folder.join(name)).unwrap())).collect()
}

#[test]
fn builds_are_complete_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let (model, out) = (example_text("digits.onnx"), folder.path().join("out"));
    let path = out.display().to_string();
    let everything = "so,obj,lib,header,manifest,graph,program,tile,clif,asm";
    for (blocks, emit) in [(0, "header"), (1, "so"), (8, "so,header,manifest"), (64, everything), (100, everything)] {
        limited(blocks, &["build", &model, "-o", &path, "--emit", emit])
            .fails(3, &["out/digits.", "cannot be written"]);
        assert!(!out.exists(), "{:?} is left", names(&out));
    }
    let sidecar = ["build", &model, "-o", &path, "--weights", "sidecar"];
    limited(32, &sidecar).fails(3, &["out/digits.weights", "cannot be written"]);
    assert!(!out.exists());

    mlc(sidecar).fine();
    let before = contents(&out);
    assert_eq!(before.len(), 4);
    for blocks in [1, 8, 64] {
        limited(blocks, &["build", &model, "-o", &path, "--dim", "batch=1"]).fails(3, &["out/digits."]);
        assert!(contents(&out) == before, "{:?}", names(&out));
    }
}

#[test]
fn results_are_complete_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let (model, picture) = (example_text("digits.onnx"), example_text("pictures/1-a.png"));
    let results = folder.path().join("results").display().to_string();
    limited(0, &["run", &model, "-i", &picture, "-o", &results]).fails(3, &["results/scores.npy"]);
    assert_eq!(names(folder.path()), [""; 0]);
    limited(64, &["run", &model, "-i", &picture, "-o", &results]).fine();
}

#[test]
fn answers_that_nobody_can_take() {
    let full = || fs::OpenOptions::new().write(true).open("/dev/full");
    for args in [&["targets"][..], &["targets", "--json"], &["inspect", &example_text("digits.onnx")]] {
        let Ok(full) = full() else { return };
        let output = Command::new(env!("CARGO_BIN_EXE_mlc")).args(args).stdout(full).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(3) && error.contains("the answer cannot be written"), "{error}");
    }
}
