//! The main job, from end to end: build the example, look at it, run it, measure it.

mod common;

use common::{best, example_text, mlc, names, pictures};
use std::path::Path;

fn build(folder: &Path, more: &[&str]) -> serde_json::Value {
    let (model, folder) = (example_text("digits.onnx"), folder.display().to_string());
    let args = ["build", &model, "-o", &folder, "--json"];
    mlc(args.iter().chain(more)).fine().json()
}

#[test]
fn a_model_is_built_inspected_and_run() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("deep/er");
    let built = build(&out, &[]);
    assert_eq!(names(&out), ["digits.h", "digits.json", "digits.so"]);
    assert_eq!((built["schema"].as_str(), built["name"].as_str()), (Some("mlc-build/1"), Some("digits")));
    for file in built["files"].as_array().unwrap() {
        let size = std::fs::metadata(file["path"].as_str().unwrap()).unwrap().len();
        assert_eq!(file["bytes"].as_u64(), Some(size));
    }
    assert!(built["code_bytes"].as_u64().unwrap() > 0 && built["kernels"].as_u64().unwrap() > 0);
    let artifact = out.join("digits.so").display().to_string();

    let seen = mlc(["inspect", &artifact, "--json"]).fine().json();
    assert_eq!(seen["interface"]["inputs"][0]["name"], "image");
    assert_eq!(seen["interface"]["inputs"][0]["shape"], serde_json::json!(["batch", 1, 28, 28]));
    assert_eq!(seen["weights"]["bytes"], built["weights"]["bytes"]);
    assert_eq!(seen["kernels"].as_array().unwrap().len() as u64, built["kernels"].as_u64().unwrap());

    let args = ["run", &artifact, "--top", "1", "--json"].map(String::from);
    let answer = mlc(args.into_iter().chain(pictures())).fine().json();
    assert_eq!(best(&answer), (0..10).collect::<Vec<_>>());
}

#[test]
fn an_artifact_tells_which_kernels_are_on_the_gpu() {
    let out = tempfile::tempdir().unwrap();
    build(out.path(), &["--target", "nvptx64", "--cpu", "sm_80"]);
    let artifact = out.path().join("digits.so").display().to_string();
    let seen = mlc(["inspect", &artifact, "--json"]).fine().json();
    let names = seen["kernels"].as_array().unwrap().iter();
    let expected: Vec<_> = names.map(|name| serde_json::json!({ "kernel": name, "place": "gpu" })).collect();
    assert_eq!(seen["gpu"], serde_json::json!(expected));
    let text = mlc(["inspect", &artifact]).fine().out;
    assert!(text.contains("0 left to the processor"), "{text}");
    std::fs::remove_file(out.path().join("digits.json")).unwrap();
    let text = mlc(["inspect", &artifact]).fine().out;
    assert!(text.contains("which kernels run there is unknown") && text.contains("digits.json"), "{text}");
}

#[test]
fn a_model_runs_without_being_built() {
    for engine in ["compiled", "interpreter"] {
        let args = ["run", &example_text("digits.onnx"), "--engine", engine, "--top", "2", "--json"].map(String::from);
        let answer = mlc(args.into_iter().chain(pictures())).fine().json();
        assert_eq!(best(&answer), (0..10).collect::<Vec<_>>(), "{engine}");
        assert_eq!(answer["outputs"][0]["shape"], serde_json::json!([10, 10]));
    }
}

#[test]
fn results_are_for_people_and_go_to_files() {
    let folder = tempfile::tempdir().unwrap();
    let results = folder.path().join("results").display().to_string();
    let (model, picture) = (example_text("digits.onnx"), example_text("pictures/3-a.png"));
    let ran = mlc(["run", &model, "-i", &picture, "--top", "1"]).fine();
    assert!(ran.out.contains("3-a.png: 3 "), "{}", ran.out);
    let ran = mlc(["run", &model, "-i", &picture]).fine();
    assert!(ran.out.contains("scores: f32[1, 10]") && ran.out.contains("mean"), "{}", ran.out);
    mlc(["run", &model, "-i", &picture, "-o", &results]).fine();
    let tensor = mlc_tensorio::read(&folder.path().join("results/scores.npy")).unwrap().remove(0).tensor;
    assert_eq!(tensor.shape(), [1, 10]);
    assert!(tensor.get(3).float() > 0.5);
}

#[test]
fn bench_keeps_its_promise() {
    let folder = tempfile::tempdir().unwrap();
    build(folder.path(), &[]);
    let artifact = folder.path().join("digits.so").display().to_string();
    let args = ["bench", &artifact, "--dim", "batch=2", "--duration", "0.1", "--threads", "1", "--profile", "--json"];
    let answer = mlc(args).fine().json();
    for key in ["p50_ms", "p90_ms", "p99_ms", "load_ms", "first_ms", "peak_rss_bytes", "arena_bytes"] {
        assert!(answer[key].as_f64().is_some_and(|value| value > 0.0), "{key}: {answer}");
    }
    let shares = answer["kernels"].as_array().unwrap().iter().map(|kernel| kernel["share"].as_f64().unwrap());
    assert!((shares.sum::<f64>() - 1.0).abs() < 1e-6, "{answer}");
    mlc(["bench", &artifact, "--duration", "0.1"]).fails(2, &["batch", "--dim batch=N"]);
    let pinned = ["bench", &artifact, "--dim", "batch=2", "--duration", "0.1", "--threads", "3", "--pin", "--json"];
    if cfg!(target_os = "linux") {
        assert_eq!(mlc(pinned).fine().json()["threads"], 3);
    }
}

/// The kernels of the example with sizes and rates, from the model itself and from an artifact with its manifest.
#[test]
fn a_profile_says_what_kernels_do() {
    let folder = tempfile::tempdir().unwrap();
    build(folder.path(), &[]);
    let artifact = folder.path().join("digits.so").display().to_string();
    let bench = |file: &str, more: &[&str]| {
        let args = ["bench", file, "--dim", "batch=2", "--duration", "0.05", "--threads", "1", "--profile"];
        mlc(args.iter().chain(more)).fine()
    };
    for file in [&artifact, &example_text("digits.onnx")] {
        let answer = bench(file, &["--json"]).json();
        assert!(answer["unknown"].is_null(), "{answer}");
        assert!(answer["roofline"]["gflops"].as_f64() > Some(0.0) && answer["roofline"]["gbps"].as_f64() > Some(0.0));
        let kernels = answer["kernels"].as_array().unwrap();
        for kernel in kernels {
            for key in ["operations", "bytes", "gflops", "gbps", "roofline"] {
                assert!(kernel[key].as_f64().is_some(), "{key}: {kernel}");
            }
            assert!(kernel["bytes"].as_f64() > Some(0.0), "{kernel}");
        }
        let listed = |key: &str| -> Vec<&str> {
            let texts = kernels.iter().flat_map(|kernel| kernel[key].as_array().unwrap());
            texts.map(|text| text.as_str().unwrap()).collect()
        };
        assert!(listed("schedule").iter().any(|step| step.starts_with("block(")), "{answer}");
        assert!(kernels.iter().any(|kernel| kernel["nodes"].as_array().unwrap().len() > 1), "{answer}");
        let most = kernels.iter().map(|kernel| kernel["operations"].as_f64().unwrap()).sum::<f64>();
        assert!((1e6..1e8).contains(&most), "{most} operations");
    }
    let text = bench(&artifact, &[]).out;
    for part in ["GF/s", "GB/s", "roofline", "nodes", "schedule", "order(", "a lower bound"] {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
    std::fs::remove_file(folder.path().join("digits.json")).unwrap();
    let text = bench(&artifact, &[]).out;
    assert!(text.contains("share") && text.contains("only time and share") && !text.contains("GF/s"), "{text}");
    build(folder.path(), &["--dim", "batch=2"]);
    let manifest = std::fs::read(folder.path().join("digits.json")).unwrap();
    build(folder.path(), &[]);
    std::fs::write(folder.path().join("digits.json"), manifest).unwrap();
    let answer = bench(&artifact, &["--json"]).json();
    assert!(answer["unknown"].as_str().is_some_and(|why| why.contains("another build")), "{answer}");
}

#[test]
fn a_trace_has_an_event_for_each_call() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.trace.json");
    let (model, trace) = (example_text("digits.onnx"), file.display().to_string());
    let args = ["bench", &model, "--dim", "batch=2", "--duration", "0.05", "--threads", "1", "--profile"];
    let answer = mlc(args.into_iter().chain(["--trace", &trace, "--json"])).fine().json();
    assert_eq!(names(folder.path()), ["run.trace.json"]);
    let read: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let events = read["traceEvents"].as_array().unwrap();
    let calls: Vec<_> = events.iter().filter(|event| event["ph"] == "X").collect();
    // The example runs each kernel once.
    let mut expected: Vec<&str> =
        answer["kernels"].as_array().unwrap().iter().map(|it| it["kernel"].as_str().unwrap()).collect();
    let mut seen: Vec<&str> = calls.iter().map(|event| event["name"].as_str().unwrap()).collect();
    expected.sort_unstable();
    seen.sort_unstable();
    assert_eq!(seen, expected);
    let mut end = 0.0;
    for event in calls {
        let (begun, time) = (event["ts"].as_f64().unwrap(), event["dur"].as_f64().unwrap());
        assert!(begun >= end && time >= 0.0 && event["tid"] == 1, "{event}");
        assert!(event["args"]["nodes"].is_array() && event["args"]["gflops"].is_number(), "{event}");
        end = begun + time;
    }
}

#[test]
fn every_kind_of_file_is_written_for_every_family() {
    for target in ["host", "x86-64-v3", "aarch64", "raspberry-pi-5"] {
        let folder = tempfile::tempdir().unwrap();
        let emit = "so,obj,lib,header,manifest,graph,program,tile,clif,asm";
        build(folder.path(), &["--target", target, "--emit", emit, "--name", "it"]);
        let expected =
            ["it.clif", "it.graph", "it.h", "it.json", "it.o", "it.program", "it.s", "it.so", "it.tile", "libit.a"];
        assert_eq!(names(folder.path()), expected, "{target}");
        let artifact = folder.path().join("it.so").display().to_string();
        let seen = mlc(["inspect", &artifact, "--json"]).fine().json();
        let family = if target.contains("86") { "x86_64" } else { "aarch64" };
        assert!(target == "host" || seen["architecture"] == family, "{seen}");
    }
}

#[test]
fn builds_are_the_same_every_time() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for folder in [&one, &other] {
        build(folder.path(), &["--weights", "sidecar"]);
    }
    assert_eq!(names(one.path()), ["digits.h", "digits.json", "digits.so", "digits.weights"]);
    for name in names(one.path()) {
        let read = |folder: &tempfile::TempDir| std::fs::read(folder.path().join(&name)).unwrap();
        assert!(read(&one) == read(&other), "{name} differs");
    }
}

#[test]
fn a_model_is_checked_inspected_and_verified() {
    let model = example_text("digits.onnx");
    let checked = mlc(["check", &model, "--json"]).fine().json();
    assert_eq!(checked["gaps"], serde_json::json!([]));
    let seen = mlc(["inspect", &model, "--json"]).fine().json();
    assert_eq!(seen["ops"]["Conv"], 4);
    assert_eq!(seen["weights"]["elements"].as_u64(), Some(15_346));
    let cut = mlc(["inspect", &model, "--target", "sm_90", "--json"]).fine().json();
    assert_eq!(
        (cut["gpu"]["kernels"].as_u64() > Some(0), &cut["gpu"]["left"]),
        (true, &serde_json::json!([])),
        "{cut}"
    );
    let verified = mlc(["verify", &model, "--against", "reference", "--dim", "batch=3", "--json"]).fine().json();
    assert_eq!((verified["passed"].as_bool(), verified["outputs"][0]["output"].as_str()), (Some(true), Some("scores")));
}

#[test]
fn verify_finds_what_differs() {
    use mlc_ir::Tensor;
    use mlc_tensorio::{Named, write};
    let folder = tempfile::tempdir().unwrap();
    let case = folder.path().join("test_data_set_0");
    std::fs::create_dir(&case).unwrap();
    let put = |name: &str, tensor: Tensor| write(&case.join(name), &[Named { name: None, tensor }]).unwrap();
    put("input_0.pb", Tensor::from_f32s(vec![1, 1, 28, 28], &[0.0; 784]).unwrap());
    put("output_0.pb", Tensor::from_f32s(vec![1, 10], &[0.5; 10]).unwrap());
    let ran = mlc(["verify".as_ref(), example_text("digits.onnx").as_ref(), folder.path().as_os_str()]);
    assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("DIFFERS") && ran.out.contains("0 of 1 outputs agree"), "{}", ran.out);
}

#[test]
fn targets_and_help_are_there() {
    let listed = mlc(["targets", "--json"]).fine().json();
    let names: Vec<&str> =
        listed["targets"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"raspberry-pi-4"));
    assert!(mlc(["targets"]).fine().out.contains("raspberry-pi-4"));
    for command in ["build", "check", "inspect", "run", "verify", "bench", "tune", "targets"] {
        assert!(mlc([command, "--help"]).fine().out.contains("Usage:"), "{command}");
    }
}

#[test]
fn the_passes_can_be_stopped() {
    let model = example_text("digits.onnx");
    let stopped = mlc(["build", &model, "--stop-after", "import"]).fine();
    assert!(stopped.out.starts_with("graph @digits(%image: f32[batch, 1, 28, 28])"), "{}", stopped.out);
    assert!(!Path::new("digits.so").exists());
    let stopped = mlc(["build", &model, "--stop-after", "build", "--verify-passes"]).fine();
    assert!(stopped.out.starts_with("program"), "{}", stopped.out);
    let ran = mlc(["build", &model, "--stop-after", "nothing"]);
    assert!(ran.code == 2 && ran.err.contains("import"), "{}", ran.err);
}
