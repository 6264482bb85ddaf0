//! Reads the textual form of a [`Tile`]; the grammar is what [`text`](super::text) writes.
//!
//! In: any text.  Out: a tile, not yet verified, or the line that makes no sense.

use super::text::LOWEST;
use super::{
    Access, Binary, Compare, Fragment, InRange, Inst, Lines, LoopKind, Math, Monoid, Op, Operand, Param, Phase, Ref,
    Role, Space, Tile, Type, Unary,
};
use crate::index::parse_index;
use crate::text::{Lexer, SyntaxError, Token};
use crate::{DType, Index};

type Parsed<T> = Result<T, SyntaxError>;

/// Parses one tile, which must be the whole text.
pub fn parse(text: &str) -> Parsed<Tile> {
    let mut lexer = Lexer::new(text);
    let tile = parse_tile(&mut lexer)?;
    match lexer.next()? {
        Token::End => Ok(tile),
        other => Err(lexer.error(format!("expected the end of the tile, found {other}"))),
    }
}

/// Parses the tile that comes next.
pub fn parse_tile(lexer: &mut Lexer) -> Parsed<Tile> {
    lexer.expect("tile")?;
    let name = lexer.name()?.into();
    let phase = table(lexer, Phase::from_name, "phase")?;
    lexer.expect("(")?;
    let mut next = 0;
    let params = lexer.list(")", |lexer| {
        let number = lexer.buffer()?;
        if number != next {
            return Err(lexer.error(format!("expected buffer @{next}, found @{number}")));
        }
        next += 1;
        param(lexer)
    })?;
    let mut symbols = Vec::new();
    if lexer.eat("symbols") {
        symbols.push(lexer.name()?.into());
        while lexer.eat(",") {
            symbols.push(lexer.name()?.into());
        }
    }
    lexer.expect("tasks")?;
    let var = lexer.local()?.into();
    lexer.expect(":")?;
    let tasks = (var, parse_index(lexer)?);
    let body = body(lexer)?;
    Ok(Tile { name, params, symbols, tasks, body, phase })
}

/// A word of a table.
fn table<T>(lexer: &mut Lexer, find: fn(&str) -> Option<T>, what: &str) -> Parsed<T> {
    let word = lexer.word()?;
    find(&word).ok_or_else(|| lexer.error(format!("`{word}` is no {what}")))
}

fn param(lexer: &mut Lexer) -> Parsed<Param> {
    let name = lexer.name()?.into();
    lexer.expect(":")?;
    let dtype = table(lexer, DType::from_name, "element type")?;
    lexer.expect("[")?;
    let dims = lexer.list("]", parse_index)?;
    let space = table(lexer, Space::from_name, "space")?;
    let stream = lexer.eat("stream");
    let slack = if lexer.eat("slack") { unsigned(lexer)? } else { 0 };
    Ok(Param { name, dtype, dims, space, slack, stream })
}

fn unsigned<T: TryFrom<i64>>(lexer: &mut Lexer) -> Parsed<T> {
    let n = lexer.int()?;
    T::try_from(n).map_err(|_| lexer.error(format!("{n} does not fit here")))
}

fn body(lexer: &mut Lexer) -> Parsed<Vec<Inst>> {
    lexer.expect("{")?;
    lexer.nested(|lexer| {
        let mut insts = Vec::new();
        while !lexer.eat("}") {
            insts.push(inst(lexer)?);
        }
        Ok(insts)
    })
}

fn inst(lexer: &mut Lexer) -> Parsed<Inst> {
    if let Token::Local(_) = lexer.peek()? {
        let dst = reference(lexer)?;
        lexer.expect("=")?;
        let (ty, op) = op(lexer)?;
        return Ok(Inst::Let { dst, ty, op });
    }
    match lexer.word()?.as_str() {
        "loop" => loop_(lexer),
        "if" => if_(lexer),
        "cell" => cell(lexer),
        "set" => {
            let cell = reference(lexer)?;
            lexer.expect("=")?;
            Ok(Inst::Set { cell, value: operand(lexer)? })
        }
        "dot" => {
            let row = lexer.name()?.into();
            let cell = reference(lexer)?;
            Ok(Inst::Dot { row, cell, a: next_operand(lexer)?, b: next_operand(lexer)? })
        }
        "store" => {
            let ty = type_(lexer)?;
            let to = access(lexer)?;
            let value = next_operand(lexer)?;
            Ok(Inst::Store { to, value, ty, first: first(lexer)? })
        }
        "storefragment" => {
            let ty = type_(lexer)?;
            let (to, of) = fragment(lexer)?;
            Ok(Inst::StoreFragment { to, value: next_operand(lexer)?, ty, of })
        }
        "copy" => {
            let ty = type_(lexer)?;
            let to = access(lexer)?;
            lexer.expect(",")?;
            Ok(Inst::Copy { to, from: access(lexer)?, ty, first: first(lexer)? })
        }
        "commit" => Ok(Inst::Commit),
        "wait" => Ok(Inst::Wait(unsigned(lexer)?)),
        "cursor" => cursor(lexer),
        other => Err(lexer.error(format!("`{other}` is no instruction"))),
    }
}

fn loop_(lexer: &mut Lexer) -> Parsed<Inst> {
    let kind = table(lexer, LoopKind::from_name, "kind of loop")?;
    let var = lexer.local()?.into();
    lexer.expect("in")?;
    let low = parse_index(lexer)?;
    lexer.expect("..")?;
    let high = parse_index(lexer)?;
    let step = if lexer.eat("step") { lexer.int()? } else { 1 };
    Ok(Inst::Loop { kind, var, low, high, step, body: body(lexer)? })
}

fn if_(lexer: &mut Lexer) -> Parsed<Inst> {
    let mut all = Vec::new();
    if !matches!(lexer.peek()?, Token::Mark(mark) if mark == "{") {
        all.push(in_range(lexer)?);
        while lexer.eat("and") {
            all.push(in_range(lexer)?);
        }
    }
    let then = body(lexer)?;
    let otherwise = if lexer.eat("else") { body(lexer)? } else { Vec::new() };
    Ok(Inst::If { all, then, otherwise })
}

fn in_range(lexer: &mut Lexer) -> Parsed<InRange> {
    let low = parse_index(lexer)?;
    lexer.expect("<")?;
    lexer.expect("=")?;
    let index = parse_index(lexer)?;
    lexer.expect("<")?;
    Ok(InRange { low, index, high: parse_index(lexer)? })
}

fn cell(lexer: &mut Lexer) -> Parsed<Inst> {
    let name = lexer.local()?.into();
    lexer.expect(":")?;
    let ty = type_(lexer)?;
    let dims = if lexer.eat("[") { lexer.list("]", unsigned)? } else { Vec::new() };
    lexer.expect("=")?;
    Ok(Inst::Cell { name, ty, dims, init: operand(lexer)? })
}

fn cursor(lexer: &mut Lexer) -> Parsed<Inst> {
    let name = lexer.local()?.into();
    lexer.expect("=")?;
    let buffer = lexer.buffer()?;
    lexer.expect("+")?;
    let offset = parse_index(lexer)?;
    let mut advance = None;
    if lexer.eat("advance") {
        let var = lexer.local()?.into();
        lexer.expect("by")?;
        advance = Some((var, parse_index(lexer)?));
    }
    Ok(Inst::Cursor { name, buffer, offset, advance })
}

fn type_(lexer: &mut Lexer) -> Parsed<Type> {
    table(lexer, Type::from_name, "type")
}

fn reference(lexer: &mut Lexer) -> Parsed<Ref> {
    let name = lexer.local()?.into();
    let at = if lexer.eat("[") { lexer.list("]", parse_index)? } else { Vec::new() };
    Ok(Ref { name, at })
}

fn operand(lexer: &mut Lexer) -> Parsed<Operand> {
    if let Token::Local(_) = lexer.peek()? {
        return Ok(Operand::Ref(reference(lexer)?));
    }
    if lexer.eat(LOWEST) {
        return Ok(Operand::Int(i64::MIN));
    }
    let negative = lexer.eat("-");
    match lexer.next()? {
        Token::Int(n) => Ok(Operand::Int(if negative { -n } else { n })),
        Token::Float(x) => Ok(Operand::Float(if negative { -x } else { x })),
        other => Err(lexer.error(format!("expected a value or a number, found {other}"))),
    }
}

fn next_operand(lexer: &mut Lexer) -> Parsed<Operand> {
    lexer.expect(",")?;
    operand(lexer)
}

fn operands(lexer: &mut Lexer) -> Parsed<Vec<Operand>> {
    lexer.expect("(")?;
    lexer.list(")", operand)
}

fn first(lexer: &mut Lexer) -> Parsed<Option<Index>> {
    if !lexer.eat(",") {
        return Ok(None);
    }
    lexer.expect("first")?;
    parse_index(lexer).map(Some)
}

fn access(lexer: &mut Lexer) -> Parsed<Access> {
    if lexer.eat("[") {
        let cursor = lexer.local()?.into();
        let negative = lexer.eat("-");
        if !negative {
            lexer.expect("+")?;
        }
        let offset = lexer.int()?;
        lexer.expect("in")?;
        let buffer = lexer.buffer()?;
        lexer.expect("]")?;
        return Ok(Access::Linear { cursor, offset: if negative { -offset } else { offset }, buffer });
    }
    let buffer = lexer.buffer()?;
    lexer.expect("[")?;
    Ok(Access::Indexed { buffer, index: lexer.list("]", parse_index)? })
}

fn fragment(lexer: &mut Lexer) -> Parsed<(Access, Fragment)> {
    let row = lexer.name()?.into();
    let role = table(lexer, Role::from_name, "role")?;
    let transposed = lexer.eat("transposed");
    let at = access(lexer)?;
    let lines = match lexer.word()?.as_str() {
        "along" => Lines::Along(unsigned(lexer)?),
        "same" => Lines::Same,
        "apart" => Lines::Apart(parse_index(lexer)?),
        other => return Err(lexer.error(format!("`{other}` does not tell where lines lie"))),
    };
    Ok((at, Fragment { row, role, transposed, lines }))
}

fn op(lexer: &mut Lexer) -> Parsed<(Type, Op)> {
    let word = lexer.word()?;
    let ty = type_(lexer)?;
    let op = match word.as_str() {
        "load" => Op::Load(access(lexer)?, first(lexer)?),
        "fragment" => {
            let (from, of) = fragment(lexer)?;
            Op::Fragment(from, of)
        }
        "bcast" => Op::Broadcast(access(lexer)?),
        "splat" => Op::Splat(operand(lexer)?),
        "iota" => Op::Iota,
        "index" => Op::Index(parse_index(lexer)?),
        "lane" => {
            let a = operand(lexer)?;
            lexer.expect(",")?;
            Op::Lane(a, unsigned(lexer)?)
        }
        "pack" => Op::Pack(operands(lexer)?),
        "reduce" => Op::Reduce(table(lexer, Monoid::from_name, "monoid")?, operand(lexer)?),
        "fma" => Op::Fma(operand(lexer)?, next_operand(lexer)?, next_operand(lexer)?),
        "cmp" => {
            let compare = table(lexer, Compare::from_name, "comparison")?;
            Op::Compare(compare, type_(lexer)?, operand(lexer)?, next_operand(lexer)?)
        }
        "select" => Op::Select(operand(lexer)?, next_operand(lexer)?, next_operand(lexer)?),
        "convert" => Op::Convert(type_(lexer)?, operand(lexer)?),
        "bitcast" => Op::Bitcast(type_(lexer)?, operand(lexer)?),
        "math" => Op::Math(table(lexer, Math::from_name, "function")?, operands(lexer)?),
        word => match (Unary::from_name(word), Binary::from_name(word)) {
            (Some(op), _) => Op::Unary(op, operand(lexer)?),
            (_, Some(op)) => Op::Binary(op, operand(lexer)?, next_operand(lexer)?),
            _ => return Err(lexer.error(format!("`{word}` computes nothing"))),
        },
    };
    Ok((ty, op))
}
