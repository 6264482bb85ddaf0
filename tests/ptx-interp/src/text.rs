//! Text to directives, entries' heads and statements, without knowing what they say.

use crate::Result;

/// A piece of the text that is one statement, and the line it begins on.
#[derive(Debug)]
pub(crate) struct Statement {
    pub line: usize,
    /// Its words, with one space between them.
    pub text: String,
}

/// A part of a module.
#[derive(Debug)]
pub(crate) enum Part {
    /// Such as `.version 7.0`.
    Directive(Statement),
    /// What stands before an entry's brace, and the statements between its braces.
    Entry(Statement, Vec<Statement>),
}

/// The parts of a module.
pub(crate) fn parts(text: &str) -> Result<Vec<Part>> {
    let bare: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap_or("")).collect();
    let bare = bare.join("\n");
    let mut parts = Vec::new();
    let mut at = 0;
    while let Some(begin) = bare[at..].find(|c: char| !c.is_whitespace()).map(|skip| at + skip) {
        let line = line_of(&bare, begin);
        let end_of_line = bare[begin..].find('\n').map_or(bare.len(), |length| begin + length);
        if !bare[begin..end_of_line].contains(".entry") {
            parts.push(Part::Directive(statement(line, &bare[begin..end_of_line])));
            at = end_of_line;
            continue;
        }
        let open = bare[begin..].find('{').ok_or_else(|| format!("line {line}: an entry without a body"))? + begin;
        let close = matching(&bare, open).ok_or_else(|| format!("line {line}: an entry has no end"))?;
        let body = statements(&bare[open + 1..close], line_of(&bare, open))?;
        parts.push(Part::Entry(statement(line, &bare[begin..open]), body));
        at = close + 1;
    }
    Ok(parts)
}

/// Number of the line on which a byte is.
fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// The brace that closes another.
fn matching(text: &str, open: usize) -> Option<usize> {
    let mut depth = 0;
    text[open..].char_indices().find_map(|(at, letter)| {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        (depth == 0).then_some(open + at)
    })
}

/// What semicolons end, and labels, which colons end.
fn statements(body: &str, first: usize) -> Result<Vec<Statement>> {
    let mut found = Vec::new();
    let (mut line, mut rest) = (first, body);
    loop {
        let begin = rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len());
        line += rest[..begin].matches('\n').count();
        rest = &rest[begin..];
        if rest.is_empty() {
            return Ok(found);
        }
        let end = rest.find([';', ':']);
        let end = end.ok_or_else(|| format!("line {line}: no end of statement: `{}`", rest.trim()))?;
        let label = rest.as_bytes()[end] == b':';
        found.push(statement(line, &rest[..end + usize::from(label)]));
        line += rest[..end].matches('\n').count();
        rest = &rest[end + 1..];
    }
}

fn statement(line: usize, text: &str) -> Statement {
    let words: Vec<&str> = text.split_whitespace().collect();
    Statement { line, text: words.join(" ") }
}
