//! The `mlc` command.

use clap::Parser;
use mlc::cli::Cli;
use mlc::{Exit, Failure};
use std::io::{ErrorKind, Write};
use std::process::ExitCode;
use std::sync::Mutex;

/// Deeply nested models recurse deeply; memory is used only as far as they do.
const STACK: usize = 256 << 20;

/// Where and why a thread panicked first.
static PANIC: Mutex<Option<String>> = Mutex::new(None);

fn main() -> ExitCode {
    let wants_json = std::env::args().any(|arg| arg == "--json");
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error, wants_json),
    };
    std::panic::set_hook(Box::new(|panic| {
        if let Ok(mut first) = PANIC.lock() {
            first.get_or_insert_with(|| panic.to_string().split_whitespace().collect::<Vec<_>>().join(" "));
        }
    }));
    let json = cli.json;
    let worker = std::thread::Builder::new().stack_size(STACK).spawn(move || cli.execute());
    let result = match worker.map(|worker| worker.join()) {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => {
            let text = PANIC.lock().ok().and_then(|text| text.clone()).unwrap_or_else(|| "a panic".into());
            Err(Failure::new(Exit::Internal, text))
        }
        Err(error) => Err(Failure::new(Exit::Budget, format!("no thread can be started: {error}"))),
    };
    match result {
        Ok(outcome) => {
            let written = print(&outcome.print(json));
            written.map_or_else(|failure| fail(&failure, false), |()| ExitCode::from(outcome.exit as u8))
        }
        Err(failure) => fail(&failure, json),
    }
}

/// Writes the answer. That nobody reads it to its end is no error.
fn print(text: &str) -> mlc::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::invalid(format!("the answer cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

fn fail(failure: &Failure, json: bool) -> ExitCode {
    // Where stderr is closed there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "error: {failure}");
    if json {
        let _ = print(&format!("{:#}\n", failure.json()));
    }
    ExitCode::from(failure.exit as u8)
}

/// Help and versions are answers; everything else is wrong usage.
fn usage(error: &clap::Error, json: bool) -> ExitCode {
    let _ = error.print();
    if !error.use_stderr() {
        return ExitCode::SUCCESS;
    }
    if json {
        let text = error.to_string();
        let line = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
        let _ = print(&format!("{:#}\n", Failure::usage(line).json()));
    }
    ExitCode::from(Exit::Usage as u8)
}
