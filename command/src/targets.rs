//! Targets and processors by name.

use crate::failure::{Failure, Result};
use mlc_codegen::ptx::Capability;
use target_lexicon::Triple;

/// A processor the command knows by name.
pub struct Cpu {
    /// What users write.
    pub name: &'static str,
    /// Family, as in a triple.
    pub family: &'static str,
    /// Features code may use, by the names of the artifact's feature table.
    pub features: &'static [&'static str],
    /// What it is.
    pub text: &'static str,
}

/// All processors with a name. The first of a family is its default.
pub const CPUS: &[Cpu] = &[
    Cpu { name: "x86-64", family: "x86_64", features: &[], text: "every 64-bit x86" },
    Cpu {
        name: "x86-64-v2",
        family: "x86_64",
        features: &["sse3", "ssse3", "sse4.1", "sse4.2", "popcnt"],
        text: "x86 since about 2009",
    },
    Cpu {
        name: "x86-64-v3",
        family: "x86_64",
        features: &[
            "sse3", "ssse3", "sse4.1", "sse4.2", "popcnt", "avx", "avx2", "fma", "f16c", "bmi1", "bmi2", "lzcnt",
        ],
        text: "x86 since about 2013: Haswell, Zen",
    },
    Cpu {
        name: "x86-64-v4",
        family: "x86_64",
        features: &[
            "sse3", "ssse3", "sse4.1", "sse4.2", "popcnt", "avx", "avx2", "fma", "f16c", "bmi1", "bmi2", "lzcnt",
            "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl",
        ],
        text: "x86 with AVX-512: Skylake servers, Zen 4",
    },
    Cpu { name: "armv8-a", family: "aarch64", features: &[], text: "every 64-bit Arm" },
    Cpu { name: "raspberry-pi-4", family: "aarch64", features: &[], text: "Cortex-A72" },
    Cpu { name: "raspberry-pi-5", family: "aarch64", features: &["dotprod", "fp16"], text: "Cortex-A76" },
];

/// The target of GPUs, beside a processor of this machine's family.
pub const GPU: &str = "nvptx64";
/// The GPU of that target if none is named; code for it runs on all later ones.
const USUAL_GPU: &str = "sm_80";

/// A target: triple and processor features.
#[derive(Clone, Debug)]
pub struct Target {
    /// Triple.
    pub triple: Triple,
    /// Features, by the names of the artifact's feature table.
    pub features: Vec<String>,
    /// The GPU beside the processor.
    pub gpu: Option<Capability>,
}

impl Target {
    /// What schedules ask of it.
    pub fn machine(&self) -> mlc_ir::target::Target {
        mlc_codegen::kernels::machine(&self.triple, &self.features)
    }
}

/// The target of `--target` and `--cpu`; without them, this machine with all its features.
///
/// # Errors
/// If a name is unknown; the message lists those there are.
pub fn find(target: &str, cpu: Option<&str>) -> Result<Target> {
    if target == GPU {
        let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let triple = host.parse().map_err(|_| unknown(target))?;
        return Ok(Target { triple, features: vec![], gpu: Some(capability(cpu.unwrap_or(USUAL_GPU))?) });
    }
    if let Some(gpu) = Capability::from_name(target) {
        return Ok(Target { gpu: Some(gpu), ..find(GPU, cpu)? });
    }
    let by_cpu = CPUS.iter().find(|row| row.name == target);
    let family = match target {
        "host" => std::env::consts::ARCH,
        _ => by_cpu.map_or(target, |row| row.family),
    };
    let triple = if family.contains('-') { family.to_string() } else { format!("{family}-unknown-linux-gnu") };
    let triple: Triple = triple.parse().map_err(|_| unknown(target))?;
    let family = triple.architecture.into_str().to_string();
    if !CPUS.iter().any(|row| row.family == family) {
        return Err(unknown(target));
    }
    let features = match (cpu, by_cpu) {
        (None, Some(row)) => row.features.iter().map(|f| f.to_string()).collect(),
        (None, None) if target == "host" => host_features(),
        (None, None) => vec![],
        (Some(cpu), _) => cpu_features(cpu, &family)?,
    };
    Ok(Target { triple, features, gpu: None })
}

fn capability(name: &str) -> Result<Capability> {
    Capability::from_name(name).ok_or_else(|| {
        let names: Vec<&str> = Capability::ALL.iter().map(|row| row.0).collect();
        Failure::usage(format!("`{name}` is no GPU of {GPU}; known are {}", names.join(", ")))
    })
}

fn cpu_features(cpu: &str, family: &str) -> Result<Vec<String>> {
    if cpu == "host" {
        return Ok(host_features());
    }
    let row = CPUS.iter().find(|row| row.name == cpu && row.family == family);
    let row = row.ok_or_else(|| {
        let names: Vec<&str> = CPUS.iter().filter(|row| row.family == family).map(|row| row.name).collect();
        Failure::usage(format!("`{cpu}` is no processor of {family}; known are {}", names.join(", ")))
    })?;
    Ok(row.features.iter().map(|f| f.to_string()).collect())
}

fn unknown(target: &str) -> Failure {
    let names: Vec<&str> = CPUS.iter().map(|row| row.name).collect();
    let names = names.join(", ");
    Failure::usage(format!(
        "unknown target `{target}`: use host, x86_64, aarch64, nvptx64, a triple of the first, or one of {names}"
    ))
}

/// The features of this machine that code generation uses.
fn host_features() -> Vec<String> {
    let Some(arch) = mlc_abi::Architecture::host() else { return vec![] };
    let word = mlc_runtime::features();
    mlc_abi::feature::named(arch, word).map(|feature| feature.name.to_string()).collect()
}
