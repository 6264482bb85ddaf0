//! The passes over graphs, and the runner.

mod rewrites;
mod run;
mod state;
