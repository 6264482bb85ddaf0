//! Bad input: the right exit code, one line of error, nothing left behind.

mod common;

use common::{Ran, example, example_text, mlc, names};
use mlc_ir::{DType, Scalar, Tensor};
use mlc_tensorio::{Named, write};
use std::fs;
use std::path::Path;

/// Builds a file into `out` beside it, which must not be there afterwards.
fn build(model: &Path, more: &[&str]) -> Ran {
    let out = model.with_file_name("out");
    let (model, folder) = (model.display().to_string(), out.display().to_string());
    let ran = mlc(["build", &model, "-o", &folder].iter().chain(more));
    assert!(!out.exists(), "{:?} is left", names(&out));
    ran
}

fn digits() -> Vec<u8> {
    fs::read(example("digits.onnx")).unwrap()
}

#[test]
fn models_that_are_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.onnx");
    let whole = digits();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    build(&path, &[]).fails(3, &["bad.onnx"]);
    for garbage in [&b""[..], b"garbage, not a model at all", &[0xff; 1000], b"\x08"] {
        fs::write(&path, garbage).unwrap();
        build(&path, &[]).fails(3, &["bad.onnx"]);
        mlc(["inspect".as_ref(), path.as_os_str()]).fails(3, &["bad.onnx"]);
        mlc(["check".as_ref(), path.as_os_str()]).fails(3, &["bad.onnx"]);
    }
    build(&folder.path().join("missing.onnx"), &[]).fails(3, &["missing.onnx"]);
    build(folder.path(), &[]).fails(3, &["is a folder"]);
}

#[test]
fn models_cut_short_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    let (path, whole) = (folder.path().join("cut.onnx"), digits());
    for part in 0..24 {
        fs::write(&path, &whole[..whole.len() * part / 24]).unwrap();
        let ran = mlc(["check".as_ref(), path.as_os_str()]);
        assert!([3, 4].contains(&ran.code), "{part}: {}{}", ran.out, ran.err);
    }
}

#[test]
fn words_nobody_knows() {
    let model = example("digits.onnx");
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("digits.onnx");
    fs::copy(&model, &copy).unwrap();
    build(&copy, &["--target", "z80"]).fails(2, &["unknown target `z80`", "aarch64"]);
    build(&copy, &["--cpu", "armv8-a", "--target", "x86_64"]).fails(2, &["`armv8-a`", "x86-64-v3"]);
    build(&copy, &["--target", "nvptx64", "--cpu", "sm_30"]).fails(2, &["sm_30", "sm_75"]);
    build(&copy, &["--name", "2 digits"]).fails(2, &["--name 2 digits"]);
    build(&copy, &["--dim", "bach=1"]).fails(3, &["bach", "batch"]);
    let ran = build(&copy, &["--emmit", "so"]);
    assert!(ran.code == 2 && ran.err.contains("--emit"), "{}", ran.err);
    let ran = mlc(["bild"]);
    assert!(ran.code == 2 && ran.err.contains("build"), "{}", ran.err);
    let ran = mlc(["build", "x.onnx", "--dim", "batch=many", "--json"]);
    assert!(ran.code == 2 && ran.json()["kind"] == "usage", "{}", ran.err);
}

#[test]
fn inputs_that_do_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let put = |name: &str, tensor: Tensor| write(&folder.path().join(name), &[Named { name: None, tensor }]).unwrap();
    put("good.npy", Tensor::from_f32s(vec![1, 1, 28, 28], &[0.5; 784]).unwrap());
    put("shape.npy", Tensor::from_f32s(vec![1, 1, 28, 27], &[0.5; 756]).unwrap());
    put("rank.npy", Tensor::from_f32s(vec![28, 28], &[0.5; 784]).unwrap());
    put("type.npy", Tensor::from_scalars(DType::F64, vec![1, 1, 28, 28], &[Scalar::Float(0.5); 784]).unwrap());
    fs::write(path("garbage.npy"), b"garbage").unwrap();
    fs::write(path("garbage.png"), b"garbage").unwrap();
    let results = path("results");
    let run = |input: &str| {
        let ran = mlc(["run", &example_text("digits.onnx"), "-o", &results, "--input", input]);
        assert!(ran.code == 0 || !Path::new(&results).exists(), "{results} is left");
        ran
    };
    run(&format!("picture={}", path("good.npy"))).fails(2, &["no input `picture`", "`image`"]);
    run(&format!("image={}", path("shape.npy"))).fails(3, &["`image`", "f32[1, 1, 28, 27]", "28, 28"]);
    run(&format!("image={}", path("rank.npy"))).fails(3, &["`image`", "f32[28, 28]"]);
    run(&format!("image={}", path("type.npy"))).fails(3, &["`image`", "f64", "f32"]);
    run(&format!("image={}", path("garbage.npy"))).fails(3, &["garbage.npy"]);
    run(&format!("image={}", path("garbage.png"))).fails(3, &["garbage.png"]);
    run(&format!("image={}", path("missing.npy"))).fails(3, &["missing.npy"]);
    run("image=").fails(2, &["image="]);
    mlc(["run", &example_text("digits.onnx")]).fails(2, &["`image`: f32[batch, 1, 28, 28]", "--input"]);
    run(&format!("image={}", path("good.npy"))).fine();
}

#[test]
fn folders_that_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let (model, file) = (example_text("digits.onnx"), folder.path().join("file"));
    fs::write(&file, b"").unwrap();
    mlc(["build", &model, "-o", &file.display().to_string()]).fails(3, &["file"]);
    mlc(["build", &model, "-o", &file.join("below").display().to_string()]).fails(3, &["below"]);
    let locked = folder.path().join("locked");
    fs::create_dir(&locked).unwrap();
    let mut rights = fs::metadata(&locked).unwrap().permissions();
    rights.set_readonly(true);
    fs::set_permissions(&locked, rights).unwrap();
    // Whoever may do everything can write there, too.
    if fs::write(locked.join("probe"), b"").is_err() {
        mlc(["build", &model, "-o", &locked.display().to_string()]).fails(3, &["locked"]);
        assert!(names(&locked).is_empty());
    }
}

#[test]
fn errors_are_objects_too() {
    let ran = mlc(["build", "missing.onnx", "--json"]);
    ran.fails(3, &["missing.onnx"]);
    let answer = ran.json();
    assert_eq!((answer["schema"].as_str(), answer["exit"].as_i64()), (Some("mlc-error/1"), Some(3)));
    assert_eq!(answer["kind"], "invalid");
}
