//! Files of measured schedules: made, used, merged, stale and hostile.

mod common;

use common::{best, example, example_text, mlc, pictures};
use mlc::model::{Passes, import, optimize};
use mlc::targets::find;
use mlc_codegen::kernels::{Candidates, candidates};
use mlc_codegen::tuning::{Book, Record};
use std::fs;
use std::path::Path;

/// The kernels of the example, and what the records of this machine are kept under.
fn forms() -> (Vec<Candidates>, String) {
    let host = find("host", None).unwrap();
    let (program, _) =
        optimize(import(&example("digits.onnx"), &Default::default()).unwrap(), &Passes::default()).unwrap();
    (candidates(&program, &host.machine(), 12), mlc::tuning::name(&host))
}

/// The last candidate of each kernel, which no build chooses by itself.
fn records(target: Option<&str>) -> Book {
    let (forms, host) = forms();
    let mut book = Book::default();
    for form in forms.into_iter().filter(|form| form.list.len() > 1) {
        let (name, steps) = (form.kernels[0].clone(), form.list.last().unwrap().clone());
        book.add(target.unwrap_or(&host), Record { key: form.key, name, steps, before_ns: 2, ns: 1 });
    }
    book
}

fn build(folder: &Path, tuning: &Path) -> common::Ran {
    let (model, folder, tuning) =
        (example_text("digits.onnx"), folder.display().to_string(), tuning.display().to_string());
    mlc(["build", &model, "-o", &folder, "--tuning", &tuning, "--json"]).fine()
}

fn digits(file: &str, more: &[&str]) -> Vec<u64> {
    let args = ["run", file, "--top", "1", "--json"].into_iter().chain(more.iter().copied()).map(String::from);
    best(&mlc(args.chain(pictures())).fine().json())
}

#[test]
fn records_decide_schedules_and_no_result() {
    let folder = tempfile::tempdir().unwrap();
    let (plain, file) = (folder.path().join("plain"), folder.path().join("it.tuning"));
    fs::write(&file, records(None).text()).unwrap();
    mlc(["build", &example_text("digits.onnx"), "-o", &plain.display().to_string()]).fine();
    let tuned = build(folder.path(), &file).json();
    let count = |key: &str| tuned["tuning"][key].as_u64().unwrap() as usize;
    // A few need more registers than there are.
    let ignored = tuned["tuning"]["ignored"].as_array().unwrap();
    assert!(count("used") > 3 && count("used") + ignored.len() == count("records"), "{ignored:?}");
    let read = |path: &Path| fs::read(path.join("digits.so")).unwrap();
    assert!(read(&plain) != read(folder.path()), "records change code");
    let expected: Vec<u64> = (0..10).collect();
    assert_eq!(digits(&folder.path().join("digits.so").display().to_string(), &[]), expected);
    assert_eq!(digits(&example_text("digits.onnx"), &["--tuning", &file.display().to_string()]), expected);

    // What is for another target does nothing, and is nothing to speak of.
    fs::write(&file, records(Some("another processor")).text()).unwrap();
    let other = build(folder.path(), &file);
    assert!(other.err.is_empty() && other.json()["tuning"]["used"] == 0, "{}", other.err);
    assert!(read(&plain) == read(folder.path()), "a build without records for it is as it was");
}

#[test]
fn records_that_are_wrong_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let (plain, file) = (folder.path().join("plain"), folder.path().join("it.tuning"));
    mlc(["build", &example_text("digits.onnx"), "-o", &plain.display().to_string()]).fine();
    let good = records(None).text();
    let bad: String = good.replace("\"order(", "\"vector(nobody, 16)\",\"order(") + "garbage\n{\"kernel\":1}\n\u{0}\n";
    fs::write(&file, &bad).unwrap();
    let built = build(folder.path(), &file).json();
    let ignored: Vec<&str> =
        built["tuning"]["ignored"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    assert_eq!(
        (built["tuning"]["used"].as_u64(), ignored.len()),
        (Some(0), good.lines().count() - 1 + 3),
        "{ignored:?}"
    );
    assert!(ignored.iter().any(|line| line.starts_with("line 2 is ignored: kernel `")), "{ignored:?}");
    let read = |path: &Path| fs::read(path.join("digits.so")).unwrap();
    assert!(read(&plain) == read(folder.path()), "nothing is left of a record that is ignored");
    let (model, out, name) =
        (example_text("digits.onnx"), folder.path().display().to_string(), file.display().to_string());
    let said = mlc(["build", &model, "-o", &out, "--tuning", &name]).fine();
    assert!(
        said.err.contains("note: ") && said.err.contains("is ignored") && said.out.contains(" ignored"),
        "{}",
        said.err
    );
}

#[test]
fn files_that_are_none_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("it.tuning");
    let (model, name) = (example_text("digits.onnx"), file.display().to_string());
    mlc(["run", &model, "--tuning", &name]).fails(3, &["it.tuning"]);
    for text in ["", "{}", "not a file of records"] {
        fs::write(&file, text).unwrap();
        mlc(["bench", &model, "--tuning", &name, "--dim", "batch=1"]).fails(3, &["it.tuning"]);
    }
    fs::write(&file, Book::default().text() + &records(None).text()).unwrap();
    mlc(["build", &model, "-o", &folder.path().display().to_string()]).fine();
    let artifact = folder.path().join("digits.so").display().to_string();
    mlc(["bench", &artifact, "--tuning", &name, "--dim", "batch=1"]).fails(2, &["--tuning", "compiled already"]);
    mlc(["tune", &artifact]).fails(2, &["compiled already"]);
    mlc(["tune", &model, "-o", &name]).fails(2, &["batch"]);
    assert_eq!(mlc(["tune", &model, "--size", "batch=x"]).code, 2);
}

#[test]
fn tuning_keeps_what_the_file_has_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("it.tuning");
    let others = records(Some("another processor"));
    fs::write(&file, others.text()).unwrap();
    let (model, name) = (example_text("digits.onnx"), file.display().to_string());
    let tuned = mlc(["tune", &model, "--size", "batch=4", "--seconds", "2", "-o", &name, "--json"]).fine().json();
    assert_eq!(tuned["schema"], "mlc-tune/1");
    assert!(tuned["builds"].as_u64() > Some(0) && tuned["tried"].as_u64() > Some(0), "{tuned}");
    let book = mlc::tuning::book(&file).unwrap();
    assert_eq!(book.count("another processor"), others.count("another processor"));
    assert_eq!(book.count(&forms().1), tuned["kernels"].as_array().unwrap().len());
    for kernel in tuned["kernels"].as_array().unwrap() {
        assert!(kernel["ns"].as_u64() < kernel["before_ns"].as_u64(), "{kernel}");
    }
    let built = build(folder.path(), &file).json();
    assert_eq!(built["tuning"]["used"], built["tuning"]["records"]);
}

#[test]
fn explain_shows_fusion_and_memory() {
    let folder = tempfile::tempdir().unwrap();
    let (model, out) = (example_text("digits.onnx"), folder.path().display().to_string());
    let fixed = ["build", &model, "-o", &out, "--dim", "batch=2", "--explain"];
    let text = mlc(fixed).fine().out;
    for part in ["epilogue: ", "kept apart: ", "memory: arena ", "peak: ", ", where ", "█"] {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
    let json = mlc(fixed.iter().chain(&["--json"])).fine().json();
    let (memory, arena) = (&json["memory"], json["arena"]["bytes"].as_u64());
    let steps = memory["steps"].as_array().unwrap();
    assert_eq!(steps.len() as u64, json["kernels"].as_u64().unwrap());
    let sum = |step: &serde_json::Value| -> u64 {
        step["alive"].as_array().unwrap().iter().map(|it| it["bytes"].as_u64().unwrap()).sum()
    };
    let most = steps.iter().map(sum).max();
    assert!(most == memory["peak"]["bytes"].as_u64() && most <= arena && most > Some(0), "{memory}");
    let text = mlc(fixed[..4].iter().chain(&["--explain"]).collect::<Vec<_>>()).fine().out;
    assert!(text.contains("sizes depend on dims") && text.contains("*batch"), "{text}");
}
