//! Programs, tiles and machine code as text: for `--emit program,tile,clif,asm`.

use crate::failure::{Failure, Result};
use crate::targets::Target;
use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_frontend::FunctionBuilderContext;
use mlc_codegen::clif;
use mlc_codegen::linear::linearize;
use mlc_ir::program::Program;
use mlc_ir::tile::Tile;
use mlc_ir::{Error, Facts};
use std::fmt::Write;

/// A program.
pub fn program(program: &Program) -> String {
    let mut text = format!("program @{}\n", program.name);
    for (number, buffer) in program.buffers.iter().enumerate() {
        let shape = mlc_ir::compute::shape_text(&buffer.shape);
        let kind = if buffer.constant.is_some() { "const " } else { "" };
        let _ = writeln!(text, "  @{number}: {kind}{}{shape}  ; {}", buffer.dtype, buffer.name);
    }
    let _ = writeln!(text, "  inputs {:?}, outputs {:?}", program.inputs, program.outputs);
    let _ = writeln!(text, "{:#?}", program.body);
    text
}

/// The tiles of a program.
pub fn tiles(tiles: &[Tile]) -> String {
    tiles.iter().map(|tile| format!("{tile}\n")).collect()
}

/// Which form of the code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// Cranelift's.
    Clif,
    /// The machine's.
    Assembly,
}

/// The code of every tile.
///
/// # Errors
/// If one cannot be compiled.
pub fn code(tiles: &[Tile], facts: &Facts, target: &Target, form: Form) -> Result<String> {
    let features: Vec<&str> = target.features.iter().map(String::as_str).collect();
    let isa = clif::isa(&target.triple, &features, "none")?;
    let mut builder = FunctionBuilderContext::new();
    let mut text = String::new();
    for tile in tiles {
        let bug = |e: &dyn std::fmt::Display| Failure::from(Error::internal(e.to_string()).at(&tile.name));
        let linear = linearize(tile, facts).map_err(|e| bug(&e))?;
        let mut context = Context::new();
        context.func.signature = clif::signature(&*isa);
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
