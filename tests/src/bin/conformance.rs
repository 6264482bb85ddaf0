//! Runs the ONNX backend tests: `conformance [--engine interpreter|compiled|gpu] [--suite SUITE] [--verbose] [FILTER]`.
//!
//! Prints one line a failing test with its reason, and the counts at the end. A model whose shapes depend on the values
//! of inputs is built with these inputs fixed to the test's values, first the integers, then small floats too.

use mlc_tests::{SUITES, Way, check, node_tests};
use std::process::ExitCode;

struct Arguments {
    way: Way,
    suite: Option<String>,
    verbose: bool,
    filter: String,
}

fn arguments() -> Arguments {
    let mut arguments = Arguments { way: Way::Interpreter, suite: None, verbose: false, filter: String::new() };
    let mut rest = std::env::args().skip(1);
    while let Some(word) = rest.next() {
        match word.as_str() {
            "--engine" => {
                let name = rest.next().unwrap_or_default();
                let ways = Way::ALL.into_iter().chain([Way::Gpu]);
                arguments.way = ways.into_iter().find(|way| way.name() == name).unwrap_or(arguments.way);
            }
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
    for suite in SUITES.into_iter().filter(|suite| arguments.suite.as_deref().is_none_or(|only| only == *suite)) {
        let tests = match node_tests(suite) {
            Ok(tests) => tests,
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::from(2);
            }
        };
        for test in tests.iter().filter(|test| test.name.contains(&arguments.filter)) {
            match check(test, arguments.way) {
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
