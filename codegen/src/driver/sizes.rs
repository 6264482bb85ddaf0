//! Inputs that are too small for a model: what facts cannot prove of kernels is checked before they run.
//!
//! In: steps of a program.  Out: code that ends with [`code::DIMS_TOO_SMALL`] where an extent would be negative, as of a
//! window that is larger than what it slides over: its loops would run out of bounds. Branches and loops check their own
//! steps when they are taken. What depends on data is not known here.

use super::body::Body;
use super::input_symbols;
use cranelift_codegen::ir::condcodes::IntCC;
use mlc_abi::code;
use mlc_ir::program::{Kernel, Program, Step};
use mlc_ir::{Index, Name, Result};
use std::collections::BTreeSet;

/// Checks the kernels among these steps.
pub(super) fn check_sizes(f: &mut Body, program: &Program, steps: &[Step]) -> Result<()> {
    let symbols = input_symbols(program);
    let kernels = || steps.iter().filter_map(|step| if let Step::Kernel(kernel) = step { Some(kernel) } else { None });
    let unproved =
        |extent: &Index| is_known(extent, &symbols) && !program.facts.nonneg(extent) && !program.facts.proves(extent);
    let extents: BTreeSet<&Index> = kernels().flat_map(|kernel| extents(kernel, program)).collect();
    for extent in extents.into_iter().filter(|extent| unproved(extent)) {
        let extent = f.index(extent)?;
        let enough = f.compare(IntCC::SignedGreaterThanOrEqual, extent, 0);
        f.check(enough, code::DIMS_TOO_SMALL);
    }
    Ok(())
}

fn is_known(e: &Index, symbols: &[Name]) -> bool {
    !e.looks_up() && e.vars().is_empty() && e.syms().iter().all(|name| symbols.contains(name))
}

/// Every extent that a kernel's loops or buffers have.
fn extents<'a>(kernel: &'a Kernel, program: &'a Program) -> impl Iterator<Item = &'a Index> {
    let buffers = kernel.reads().into_iter().chain(kernel.writes());
    let shapes = buffers.flat_map(|buffer| &program.buffer(buffer).shape);
    kernel.axes.iter().map(|axis| &axis.extent).chain(shapes)
}
