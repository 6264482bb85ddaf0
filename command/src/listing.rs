//! Tiles and machine code as text: for `--emit tile,clif,asm`.

use crate::failure::{Failure, Result};
use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_frontend::FunctionBuilderContext;
use mlc_codegen::compile::Compiled;
use mlc_codegen::kernels::{Code, Scheduled};
use mlc_codegen::linear::linearize;
use mlc_codegen::{clif, x86};
use mlc_ir::{Error, Facts};
use std::fmt::Write;

/// The tiles of a program.
pub fn tiles(kernels: &[Scheduled]) -> String {
    kernels.iter().map(|kernel| format!("{}\n", kernel.lowered.tile)).collect()
}

/// Which kernels have narrower vectors than the processor, or run on it beside a GPU, and why, a line each; none if all do.
pub fn left_to_cranelift(kernels: &[Scheduled]) -> Vec<String> {
    let wide = kernels.iter().any(|kernel| !matches!(kernel.code, Code::Cranelift(_)));
    if wide { left_to_processor(kernels) } else { vec![] }
}

/// Which kernels no emitter of the target's own took, and why, a line each.
pub fn left_to_processor(kernels: &[Scheduled]) -> Vec<String> {
    let line = |kernel: &Scheduled| match &kernel.code {
        Code::Cranelift(why) => Some(format!("`{}`: {why}", kernel.lowered.tile.name)),
        _ => None,
    };
    kernels.iter().filter_map(line).collect()
}

/// Which form of the code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// Cranelift's.
    Clif,
    /// The machine's.
    Assembly,
}

/// The code of every kernel, with the features it was compiled for.
///
/// # Errors
/// If one cannot be compiled.
pub fn code(compiled: &Compiled, facts: &Facts, form: Form) -> Result<String> {
    // As kernels are compiled.
    let isa = clif::isa(&compiled.triple, &compiled.settings, "none")?;
    let mut builder = FunctionBuilderContext::new();
    let mut text = String::new();
    for kernel in &compiled.kernels {
        let tile = &kernel.lowered.tile;
        if let Code::Entry(entry) = &kernel.code {
            let _ = writeln!(text, "{}", entry.text);
            continue;
        }
        if let Code::Own(bytes) = &kernel.code {
            let listing = match form {
                Form::Clif => "; made without Cranelift\n".to_string(),
                Form::Assembly => x86::listing(bytes),
            };
            let _ = writeln!(text, "; {}\n{listing}", tile.name);
            continue;
        }
        let bug = |e: &dyn std::fmt::Display| Failure::from(Error::internal(e.to_string()).at(&tile.name));
        let linear = linearize(tile, facts).map_err(|e| bug(&e))?;
        let mut context = Context::new();
        clif::emit(&linear, &*isa, &mut context.func, &mut builder).map_err(|e| bug(&e))?;
        let _ = writeln!(text, "; {}", tile.name);
        if form == Form::Clif {
            let _ = writeln!(text, "{}", context.func.display());
            continue;
        }
        context.set_disasm(true);
        let code = context.compile(&*isa, &mut ControlPlane::default()).map_err(|e| bug(&e.inner))?;
        let _ = writeln!(text, "{}", code.vcode.as_deref().unwrap_or_default());
    }
    Ok(text)
}
