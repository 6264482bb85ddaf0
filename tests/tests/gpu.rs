//! Real models for a GPU: their kernels interpreted behind the driver's functions, against onnxruntime's results or what a
//! processor computes; and assembled for several generations by NVIDIA's `ptxas`, where it is installed.

use mlc::engine::Engine;
use mlc::model::{Passes, optimize};
use mlc::targets::{GPU, find};
use mlc_codegen::kernels::{Scheduled, schedule_program};
use mlc_codegen::ptx::{self, Capability};
use mlc_codegen::tuning::Tuning;
use mlc_frontend::{DimRange, Options};
use mlc_ir::{Graph, Tensor};
use mlc_tensorio::relative_to_scale;
use mlc_tests::{Test, load, model_tests, root};
use onnx_protobuf::{Message, ModelProto, tensor_shape_proto::dimension::Value, type_proto};
use std::path::PathBuf;
use std::process::Command;

/// Largest difference that is accepted, relative to the largest value of an output.
const TOLERANCE: f64 = 1e-4;

/// Models whose kernels are interpreted in seconds.
const INTERPRETED: [&str; 2] = ["silero-vad", "magika"];

/// Models whose kernels are assembled, and the generations they are assembled for: all are, for some model.
const ASSEMBLED: [(&str, &[&str]); 9] = [
    ("silero-vad", ALL),
    ("magika", ALL),
    ("minilm-l6", ALL),
    ("efficientnet-lite0", &["sm_75", "sm_86", "sm_90", "sm_120"]),
    ("minilm-int8", &["sm_86", "sm_120"]),
    ("smollm2-135m", &["sm_90"]),
    ("open-nsfw", &["sm_80"]),
    ("ddddocr-det", &["sm_89"]),
    ("ppocr-v4-det", &["sm_87"]),
];

const ALL: &[&str] = &["sm_75", "sm_80", "sm_86", "sm_87", "sm_89", "sm_90", "sm_100", "sm_120"];

fn tests(names: &[&str]) -> Vec<Test> {
    let mut tests = model_tests().expect("the models are there: tests/setup.sh fetches them");
    tests.retain(|test| names.contains(&test.name.as_str()));
    assert_eq!(tests.len(), names.len(), "all of {names:?}");
    tests
}

#[test]
fn models_agree_with_onnxruntime() {
    mlc_fake_cuda::install().unwrap_or_else(|why| panic!("{why}"));
    for test in tests(&INTERPRETED) {
        let graph = mlc_frontend::import(&test.model, &Options::default()).unwrap();
        let mut engine = engine(graph, GPU, "sm_75");
        for set in &test.sets {
            agrees(&mut engine, set);
        }
        println!("{}: {} cases", test.name, test.sets.len());
    }
}

#[test]
fn a_transformer_of_fixed_sizes_agrees_with_onnxruntime() {
    let dims = [("batch", 1), ("sequence", 16)].map(|(name, size)| (name.to_string(), DimRange::fixed(size)));
    cases_agree("minilm-l6", dims.into(), &["batch-1-sequence-16"]);
}

/// What its attentions keep has a size known at run time only.
#[test]
fn a_transformer_of_any_length_agrees_with_onnxruntime() {
    cases_agree("minilm-l6", vec![], &["batch-1-sequence-7", "batch-1-sequence-16"]);
}

/// Runs some cases of a model with one artifact.
fn cases_agree(model: &str, dims: Vec<(String, DimRange)>, cases: &[&str]) {
    mlc_fake_cuda::install().unwrap_or_else(|why| panic!("{why}"));
    let [test] = &tests(&[model])[..] else { panic!("one model") };
    let graph = mlc_frontend::import(&test.model, &Options { dims, ..Options::default() }).unwrap();
    let mut engine = engine(graph, GPU, "sm_80");
    for case in cases {
        agrees(&mut engine, test.sets.iter().find(|set| set.ends_with(case)).expect("a case of these sizes"));
    }
}

/// With sizes known at run time only, where the models have such.
#[test]
fn no_kernel_of_a_model_is_left_to_the_processor() {
    for test in model_tests().expect("the models are there: tests/setup.sh fetches them") {
        for kernel in scheduled(&test, "sm_90") {
            assert!(kernel.code.on_gpu(), "{}: `{}`: {:?}", test.name, kernel.lowered.tile.name, kernel.code);
        }
    }
}

/// The model says that images have 224x224 points, but nothing in it needs that: it ends in an average over all.
#[test]
fn a_convolutional_network_on_small_images_agrees_with_the_processor() {
    const SIDE: i64 = 64;
    mlc_fake_cuda::install().unwrap_or_else(|why| panic!("{why}"));
    let [test] = &tests(&["efficientnet-lite0"])[..] else { panic!("one model") };
    let model = with_side(&std::fs::read(&test.model).unwrap(), SIDE);
    let dims = vec![("batch".to_string(), DimRange::fixed(1))];
    let options = Options { dims, ..Options::default() };
    let graph = || mlc_frontend::import_bytes(model.clone(), test.model.parent(), &options).unwrap();
    let image: Vec<f32> = (0..3 * SIDE * SIDE).map(|at| ((at * 7919) % 513) as f32 / 256.0 - 1.0).collect();
    let image = Tensor::from_f32s(vec![1, 3, SIDE as usize, SIDE as usize], &image).unwrap();
    let [expected, found] = [("host", None), (GPU, Some("sm_80"))].map(|(name, generation)| {
        let (program, _) = optimize(graph(), &Passes::default()).unwrap();
        let mut engine = Engine::compiled_for(program, find(name, generation).unwrap(), 1).unwrap();
        engine.run(std::slice::from_ref(&image)).unwrap()
    });
    let error = relative_to_scale(&found[0], &expected[0]).unwrap();
    assert!(error <= TOLERANCE, "differs by {error:.1e}");
}

/// A model whose images have another side than it says.
fn with_side(model: &[u8], side: i64) -> Vec<u8> {
    let mut model = ModelProto::parse_from_bytes(model).unwrap();
    for input in &mut model.graph.mut_or_insert_default().input {
        let Some(type_proto::Value::TensorType(ty)) = &mut input.type_.mut_or_insert_default().value else { continue };
        for dim in ty.shape.mut_or_insert_default().dim.iter_mut().skip(2) {
            dim.value = Some(Value::DimValue(side));
        }
    }
    model.write_to_bytes().unwrap()
}

/// Runs a case, and compares with its outputs.
fn agrees(engine: &mut Engine, set: &std::path::Path) {
    let data = load(set).unwrap();
    let inputs: Vec<Tensor> = data.inputs.iter().map(|input| input.tensor.clone()).collect();
    let outputs = engine.run(&inputs).unwrap_or_else(|why| panic!("{}: {why}", set.display()));
    assert_eq!(outputs.len(), data.outputs.len(), "{}", set.display());
    for (number, (got, expected)) in outputs.iter().zip(&data.outputs).enumerate() {
        let error = relative_to_scale(got, &expected.tensor).unwrap();
        assert!(error <= TOLERANCE, "{}: output {number} differs by {error:.1e}", set.display());
    }
}

/// A graph compiled for a machine.
fn engine(graph: Graph, name: &str, generation: &str) -> Engine {
    let (program, _) = optimize(graph, &Passes::default()).unwrap();
    Engine::compiled_for(program, find(name, Some(generation)).unwrap(), 1).unwrap()
}

#[test]
fn kernels_are_assembled_and_spill_nothing() {
    let Some(ptxas) = ptxas() else {
        assert!(std::env::var_os("CI").is_none(), "ptxas is missing: tests/setup.sh installs it");
        println!("skipped: there is no ptxas, which tests/setup.sh installs");
        return;
    };
    println!("{:<20} {:<8} {:>7} {:>14} {:>13}", "model", "GPU", "kernels", "most registers", "local, bytes");
    let folder = tempfile::tempdir().unwrap();
    for test in tests(&ASSEMBLED.map(|row| row.0)) {
        let row = ASSEMBLED.iter().find(|row| row.0 == test.name);
        for generation in row.map_or(ALL, |row| row.1) {
            let text = module(&test, generation);
            let path = folder.path().join("kernels.ptx");
            std::fs::write(&path, &text).unwrap();
            let mut assemble = Command::new(&ptxas);
            assemble.args([&format!("-arch={generation}"), "-v", "-o"]).arg(folder.path().join("out"));
            let output = assemble.arg(&path).output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{} {generation}: {said}", test.name);
            let most = |what: &str| numbers_before(&said, what).into_iter().max().unwrap_or(0);
            let (registers, kept) = (numbers_before(&said, " registers"), most(" bytes stack frame"));
            assert_eq!(registers.len(), text.matches(".entry").count(), "{} {generation}: {said}", test.name);
            let spilled = most(" bytes spill stores") + most(" bytes spill loads");
            assert_eq!(spilled, 0, "{} {generation} spills: {said}", test.name);
            let (count, most) = (registers.len(), registers.iter().max().unwrap_or(&0));
            println!("{:<20} {generation:<8} {count:>7} {most:>14} {kept:>13}", test.name);
        }
    }
}

/// A model's kernels.
fn scheduled(test: &Test, generation: &str) -> Vec<Scheduled> {
    let graph = mlc_frontend::import(&test.model, &Default::default()).unwrap();
    let (mut program, _) = optimize(graph, &Passes::default()).unwrap();
    let capability = Capability::from_name(generation);
    let machine = find(GPU, Some(generation)).unwrap().machine();
    schedule_program(&mut program, &machine, capability, &Tuning::NONE).unwrap().kernels
}

/// The module of a model's kernels.
fn module(test: &Test, generation: &str) -> String {
    let kernels = scheduled(test, generation);
    let capability = Capability::from_name(generation).unwrap();
    let own = kernels.iter().enumerate().filter(|(number, kernel)| kernel.like == *number);
    let entry = |(_, kernel)| {
        let kernel: &Scheduled = kernel;
        kernel.code.entry().map(|entry| entry.text.as_str())
    };
    ptx::module(capability, &own.filter_map(entry).collect::<Vec<_>>())
}

/// The numbers that stand before some words.
fn numbers_before(text: &str, words: &str) -> Vec<u32> {
    let number = |before: &str| before.rsplit(|c: char| !c.is_ascii_digit()).next()?.parse().ok();
    text.match_indices(words).filter_map(|(at, _)| number(&text[..at])).collect()
}

/// Where `ptxas` is: in the tests' Python environment, or on the path.
fn ptxas() -> Option<PathBuf> {
    let site = |entry: std::fs::DirEntry| entry.path().join("site-packages/nvidia/cu13/bin/ptxas");
    let installed = std::fs::read_dir(root().join(".venv/lib")).into_iter().flatten().flatten().map(site);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path: Vec<PathBuf> = std::env::split_paths(&path).map(|folder| folder.join("ptxas")).collect();
    installed.chain(on_path).find(|file| file.is_file())
}
