//! Processor features, one bit each. The bits of different architectures overlap.

use crate::Architecture;

/// One feature of one architecture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Feature {
    /// The name, as Rust spells target features.
    pub name: &'static str,
    /// Its place in a feature word.
    pub bit: u32,
    /// Where it exists.
    pub arch: Architecture,
}

const fn x86(bit: u32, name: &'static str) -> Feature {
    Feature { name, bit, arch: Architecture::X86_64 }
}

const fn arm(bit: u32, name: &'static str) -> Feature {
    Feature { name, bit, arch: Architecture::Aarch64 }
}

/// Every feature an artifact can ask for. Bits never change their meaning.
pub const FEATURES: &[Feature] = &[
    x86(0, "sse3"),
    x86(1, "ssse3"),
    x86(2, "sse4.1"),
    x86(3, "sse4.2"),
    x86(4, "popcnt"),
    x86(5, "avx"),
    x86(6, "avx2"),
    x86(7, "fma"),
    x86(8, "f16c"),
    x86(9, "bmi1"),
    x86(10, "bmi2"),
    x86(11, "lzcnt"),
    x86(12, "avx512f"),
    x86(13, "avx512bw"),
    x86(14, "avx512dq"),
    x86(15, "avx512vl"),
    x86(16, "avx512cd"),
    x86(17, "avx512vbmi"),
    x86(18, "avx512vnni"),
    x86(19, "avx512bf16"),
    x86(20, "avx512fp16"),
    x86(21, "avxvnni"),
    x86(22, "amx-tile"),
    x86(23, "amx-int8"),
    x86(24, "amx-bf16"),
    x86(25, "gfni"),
    x86(26, "avx512bitalg"),
    arm(0, "neon"),
    arm(1, "dotprod"),
    arm(2, "fp16"),
    arm(3, "bf16"),
    arm(4, "i8mm"),
    arm(5, "sve"),
    arm(6, "sve2"),
    arm(7, "lse"),
    arm(8, "fhm"),
];

/// The features of an architecture whose bits are set in a word.
pub fn named(arch: Architecture, word: u64) -> impl Iterator<Item = Feature> {
    FEATURES.iter().copied().filter(move |it| it.arch == arch && word >> it.bit & 1 == 1)
}

/// The bit mask of a feature by name.
pub fn mask(arch: Architecture, name: &str) -> Option<u64> {
    FEATURES.iter().find(|it| it.arch == arch && it.name == name).map(|it| 1 << it.bit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_distinct() {
        for arch in [Architecture::X86_64, Architecture::Aarch64] {
            let count = FEATURES.iter().filter(|it| it.arch == arch).count();
            assert_eq!(named(arch, u64::MAX).count(), count);
            let all = named(arch, u64::MAX).fold(0u64, |word, it| word | 1 << it.bit);
            assert_eq!(all.count_ones() as usize, count);
        }
        assert_eq!(mask(Architecture::X86_64, "fma"), Some(128));
        assert_eq!(mask(Architecture::Aarch64, "fma"), None);
    }
}
