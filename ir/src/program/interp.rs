//! Interprets a program.
