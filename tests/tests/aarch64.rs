//! Real models as programs for aarch64, run by an emulator, against onnxruntime's results.
//!
//! Each is built as for a board: code and header by the compiler, a program in C around it by the cross compiler, linked with
//! the static library or with the shared object. Without cross compiler or emulator the test says so and ends.

use mlc::commands::build::{Args, Emit, WeightsPlace, execute};
use mlc::progress::Ui;
use mlc_ir::{DType, Tensor};
use mlc_tensorio::relative_to_scale;
use mlc_tests::{Test, load, model_tests, root};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

/// Largest difference that is accepted, relative to the largest value of an output; as on the host.
const TOLERANCE: f64 = 1e-4;
const COMPILER: &str = "aarch64-linux-gnu-gcc";
const EMULATOR: &str = "qemu-aarch64";
/// Where Debian's cross compiler has the target's libraries.
const SYSROOT: &str = "/usr/aarch64-linux-gnu";

/// Builds a model for a target, and a program around it; runs the cases.
fn check(model: &str, cases: &[&str], target: &str, library: Emit) {
    let lacks = |tool: &&str| Command::new(tool).arg("--version").output().is_err();
    if let Some(missing) = [COMPILER, EMULATOR].iter().find(|tool| lacks(tool)) {
        // Past the test harness, which hides what a test that passes prints.
        let _ = writeln!(std::io::stderr(), "notice: `{missing}` is not installed: {model} is not tested on aarch64");
        return;
    }
    let tests = model_tests().expect("the models are there: tests/setup.sh fetches them");
    let test = tests.iter().find(|test| test.name == model).expect("a model with cases");
    let folder = tempfile::tempdir().unwrap();
    build(test, target, library, folder.path());
    program(test, library, folder.path());
    for case in cases {
        let set = test.sets.iter().find(|set| set.ends_with(case)).expect("the case is there");
        let data = load(set).unwrap();
        let inputs = data.inputs.iter().flat_map(|named| written(&named.tensor)).collect::<Vec<u8>>();
        let outputs = emulate(folder.path(), &inputs).unwrap_or_else(|e| panic!("{model} {case}: {e}"));
        assert_eq!(outputs.len(), data.outputs.len(), "{model} {case}");
        for (number, (got, expected)) in outputs.iter().zip(&data.outputs).enumerate() {
            let error = relative_to_scale(got, &expected.tensor);
            let error = error.unwrap_or_else(|e| panic!("{model} {case}: output {number}: {e}"));
            assert!(error <= TOLERANCE, "{model} {case}: output {number} differs by {error:.1e}");
        }
    }
}

fn build(test: &Test, target: &str, library: Emit, folder: &Path) {
    let args = Args {
        tuning: Default::default(),
        model: test.model.clone(),
        target: target.into(),
        cpu: None,
        source: Default::default(),
        emit: vec![library, Emit::Header],
        name: Some("net".into()),
        weights: WeightsPlace::Auto,
        output: folder.into(),
        explain: false,
        stop_after: None,
        verify_passes: false,
    };
    execute(&args, Ui { json: true }).unwrap_or_else(|e| panic!("{}: {e}", test.name));
}

fn program(test: &Test, library: Emit, folder: &Path) {
    let data = load(&test.sets[0]).unwrap();
    let mut command = Command::new(COMPILER);
    command.current_dir(folder).args([
        "-std=c11",
        "-O1",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-include",
        "net.h",
        "-DMODEL=net",
    ]);
    command.arg(format!("-DINPUTS={}", data.inputs.len())).arg(format!("-DOUTPUTS={}", data.outputs.len()));
    command.arg(root().join("tests").join("aarch64").join("main.c")).args(["-I.", "-o", "program"]);
    match library {
        Emit::So => command.args(["net.so", "-Wl,-rpath,$ORIGIN"]),
        _ => command.args(["libnet.a", "-static"]),
    };
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}: {}", test.name, String::from_utf8_lossy(&output.stderr));
}

/// Runs the program on inputs.
fn emulate(folder: &Path, inputs: &[u8]) -> Result<Vec<Tensor>, String> {
    fs::write(folder.join("inputs"), inputs).unwrap();
    let mut command = Command::new(EMULATOR);
    command.current_dir(folder).args(["-L", SYSROOT, "./program", "inputs", "outputs"]);
    if folder.join("net.weights").exists() {
        command.arg("net.weights");
    }
    let output = command.output().unwrap();
    if !output.status.success() {
        return Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr)));
    }
    let bytes = fs::read(folder.join("outputs")).map_err(|e| e.to_string())?;
    let (mut rest, mut tensors) = (bytes.as_slice(), vec![]);
    while !rest.is_empty() {
        tensors.push(read(&mut rest).ok_or("the outputs cannot be read")?);
    }
    Ok(tensors)
}

/// A tensor as the program reads and writes it.
fn written(tensor: &Tensor) -> Vec<u8> {
    let mut bytes = [tensor.dtype().onnx() as u32, tensor.shape().len() as u32].map(u32::to_le_bytes).concat();
    bytes.extend(tensor.shape().iter().flat_map(|&n| (n as i64).to_le_bytes()));
    bytes.extend((tensor.bytes().len() as u64).to_le_bytes());
    bytes.extend(tensor.bytes());
    bytes
}

fn read(bytes: &mut &[u8]) -> Option<Tensor> {
    let dtype = DType::from_onnx(u32::from_le_bytes(*take(bytes)?) as i32)?;
    let rank = u32::from_le_bytes(*take(bytes)?);
    let shape: Option<Vec<usize>> = (0..rank).map(|_| Some(u64::from_le_bytes(*take(bytes)?) as usize)).collect();
    let count = u64::from_le_bytes(*take(bytes)?) as usize;
    let elements = bytes.split_off(..count)?;
    Tensor::new(dtype, shape?, elements.to_vec()).ok()
}

fn take<'a, const N: usize>(bytes: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    bytes.split_off(..N)?.try_into().ok()
}

#[test]
fn magika() {
    check("magika", &["batch-1", "batch-3"], "aarch64", Emit::So);
}

#[test]
fn silero() {
    check("silero-vad", &["batch-1-rate-16000", "batch-2-rate-8000"], "aarch64", Emit::So);
    check("silero-vad", &["batch-1-rate-8000"], "aarch64", Emit::Lib);
}

/// Its weights are a file beside the library.
#[test]
fn minilm() {
    check("minilm-l6", &["batch-1-sequence-7", "batch-1-sequence-16"], "aarch64", Emit::So);
}

/// For a processor with more features than all have.
#[test]
fn minilm_int8() {
    check("minilm-int8", &["batch-1-sequence-7"], "raspberry-pi-5", Emit::Lib);
}

#[test]
fn efficientnet() {
    check("efficientnet-lite0", &["batch-1"], "aarch64", Emit::Lib);
}
