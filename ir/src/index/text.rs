//! The textual form of [`Index`]: `%m*384 + seq - 1`, `(%c / 32)`, `(%c % 32)`, `min(a, b)`, `at(@3, %j)`.
//!
//! Variables begin with `%`; a symbol that is no identifier stands in single quotes; buffers are `@number`.

use super::{Atom, Index};
use crate::text::{Lexer, SyntaxError, Token};
use std::fmt;

impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if self.terms.is_empty() {
            return f.write_str("0");
        }
        // The constant is stored first and reads better last.
        let constant = self.terms.iter().filter(|term| term.0.is_empty());
        let rest = self.terms.iter().filter(|term| !term.0.is_empty());
        for (place, (atoms, coefficient)) in rest.chain(constant).enumerate() {
            let size = coefficient.unsigned_abs();
            match (place, *coefficient < 0) {
                (0, true) => f.write_str("-")?,
                (0, false) => {}
                (_, true) => f.write_str(" - ")?,
                (_, false) => f.write_str(" + ")?,
            }
            let mut first = true;
            if size != 1 || atoms.is_empty() {
                write!(f, "{size}")?;
                first = false;
            }
            for atom in atoms {
                if !first {
                    f.write_str("*")?;
                }
                write!(f, "{atom}")?;
                first = false;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Atom::Var(name) => write!(f, "%{name}"),
            Atom::Sym(name) => crate::text::write_name(f, name),
            Atom::Div(pair) => write!(f, "floordiv({}, {})", pair.0, pair.1),
            Atom::Mod(pair) => write!(f, "mod({}, {})", pair.0, pair.1),
            Atom::Min(pair) => write!(f, "min({}, {})", pair.0, pair.1),
            Atom::Max(pair) => write!(f, "max({}, {})", pair.0, pair.1),
            Atom::At(buffer, index) => {
                write!(f, "at(@{buffer}")?;
                index.iter().try_for_each(|i| write!(f, ", {i}"))?;
                f.write_str(")")
            }
        }
    }
}

/// Parses one expression: sums and products of numbers, `%variables`, symbols, parentheses and the functions
/// `floordiv`, `mod`, `min`, `max`, `cdiv`, `at`. Stops at the first token that cannot continue it.
pub fn parse_index(lexer: &mut Lexer) -> Result<Index, SyntaxError> {
    let mut sum = if lexer.eat("-") { -product(lexer)? } else { product(lexer)? };
    loop {
        if lexer.eat("+") {
            sum = sum + product(lexer)?;
        } else if lexer.eat("-") {
            sum = sum - product(lexer)?;
        } else {
            return Ok(sum);
        }
    }
}

fn product(lexer: &mut Lexer) -> Result<Index, SyntaxError> {
    let mut product = factor(lexer)?;
    while lexer.eat("*") {
        product = product * factor(lexer)?;
    }
    Ok(product)
}

fn factor(lexer: &mut Lexer) -> Result<Index, SyntaxError> {
    if lexer.eat("(") {
        let inner = lexer.nested(parse_index)?;
        lexer.expect(")")?;
        return Ok(inner);
    }
    match lexer.next()? {
        Token::Int(n) => Ok(Index::from(n)),
        Token::Local(name) => Ok(Index::var(name)),
        Token::Quoted(name) => Ok(Index::sym(name)),
        Token::Word(word) if lexer.eat("(") => {
            let index = lexer.nested(|lexer| call(&word, lexer))?;
            lexer.expect(")")?;
            Ok(index)
        }
        Token::Word(name) => Ok(Index::sym(name)),
        other => Err(lexer.error(format!("expected an index expression, found {other}"))),
    }
}

fn call(function: &str, lexer: &mut Lexer) -> Result<Index, SyntaxError> {
    if function == "at" {
        let buffer = lexer.buffer()?;
        let mut index = Vec::new();
        while lexer.eat(",") {
            index.push(parse_index(lexer)?);
        }
        return Ok(Index::at(buffer, index));
    }
    let a = parse_index(lexer)?;
    lexer.expect(",")?;
    let b = parse_index(lexer)?;
    if matches!(function, "floordiv" | "mod" | "cdiv") && b.as_const().is_some_and(|n| n <= 0) {
        return Err(lexer.error(format!("the divisor of `{function}` must be positive")));
    }
    Ok(match function {
        "floordiv" => a.div(&b),
        "mod" => a.rem(&b),
        "cdiv" => a.ceil_div(&b),
        "min" => a.lesser(&b),
        "max" => a.greater(&b),
        _ => return Err(lexer.error(format!("unknown index function `{function}`"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_parses_again() {
        for text in
            ["0", "-%m", "%m*384 + seq - 1", "2*a*b + mod(%c, 32)", "'batch size' + at(@3, %j, 0)", "min(%i, n) + 7"]
        {
            let index = parse_index(&mut Lexer::new(text)).unwrap();
            let printed = index.to_string();
            assert_eq!(parse_index(&mut Lexer::new(&printed)).unwrap(), index, "{text} printed as {printed}");
        }
    }

    #[test]
    fn deep_nesting_is_an_error() {
        let text = "(".repeat(100_000);
        assert!(parse_index(&mut Lexer::new(&text)).is_err());
    }
}
