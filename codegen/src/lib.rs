//! From a fused program to machine code.
//!
//! | module | what it does |
//! |---|---|
//! | [`layout`] | how buffers lie in memory |
//! | [`schedule`] | how a kernel's loops run: steps, checked, chosen by cost |
//! | [`kernels`] | all of these for a program, and who emits each kernel |
//! | [`work`] | what a kernel computes and touches, for profiles |
//! | [`signature`] | when two kernels are the same |
//! | [`tuning`] | measured schedules, in files and on their way to a build |
//! | [`lower`] | a scheduled kernel as an indexed tile |
//! | [`linear`], [`math`] | cursors for indices, instructions for functions |
//! | [`x86`] | a linear tile as machine code for AVX-512 and AVX2 |
//! | [`clif`] | a linear tile as machine code, by Cranelift |
//! | [`ptx`] | a linear tile as an entry of PTX, for GPUs |
//! | [`artifact`] | objects, libraries, headers, manifests |

pub mod artifact;
pub mod clif;
pub mod compile;
pub mod driver;
pub mod kernels;
pub mod layout;
pub mod linear;
pub mod lower;
pub mod math;
pub mod ptx;
pub mod schedule;
pub mod signature;
pub mod tuning;
pub mod work;
pub mod x86;
