//! Tiles and machine code as text: for `--emit tile,clif,asm`.

use crate::failure::{Failure, Result};
use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_frontend::FunctionBuilderContext;
use mlc_abi::feature;
use mlc_codegen::compile::Compiled;
use mlc_codegen::linear::linearize;
use mlc_codegen::{artifact, clif};
use mlc_ir::tile::Tile;
use mlc_ir::{Error, Facts};
use std::fmt::Write;

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

/// The code of every kernel, with the features it was compiled for.
///
/// # Errors
/// If one cannot be compiled.
pub fn code(compiled: &Compiled, facts: &Facts, form: Form) -> Result<String> {
    let arch = artifact::architecture(&compiled.triple)?;
    let used = feature::named(arch, compiled.description.features);
    let settings: Vec<String> = used.map(|it| format!("has_{}", it.name.replace('.', ""))).collect();
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    // As kernels are compiled.
    let isa = clif::isa(&compiled.triple, &settings, "none")?;
    let mut builder = FunctionBuilderContext::new();
    let mut text = String::new();
    for tile in &compiled.tiles {
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
