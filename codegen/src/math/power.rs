//! Being written, by whoever wrote `clif/tests/operations` elsewhere; ready within minutes.
