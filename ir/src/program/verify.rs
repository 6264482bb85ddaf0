//! Checks a program.
