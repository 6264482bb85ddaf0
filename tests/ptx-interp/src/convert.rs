//! Conversions.

use crate::Result;
use crate::compute::{Compute, of_single, single};
use crate::types::{Kind, Type};
use half::{bf16, f16};

/// What `cvt` does.
pub(crate) fn convert(modifiers: &[&str], to: Type, from: Type) -> Result<Compute> {
    let unknown = || format!("unknown conversion {modifiers:?} from {from:?} to {to:?}");
    let bits = |ty: Type| matches!(ty.kind, Kind::Bits | Kind::Predicate);
    if bits(to) || bits(from) {
        return Err(unknown());
    }
    Ok(match (from.is_float(), to.is_float(), modifiers) {
        (false, false, []) => Box::new(move |a, _, _| to.cut(from.extend(a) as u64)),
        (false, true, ["rn"]) => int_to_float(to, from),
        (true, false, ["rzi"]) => Box::new(move |a, _, _| truncate(to, from, a)),
        (true, true, [way @ ("rni" | "rmi" | "rpi" | "rzi")]) if to == from && to.bytes > 2 => round(way, to),
        (true, true, []) if to.bytes > from.bytes => Box::new(move |a, _, _| put(to, from.number(a))),
        (true, true, ["rn"]) if to.bytes < from.bytes => Box::new(move |a, _, _| put(to, from.number(a))),
        (true, true, ["rz"]) if (to.bytes, from.bytes) == (4, 8) => Box::new(|a, _, _| toward_zero(f64::from_bits(a))),
        _ => return Err(unknown()),
    })
}

/// What `cvt` from single floats does to formats that have no arithmetic here, and the number of operands.
pub(crate) fn pack(modifiers: &[&str], from: &[Type]) -> Option<(Compute, usize)> {
    const SINGLE: Type = Type { kind: Kind::Float, bytes: 4 };
    let brain = |a: u64| u64::from(bf16::from_f32(of_single(a)).to_bits());
    let half = |a: u64| u64::from(f16::from_f32(of_single(a)).to_bits());
    if from != [SINGLE] {
        return None;
    }
    Some(match modifiers {
        ["rn", "bf16"] => (Box::new(move |a, _, _| brain(a)), 1),
        // The first operand becomes the high half.
        ["rn", "bf16x2"] => (Box::new(move |a, b, _| brain(a) << 16 | brain(b)), 2),
        ["rn", "f16x2"] => (Box::new(move |a, b, _| half(a) << 16 | half(b)), 2),
        ["rna", "tf32"] => (Box::new(|a, _, _| tf32(a as u32).into()), 1),
        _ => return None,
    })
}

/// Rounds to 10 bits behind the point, ties away from zero.
fn tf32(bits: u32) -> u32 {
    const KEPT: u32 = !0x1fff;
    match f32::from_bits(bits).is_finite() {
        true => (bits + 0x1000) & KEPT,
        false if f32::from_bits(bits).is_nan() => 0x7fff_ffff & KEPT,
        false => bits,
    }
}

/// A number as the nearest float of a type.
fn put(ty: Type, x: f64) -> u64 {
    match ty.bytes {
        8 => x.to_bits(),
        4 => single(x as f32),
        _ => f16::from_f64(x).to_bits().into(),
    }
}

fn int_to_float(to: Type, from: Type) -> Compute {
    let unsigned = from.kind == Kind::Unsigned;
    Box::new(move |a, _, _| match (to.bytes, unsigned) {
        (8, true) => (from.cut(a) as f64).to_bits(),
        (8, false) => (from.extend(a) as f64).to_bits(),
        (4, true) => single(from.cut(a) as f32),
        (4, false) => single(from.extend(a) as f32),
        _ => f16::from_f64(from.extend(a) as f64).to_bits().into(),
    })
}

/// Truncates and saturates. NaN is 0, or where one side has 64 bits, the highest bit.
fn truncate(to: Type, from: Type, a: u64) -> u64 {
    let x = from.number(a);
    if x.is_nan() {
        return if to.bytes == 8 || from.bytes == 8 { 1 << (8 * to.bytes - 1) } else { 0 };
    }
    let bits = 8 * to.bytes as i32;
    to.cut(match to.kind {
        Kind::Signed if to.bytes == 8 => x as i64 as u64,
        Kind::Signed => x.trunc().clamp(-2f64.powi(bits - 1), 2f64.powi(bits - 1) - 1.0) as i64 as u64,
        _ if to.bytes == 8 => x as u64,
        _ => x.trunc().clamp(0.0, 2f64.powi(bits) - 1.0) as u64,
    })
}

fn round(way: &str, ty: Type) -> Compute {
    let (f, g): (fn(f32) -> f32, fn(f64) -> f64) = match way {
        "rni" => (f32::round_ties_even, f64::round_ties_even),
        "rmi" => (f32::floor, f64::floor),
        "rpi" => (f32::ceil, f64::ceil),
        _ => (f32::trunc, f64::trunc),
    };
    match ty.bytes {
        4 => Box::new(move |a, _, _| single(f(of_single(a)))),
        _ => Box::new(move |a, _, _| g(f64::from_bits(a)).to_bits()),
    }
}

/// The single float next to a double on the side of zero.
fn toward_zero(x: f64) -> u64 {
    let near = x as f32;
    let beyond = f64::from(near).abs() > x.abs();
    single(if beyond { f32::from_bits(near.to_bits() - 1) } else { near })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensor_floats_are_rounded_away_from_zero_where_both_are_as_near() {
        for (x, expected) in [(0x3f80_1000, 0x3f80_2000), (0x3f80_0fff, 0x3f80_0000), (0xbf80_1000, 0xbf80_2000)] {
            assert_eq!(tf32(x), expected, "{x:#x}");
        }
        assert_eq!(tf32(f32::INFINITY.to_bits()), f32::INFINITY.to_bits());
        assert!(f32::from_bits(tf32(f32::NAN.to_bits())).is_nan());
    }

    #[test]
    fn the_first_of_two_is_the_high_half() {
        let (both, operands) = pack(&["rn", "f16x2"], &[Type { kind: Kind::Float, bytes: 4 }]).unwrap();
        assert_eq!((both(single(1.0), single(-2.0), 0), operands), (0x3c00_c000, 2));
    }
}
