//! Targets.

use cranelift_codegen::isa::{self, OwnedTargetIsa, TargetIsa};
use cranelift_codegen::settings::{self, Configurable, Flags};
use mlc_ir::Error;
use target_lexicon::{Architecture, Triple};

/// A target with the named Cranelift features (`has_avx2`, ..) on; `opt` is `none`, as for kernels, or `speed`.
pub fn isa(triple: &Triple, features: &[&str], opt: &str) -> Result<OwnedTargetIsa, Error> {
    let mut builder = isa::lookup(triple.clone()).map_err(|e| Error::unsupported(format!("target {triple}: {e}")))?;
    for feature in features {
        let unknown = |e| Error::unsupported(format!("feature `{feature}` of {triple}: {e}"));
        builder.enable(feature).map_err(unknown)?;
    }
    finish(builder, opt)
}

/// This machine, with all its features.
pub fn host(opt: &str) -> Result<OwnedTargetIsa, Error> {
    finish(cranelift_native::builder().map_err(|e| Error::unsupported(format!("this machine: {e}")))?, opt)
}

fn finish(builder: isa::Builder, opt: &str) -> Result<OwnedTargetIsa, Error> {
    let mut flags = settings::builder();
    let verify = if cfg!(debug_assertions) { "true" } else { "false" };
    let chosen = [
        ("opt_level", opt),
        ("is_pic", "true"),
        ("use_colocated_libcalls", "true"),
        ("enable_probestack", "false"),
        ("enable_verifier", verify),
        ("unwind_info", "false"),
    ];
    for (name, value) in chosen {
        flags.set(name, value).map_err(|e| Error::internal(format!("setting {name} = {value}: {e}")))?;
    }
    builder.finish(Flags::new(flags)).map_err(|e| Error::internal(format!("target: {e}")))
}

/// What an instruction set lacks without calling a library.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    /// Multiplies and adds, rounding once.
    pub fma: bool,
    /// Rounds floats to integers.
    pub round: bool,
}

impl Target {
    pub fn of(isa: &dyn TargetIsa) -> Result<Target, Error> {
        let has = |name: &str| isa.isa_flags().iter().any(|flag| flag.name == name && flag.as_bool() == Some(true));
        match isa.triple().architecture {
            Architecture::X86_64 => Ok(Target { fma: has("has_fma"), round: has("has_sse41") }),
            Architecture::Aarch64(_) => Ok(Target { fma: true, round: true }),
            other => Err(Error::unsupported(format!("kernels for {other}"))),
        }
    }
}
