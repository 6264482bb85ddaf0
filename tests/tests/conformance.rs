//! The ONNX backend tests, by the interpreter, by compiled code and by a GPU's code behind the driver's functions, against
//! the lists of what passes.

use mlc_tests::{Way, run_all};

fn conform(way: Way) {
    std::panic::set_hook(Box::new(|_| {}));
    let outcome = run_all(way);
    let _ = std::panic::take_hook();
    let outcome = outcome.expect("the tests are there: tests/setup.sh makes them");
    println!("{}: {} passed, {} failed", way.name(), outcome.passed.len(), outcome.failed.len());
    if std::env::var("UPDATE").is_ok() {
        return;
    }
    let lost: Vec<String> = outcome.lost.iter().map(|(name, reason)| format!("{name}: {reason}")).collect();
    assert!(lost.is_empty(), "{} tests passed before:\n{}", lost.len(), lost.join("\n"));
    let new = &outcome.new;
    assert!(new.is_empty(), "{} tests pass and are not listed (UPDATE=1 lists them):\n{}", new.len(), new.join("\n"));
}

#[test]
fn interpreter() {
    conform(Way::Interpreter);
}

#[test]
fn compiled() {
    conform(Way::Compiled);
}

#[test]
fn gpu() {
    conform(Way::Gpu);
}
