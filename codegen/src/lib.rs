//! placeholder

pub mod artifact;
