//! Statements to instructions.

use crate::Result;
use crate::code::{Address, Code, Source, Space};
use crate::compute::compute;
use crate::operand::{address, list, number, split, vector};
use crate::shuffle::Shuffle;
use crate::types::{Kind, Type};
use std::collections::HashMap;

const PREDICATE: Type = Type { kind: Kind::Predicate, bytes: 1 };

/// What an entry's names stand for.
#[derive(Default)]
pub(crate) struct Names {
    /// Offsets.
    pub params: HashMap<String, usize>,
    /// Addresses of arrays, of the thread or of the block.
    pub arrays: HashMap<String, u64>,
    pub registers: HashMap<String, (usize, Type)>,
    /// Instructions' places.
    pub labels: HashMap<String, usize>,
}

impl Names {
    /// `f32 %f<10>` or `f32 %a, %b`
    pub fn declare(&mut self, text: &str) -> Option<()> {
        let (ty, names) = text.split_once(' ')?;
        let ty = Type::from_name(ty)?;
        for name in names.split(',').map(str::trim) {
            let names = match name.strip_suffix('>').and_then(|name| name.split_once('<')) {
                Some((name, count)) => (0..count.parse().ok()?).map(|n: usize| format!("{name}{n}")).collect(),
                None => vec![name.to_string()],
            };
            for name in names {
                let place = self.registers.len();
                self.registers.insert(name, (place, ty));
            }
        }
        Some(())
    }

    /// An instruction and its guard.
    pub fn statement(&self, text: &str) -> Result<(Option<(usize, bool)>, Code)> {
        let (guard, rest) = match text.strip_prefix('@') {
            None => (None, text),
            Some(guarded) => {
                let (name, rest) = guarded.split_once(' ').ok_or("no instruction")?;
                let not = name.starts_with('!');
                let register = self.register(name.trim_start_matches('!'))?;
                (Some((register, not)), rest.trim())
            }
        };
        let (name, operands) = rest.split_once(' ').unwrap_or((rest, ""));
        let operands = split(operands);
        let (name, parts) = name.split_once('.').unwrap_or((name, ""));
        let parts: Vec<&str> = parts.split('.').filter(|part| !part.is_empty()).collect();
        if let Some(code) = self.special(name, &parts, &operands) {
            return Ok((guard, code?));
        }
        let (types, modifiers): (Vec<&str>, Vec<&str>) =
            parts.into_iter().partition(|part| Type::from_name(part).is_some());
        let types: Vec<Type> = types.into_iter().filter_map(Type::from_name).collect();
        Ok((guard, self.code(name, &modifiers, &types, &operands)?))
    }

    fn code(&self, name: &str, modifiers: &[&str], types: &[Type], operands: &[&str]) -> Result<Code> {
        Ok(match (name, modifiers, types, operands) {
            ("ret", [], [], []) => Code::Return,
            ("bra", [] | ["uni"], [], [label]) => {
                Code::Branch(*self.labels.get(*label).ok_or_else(|| format!("no label `{label}`"))?)
            }
            ("bar" | "barrier", ["sync"], [], ["0"]) => Code::Barrier,
            ("bar", ["warp", "sync"], [], [mask]) => Code::WarpBarrier(self.word(mask)?),
            ("shfl", ["sync", way], [Type { kind: Kind::Bits, bytes: 4 }], [to, from, lane, clamp, mask]) => {
                Code::Shuffle(self.shuffle(way, to, [from, lane, clamp, mask])?)
            }
            ("ld", ["param"], [ty], [to, from]) => {
                let (param, offset) = address(from)?;
                let base = self.params.get(param).ok_or_else(|| format!("no parameter `{param}`"))?;
                Code::Param(self.register(to)?, *ty, (*base as i64 + offset) as usize)
            }
            ("ld" | "st", [space, wide @ ..], [ty], [left, right]) if Space::from_name(space).is_some() => {
                let space = Space::from_name(space).unwrap_or(Space::Global);
                if name == "ld" {
                    Code::Load(space, *ty, self.registers(&vector(wide, left)?)?, self.address(space, right)?)
                } else {
                    let from = vector(wide, right)?.into_iter().map(|from| self.source(from, *ty));
                    Code::Store(space, *ty, from.collect::<Result<_>>()?, self.address(space, left)?)
                }
            }
            ("mov", [], [ty], [to, from]) if to.starts_with('{') || from.starts_with('{') => {
                self.rearrangement(*ty, to, from)?
            }
            (_, _, _, [to, from @ ..]) => self.computation(name, modifiers, types, to, from)?,
            _ => return Err("unknown instruction".into()),
        })
    }

    fn computation(&self, name: &str, modifiers: &[&str], types: &[Type], to: &str, from: &[&str]) -> Result<Code> {
        let (compute, ty, count) = compute(name, modifiers, types)?;
        if from.len() != count {
            return Err(format!("{count} operands are needed"));
        }
        let from = from.iter().enumerate().map(|(place, text)| {
            let ty = if name == "selp" && place == 2 { PREDICATE } else { ty };
            match (self.arrays.get(*text), name) {
                (Some(address), "mov") => Ok(Source::Constant(*address)),
                _ => self.source(text, ty),
            }
        });
        Ok(Code::Compute(compute, self.register(to)?, from.collect::<Result<_>>()?))
    }

    /// `{%a, %b}` as one register, or the reverse.
    fn rearrangement(&self, ty: Type, to: &str, from: &str) -> Result<Code> {
        let part = |count: usize| match ty.bytes / count {
            bytes @ 1..8 if bytes * count == ty.bytes => Ok(Type { kind: Kind::Bits, bytes }),
            _ => Err(format!("{count} registers are no {} bytes", ty.bytes)),
        };
        Ok(match (list(to), list(from)) {
            (None, Some(from)) => Code::Pack(self.register(to)?, part(from.len())?, self.registers(&from)?),
            (Some(to), None) => Code::Unpack(self.registers(&to)?, part(to.len())?, self.register(from)?),
            _ => return Err("unknown instruction".into()),
        })
    }

    /// `%r` or `%r|%p`, and the other operands.
    fn shuffle(&self, way: &str, to: &str, [from, lane, clamp, mask]: [&str; 4]) -> Result<Shuffle> {
        let (to, found) = match to.split_once('|') {
            Some((to, found)) => (to, Some(self.register(found.trim())?)),
            None => (to, None),
        };
        let way = Shuffle::way(way).ok_or_else(|| format!("unknown way `{way}`"))?;
        let (to, from) = (self.register(to.trim())?, self.register(from)?);
        Ok(Shuffle { way, to, found, from, lane: self.word(lane)?, clamp: self.word(clamp)?, mask: self.word(mask)? })
    }

    pub fn register(&self, name: &str) -> Result<usize> {
        self.registers.get(name).map(|it| it.0).ok_or_else(|| format!("no register `{name}`"))
    }

    pub fn registers(&self, names: &[&str]) -> Result<Vec<usize>> {
        names.iter().map(|name| self.register(name)).collect()
    }

    /// A place in a kind of memory: only shared memory is near enough for 32 bits.
    pub fn address(&self, space: Space, text: &str) -> Result<Address> {
        let (base, offset) = address(text)?;
        let base = match (self.registers.get(base), self.arrays.get(base)) {
            (Some((register, ty)), _) if ty.bytes == 8 => Source::Register(*register),
            (Some((register, ty)), _) if ty.bytes == 4 && space == Space::Shared => Source::Register(*register),
            (None, Some(address)) => Source::Constant(*address),
            _ => return Err(format!("`{base}` is no pointer")),
        };
        Ok(Address { base, offset })
    }

    /// A word that is read.
    pub fn word(&self, text: &str) -> Result<Source> {
        self.source(text, Type { kind: Kind::Bits, bytes: 4 })
    }

    fn source(&self, text: &str, ty: Type) -> Result<Source> {
        if let Ok(register) = self.register(text) {
            return Ok(Source::Register(register));
        }
        let dimension = |name: &str| ["x", "y", "z"].iter().position(|dimension| name == *dimension);
        let special = match text.strip_prefix('%').and_then(|name| name.split_once('.').or(Some((name, "x")))) {
            Some(("tid", "x")) => Some(Source::Thread),
            Some(("laneid", "x")) => Some(Source::Lane),
            Some(("ntid", "x")) => Some(Source::BlockSize),
            Some(("ctaid", name)) => dimension(name).map(Source::Block),
            Some(("nctaid", name)) => dimension(name).map(Source::Grid),
            _ => None,
        };
        // A float's number is written as its bits, or else it is none.
        let fits = match (&text.get(..2), ty.kind, ty.bytes) {
            (Some("0f"), Kind::Float | Kind::Bits, 4) | (Some("0d"), Kind::Float | Kind::Bits, 8) => true,
            (Some("0f" | "0d"), ..) | (_, Kind::Float, _) => false,
            _ => true,
        };
        let constant = || number(text).filter(|_| fits).map(Source::Constant);
        special.or_else(constant).ok_or_else(|| format!("unknown operand `{text}`"))
    }
}
