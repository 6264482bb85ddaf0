//! Real models, compiled once with symbolic dims, against onnxruntime's results for several shapes: with all that this
//! machine has, and as for one without AVX-512. Any number of threads gives the same bits.

use mlc::engine::{Engine, run_session};
use mlc::model::{Passes, optimize};
use mlc::targets::{Target, find};
use mlc_ir::Tensor;
use mlc_tensorio::relative_to_scale;
use mlc_tests::{load, model_tests};

/// Largest difference that is accepted, relative to the largest value of an output.
const TOLERANCE: f64 = 1e-4;

/// Numbers of threads that all must give what one gives.
const THREADS: std::ops::RangeInclusive<usize> = 2..=5;

#[test]
fn models_agree_with_onnxruntime() {
    agree(&find("host", None).expect("this machine is known"));
}

#[test]
fn models_for_avx2_agree_with_onnxruntime() {
    let host = find("host", None).expect("this machine is known");
    let narrow = find("x86-64-v3", None).expect("a processor the command knows");
    if narrow.triple.architecture != host.triple.architecture
        || !narrow.features.iter().all(|feature| host.features.contains(feature))
    {
        println!("skipped: this machine has no AVX2");
        return;
    }
    agree(&Target { triple: host.triple, ..narrow });
}

/// Runs all models, compiled for a target, on all their cases.
fn agree(target: &Target) {
    let mut wrong = Vec::new();
    for test in model_tests().expect("the models are there: tests/setup.sh fetches them") {
        let graph = match mlc_frontend::import(&test.model, &Default::default()) {
            Ok(graph) => graph,
            Err(error) => {
                wrong.push(format!("{}: {error}", test.name));
                continue;
            }
        };
        let program =
            optimize(graph, &Passes::default()).map(|(program, _)| program).map_err(mlc::failure::Failure::from);
        let engine = program.and_then(|program| Engine::compiled_for(program, target.clone(), 1));
        let mut engine = match engine {
            Ok(engine) => engine,
            Err(error) => {
                wrong.push(format!("{}: {}", test.name, error.message));
                continue;
            }
        };
        let Engine::Compiled(session) = &engine else { panic!("{}: interpreted", test.name) };
        let mut several: Vec<_> =
            THREADS.map(|count| session.model().session(count).unwrap_or_else(|e| panic!("{e}"))).collect();
        for set in &test.sets {
            let data = load(set).expect("a reference case");
            let inputs: Vec<Tensor> = data.inputs.iter().map(|input| input.tensor.clone()).collect();
            let case = format!("{} {}", test.name, set.file_name().unwrap_or_default().to_string_lossy());
            let outputs = match engine.run(&inputs) {
                Ok(outputs) => outputs,
                Err(error) => {
                    wrong.push(format!("{case}: {error}"));
                    continue;
                }
            };
            for (number, (got, expected)) in outputs.iter().zip(&data.outputs).enumerate() {
                match relative_to_scale(got, &expected.tensor) {
                    Ok(error) if error <= TOLERANCE => {}
                    Ok(error) => wrong.push(format!("{case}: output {number} differs by {error:.1e}")),
                    Err(error) => wrong.push(format!("{case}: output {number}: {error}")),
                }
            }
            for session in &mut several {
                match run_session(session, &inputs) {
                    Ok(others) if outputs.iter().map(Tensor::bytes).eq(others.iter().map(Tensor::bytes)) => {}
                    Ok(_) => wrong.push(format!("{case}: {} threads give other bits than one", session.threads())),
                    Err(error) => wrong.push(format!("{case}: {} threads: {}", session.threads(), error.message)),
                }
            }
        }
        println!("{}: {} cases", test.name, test.sets.len());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
