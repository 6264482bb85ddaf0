//! Reads the textual form of a graph.

use super::super::{Graph, Value};
use crate::index::parse_index;
use crate::onnx::OnnxNode;
use crate::text::{Lexer, SyntaxError, Token};
use crate::{DType, Error, Index, Result};
use std::collections::{BTreeMap, HashMap};

/// What reading gives; an error of an operator is kept in [`Parser::failure`] as well.
pub type Read<T> = std::result::Result<T, SyntaxError>;

/// How deep graphs may nest.
const MAX_DEPTH: usize = 32;

/// How many bytes of constants that are not written out a text may ask for.
const MAX_ZEROS: usize = 1 << 30;

/// Reads a text.
pub struct Parser<'a> {
    pub lexer: Lexer<'a>,
    /// Bytes of zeros that may still be asked for.
    pub budget: usize,
    failure: Option<Error>,
    depth: usize,
}

/// Values by their printed names, and the usual version of `ai.onnx`.
struct Scope {
    graph: Graph,
    values: HashMap<String, Value>,
    opset: i64,
}

type Type = (DType, Vec<Index>);

impl Graph {
    /// Reads the textual form; see the module `text`. Types are inferred, and must be those written, if any are.
    ///
    /// # Errors
    /// Names the line, or the node whose operator does not accept its inputs.
    pub fn parse(text: &str) -> Result<Graph> {
        let mut parser = Parser { lexer: Lexer::new(text), budget: MAX_ZEROS, failure: None, depth: 0 };
        let graph = parser.graph().and_then(|graph| match parser.lexer.next()? {
            Token::End => Ok(graph),
            other => Err(parser.lexer.error(format!("expected the end of the text, found {other}"))),
        });
        graph.map_err(|syntax| parser.failure.unwrap_or_else(|| Error::invalid(syntax.to_string())))
    }
}

impl Parser<'_> {
    /// A whole graph.
    pub fn graph(&mut self) -> Read<Graph> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.lexer.error(format!("graphs nest deeper than {MAX_DEPTH}")));
        }
        self.lexer.expect("graph")?;
        let name =
            self.marked_name(|token| if let Token::Global(name) = token { Some(name) } else { None }, "@name")?;
        let mut scope = Scope { graph: Graph::new(name), values: HashMap::new(), opset: i64::MAX };
        self.lexer.expect("(")?;
        let inputs = self.items(")", |parser| {
            let name = parser.value_name()?;
            parser.lexer.expect(":")?;
            let (dtype, shape) = parser.typed()?;
            let alias = parser.alias()?;
            Ok((name, dtype, shape, alias))
        })?;
        for (name, dtype, shape, alias) in inputs {
            let value = scope.graph.add_input(alias.unwrap_or_else(|| name.clone()), dtype, shape);
            self.define(&mut scope, name, value)?;
        }
        if self.lexer.eat("opset") {
            scope.opset = self.lexer.int()?;
        }
        self.ranges(&mut scope)?;
        self.lexer.expect("{")?;
        while !self.lexer.eat("return") {
            self.node(&mut scope)?;
        }
        self.results(&mut scope)?;
        self.depth -= 1;
        Ok(scope.graph)
    }

    fn ranges(&mut self, scope: &mut Scope) -> Read<()> {
        if !self.lexer.eat("where") {
            return Ok(());
        }
        loop {
            let (name, low) = (self.lexer.name()?, self.lexer.int()?);
            self.lexer.expect("..")?;
            let high = if let Token::Int(_) = self.lexer.peek()? { Some(self.lexer.int()?) } else { None };
            if low < 0 || high.is_some_and(|high| high < low) {
                return Err(self.lexer.error(format!("the range of `{name}` holds no extent")));
            }
            scope.graph.facts.symbol(name, low, high);
            if !self.lexer.eat(",") {
                return Ok(());
            }
        }
    }

    fn node(&mut self, scope: &mut Scope) -> Read<()> {
        let mut names = vec![self.value_name()?];
        while self.lexer.eat(",") {
            names.push(self.value_name()?);
        }
        self.lexer.expect("=")?;
        if matches!(self.lexer.peek()?, Token::Word(word) if word == "const") {
            let tensor = self.tensor()?;
            let name = self.alias()?.unwrap_or_else(|| names[0].clone());
            let value = scope.graph.add_constant(name, tensor);
            if names.len() > 1 {
                return Err(self.lexer.error("a constant is one value"));
            }
            return self.define(scope, names.remove(0), value);
        }
        let (onnx, inputs) = self.operation(scope, names.len())?;
        let mut types: Vec<Type> = vec![];
        if self.lexer.eat(":") {
            types.push(self.typed()?);
            while self.lexer.eat(",") {
                types.push(self.typed()?);
            }
        }
        let name = self.alias()?.unwrap_or_else(|| names[0].clone());
        let values = scope.graph.add(name, onnx, &inputs).map_err(|error| {
            let syntax = self.lexer.error(error.to_string());
            self.failure.get_or_insert(error);
            syntax
        })?;
        if !types.is_empty() && types.len() != values.len() {
            return Err(self.lexer.error(format!("{} types are written for {} results", types.len(), values.len())));
        }
        for (value, (dtype, shape)) in values.iter().zip(types) {
            let fact = scope.graph.fact(*value);
            if (fact.dtype, &fact.shape) != (dtype, &shape) {
                let written = crate::compute::shape_text(&shape);
                return Err(self.lexer.error(format!("`%{}` is {fact}, not {dtype}{written}", names[0])));
            }
        }
        names.into_iter().zip(values).try_for_each(|(name, value)| self.define(scope, name, value))
    }

    fn operation(&mut self, scope: &Scope, outputs: usize) -> Read<(OnnxNode, Vec<Option<Value>>)> {
        let name = self.lexer.name()?;
        let (domain, op_type) = name.rsplit_once('.').unwrap_or(("", &name));
        let usual = if domain.is_empty() { scope.opset } else { i64::MAX };
        let opset = match self.lexer.peek()?.clone() {
            Token::Global(version) => {
                self.lexer.next()?;
                version.parse().map_err(|_| self.lexer.error(format!("`@{version}` is no version of an operator")))?
            }
            _ => usual,
        };
        self.lexer.expect("(")?;
        let inputs =
            self.items(")", |parser| if parser.lexer.eat("_") { Ok(None) } else { parser.value(scope).map(Some) })?;
        let mut attributes = BTreeMap::new();
        if self.lexer.eat("{") {
            let list = self.items("}", |parser| {
                let name = parser.lexer.name()?;
                parser.lexer.expect("=")?;
                Ok((name, parser.attribute()?))
            })?;
            attributes.extend(list);
        }
        let (op_type, domain) = (op_type.to_string(), domain.to_string());
        Ok((OnnxNode { op_type, domain, opset, attributes, outputs }, inputs))
    }

    fn results(&mut self, scope: &mut Scope) -> Read<()> {
        let results = self.items("}", |parser| {
            let alias = match parser.lexer.peek()? {
                Token::Local(_) => None,
                _ => {
                    let name = parser.lexer.name()?;
                    parser.lexer.expect("=")?;
                    Some(name)
                }
            };
            let name = parser.value_name()?;
            Ok((alias.unwrap_or_else(|| name.clone()), parser.find(scope, &name)?))
        })?;
        results.into_iter().for_each(|(name, value)| scope.graph.add_output(name, value));
        Ok(())
    }

    /// Items separated by commas up to the closing mark, which is taken too.
    pub fn items<T>(&mut self, close: &str, mut item: impl FnMut(&mut Self) -> Read<T>) -> Read<Vec<T>> {
        let mut items = Vec::new();
        while !self.lexer.eat(close) {
            if !items.is_empty() {
                self.lexer.expect(",")?;
            }
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// A name after `%` or `@`, perhaps in quotes.
    fn marked_name(&mut self, pick: impl Fn(Token) -> Option<String>, expected: &str) -> Read<String> {
        let token = self.lexer.next()?;
        let found = token.to_string();
        match pick(token) {
            Some(name) if !name.is_empty() => Ok(name),
            Some(_) => match self.lexer.next()? {
                Token::Quoted(name) => Ok(name),
                other => Err(self.lexer.error(format!("expected a name, found {other}"))),
            },
            None => Err(self.lexer.error(format!("expected {expected}, found {found}"))),
        }
    }

    fn value_name(&mut self) -> Read<String> {
        self.marked_name(|token| if let Token::Local(name) = token { Some(name) } else { None }, "a `%name`")
    }

    fn value(&mut self, scope: &Scope) -> Read<Value> {
        let name = self.value_name()?;
        self.find(scope, &name)
    }

    fn find(&self, scope: &Scope, name: &str) -> Read<Value> {
        scope.values.get(name).copied().ok_or_else(|| self.lexer.error(format!("`%{name}` is not defined")))
    }

    fn define(&self, scope: &mut Scope, name: String, value: Value) -> Read<()> {
        match scope.values.insert(name.clone(), value) {
            None => Ok(()),
            Some(_) => Err(self.lexer.error(format!("`%{name}` is defined twice"))),
        }
    }

    fn alias(&mut self) -> Read<Option<String>> {
        if self.lexer.eat("as") { self.lexer.name().map(Some) } else { Ok(None) }
    }

    /// The name of an element type.
    pub fn dtype(&mut self) -> Read<DType> {
        let word = self.lexer.word()?;
        DType::from_name(&word).ok_or_else(|| self.lexer.error(format!("`{word}` is no element type")))
    }

    fn typed(&mut self) -> Read<Type> {
        let dtype = self.dtype()?;
        self.lexer.expect("[")?;
        Ok((dtype, self.items("]", |parser| parse_index(&mut parser.lexer))?))
    }
}
