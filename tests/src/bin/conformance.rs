//! Runs the ONNX backend tests: `conformance [--engine interpreter|compiled] [--suite SUITE] [--verbose] [FILTER]`.
//!
//! Prints one line a failing test with its reason, and the counts at the end. A model whose shapes depend on the values
//! of inputs is built with these inputs fixed to the test's values, first the integers, then small floats too.

use mlc_tests::{SUITES, Test, node_tests};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

struct Arguments {
    compiled: bool,
    suite: Option<String>,
    verbose: bool,
    filter: String,
}

fn arguments() -> Arguments {
    let mut arguments = Arguments { compiled: false, suite: None, verbose: false, filter: String::new() };
    let mut rest = std::env::args().skip(1);
    while let Some(word) = rest.next() {
        match word.as_str() {
            "--engine" => arguments.compiled = rest.next().as_deref() == Some("compiled"),
            "--suite" => arguments.suite = rest.next(),
            "--verbose" => arguments.verbose = true,
            _ => arguments.filter = word,
        }
    }
    arguments
}

fn main() -> ExitCode {
    let arguments = arguments();
    std::panic::set_hook(Box::new(|_| {}));
    let (mut passed, mut failed) = (0, 0);
    for suite in SUITES {
        if arguments.suite.as_deref().is_some_and(|only| only != suite) {
            continue;
        }
        let tests = match node_tests(suite) {
            Ok(tests) => tests,
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::from(2);
            }
        };
        for test in tests.iter().filter(|test| test.name.contains(&arguments.filter)) {
            match outcome(test, arguments.compiled) {
                Ok(()) => {
                    passed += 1;
                    if arguments.verbose {
                        println!("pass {suite}/{}", test.name);
                    }
                }
                Err(reason) => {
                    failed += 1;
                    println!("FAIL {suite}/{}: {reason}", test.name);
                }
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    ExitCode::SUCCESS
}

fn outcome(test: &Test, compiled: bool) -> std::result::Result<(), String> {
    let result = catch_unwind(AssertUnwindSafe(|| mlc_tests::check(test, compiled)));
    match result {
        Ok(result) => result,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()));
            Err(format!("PANIC {}", text.unwrap_or_default()))
        }
    }
}
