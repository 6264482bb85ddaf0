//! Fusion changes no result, and merges what it should.

mod columns;
mod common;
mod models;
mod patterns;
mod siblings;
