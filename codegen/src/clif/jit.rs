//! Runs a tile on this machine: for tests and measurements.
