//! Stages of long work: measured, and shown on a terminal while they run.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Where and how a command speaks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ui {
    /// The answer is one JSON object; nothing else is said.
    pub json: bool,
}

impl Ui {
    /// A note on stderr.
    pub fn note(self, text: &str) {
        if !self.json {
            eprintln!("note: {text}");
        }
    }
}

/// Stages of work, one after another.
pub struct Stages {
    bar: Option<ProgressBar>,
    /// Name and time of those that ended.
    pub done: Vec<(&'static str, Duration)>,
}

impl Stages {
    /// None yet.
    pub fn new(ui: Ui) -> Stages {
        let bar = (!ui.json && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Stages { bar, done: Vec::new() }
    }

    /// Does one stage; `name` is for the table of times.
    pub fn stage<T>(&mut self, name: &'static str, work: impl FnOnce() -> T) -> T {
        if let Some(bar) = &self.bar {
            bar.set_message(name);
        }
        let begun = Instant::now();
        let result = work();
        self.done.push((name, begun.elapsed()));
        result
    }

    /// Says what a long stage is at.
    pub fn say(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(text.to_string());
        }
    }

    /// The time of a stage in milliseconds; 0 if it was not done.
    pub fn millis(&self, name: &str) -> f64 {
        self.done.iter().filter(|stage| stage.0 == name).map(|stage| stage.1.as_secs_f64() * 1e3).sum()
    }

    /// All times in milliseconds, as an object.
    pub fn json(&self) -> serde_json::Value {
        self.done
            .iter()
            .map(|(name, time)| (name.to_string(), (time.as_secs_f64() * 1e3).into()))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    /// `read 3 ms, fuse 10 ms`
    pub fn text(&self) -> String {
        let parts = self.done.iter().map(|(name, time)| format!("{name} {}", crate::text::time(time.as_secs_f64())));
        parts.collect::<Vec<_>>().join(", ")
    }
}

impl Drop for Stages {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
