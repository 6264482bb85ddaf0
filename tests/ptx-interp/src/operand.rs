//! Operands as text.

use crate::Result;

/// Operands, at commas outside braces.
pub(crate) fn split(text: &str) -> Vec<&str> {
    let mut operands = Vec::new();
    let (mut depth, mut begin) = (0, 0);
    for (at, letter) in text.char_indices() {
        match letter {
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            ',' if depth == 0 => {
                operands.push(text[begin..at].trim());
                begin = at + 1;
            }
            _ => {}
        }
    }
    operands.push(text[begin..].trim());
    operands.retain(|operand| !operand.is_empty());
    operands
}

/// `[base]`, `[base+offset]` or `[base+-offset]`.
pub(crate) fn address(text: &str) -> Result<(&str, i64)> {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let inner = inner.ok_or_else(|| format!("`{text}` is no address"))?.trim();
    match inner.split_once('+') {
        None => Ok((inner, 0)),
        Some((base, offset)) => {
            Ok((base.trim(), offset.trim().parse().map_err(|_| format!("`{offset}` is no offset"))?))
        }
    }
}

/// The operands between braces.
pub(crate) fn list(text: &str) -> Option<Vec<&str>> {
    let inner = text.strip_prefix('{')?.strip_suffix('}')?;
    Some(inner.split(',').map(str::trim).collect())
}

/// `%a`, or `{%a, %b}` for `v2`.
pub(crate) fn vector<'a>(wide: &[&str], text: &'a str) -> Result<Vec<&'a str>> {
    let count = match wide {
        [] => return Ok(vec![text]),
        ["v2"] => 2,
        ["v4"] => 4,
        _ => return Err(format!("unknown modifiers {wide:?}")),
    };
    exactly(count, text)
}

/// So many operands between braces.
pub(crate) fn exactly(count: usize, text: &str) -> Result<Vec<&str>> {
    let names = list(text).filter(|names| names.len() == count);
    names.ok_or_else(|| format!("`{text}` are not {count} registers"))
}

/// A number: decimal or hexadecimal, or the bits of a float.
pub(crate) fn number(text: &str) -> Option<u64> {
    let float = |prefix: &str, digits: usize| text.strip_prefix(prefix).filter(|rest| rest.len() == digits);
    if let Some(digits) = float("0f", 8).or_else(|| float("0d", 16)).or_else(|| text.strip_prefix("0x")) {
        return u64::from_str_radix(digits, 16).ok();
    }
    text.parse::<i64>().map(|n| n as u64).or_else(|_| text.parse::<u64>()).ok()
}
