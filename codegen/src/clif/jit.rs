//! Runs a tile on this machine: for tests and measurements.
//!
//! In: a linear tile.  Out: code in memory, run on byte buffers whose sizes are checked.

#![allow(unsafe_code)]

use super::{check, emit, host_features, isa_in_memory};
use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_frontend::FunctionBuilderContext;
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{Linkage, Module, default_libcall_names};
use mlc_ir::index::Leaf;
use mlc_ir::tile::{Space, Tile};
use mlc_ir::{Error, Index, Result};
use std::ops::Range;
use target_lexicon::Triple;

type Kernel = unsafe extern "C" fn(*const u64, u64, u64, *mut u8);

/// A tile as code in memory.
pub struct Jit {
    module: Option<JITModule>,
    kernel: Kernel,
    tile: Tile,
    /// Bytes of machine code.
    pub code: Vec<u8>,
    /// The code as text.
    pub listing: String,
}

/// A tile compiled for a target, as bytes and as text. Fails if the code needs anything from outside.
pub fn compile(tile: &Tile, isa: &OwnedTargetIsa) -> Result<(Vec<u8>, String)> {
    let internal = |e: &dyn std::fmt::Display| Error::internal(format!("tile `{}`: {e}", tile.name));
    let mut context = Context::new();
    context.set_disasm(true);
    emit(tile, &**isa, &mut context.func, &mut FunctionBuilderContext::new())?;
    let code = context.compile(&**isa, &mut ControlPlane::default()).map_err(|e| internal(&e.inner))?;
    check(code)?;
    if let Some(reloc) = code.buffer.relocs().first() {
        return Err(internal(&format!("a reference to something outside, {reloc:?}")));
    }
    Ok((code.code_buffer().to_vec(), code.vcode.clone().unwrap_or_default()))
}

impl Jit {
    /// Compiles for this machine, with all it has.
    pub fn new(tile: &Tile) -> Result<Jit> {
        let features = host_features();
        Jit::with(tile, &features.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Compiles for this machine, as if it had only the given features.
    pub fn with(tile: &Tile, features: &[&str]) -> Result<Jit> {
        let isa = isa_in_memory(&Triple::host(), features, "none")?;
        let (code, listing) = compile(tile, &isa)?;
        Jit::load(tile, isa, code, listing)
    }

    /// Machine code that another emitter made of a tile, for this machine.
    pub fn of_bytes(tile: &Tile, code: Vec<u8>) -> Result<Jit> {
        Jit::load(tile, isa_in_memory(&Triple::host(), &[], "none")?, code, String::new())
    }

    fn load(tile: &Tile, isa: OwnedTargetIsa, code: Vec<u8>, listing: String) -> Result<Jit> {
        let internal = |e: &dyn std::fmt::Display| Error::internal(e.to_string());
        let mut module = JITModule::new(JITBuilder::with_isa(isa.clone(), default_libcall_names()));
        let signature = super::signature(&*isa);
        let id = module.declare_function("kernel", Linkage::Export, &signature).map_err(|e| internal(&e))?;
        module.define_function_bytes(id, 64, &code, &[]).map_err(|e| internal(&e))?;
        module.finalize_definitions().map_err(|e| internal(&e))?;
        let address = module.get_finalized_function(id);
        // SAFETY: the code was emitted with just this signature, and lives as long as `module`.
        let kernel = unsafe { std::mem::transmute::<*const u8, Kernel>(address) };
        Ok(Jit { module: Some(module), kernel, tile: tile.clone(), code, listing })
    }

    /// Runs tasks. `buffers` has one for each parameter that is not scratch, of exactly its size and slack.
    pub fn run(&self, buffers: &mut [Vec<u8>], symbols: &[i64], tasks: Range<u64>) -> Result<()> {
        let mut given = buffers.iter_mut();
        let mut args = Vec::new();
        for param in self.tile.params.iter().filter(|param| param.space != Space::Scratch) {
            let mut size = param.dtype.bytes();
            for dim in &param.dims {
                size *= self.number(dim, symbols)? as usize;
            }
            let buffer = given.next().ok_or_else(|| Error::invalid(format!("no buffer for `{}`", param.name)))?;
            if buffer.len() != size + param.slack as usize {
                return Err(Error::invalid(format!("`{}` has {size} bytes, not {}", param.name, buffer.len())));
            }
            args.push(buffer.as_mut_ptr() as u64);
        }
        if symbols.len() != self.tile.symbols.len() || given.next().is_some() {
            return Err(Error::invalid("other parameters than the tile has"));
        }
        if tasks.end as i64 > self.number(&self.tile.tasks.1, symbols)? {
            return Err(Error::invalid("more tasks than there are"));
        }
        args.extend(symbols.iter().map(|n| *n as u64));
        let mut scratch = vec![0u8; self.number(&self.tile.scratch().1, symbols)? as usize + 64];
        // SAFETY: addresses and symbols are as the signature's documentation says; sizes were checked above. That
        // accesses stay within them is what the verifier proved of the tile.
        unsafe { (self.kernel)(args.as_ptr(), tasks.start, tasks.end, scratch.as_mut_ptr()) };
        Ok(())
    }

    fn number(&self, e: &Index, symbols: &[i64]) -> Result<i64> {
        let value = e.eval(&mut |leaf| match leaf {
            Leaf::Sym(name) => self.tile.symbols.iter().position(|s| s == *name).map(|n| symbols[n]),
            _ => None,
        });
        value.filter(|n| *n >= 0).ok_or_else(|| Error::invalid(format!("{e} is no number")))
    }
}

impl Drop for Jit {
    fn drop(&mut self) {
        if let Some(module) = self.module.take() {
            // SAFETY: `kernel` is not called after this.
            unsafe { module.free_memory() };
        }
    }
}
