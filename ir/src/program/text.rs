//! The textual form of programs and kernels.
