//! The documents say what the tests give.

use mlc_tests::{operators, root};
use std::fs;

/// The words around the numbers of README's sentence about node tests.
const SENTENCE: [&str; 2] = [" node tests pass interpreted, ", " compiled"];

/// Writes a document with `UPDATE=1`, else checks it.
fn check(name: &str, expected: &str) {
    let path = root().join(name);
    if std::env::var("UPDATE").is_ok() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        return fs::write(&path, expected).unwrap();
    }
    let text = fs::read_to_string(&path).unwrap_or_default();
    let line = text.lines().zip(expected.lines()).find(|(a, b)| a != b);
    assert!(text == expected, "{name} is out of date (UPDATE=1 writes it): {line:?}");
}

#[test]
fn operators_are_as_documented() {
    check("docs/ops.md", &operators::document().unwrap());
}

#[test]
fn the_readme_has_the_numbers() {
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    let middle = text.find(SENTENCE[0]).expect("README says how many node tests pass");
    let start = text[..middle].rfind(": ").unwrap() + 2;
    let end = middle + text[middle..].find(SENTENCE[1]).unwrap() + SENTENCE[1].len();
    check("README.md", &format!("{}{}{}", &text[..start], operators::summary().unwrap(), &text[end..]));
}
