//! What the `mlc` command does, as a library: tests call it in process.
//!
//! | module | what it does |
//! |---|---|
//! | [`cli`], [`commands`] | the command line, and one file for each subcommand |
//! | [`explain`] | what was fused and what was not; memory over time |
//! | [`failure`], [`outcome`] | how a command ends: exit code, text, JSON |
//! | [`source`], [`model`] | from a file to a program |
//! | [`engine`] | runs a program: interpreted, or compiled in memory |
//! | [`interface`] | inputs, outputs and symbols, wherever they come from |
//! | [`inputs`], [`picture`], [`random`], [`data`] | tensors to run on, and what should come out |
//! | [`classes`] | what a classifier answers |
//! | [`artifact`] | looks into compiled artifacts |
//! | [`output`] | files that appear complete or not at all |
//! | [`profile`], [`roofline`] | what kernels do, how fast, and how fast this machine could |
//! | [`listing`] | programs, tiles and code as text |
//! | [`tuning`], [`trial`] | measured schedules in files, and how they are measured |
//! | [`targets`] | names of targets and processors |
//! | [`progress`], [`text`] | how to speak to people |

pub mod artifact;
pub mod classes;
pub mod cli;
pub mod commands;
pub mod data;
pub mod engine;
pub mod explain;
pub mod failure;
pub mod inputs;
pub mod interface;
pub mod listing;
pub mod model;
pub mod outcome;
pub mod output;
pub mod picture;
pub mod profile;
pub mod progress;
pub mod random;
pub mod roofline;
pub mod source;
pub mod targets;
pub mod text;
pub mod trial;
pub mod tuning;

pub use failure::{Exit, Failure, Result};
pub use outcome::Outcome;
