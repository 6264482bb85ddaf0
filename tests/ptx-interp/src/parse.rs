//! Text to entries.

use crate::Result;
use crate::compute::{Compute, compute};
use crate::local::FIRST as LOCAL;
use crate::types::{Kind, Type};
use std::collections::HashMap;

/// A module: what `.version` and `.target` say, and its entries.
pub struct Module {
    /// Such as `6.3`.
    pub version: String,
    /// Such as `sm_75`.
    pub target: String,
    /// In the order of the text.
    pub entries: Vec<Entry>,
}

/// An entry.
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Offset and size of each parameter.
    pub params: Vec<(usize, usize)>,
    /// Threads of a block at most.
    pub most_threads: u32,
    pub(crate) code: Vec<Inst>,
    pub(crate) registers: usize,
    /// Bytes of each thread's own memory.
    pub(crate) local: usize,
}

/// An instruction.
pub(crate) struct Inst {
    /// Where it stands, for messages.
    pub line: usize,
    pub text: String,
    /// Runs where this register is not 0, or is 0 if `.1`.
    pub guard: Option<(usize, bool)>,
    pub code: Code,
}

/// What an instruction does.
pub(crate) enum Code {
    Compute(Compute, usize, Vec<Source>),
    /// Of parameters, at an offset.
    Param(usize, Type, usize),
    Load(Space, Type, Vec<usize>, Source, i64),
    Store(Space, Type, Vec<Source>, Source, i64),
    Branch(usize),
    Return,
}

/// Where a load or a store goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Space {
    Global,
    /// The thread's own.
    Local,
}

impl Space {
    fn named(name: &str) -> Space {
        if name == "local" { Space::Local } else { Space::Global }
    }
}

/// An operand that is read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    Register(usize),
    Constant(u64),
    Thread,
    Block,
    BlockSize,
}

impl Module {
    /// Reads a module.
    ///
    /// # Errors
    /// Names the first line that is not understood.
    pub fn parse(text: &str) -> Result<Module> {
        let mut module = Module { version: String::new(), target: String::new(), entries: vec![] };
        let lines: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap_or("").trim()).collect();
        let mut at = 0;
        while at < lines.len() {
            let line = lines[at];
            let rest = |word: &str| line.strip_prefix(word).map(|rest| rest.trim().to_string());
            if let Some(version) = rest(".version") {
                module.version = version;
            } else if let Some(target) = rest(".target") {
                module.target = target;
            } else if let Some(name) = rest(".visible .entry") {
                let end = (at..lines.len()).find(|&n| lines[n] == "}").ok_or("an entry has no end")?;
                let name = name.trim_end_matches('(').to_string();
                module.entries.push(Reader::new().entry(name, &lines[at + 1..end], at + 2)?);
                at = end;
            } else if !line.is_empty() && line != ".address_size 64" {
                return Err(format!("line {}: unknown directive `{line}`", at + 1));
            }
            at += 1;
        }
        if module.version.is_empty() || module.target.is_empty() {
            return Err("no `.version` or `.target`".into());
        }
        Ok(module)
    }

    /// The entry with a name.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }
}

/// Reads one entry.
struct Reader {
    params: HashMap<String, usize>,
    /// Where each array of the thread's own memory begins.
    locals: HashMap<String, usize>,
    registers: HashMap<String, (usize, Type)>,
    labels: HashMap<String, usize>,
}

impl Reader {
    fn new() -> Reader {
        Reader { params: HashMap::new(), locals: HashMap::new(), registers: HashMap::new(), labels: HashMap::new() }
    }

    /// An entry from the lines after its name; one statement a line, as compilers write them.
    fn entry(mut self, name: String, lines: &[&str], first: usize) -> Result<Entry> {
        let mut entry = Entry { name, params: vec![], most_threads: 1024, code: vec![], registers: 0, local: 0 };
        let mut statements = Vec::new();
        let mut places = 0;
        for (place, line) in lines.iter().enumerate() {
            let number = first + place;
            let wrong = |why: &str| format!("line {number}: {why}: `{line}`");
            if line.is_empty() || [")", "{"].contains(line) {
                continue;
            }
            if let Some(param) = line.strip_prefix(".param ") {
                self.param(&mut entry, param.trim_end_matches(',')).ok_or_else(|| wrong("unknown parameter"))?;
            } else if let Some(sizes) = line.strip_prefix(".maxntid ") {
                let sizes = sizes.split(',').map(|n| n.trim().parse::<u32>().ok()).collect::<Option<Vec<_>>>();
                entry.most_threads = sizes.ok_or_else(|| wrong("unknown size"))?.iter().product();
            } else if let Some(registers) = line.strip_prefix(".reg .") {
                self.declare(registers).ok_or_else(|| wrong("unknown registers"))?;
            } else if let Some(array) = line.strip_prefix(".local ") {
                self.local(&mut entry, array).ok_or_else(|| wrong("unknown array"))?;
            } else if let Some(label) = line.strip_suffix(':') {
                self.labels.insert(label.to_string(), places);
            } else {
                let statement = line.strip_suffix(';').ok_or_else(|| wrong("no end of statement"))?;
                statements.push((number, statement.to_string()));
                places += 1;
            }
        }
        for (line, text) in statements {
            let (guard, code) = self.statement(&text).map_err(|why| format!("line {line}: {why}: `{text}`"))?;
            entry.code.push(Inst { line, text, guard, code });
        }
        entry.registers = self.registers.len();
        Ok(entry)
    }

    fn param(&mut self, entry: &mut Entry, text: &str) -> Option<()> {
        let (name, align, bytes) = declared(text)?;
        let end = entry.params.last().map_or(0, |(offset, size)| offset + size);
        let offset = end.next_multiple_of(align);
        entry.params.push((offset, bytes));
        self.params.insert(name.to_string(), offset);
        Some(())
    }

    fn local(&mut self, entry: &mut Entry, text: &str) -> Option<()> {
        let (name, align, bytes) = declared(text.strip_suffix(';')?)?;
        let offset = entry.local.next_multiple_of(align);
        entry.local = offset + bytes;
        self.locals.insert(name.to_string(), offset);
        Some(())
    }

    /// `f32 %f<10>;`
    fn declare(&mut self, text: &str) -> Option<()> {
        let (ty, names) = text.strip_suffix(';')?.split_once(' ')?;
        let (name, count) = names.trim().strip_suffix('>')?.split_once('<')?;
        let ty = Type::from_name(ty)?;
        for number in 0..count.parse::<usize>().ok()? {
            let place = self.registers.len();
            self.registers.insert(format!("{name}{number}"), (place, ty));
        }
        Some(())
    }

    fn statement(&self, text: &str) -> Result<(Option<(usize, bool)>, Code)> {
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
        let mut parts = name.split('.');
        let name = parts.next().unwrap_or_default();
        let (types, modifiers): (Vec<&str>, Vec<&str>) = parts.partition(|part| Type::from_name(part).is_some());
        let types: Vec<Type> = types.into_iter().filter_map(Type::from_name).collect();
        Ok((guard, self.code(name, &modifiers, &types, &operands)?))
    }

    fn code(&self, name: &str, modifiers: &[&str], types: &[Type], operands: &[&str]) -> Result<Code> {
        Ok(match (name, modifiers, types, operands) {
            ("ret", [], [], []) => Code::Return,
            ("bra", [], [], [label]) => {
                Code::Branch(*self.labels.get(*label).ok_or_else(|| format!("no label `{label}`"))?)
            }
            ("ld", ["param"], [ty], [to, from]) => {
                let (param, offset) = address(from)?;
                let base = self.params.get(param).ok_or_else(|| format!("no parameter `{param}`"))?;
                Code::Param(self.register(to)?, *ty, (*base as i64 + offset) as usize)
            }
            ("ld", [space @ ("global" | "local"), wide @ ..], [ty], [to, from]) => {
                let (pointer, offset) = address(from)?;
                let to = vector(wide, to)?.into_iter().map(|name| self.register(name)).collect::<Result<_>>()?;
                Code::Load(Space::named(space), *ty, to, self.pointer(pointer)?, offset)
            }
            ("st", [space @ ("global" | "local"), wide @ ..], [ty], [to, from]) => {
                let (pointer, offset) = address(to)?;
                let from = vector(wide, from)?.into_iter().map(|name| Ok(Source::Register(self.register(name)?)));
                Code::Store(Space::named(space), *ty, from.collect::<Result<_>>()?, self.pointer(pointer)?, offset)
            }
            (_, _, _, [to, from @ ..]) => {
                let (compute, ty, count) = compute(name, modifiers, types)?;
                if from.len() != count {
                    return Err(format!("{count} operands are needed"));
                }
                let from = from.iter().enumerate().map(|(place, text)| {
                    if let (Some(at), "mov") = (self.locals.get(*text), name) {
                        return Ok(Source::Constant(LOCAL + *at as u64));
                    }
                    let chooses = name == "selp" && place == 2;
                    self.source(text, if chooses { Type { kind: Kind::Predicate, bytes: 1 } } else { ty })
                });
                Code::Compute(compute, self.register(to)?, from.collect::<Result<_>>()?)
            }
            _ => return Err("unknown instruction".into()),
        })
    }

    fn register(&self, name: &str) -> Result<usize> {
        self.registers.get(name).map(|it| it.0).ok_or_else(|| format!("no register `{name}`"))
    }

    fn pointer(&self, name: &str) -> Result<Source> {
        match self.registers.get(name) {
            Some((register, ty)) if ty.bytes == 8 => Ok(Source::Register(*register)),
            _ => Err(format!("`{name}` is no pointer")),
        }
    }

    fn source(&self, text: &str, ty: Type) -> Result<Source> {
        let special = match text {
            "%tid.x" => Some(Source::Thread),
            "%ctaid.x" => Some(Source::Block),
            "%ntid.x" => Some(Source::BlockSize),
            _ => None,
        };
        if let Some(special) = special {
            return Ok(special);
        }
        if text.starts_with('%') {
            return Ok(Source::Register(self.register(text)?));
        }
        let hex = |prefix: &str, digits: usize| text.strip_prefix(prefix).filter(|rest| rest.len() == digits);
        let bits = match (hex("0f", 8), hex("0d", 16)) {
            (Some(digits), _) if ty.is_float() && ty.bytes == 4 => u64::from_str_radix(digits, 16).ok(),
            (_, Some(digits)) if ty.is_float() && ty.bytes == 8 => u64::from_str_radix(digits, 16).ok(),
            _ if ty.is_float() => None,
            _ => text.parse::<i64>().map(|n| n as u64).or_else(|_| text.parse::<u64>()).ok(),
        };
        bits.map(Source::Constant).ok_or_else(|| format!("unknown operand `{text}`"))
    }
}

/// Name, alignment and bytes of `.align 8 .b8 name[16]` or `.u64 name`.
fn declared(text: &str) -> Option<(&str, usize, usize)> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (align, ty, name) = match words[..] {
        [".align", align, ty, name] => (align.parse().ok()?, ty, name),
        [ty, name] => (0, ty, name),
        _ => return None,
    };
    let ty = Type::from_name(ty.strip_prefix('.')?)?;
    let (name, count) = match name.split_once('[') {
        Some((name, count)) => (name, count.strip_suffix(']')?.parse().ok()?),
        None => (name, 1),
    };
    Some((name, ty.bytes.max(align), ty.bytes * count))
}

/// Operands, at commas outside braces.
fn split(text: &str) -> Vec<&str> {
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
fn address(text: &str) -> Result<(&str, i64)> {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let inner = inner.ok_or_else(|| format!("`{text}` is no address"))?;
    match inner.split_once('+') {
        None => Ok((inner, 0)),
        Some((base, offset)) => Ok((base, offset.parse().map_err(|_| format!("`{offset}` is no offset"))?)),
    }
}

/// `%a`, or `{%a, %b}` for `v2`.
fn vector<'a>(wide: &[&str], text: &'a str) -> Result<Vec<&'a str>> {
    let count = match wide {
        [] => return Ok(vec![text]),
        ["v2"] => 2,
        ["v4"] => 4,
        _ => return Err(format!("unknown modifiers {wide:?}")),
    };
    let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or_default();
    let names: Vec<&str> = inner.split(',').map(str::trim).collect();
    if names.len() == count { Ok(names) } else { Err(format!("`{text}` are not {count} registers")) }
}
