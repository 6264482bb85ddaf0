//! Relocations: writes the distance to a symbol into code, now that both have an address.
//!
//! Loads of an address from a global offset table become the computation of that address (`mov` to `lea`, `ldr` to
//! `add`): everything a model refers to is in the same file, so no table is needed.

use mlc_abi::Architecture;
use object::elf::*;

/// What was wrong with a relocation.
pub(super) enum Fault {
    /// The compiler does not make this type.
    Unknown,
    /// The distance does not fit the instruction.
    Range,
    /// The instruction is not one that belongs to this type.
    Instruction,
    /// The target is not aligned as the instruction needs.
    Align,
}

impl Fault {
    /// The words for a message.
    pub fn text(&self) -> &'static str {
        match self {
            Fault::Unknown => "is of a type that is not supported",
            Fault::Range => "does not reach its target",
            Fault::Instruction => "is at an instruction of an unexpected form",
            Fault::Align => "has a target that is not aligned",
        }
    }
}

/// Whether a relocation stores a whole address, which only the loader can know.
pub(super) fn is_address(arch: Architecture, kind: u32) -> bool {
    match arch {
        Architecture::X86_64 => kind == R_X86_64_64,
        Architecture::Aarch64 => kind == R_AARCH64_ABS64,
    }
}

/// The relocation type by which the loader adds the load address.
pub(super) fn relative(arch: Architecture) -> u32 {
    match arch {
        Architecture::X86_64 => R_X86_64_RELATIVE,
        Architecture::Aarch64 => R_AARCH64_RELATIVE,
    }
}

/// Applies one relocation of type `kind` at `bytes[at]`, which has the address `from`, to the address `to`.
pub(super) fn apply(
    arch: Architecture,
    kind: u32,
    bytes: &mut [u8],
    at: usize,
    from: i64,
    to: i64,
) -> Result<(), Fault> {
    if is_address(arch, kind) {
        return put(bytes, at, to.to_le_bytes());
    }
    match arch {
        Architecture::X86_64 => x86(kind, bytes, at, to.wrapping_sub(from)),
        Architecture::Aarch64 => aarch64(kind, bytes, at, from, to),
    }
}

fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) -> Result<(), Fault> {
    bytes.get_mut(at..).and_then(|it| it.get_mut(..N)).ok_or(Fault::Range)?.copy_from_slice(&value);
    Ok(())
}

fn x86(kind: u32, bytes: &mut [u8], at: usize, distance: i64) -> Result<(), Fault> {
    match kind {
        R_X86_64_PC32 | R_X86_64_PLT32 => {}
        R_X86_64_PC64 => return put(bytes, at, distance.to_le_bytes()),
        R_X86_64_GOTPCREL | R_X86_64_GOTPCRELX | R_X86_64_REX_GOTPCRELX => {
            // REX.W 8B /r with a RIP-relative operand is a load; 8D is the same with the address itself.
            let start = at.checked_sub(3).ok_or(Fault::Instruction)?;
            let [rex, opcode, modrm] = *bytes.get(start..at).ok_or(Fault::Range)? else {
                return Err(Fault::Instruction);
            };
            if rex & 0xf8 != 0x48 || opcode != 0x8b || modrm & 0xc7 != 0x05 {
                return Err(Fault::Instruction);
            }
            bytes[at - 2] = 0x8d;
        }
        _ => return Err(Fault::Unknown),
    }
    let distance = i32::try_from(distance).map_err(|_| Fault::Range)?;
    put(bytes, at, distance.to_le_bytes())
}

fn aarch64(kind: u32, bytes: &mut [u8], at: usize, from: i64, to: i64) -> Result<(), Fault> {
    let distance = to.wrapping_sub(from);
    match kind {
        R_AARCH64_PREL64 => return put(bytes, at, distance.to_le_bytes()),
        R_AARCH64_PREL32 => {
            return put(bytes, at, i32::try_from(distance).map_err(|_| Fault::Range)?.to_le_bytes());
        }
        _ => {}
    }
    let code = bytes.get(at..).and_then(|it| it.first_chunk::<4>()).ok_or(Fault::Range)?;
    let code = u32::from_le_bytes(*code);
    let changed = match kind {
        R_AARCH64_CALL26 | R_AARCH64_JUMP26 => code & 0xfc00_0000 | signed(distance, 2, 26)?,
        R_AARCH64_ADR_PREL_LO21 => address(code, signed(distance, 0, 21)?),
        R_AARCH64_ADR_PREL_PG_HI21 | R_AARCH64_ADR_PREL_PG_HI21_NC | R_AARCH64_ADR_GOT_PAGE => {
            let pages = (to & !0xfff).wrapping_sub(from & !0xfff);
            address(code, signed(pages, 12, 21)?)
        }
        R_AARCH64_ADD_ABS_LO12_NC | R_AARCH64_LDST8_ABS_LO12_NC => low(code, to, 0)?,
        R_AARCH64_LDST16_ABS_LO12_NC => low(code, to, 1)?,
        R_AARCH64_LDST32_ABS_LO12_NC => low(code, to, 2)?,
        R_AARCH64_LDST64_ABS_LO12_NC => low(code, to, 3)?,
        R_AARCH64_LDST128_ABS_LO12_NC => low(code, to, 4)?,
        R_AARCH64_LD64_GOT_LO12_NC => {
            // ldr xt, [xn, #imm] becomes add xt, xn, #imm.
            if code & 0xffc0_0000 != 0xf940_0000 {
                return Err(Fault::Instruction);
            }
            low(0x9100_0000 | code & 0x3ff, to, 0)?
        }
        _ => return Err(Fault::Unknown),
    };
    put(bytes, at, changed.to_le_bytes())
}

/// A distance in units of `1 << scale` as a signed field of so many bits.
fn signed(distance: i64, scale: u32, bits: u32) -> Result<u32, Fault> {
    if distance & ((1 << scale) - 1) != 0 {
        return Err(Fault::Align);
    }
    let value = distance >> scale;
    let half = 1i64 << (bits - 1);
    if !(-half..half).contains(&value) {
        return Err(Fault::Range);
    }
    Ok(value as u32 & ((1 << bits) - 1))
}

/// Puts 21 bits into `adr` or `adrp`.
fn address(code: u32, value: u32) -> u32 {
    code & 0x9f00_001f | (value & 3) << 29 | (value >> 2) << 5
}

/// Puts the low 12 bits of an address, in units of `1 << scale`, into an `add` or a load or store.
fn low(code: u32, to: i64, scale: u32) -> Result<u32, Fault> {
    let value = (to & 0xfff) as u32;
    if value & ((1 << scale) - 1) != 0 {
        return Err(Fault::Align);
    }
    Ok(code & !(0xfff << 10) | (value >> scale) << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_from_the_table_becomes_an_address() {
        let mut code = [0x48, 0x8b, 0x0d, 0, 0, 0, 0]; // mov rcx, [rip]
        assert!(apply(Architecture::X86_64, R_X86_64_GOTPCREL, &mut code, 3, 0x1003, 0x2000 - 4).is_ok());
        assert_eq!(code, [0x48, 0x8d, 0x0d, 0xf9, 0x0f, 0, 0]); // lea rcx, [rip + 0xff9]
        let mut code = [0u8; 8];
        code[..4].copy_from_slice(&0x9000_0000u32.to_le_bytes()); // adrp x0, 0
        code[4..].copy_from_slice(&0xf940_0001u32.to_le_bytes()); // ldr x1, [x0]
        assert!(apply(Architecture::Aarch64, R_AARCH64_ADR_GOT_PAGE, &mut code, 0, 0x1000, 0x3018).is_ok());
        assert!(apply(Architecture::Aarch64, R_AARCH64_LD64_GOT_LO12_NC, &mut code, 4, 0x1004, 0x3018).is_ok());
        assert_eq!(code[..4], 0xd000_0000u32.to_le_bytes()); // adrp x0, 2 pages
        assert_eq!(code[4..], 0x9100_6001u32.to_le_bytes()); // add x1, x0, #0x18
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let mut code = [0; 4];
        assert!(matches!(apply(Architecture::X86_64, R_X86_64_PC32, &mut code, 0, 0, 1 << 31), Err(Fault::Range)));
        assert!(matches!(apply(Architecture::Aarch64, R_AARCH64_CALL26, &mut code, 0, 0, 1 << 27), Err(Fault::Range)));
        assert!(matches!(apply(Architecture::Aarch64, R_AARCH64_CALL26, &mut code, 0, 0, 2), Err(Fault::Align)));
        assert!(matches!(apply(Architecture::X86_64, R_X86_64_TPOFF32, &mut code, 0, 0, 2), Err(Fault::Unknown)));
        assert!(matches!(apply(Architecture::X86_64, R_X86_64_PC32, &mut code, 2, 0, 2), Err(Fault::Range)));
    }
}
