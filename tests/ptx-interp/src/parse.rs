//! Modules and entries: their declarations. Statements are read in `statement`.

use crate::Result;
use crate::code::{Entry, Inst};
use crate::local::FIRST as LOCAL;
use crate::shared::FIRST as SHARED;
use crate::statement::Names;
use crate::text::{self, Part, Statement};
use crate::types::Type;

/// Bytes that the threads of a block can share, as far as the text says how many.
const MOST_SHARED: usize = 48 << 10;

/// A module: what `.version` and `.target` say, and its entries.
pub struct Module {
    /// Such as `6.3`.
    pub version: String,
    /// Such as `sm_75`.
    pub target: String,
    /// In the order of the text.
    pub entries: Vec<Entry>,
}

impl Module {
    /// Reads a module.
    ///
    /// # Errors
    /// Names the first line that is not understood.
    pub fn parse(text: &str) -> Result<Module> {
        let mut module = Module { version: String::new(), target: String::new(), entries: vec![] };
        for part in text::parts(text)? {
            match part {
                Part::Directive(directive) => module.directive(&directive)?,
                Part::Entry(head, body) => module.entries.push(Reader::new().entry(&head, body)?),
            }
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

    fn directive(&mut self, directive: &Statement) -> Result<()> {
        match directive.text.split_once(' ') {
            Some((".version", version)) => self.version = version.into(),
            Some((".target", target)) => self.target = target.into(),
            Some((".address_size", "64")) => {}
            _ => return Err(format!("line {}: unknown directive `{}`", directive.line, directive.text)),
        }
        Ok(())
    }
}

/// Reads one entry.
struct Reader {
    entry: Entry,
    names: Names,
}

impl Reader {
    fn new() -> Reader {
        let entry = Entry {
            name: String::new(),
            params: vec![],
            most_threads: 1024,
            code: vec![],
            registers: 0,
            local: 0,
            shared: 0,
        };
        Reader { entry, names: Names::default() }
    }

    fn entry(mut self, head: &Statement, body: Vec<Statement>) -> Result<Entry> {
        self.head(&head.text).ok_or_else(|| format!("line {}: unknown entry `{}`", head.line, head.text))?;
        let mut statements = Vec::new();
        for statement in body {
            if let Some(label) = statement.text.strip_suffix(':') {
                self.names.labels.insert(label.trim().to_string(), statements.len());
            } else if statement.text.starts_with('.') {
                let known = self.declare(&statement.text);
                known.ok_or_else(|| format!("line {}: unknown directive `{}`", statement.line, statement.text))?;
            } else {
                statements.push(statement);
            }
        }
        for Statement { line, text } in statements {
            let (guard, code) = self.names.statement(&text).map_err(|why| format!("line {line}: {why}: `{text}`"))?;
            self.entry.code.push(Inst { line, text, guard, code });
        }
        self.entry.registers = self.names.registers.len();
        Ok(self.entry)
    }

    /// `.visible .entry name( .param .u64 p ) .maxntid 128, 1, 1 .maxnreg 96 .pragma "nounroll";`
    fn head(&mut self, text: &str) -> Option<()> {
        let text = text.strip_prefix(".visible ").unwrap_or(text).strip_prefix(".entry ")?;
        let (name, rest) = text.split_once('(')?;
        let (params, rest) = rest.split_once(')')?;
        self.entry.name = name.trim().to_string();
        for param in params.split(',').map(str::trim).filter(|param| !param.is_empty()) {
            self.param(param.strip_prefix(".param ")?)?;
        }
        let (before, directives) = rest.split_once('.').unwrap_or((rest, ""));
        let mut directives = directives.split('.').map(str::trim).filter(|directive| !directive.is_empty());
        (before.trim().is_empty() && directives.all(|directive| self.bound(directive).is_some())).then_some(())
    }

    /// A directive of a whole entry. What only says how to compile it makes no difference.
    fn bound(&mut self, directive: &str) -> Option<()> {
        match directive.split_once(' ')? {
            ("maxntid", sizes) => {
                let sizes = sizes.split(',').map(|size| size.trim().parse::<u32>().ok());
                self.entry.most_threads = sizes.product::<Option<u32>>()?;
            }
            ("maxnreg", number) => drop(number.parse::<u32>().ok()?),
            ("pragma", "\"nounroll\";") => {}
            _ => return None,
        }
        Some(())
    }

    fn param(&mut self, text: &str) -> Option<()> {
        let (name, align, bytes) = declared(text)?;
        let end = self.entry.params.last().map_or(0, |(offset, size)| offset + size);
        let offset = end.next_multiple_of(align);
        self.entry.params.push((offset, bytes));
        self.names.params.insert(name.to_string(), offset);
        Some(())
    }

    /// Registers, or an array in memory.
    fn declare(&mut self, text: &str) -> Option<()> {
        let (word, rest) = text.split_once(' ')?;
        let (entry, names) = (&mut self.entry, &mut self.names);
        let (end, first) = match word {
            ".reg" => return names.declare(rest.strip_prefix('.')?),
            ".local" => (&mut entry.local, LOCAL),
            ".shared" => (&mut entry.shared, SHARED),
            _ => return None,
        };
        let (name, align, bytes) = declared(rest)?;
        let offset = end.next_multiple_of(align);
        *end = offset + bytes;
        names.arrays.insert(name.to_string(), first + offset as u64);
        (entry.shared <= MOST_SHARED).then_some(())
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
