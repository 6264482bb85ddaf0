//! Attributes and constants: written and read.

use super::parse::{Parser, Read};
use super::write_graph;
use crate::onnx::Attribute;
use crate::text::{Token, write_float, write_name};
use crate::{DType, Scalar, Tensor};
use std::fmt::{self, Write};

/// The most elements a constant is written with.
const INLINE: usize = 64;

/// Writes an attribute's value.
pub fn write_attribute(f: &mut dyn Write, attribute: &Attribute, indent: usize) -> fmt::Result {
    match attribute {
        Attribute::Float(x) => write_element(f, DType::F32, Scalar::Float((*x).into())),
        Attribute::Int(n) => write_element(f, DType::I64, Scalar::Int(*n)),
        Attribute::String(text) => write_text(f, text),
        Attribute::Tensor(tensor) => write_tensor(f, tensor),
        Attribute::Graph(graph) => write_graph(f, graph, indent),
        Attribute::Floats(list) => {
            write_list(f, "floats ", list, |f, x| write_element(f, DType::F32, Scalar::Float((*x).into())))
        }
        Attribute::Ints(list) => write_list(f, "ints ", list, |f, n| write_element(f, DType::I64, Scalar::Int(*n))),
        Attribute::Strings(list) => write_list(f, "strings ", list, |f, text| write_text(f, text)),
    }
}

/// Writes a constant; only the type of a large one.
pub fn write_tensor(f: &mut dyn Write, tensor: &Tensor) -> fmt::Result {
    write!(f, "const {}{:?} ", tensor.dtype(), tensor.shape())?;
    if tensor.len() > INLINE {
        return f.write_str("...");
    }
    let elements: Vec<Scalar> = tensor.scalars().collect();
    write_list(f, "", &elements, |f, x| write_element(f, tensor.dtype(), *x))
}

fn write_list<T>(
    f: &mut dyn Write,
    kind: &str,
    list: &[T],
    mut item: impl FnMut(&mut dyn Write, &T) -> fmt::Result,
) -> fmt::Result {
    f.write_str(if list.is_empty() { kind } else { "" })?;
    f.write_str("[")?;
    for (place, element) in list.iter().enumerate() {
        f.write_str(if place > 0 { ", " } else { "" })?;
        item(f, element)?;
    }
    f.write_str("]")
}

fn write_element(f: &mut dyn Write, dtype: DType, element: Scalar) -> fmt::Result {
    match element {
        // Its digits do not fit a number without a sign.
        Scalar::Int(i64::MIN) => write!(f, "#x{:x}", i64::MIN as u64),
        Scalar::Int(n) => write!(f, "{n}"),
        Scalar::Float(x) if dtype == DType::F32 => {
            // The shortest digits that mean this F32, if they still do when read as F64.
            let short: f64 = (x as f32).to_string().parse().unwrap_or(x);
            write_float(f, if short as f32 == x as f32 { short } else { x })
        }
        Scalar::Float(x) => write_float(f, x),
    }
}

/// Always in quotes.
fn write_text(f: &mut dyn Write, text: &str) -> fmt::Result {
    let mut name = String::new();
    write_name(&mut name, text)?;
    if name.starts_with('\'') { f.write_str(&name) } else { write!(f, "'{name}'") }
}

impl Parser<'_> {
    /// An attribute's value.
    pub fn attribute(&mut self) -> Read<Attribute> {
        match self.lexer.peek()?.clone() {
            Token::Quoted(text) => {
                self.lexer.next()?;
                Ok(Attribute::String(text))
            }
            Token::Word(word) if word == "const" => Ok(Attribute::Tensor(self.tensor()?)),
            Token::Word(word) if word == "graph" => Ok(Attribute::Graph(Box::new(self.graph()?))),
            Token::Word(kind) => {
                self.lexer.next()?;
                self.lexer.expect("[")?;
                self.lexer.expect("]")?;
                match kind.as_str() {
                    "ints" => Ok(Attribute::Ints(vec![])),
                    "floats" => Ok(Attribute::Floats(vec![])),
                    "strings" => Ok(Attribute::Strings(vec![])),
                    _ => Err(self.lexer.error(format!("`{kind} []` is no empty list: write ints, floats or strings"))),
                }
            }
            Token::Mark(mark) if mark == "[" => self.list(),
            _ => Ok(match self.number()? {
                Scalar::Int(n) => Attribute::Int(n),
                Scalar::Float(x) => Attribute::Float(x as f32),
            }),
        }
    }

    /// A list whose first element says what it holds.
    fn list(&mut self) -> Read<Attribute> {
        self.lexer.expect("[")?;
        if let Token::Quoted(_) = self.lexer.peek()? {
            let texts = self.items("]", |parser| match parser.lexer.next()? {
                Token::Quoted(text) => Ok(text),
                other => Err(parser.lexer.error(format!("expected a text in quotes, found {other}"))),
            });
            return Ok(Attribute::Strings(texts?));
        }
        let numbers = self.items("]", Parser::number)?;
        let ints = numbers.iter().map(|n| if let Scalar::Int(n) = n { Some(*n) } else { None });
        let floats = numbers.iter().map(|n| if let Scalar::Float(x) = n { Some(*x as f32) } else { None });
        if let (false, Some(ints)) = (numbers.is_empty(), ints.collect()) {
            return Ok(Attribute::Ints(ints));
        }
        match floats.collect::<Option<Vec<f32>>>() {
            Some(floats) if !numbers.is_empty() => Ok(Attribute::Floats(floats)),
            _ => Err(self.lexer.error("a list holds whole numbers, or floats, or texts, and at least one")),
        }
    }

    /// `const f32[2] [1.0, 2.0]`
    pub fn tensor(&mut self) -> Read<Tensor> {
        self.lexer.expect("const")?;
        let dtype = self.dtype()?;
        self.lexer.expect("[")?;
        let shape = self.items("]", |parser| {
            let extent = parser.lexer.int()?;
            usize::try_from(extent).map_err(|_| parser.lexer.error(format!("{extent} is no extent")))
        })?;
        // A zero among the extents must not hide that the others overflow.
        let size = shape.iter().try_fold(dtype.bytes(), |size, n| size.checked_mul((*n).max(1)));
        let size = size.filter(|size| *size <= self.budget).ok_or_else(|| self.lexer.error("too much data"))?;
        let error = |parser: &Self, e: crate::Error| parser.lexer.error(e.message);
        if self.lexer.eat("..") {
            self.lexer.expect(".")?;
            self.budget -= size;
            let size = if shape.contains(&0) { 0 } else { size };
            return Tensor::new(dtype, shape, vec![0; size]).map_err(|e| error(self, e));
        }
        self.lexer.expect("[")?;
        let elements = self.items("]", Parser::number)?;
        let fits = |x: &Scalar| dtype.is_float() || matches!(x, Scalar::Int(_));
        if !elements.iter().all(fits) {
            return Err(self.lexer.error(format!("elements of {dtype} are whole numbers")));
        }
        Tensor::from_scalars(dtype, shape, &elements).map_err(|e| error(self, e))
    }

    /// A number with or without a sign.
    fn number(&mut self) -> Read<Scalar> {
        let negative = self.lexer.eat("-");
        match self.lexer.next()? {
            Token::Int(n) => Ok(Scalar::Int(if negative { -n } else { n })),
            // Only `#x` and bits gives this without a sign; floats write it `-0.0`.
            Token::Float(x) if !negative && x.to_bits() == i64::MIN as u64 => Ok(Scalar::Int(i64::MIN)),
            Token::Float(x) => Ok(Scalar::Float(if negative { -x } else { x })),
            other => Err(self.lexer.error(format!("expected a number, found {other}"))),
        }
    }
}
