//! The kernels of real models are sound tiles: every access in bounds for all sizes, before and after they become linear.

use mlc_codegen::kernels::lower_program;
use mlc_codegen::linear::linearize;
use mlc_ir::target::Target;
use mlc_ir::{Result, tile};
use mlc_passes::{Options, optimize};
use mlc_tests::{Test, model_tests};

/// Models with kernels that have no proof yet, and how many; the numbers may only shrink. What is missing: equalities of dims
/// that are checked before a run, least sizes that follow from dims that must not be negative, divisions of divisions, and
/// places of reflected padding.
const UNPROVED: &[(&str, usize)] = &[
    ("minilm-int8", 1),
    ("minilm-l6", 1),
    ("openwakeword/melspectrogram", 3),
    ("ppocr-v4-det", 3),
    ("silero-vad", 4),
    ("smollm2-135m", 30),
];

/// What the verifier says of the tiles of a model.
fn unsound(test: &Test, target: &Target) -> Result<(usize, Vec<String>)> {
    let graph = mlc_frontend::import(&test.model, &Default::default())?;
    let (mut program, _) = optimize(graph, Options::default())?;
    let (kernels, _) = lower_program(&mut program, target)?;
    let mut found = Vec::new();
    for kernel in &kernels {
        let linear = linearize(&kernel.tile, &program.facts)?;
        found.extend([&kernel.tile, &linear].into_iter().filter_map(|it| tile::verify(it, &program.facts).err()));
    }
    Ok((kernels.len(), found.iter().map(|error| format!("{}: {error}", test.name)).collect()))
}

fn sound(target: &Target) {
    let mut wrong = Vec::new();
    for test in model_tests().expect("the models are there: tests/setup.sh fetches them") {
        let (count, found) = unsound(&test, target).unwrap_or_else(|e| panic!("{}: {e}", test.name));
        assert!(count > 0, "{}", test.name);
        println!("{}: {} of {count} kernels", test.name, count - found.len());
        let known = UNPROVED.iter().find(|row| row.0 == test.name).map_or(0, |row| row.1);
        if found.len() > known {
            wrong.extend(found);
        }
    }
    assert!(wrong.is_empty(), "more kernels than before have no proof:\n{}", wrong.join("\n"));
}

#[test]
fn kernels_of_models_are_sound_for_x86_64() {
    sound(&Target::x86_64());
}

#[test]
fn kernels_of_models_are_sound_for_avx512() {
    sound(&Target::avx512());
}

#[test]
fn kernels_of_models_are_sound_for_avx2() {
    sound(&Target::avx2());
}

#[test]
fn kernels_of_models_are_sound_for_aarch64() {
    sound(&Target::aarch64());
}
