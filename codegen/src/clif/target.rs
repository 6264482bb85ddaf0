//! Targets of Cranelift, and the check that code stands alone.

use cranelift_codegen::CompiledCode;
use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::ir::ExternalName;
use cranelift_codegen::isa::{self, OwnedTargetIsa, TargetIsa};
use cranelift_codegen::settings::{self, Configurable};
use mlc_ir::{Error, Result};
use target_lexicon::Triple;

/// How hard Cranelift tries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opt {
    /// For tiles: keeps loads where they are written, so registers suffice.
    None,
    /// For drivers.
    Speed,
}

/// A target by triple, with named features such as `has_avx2` switched on. Position-independent, and without probes of
/// the stack.
pub fn isa(triple: &str, opt: Opt, features: &[&str]) -> Result<OwnedTargetIsa> {
    let triple: Triple = triple.parse().map_err(|e| Error::invalid(format!("target `{triple}`: {e}")))?;
    isa_for(triple, opt, features)
}

/// [`isa`] of a parsed triple.
pub fn isa_for(triple: Triple, opt: Opt, features: &[&str]) -> Result<OwnedTargetIsa> {
    let unsupported = |e: &dyn std::fmt::Display| Error::unsupported(format!("target `{triple}`: {e}"));
    let mut builder = isa::lookup(triple.clone()).map_err(|e| unsupported(&e))?;
    for feature in features {
        builder.enable(feature).map_err(|e| Error::invalid(format!("feature `{feature}`: {e}")))?;
    }
    builder.finish(flags(opt)?).map_err(|e| unsupported(&e))
}

/// The settings of every kernel and driver.
pub(super) fn flags(opt: Opt) -> Result<settings::Flags> {
    let mut flags = settings::builder();
    let level = match opt {
        Opt::None => "none",
        Opt::Speed => "speed",
    };
    let all = [
        ("opt_level", level),
        ("is_pic", "true"),
        ("enable_probestack", "false"),
        ("regalloc_algorithm", "backtracking"),
        ("unwind_info", "false"),
        ("enable_verifier", if cfg!(debug_assertions) { "true" } else { "false" }),
    ];
    for (name, value) in all {
        flags.set(name, value).map_err(|e| Error::internal(format!("flag {name}: {e}")))?;
    }
    Ok(settings::Flags::new(flags))
}

/// Fails if code calls a function that Cranelift expects of a runtime library.
pub fn check(code: &CompiledCode) -> Result<()> {
    for reloc in code.buffer.relocs() {
        if let cranelift_codegen::FinalizedRelocTarget::ExternalName(ExternalName::LibCall(call)) = &reloc.target {
            let kind: Reloc = reloc.kind;
            return Err(Error::internal(format!("the code needs a library function, {call:?} ({kind:?})")));
        }
    }
    Ok(())
}

/// What a target can do that others replace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caps {
    /// `fma` is an instruction.
    pub fma: bool,
    /// Rounding to integral floats is an instruction.
    pub round: bool,
    /// Bytes can be permuted at will.
    pub permute: bool,
}

impl Caps {
    pub fn of(isa: &dyn TargetIsa) -> Caps {
        if !matches!(isa.triple().architecture, target_lexicon::Architecture::X86_64) {
            return Caps { fma: true, round: true, permute: true };
        }
        let has = |name: &str| isa.isa_flags().iter().any(|flag| flag.name == name && flag.as_bool() == Some(true));
        Caps { fma: has("has_fma"), round: has("has_sse41"), permute: has("has_ssse3") }
    }
}
