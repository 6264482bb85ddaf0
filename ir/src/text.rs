//! What every textual form shares: one lexer, one syntax error, one way to write names.

use std::fmt;
use std::str::Chars;

/// Where a text stops making sense, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SyntaxError {
    /// Line, from 1.
    pub line: usize,
    /// What was expected or wrong.
    pub message: String,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for SyntaxError {}

/// One token of a textual form. Comments run from `;` to the end of the line.
#[derive(Clone, PartialEq, Debug)]
pub enum Token {
    /// An identifier: letters, digits, `_` and `.`, not beginning with a digit.
    Word(String),
    /// `%name`
    Local(String),
    /// `@name` or `@number`
    Global(String),
    /// `'any text'`, with `\'`, `\\` and `\n` escaped
    Quoted(String),
    /// A whole number without a sign.
    Int(i64),
    /// A number with a point, an exponent, or one of `inf`, `nan` after `#`; also `#x` and hexadecimal bits.
    Float(f64),
    /// One mark of punctuation; `->` and `..` are one.
    Mark(String),
    /// The end of the text.
    End,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Token::Word(text) | Token::Mark(text) => write!(f, "`{text}`"),
            Token::Local(name) => write!(f, "`%{name}`"),
            Token::Global(name) => write!(f, "`@{name}`"),
            Token::Quoted(name) => write!(f, "`'{name}'`"),
            Token::Int(n) => write!(f, "`{n}`"),
            Token::Float(n) => write!(f, "`{n}`"),
            Token::End => f.write_str("the end of the text"),
        }
    }
}

/// How deep parentheses and blocks may nest, so that a hostile text cannot exhaust the stack.
const MAX_DEPTH: usize = 200;

/// Splits a text into tokens, one token ahead.
pub struct Lexer<'a> {
    rest: Chars<'a>,
    line: usize,
    ahead: Option<(Token, usize)>,
    depth: usize,
}

impl<'a> Lexer<'a> {
    /// A lexer at the beginning of `text`.
    pub fn new(text: &'a str) -> Lexer<'a> {
        Lexer { rest: text.chars(), line: 1, ahead: None, depth: 0 }
    }

    /// An error at the current line.
    pub fn error(&self, message: impl Into<String>) -> SyntaxError {
        SyntaxError { line: self.line, message: message.into() }
    }

    /// The next token, without taking it.
    pub fn peek(&mut self) -> Result<&Token, SyntaxError> {
        if self.ahead.is_none() {
            let token = self.scan()?;
            self.ahead = Some((token, self.line));
        }
        Ok(&self.ahead.as_ref().expect("just filled").0)
    }

    /// Takes the next token.
    #[expect(clippy::should_implement_trait, reason = "it fails, and an iterator's `next` does not")]
    pub fn next(&mut self) -> Result<Token, SyntaxError> {
        self.peek()?;
        Ok(self.ahead.take().expect("just peeked").0)
    }

    /// Takes the next token if it is this mark or word; an unreadable token is left for the next call to report.
    pub fn eat(&mut self, text: &str) -> bool {
        let found = matches!(self.peek(), Ok(Token::Mark(t) | Token::Word(t)) if t == text);
        if found {
            self.ahead = None;
        }
        found
    }

    /// Takes this mark or word, or fails.
    pub fn expect(&mut self, text: &str) -> Result<(), SyntaxError> {
        if self.eat(text) {
            return Ok(());
        }
        let found = self.peek()?.to_string();
        Err(self.error(format!("expected `{text}`, found {found}")))
    }

    /// Takes an identifier.
    pub fn word(&mut self) -> Result<String, SyntaxError> {
        match self.next()? {
            Token::Word(word) => Ok(word),
            other => Err(self.error(format!("expected a word, found {other}"))),
        }
    }

    /// Takes `%name`.
    pub fn local(&mut self) -> Result<String, SyntaxError> {
        match self.next()? {
            Token::Local(name) => Ok(name),
            other => Err(self.error(format!("expected a `%name`, found {other}"))),
        }
    }

    /// Takes an identifier or a quoted name, as [`write_name`] writes them.
    pub fn name(&mut self) -> Result<String, SyntaxError> {
        match self.next()? {
            Token::Word(name) | Token::Quoted(name) => Ok(name),
            other => Err(self.error(format!("expected a name, found {other}"))),
        }
    }

    /// Takes a whole number, with a sign if it has one.
    pub fn int(&mut self) -> Result<i64, SyntaxError> {
        let negative = self.eat("-");
        match self.next()? {
            Token::Int(n) => Ok(if negative { -n } else { n }),
            other => Err(self.error(format!("expected a whole number, found {other}"))),
        }
    }

    /// Takes `@number`.
    pub fn buffer(&mut self) -> Result<u32, SyntaxError> {
        match self.next()? {
            Token::Global(name) => name.parse().map_err(|_| self.error(format!("`@{name}` is no buffer number"))),
            other => Err(self.error(format!("expected a buffer `@number`, found {other}"))),
        }
    }

    /// Takes items separated by commas up to the closing mark, which it takes too.
    pub fn list<T>(
        &mut self,
        close: &str,
        mut item: impl FnMut(&mut Self) -> Result<T, SyntaxError>,
    ) -> Result<Vec<T>, SyntaxError> {
        let mut items = Vec::new();
        while !self.eat(close) {
            if !items.is_empty() {
                self.expect(",")?;
            }
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// Runs a parser one level deeper.
    pub fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T, SyntaxError>) -> Result<T, SyntaxError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error(format!("nested deeper than {MAX_DEPTH}")));
        }
        let result = parse(self);
        self.depth -= 1;
        result
    }

    fn head(&self) -> Option<char> {
        self.rest.clone().next()
    }

    fn skip_blank(&mut self) {
        while let Some(c) = self.head() {
            if c == ';' {
                while self.head().is_some_and(|c| c != '\n') {
                    self.rest.next();
                }
            } else if c.is_whitespace() {
                self.line += usize::from(c == '\n');
                self.rest.next();
            } else {
                break;
            }
        }
    }

    fn take_while(&mut self, keep: impl Fn(char) -> bool) -> String {
        let mut text = String::new();
        while let Some(c) = self.head().filter(|c| keep(*c)) {
            text.push(c);
            self.rest.next();
        }
        text
    }

    fn scan(&mut self) -> Result<Token, SyntaxError> {
        self.skip_blank();
        let Some(c) = self.head() else { return Ok(Token::End) };
        if c.is_ascii_digit() {
            return self.scan_number();
        }
        if is_word_start(c) {
            return Ok(Token::Word(self.take_while(is_word_char)));
        }
        self.rest.next();
        match c {
            '%' => Ok(Token::Local(self.take_while(is_word_char))),
            '@' => Ok(Token::Global(self.take_while(is_word_char))),
            '#' => {
                let word = self.take_while(is_word_char);
                let bits = word.strip_prefix('x').and_then(|hex| u64::from_str_radix(hex, 16).ok());
                match (word.as_str(), bits) {
                    ("inf", _) => Ok(Token::Float(f64::INFINITY)),
                    ("nan", _) => Ok(Token::Float(f64::NAN)),
                    (_, Some(bits)) => Ok(Token::Float(f64::from_bits(bits))),
                    _ => Err(self.error(format!("`#{word}` is neither #inf, #nan nor #x and 64 bits"))),
                }
            }
            '\'' => self.scan_quoted(),
            '-' if self.head() == Some('>') => {
                self.rest.next();
                Ok(Token::Mark("->".into()))
            }
            '.' if self.head() == Some('.') => {
                self.rest.next();
                Ok(Token::Mark("..".into()))
            }
            _ => Ok(Token::Mark(c.to_string())),
        }
    }

    fn scan_quoted(&mut self) -> Result<Token, SyntaxError> {
        let mut text = String::new();
        loop {
            match self.rest.next() {
                Some('\'') => return Ok(Token::Quoted(text)),
                Some('\\') => match self.rest.next() {
                    Some('n') => text.push('\n'),
                    Some(c) => text.push(c),
                    None => return Err(self.error("a quoted name does not end")),
                },
                Some(c) => text.push(c),
                None => return Err(self.error("a quoted name does not end")),
            }
        }
    }

    fn scan_number(&mut self) -> Result<Token, SyntaxError> {
        let mut text = self.take_while(|c| c.is_ascii_digit());
        let mut float = false;
        let mut after = self.rest.clone();
        if after.next() == Some('.') && after.next().is_some_and(|c| c.is_ascii_digit()) {
            float = true;
            self.rest.next();
            text.push('.');
            text += &self.take_while(|c| c.is_ascii_digit());
        }
        let mut after = self.rest.clone();
        if after.next() == Some('e') {
            let sign = after.next();
            let signed = matches!(sign, Some('-' | '+')) && after.next().is_some_and(|c| c.is_ascii_digit());
            if signed || sign.is_some_and(|c| c.is_ascii_digit()) {
                float = true;
                self.rest.next();
                text.push('e');
                text.push(self.rest.next().expect("seen above"));
                text += &self.take_while(|c| c.is_ascii_digit());
            }
        }
        let error = |_| SyntaxError { line: self.line, message: format!("`{text}` is no number that fits") };
        if float {
            text.parse().map(Token::Float).map_err(|_| error(()))
        } else {
            text.parse().map(Token::Int).map_err(|_| error(()))
        }
    }
}

fn is_word_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

fn is_word_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '.'
}

/// Writes a name: plain if it is an identifier, else in single quotes.
pub fn write_name(f: &mut dyn fmt::Write, name: &str) -> fmt::Result {
    if name.starts_with(is_word_start) && name.chars().all(is_word_char) {
        return f.write_str(name);
    }
    f.write_char('\'')?;
    for c in name.chars() {
        match c {
            '\'' | '\\' => write!(f, "\\{c}")?,
            '\n' => f.write_str("\\n")?,
            _ => f.write_char(c)?,
        }
    }
    f.write_char('\'')
}

/// Writes a float so that it reads back as the same bits (NaN payloads aside) and never as a whole number.
pub fn write_float(f: &mut dyn fmt::Write, x: f64) -> fmt::Result {
    match x {
        _ if x.is_nan() => f.write_str("#nan"),
        _ if x == f64::INFINITY => f.write_str("#inf"),
        _ if x == f64::NEG_INFINITY => f.write_str("-#inf"),
        _ if x != 0.0 && !(1e-5..1e16).contains(&x.abs()) => write!(f, "{x:e}").map(|()| ()),
        _ => write!(f, "{x:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_and_names_read_back() {
        for x in [0.0, -0.0, 1.5, 1e-30, 3.4028234663852886e38, 1e16, 123456.0] {
            let mut text = String::new();
            write_float(&mut text, x).unwrap();
            let mut lexer = Lexer::new(&text);
            let negative = lexer.eat("-");
            let read = match lexer.next().unwrap() {
                Token::Float(x) => x,
                Token::Int(n) => n as f64,
                other => panic!("{other}"),
            };
            assert_eq!(if negative { -read } else { read }.to_bits(), x.to_bits(), "{text}");
        }
        let mut text = String::new();
        write_name(&mut text, "it's /a\\b\n").unwrap();
        assert_eq!(Lexer::new(&text).name().unwrap(), "it's /a\\b\n");
    }
}
