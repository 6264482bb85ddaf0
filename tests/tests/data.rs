//! Everything that `tests/setup.sh` makes is there and can be read.

use mlc_ir::ErrorKind;
use mlc_tests::{SUITES, load, model_tests, node_tests};

#[test]
fn every_backend_test_is_read_or_says_why_not() {
    let mut counts = Vec::new();
    for suite in SUITES {
        let tests = node_tests(suite).unwrap();
        let mut unsupported = 0;
        for test in &tests {
            test.tolerance().unwrap();
            assert!(test.model.is_file() && !test.sets.is_empty(), "{}", test.name);
            for error in test.sets.iter().filter_map(|set| load(set).err()) {
                assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
                unsupported += 1;
            }
        }
        counts.push((suite, tests.len(), unsupported));
    }
    // Unsupported: strings (26 and 6), sequences and optionals (29), integers narrower than a byte, 8-bit and 4-bit floats.
    let expected = [
        ("node", 1884, 219),
        ("simple", 23, 6),
        ("pytorch-converted", 82, 0),
        ("pytorch-operator", 35, 0),
        ("light", 9, 0),
    ];
    assert_eq!(counts, expected);
}

#[test]
fn every_model_has_reference_cases() {
    let tests = model_tests().unwrap();
    let names: Vec<&str> = tests.iter().map(|test| test.name.as_str()).collect();
    let expected = [
        "ddddocr-det",
        "efficientnet-lite0",
        "efficientnet-lite0/model-bn",
        "magika",
        "minilm-int8",
        "minilm-l6",
        "open-nsfw",
        "openwakeword/embedding_model",
        "openwakeword/hey_jarvis_v0.1",
        "openwakeword/melspectrogram",
        "ppocr-v4-det",
        "silero-vad",
        "smollm2-135m",
    ];
    assert_eq!(names, expected);
    for test in &tests {
        assert!(test.model.is_file(), "{}", test.model.display());
        for set in &test.sets {
            let data = load(set).unwrap();
            assert!(!data.inputs.is_empty() && !data.outputs.is_empty(), "{}", set.display());
            assert!(data.inputs.iter().chain(&data.outputs).all(|named| named.name.is_some()), "{}", set.display());
        }
    }
}
