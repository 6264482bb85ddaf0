//! Targets of Cranelift, and the check that code stands alone.

use cranelift_codegen::CompiledCode;
use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::ir::{AbiParam, ExternalName, Signature, types};
use cranelift_codegen::isa::{self, OwnedTargetIsa, TargetIsa};
use cranelift_codegen::settings::{self, Configurable};
use mlc_ir::{Error, Result};
use target_lexicon::Triple;

/// A target with named features such as `has_avx2` switched on. `opt` is `none` for tiles, because loads then stay
/// where they are written and registers suffice, and `speed` for drivers. Code is position-independent, without probes of
/// the stack.
pub fn isa(triple: &Triple, features: &[&str], opt: &str) -> Result<OwnedTargetIsa> {
    build(triple, features, opt, true)
}

/// [`isa()`] for code in memory, which `JITModule` wants at fixed addresses.
pub fn isa_in_memory(triple: &Triple, features: &[&str], opt: &str) -> Result<OwnedTargetIsa> {
    build(triple, features, opt, false)
}

fn build(triple: &Triple, features: &[&str], opt: &str, pic: bool) -> Result<OwnedTargetIsa> {
    let unsupported = |e: &dyn std::fmt::Display| Error::unsupported(format!("target `{triple}`: {e}"));
    let mut builder = isa::lookup(triple.clone()).map_err(|e| unsupported(&e))?;
    for feature in features {
        builder.enable(feature).map_err(|e| Error::invalid(format!("feature `{feature}`: {e}")))?;
    }
    builder.finish(flags(opt, pic)?).map_err(|e| unsupported(&e))
}

/// The features of the machine that this runs on.
pub fn host_features() -> Vec<String> {
    let Ok(builder) = cranelift_native::builder() else { return vec![] };
    let Ok(isa) =
        flags("none", true).and_then(|flags| builder.finish(flags).map_err(|e| Error::internal(e.to_string())))
    else {
        return vec![];
    };
    isa.isa_flags().iter().filter(|flag| flag.as_bool() == Some(true)).map(|flag| flag.name.to_owned()).collect()
}

/// What every kernel takes: `args`, `begin`, `end`, `scratch`.
pub fn signature(isa: &dyn TargetIsa) -> Signature {
    let mut signature = Signature::new(isa.default_call_conv());
    signature.params.extend([AbiParam::new(types::I64); 4]);
    signature
}

/// The settings of every kernel and driver.
fn flags(opt: &str, pic: bool) -> Result<settings::Flags> {
    let mut flags = settings::builder();
    let all = [
        ("opt_level", opt),
        ("is_pic", if pic { "true" } else { "false" }),
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
