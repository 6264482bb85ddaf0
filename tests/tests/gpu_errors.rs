//! What a model for a GPU says where it cannot run, each in a process of its own, which finds another driver.

use mlc::engine::Engine;
use mlc::model::{Passes, optimize};
use mlc::targets::{GPU, find};
use mlc_ir::{Graph, Tensor};
use mlc_tests::root;
use std::process::Command;

/// Says to the process that it is one of these, and for which generation of GPUs the model is.
const GENERATION: &str = "MLC_TEST_GENERATION";
/// Says to it whether there is a driver.
const DRIVER: &str = "MLC_TEST_DRIVER";

/// Says to it that the model is an attention, and of what length.
const LENGTH: &str = "MLC_TEST_LENGTH";

/// A run of a small model, which answers or tells why not.
fn run(generation: &str) -> Result<usize, String> {
    if std::env::var_os(DRIVER).is_some() {
        mlc_fake_cuda::install()?;
    }
    let length = std::env::var(LENGTH).ok().and_then(|length| length.parse::<usize>().ok());
    let (graph, shape, count) = match length {
        None => {
            (mlc_frontend::import(&root().join("examples/digits.onnx"), &Default::default()), vec![1, 1, 28, 28], 1)
        }
        Some(length) => (Graph::parse(ATTENTION), vec![1, 1, length, 4], 3),
    };
    let (program, _) = optimize(graph.map_err(|e| e.message)?, &Passes::default()).map_err(|e| e.message)?;
    let target = find(GPU, Some(generation)).map_err(|why| format!("{why:?}"))?;
    let mut engine = Engine::compiled_for(program, target, 1).map_err(|e| e.message)?;
    let elements = shape.iter().product();
    let input = Tensor::from_f32s(shape, &vec![0.5; elements]).map_err(|e| e.message)?;
    engine.run(&vec![input; count]).map(|outputs| outputs.len()).map_err(|why| why.to_string())
}

const ATTENTION: &str = "graph @a(%q: f32[1, 1, n, 4], %k: f32[1, 1, n, 4], %v: f32[1, 1, n, 4]) opset 23 {
  %y = Attention(%q, %k, %v) : f32[1, 1, n, 4] return %y }";

#[test]
fn a_process_with_another_driver() {
    if let Ok(generation) = std::env::var(GENERATION) {
        println!("answer: {:?}", run(&generation));
    }
}

/// What such a process answers.
fn answer(generation: &str, driver: bool, variables: &[(&str, &str)]) -> String {
    let mut process = Command::new(std::env::current_exe().unwrap());
    process.args(["--exact", "a_process_with_another_driver", "--nocapture"]);
    process.env(GENERATION, generation).env_remove(DRIVER).envs(variables.iter().copied());
    if driver {
        process.env(DRIVER, "1");
    }
    let output = process.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let found = text.split("answer: ").nth(1).and_then(|rest| rest.lines().next());
    found.unwrap_or_else(|| panic!("no answer: {text}{}", String::from_utf8_lossy(&output.stderr))).to_string()
}

#[test]
fn what_is_missing_has_a_name() {
    let ptxas = "ptxas fatal : Unresolved extern function 'k'";
    assert_eq!(answer("sm_75", true, &[]), "Ok(1)");
    assert_eq!(answer("sm_75", true, &[("FAKE_CUDA_BYTES", "300000"), (LENGTH, "20")]), "Ok(1)");
    let cases: [(&str, &[(&str, &str)], &[&str]); 7] = [
        ("sm_75", &[("FAKE_CUDA_VERSION", "9020")], &["the NVIDIA driver is too old: it is for CUDA 9, 10 is needed"]),
        // The version of the text that this generation needs came with CUDA 12.8.
        (
            "sm_120",
            &[("FAKE_CUDA_VERSION", "12070"), ("FAKE_CUDA_CAPABILITY", "120")],
            &["the NVIDIA driver is too old", "PTX 8.7"],
        ),
        ("sm_90", &[("FAKE_CUDA_CAPABILITY", "75")], &["GPUs from sm_90 on", "this one is sm_75", "--cpu"]),
        // Too little for the weights, and for the arena behind them.
        ("sm_75", &[("FAKE_CUDA_BYTES", "4096")], &["bytes on the GPU: out of memory (CUDA error 2)"]),
        ("sm_75", &[("FAKE_CUDA_BYTES", "110000")], &["bytes on the GPU: out of memory (CUDA error 2)"]),
        // For what tasks keep: enough for short ones.
        (
            "sm_75",
            &[("FAKE_CUDA_BYTES", "300000"), (LENGTH, "2000")],
            &["kernel ", "bytes on the GPU: out of memory (CUDA error 2)"],
        ),
        ("sm_75", &[("FAKE_CUDA_LOG", ptxas)], &["compiling the kernels for this GPU", "CUDA error 218", ptxas]),
    ];
    for (generation, variables, expected) in cases {
        let said = answer(generation, true, variables);
        assert!(said.starts_with("Err(") && expected.iter().all(|text| said.contains(text)), "{variables:?}: {said}");
    }
}

#[test]
fn a_machine_without_a_driver_says_so() {
    let said = answer("sm_75", false, &[]);
    // Where there is a driver, and a GPU or none, this is not the error.
    let has_driver = !said.contains("libcuda.so.1 cannot be loaded");
    assert!(said.contains("no NVIDIA driver") || has_driver && std::env::var_os("CI").is_none(), "{said}");
}
