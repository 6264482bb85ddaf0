//! What instructions without memory do to a lane.

use crate::Result;
use crate::convert;
use crate::types::{Kind, Type};

/// Computes a lane from up to three others.
pub(crate) type Compute = Box<dyn Fn(u64, u64, u64) -> u64 + Send + Sync>;

/// The computation an instruction names, its operands' type first, and the number of operands.
pub(crate) fn compute(name: &str, modifiers: &[&str], types: &[Type]) -> Result<(Compute, Type, usize)> {
    let unknown = || format!("unknown instruction `{name}` with {modifiers:?} of {types:?}");
    if name == "cvt" {
        if let ([from], Some((compute, count))) = (types, convert::pack(modifiers, types)) {
            return Ok((compute, *from, count));
        }
        let [to, from] = types else { return Err(unknown()) };
        return Ok((convert::convert(modifiers, *to, *from)?, *from, 1));
    }
    let [ty] = *types else { return Err(unknown()) };
    let found = match ty.kind {
        Kind::Predicate => predicate(name, modifiers),
        Kind::Float => float(name, modifiers, ty),
        _ => int(name, modifiers, ty),
    };
    let (compute, operands) = found.or_else(|| bits(name, modifiers, ty)).ok_or_else(unknown)?;
    Ok((compute, ty, operands))
}

type Found = Option<(Compute, usize)>;

fn one(f: impl Fn(u64) -> u64 + Send + Sync + 'static) -> Found {
    Some((Box::new(move |a, _, _| f(a)), 1))
}

fn two(f: impl Fn(u64, u64) -> u64 + Send + Sync + 'static) -> Found {
    Some((Box::new(move |a, b, _| f(a, b)), 2))
}

fn three(f: impl Fn(u64, u64, u64) -> u64 + Send + Sync + 'static) -> Found {
    Some((Box::new(f), 3))
}

/// What only moves bits.
fn bits(name: &str, modifiers: &[&str], ty: Type) -> Found {
    match (name, modifiers) {
        ("mov", []) => one(move |a| ty.cut(a)),
        ("selp", []) => three(move |a, b, chosen| ty.cut(if chosen != 0 { a } else { b })),
        ("cvta", ["to", "global"]) if ty.bytes == 8 => one(|a| a),
        ("setp", ["eq"]) if ty.kind == Kind::Bits => two(move |a, b| (ty.cut(a) == ty.cut(b)).into()),
        ("setp", ["ne"]) if ty.kind == Kind::Bits => two(move |a, b| (ty.cut(a) != ty.cut(b)).into()),
        _ => None,
    }
}

fn predicate(name: &str, modifiers: &[&str]) -> Found {
    match (name, modifiers) {
        ("and", []) => two(|a, b| a & b),
        ("or", []) => two(|a, b| a | b),
        ("xor", []) => two(|a, b| a ^ b),
        ("not", []) => one(|a| a ^ 1),
        _ => None,
    }
}

fn float(name: &str, modifiers: &[&str], ty: Type) -> Found {
    let nearest = modifiers == ["rn"];
    if name == "setp" {
        let [test] = modifiers else { return None };
        let holds = ordered(test)?;
        return two(move |a, b| holds(ty.number(a).partial_cmp(&ty.number(b))).into());
    }
    match (name, ty.bytes) {
        ("neg", 4 | 8) if modifiers.is_empty() => one(move |a| a ^ 1 << (8 * ty.bytes - 1)),
        ("abs", 4 | 8) if modifiers.is_empty() => one(move |a| a & !(1 << (8 * ty.bytes - 1))),
        ("fma", 4) if nearest => three(|a, b, c| single(of_single(a).mul_add(of_single(b), of_single(c)))),
        ("fma", 8) if nearest => three(|a, b, c| double(of_double(a).mul_add(of_double(b), of_double(c)))),
        ("sqrt", 4) if nearest => one(|a| single(of_single(a).sqrt())),
        ("sqrt", 8) if nearest => one(|a| double(of_double(a).sqrt())),
        (_, 4) if nearest => {
            let f: fn(f32, f32) -> f32 = match name {
                "add" => |a, b| a + b,
                "sub" => |a, b| a - b,
                "mul" => |a, b| a * b,
                "div" => |a, b| a / b,
                _ => return None,
            };
            two(move |a, b| single(f(of_single(a), of_single(b))))
        }
        (_, 8) if nearest => {
            let f: fn(f64, f64) -> f64 = match name {
                "add" => |a, b| a + b,
                "sub" => |a, b| a - b,
                "mul" => |a, b| a * b,
                "div" => |a, b| a / b,
                _ => return None,
            };
            two(move |a, b| double(f(of_double(a), of_double(b))))
        }
        _ => None,
    }
}

pub(crate) fn of_single(bits: u64) -> f32 {
    f32::from_bits(bits as u32)
}

pub(crate) fn single(x: f32) -> u64 {
    x.to_bits().into()
}

fn of_double(bits: u64) -> f64 {
    f64::from_bits(bits)
}

fn double(x: f64) -> u64 {
    x.to_bits()
}

impl Type {
    /// The number that the bits of a float are.
    pub(crate) fn number(self, bits: u64) -> f64 {
        match self.bytes {
            8 => of_double(bits),
            4 => of_single(bits).into(),
            _ => half::f16::from_bits(bits as u16).into(),
        }
    }
}

/// Comparisons; those that end in `u` hold for NaN too.
fn ordered(test: &str) -> Option<fn(Option<std::cmp::Ordering>) -> bool> {
    Some(match test {
        "eq" => |o| o.is_some_and(|o| o.is_eq()),
        "ne" => |o| o.is_some_and(|o| o.is_ne()),
        "lt" => |o| o.is_some_and(|o| o.is_lt()),
        "le" => |o| o.is_some_and(|o| o.is_le()),
        "gt" => |o| o.is_some_and(|o| o.is_gt()),
        "ge" => |o| o.is_some_and(|o| o.is_ge()),
        "neu" => |o| o.is_none_or(|o| o.is_ne()),
        _ => return None,
    })
}

fn int(name: &str, modifiers: &[&str], ty: Type) -> Found {
    let signed = ty.kind == Kind::Signed;
    let pair = move |f: fn(i64, i64) -> i64| two(move |a, b| ty.cut(f(ty.extend(a), ty.extend(b)) as u64));
    match (name, modifiers, ty.kind) {
        ("and", [], Kind::Bits) => two(move |a, b| ty.cut(a & b)),
        ("or", [], Kind::Bits) => two(move |a, b| ty.cut(a | b)),
        ("xor", [], Kind::Bits) => two(move |a, b| ty.cut(a ^ b)),
        ("not", [], Kind::Bits) => one(move |a| ty.cut(!a)),
        ("shl", [], Kind::Bits) => {
            two(move |a, b| ty.cut(ty.cut(a).checked_shl(low(b)).filter(|_| low(b) < width(ty)).unwrap_or(0)))
        }
        ("shr", [], _) if signed => two(move |a, b| ty.cut((ty.extend(a) >> low(b).min(63)) as u64)),
        ("shr", [], _) => two(move |a, b| ty.cut(a).checked_shr(low(b)).unwrap_or(0)),
        (_, _, Kind::Bits) => None,
        ("bfe", [], _) if ty.bytes >= 4 => three(move |a, b, c| field(ty, a, low(b) & 0xff, low(c) & 0xff)),
        ("add", [], _) => pair(i64::wrapping_add),
        ("sub", [], _) => pair(i64::wrapping_sub),
        ("mul", ["lo"], _) => pair(i64::wrapping_mul),
        ("mul", ["wide"], _) if ty.bytes < 8 => two(move |a, b| ty.extend(a).wrapping_mul(ty.extend(b)) as u64),
        ("mad", ["wide"], _) if ty.bytes < 8 => {
            three(move |a, b, c| (ty.extend(a).wrapping_mul(ty.extend(b)) as u64).wrapping_add(c))
        }
        ("mul", ["hi"], _) if signed => two(move |a, b| ty.cut(high(ty.extend(a).into(), ty.extend(b).into(), ty))),
        ("mul", ["hi"], _) => two(move |a, b| ty.cut(high(ty.cut(a).into(), ty.cut(b).into(), ty))),
        ("mad", ["lo"], _) => three(move |a, b, c| ty.cut(a.wrapping_mul(b).wrapping_add(c))),
        ("min", [], _) if signed => pair(i64::min),
        ("max", [], _) if signed => pair(i64::max),
        ("min", [], _) => two(move |a, b| ty.cut(a).min(ty.cut(b))),
        ("max", [], _) => two(move |a, b| ty.cut(a).max(ty.cut(b))),
        // The result of a division by zero is not specified; it must not be used.
        ("div", [], _) if signed => pair(|a, b| a.checked_div(b).unwrap_or(UNSPECIFIED as i64)),
        ("rem", [], _) if signed => pair(|a, b| a.checked_rem(b).unwrap_or(UNSPECIFIED as i64)),
        ("div", [], _) => two(move |a, b| ty.cut(ty.cut(a).checked_div(ty.cut(b)).unwrap_or(UNSPECIFIED))),
        ("rem", [], _) => two(move |a, b| ty.cut(ty.cut(a).checked_rem(ty.cut(b)).unwrap_or(UNSPECIFIED))),
        ("neg", [], _) if signed => one(move |a| ty.cut(a.wrapping_neg())),
        ("abs", [], _) if signed => one(move |a| ty.cut(ty.extend(a).wrapping_abs() as u64)),
        ("setp", [test], _) if *test != "neu" => {
            let holds = ordered(test)?;
            two(move |a, b| {
                let order = if signed { ty.extend(a).cmp(&ty.extend(b)) } else { ty.cut(a).cmp(&ty.cut(b)) };
                holds(Some(order)).into()
            })
        }
        _ => None,
    }
}

/// The high half of a product.
fn high(a: i128, b: i128, ty: Type) -> u64 {
    // A product of two unsigned numbers of 64 bits may not fit, but its bits do.
    (a.wrapping_mul(b) >> width(ty)) as u64
}

/// Some bits of a number from a place on, extended as the type says.
fn field(ty: Type, a: u64, first: u32, count: u32) -> u64 {
    let extended = if ty.kind == Kind::Signed { ty.extend(a) >> first.min(63) } else { 0 };
    let a = ty.cut(a).checked_shr(first).unwrap_or(0);
    match count {
        0 => 0,
        _ if first + count >= width(ty) => ty.cut(if ty.kind == Kind::Signed { extended as u64 } else { a }),
        _ if ty.kind == Kind::Signed => ty.cut((((a << (64 - count)) as i64) >> (64 - count)) as u64),
        _ => a & ((1 << count) - 1),
    }
}

const UNSPECIFIED: u64 = 0x5a5a_5a5a_5a5a_5a5a;

/// A shift's amount, which is a word whatever is shifted.
fn low(bits: u64) -> u32 {
    bits as u32
}

fn width(ty: Type) -> u32 {
    8 * ty.bytes as u32
}
