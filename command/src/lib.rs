//! What the `mlc` command does, as a library: tests call it in process.
//!
//! | module | what it does |
//! |---|---|
//! | [`model`] | from a file to a program |
//! | [`engine`] | runs a program: interpreted, or compiled in memory |
//! | [`targets`] | names of targets and processors |

pub mod engine;
pub mod model;
pub mod targets;
