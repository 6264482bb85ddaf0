//! Reads programs.

use crate::index::parse_index;
use crate::program::{Axis, Buffer, Expr, ExprKind, Kernel, Program, Reduce, Stage, Step, Store, StoreMode};
use crate::text::{Lexer, SyntaxError, Token};
use crate::tile::{Binary, Compare, InRange, Math, Monoid, Unary};
use crate::{DType, Index, Name, Scalar, Tensor};

type Result<T> = std::result::Result<T, SyntaxError>;

impl Program {
    /// Reads a program from its text. `constants` gives the bytes of constants that are not written out, by their hash;
    /// without them such a buffer is zero.
    ///
    /// # Errors
    /// If the text is no program.
    pub fn parse(text: &str, constants: &dyn Fn(u64) -> Option<Tensor>) -> Result<Program> {
        let mut lexer = Lexer::new(text);
        let lexer = &mut lexer;
        lexer.expect("program")?;
        let mut program = Program { name: lexer.name()?, ..Program::default() };
        lexer.expect("{")?;
        loop {
            if lexer.eat("symbol") {
                symbol(lexer, &mut program)?;
            } else if lexer.eat("buffer") {
                let buffer = buffer(lexer, program.buffers.len(), constants)?;
                program.buffers.push(buffer);
            } else if lexer.eat("inputs") {
                program.inputs = numbers(lexer, &program)?;
            } else if lexer.eat("outputs") {
                program.outputs = numbers(lexer, &program)?;
            } else if lexer.eat("state") {
                let input = known(lexer, &program.buffers)?;
                lexer.expect("is")?;
                program.states.push((input, known(lexer, &program.buffers)?));
            } else if lexer.eat("limit") {
                let a = parse_index(lexer)?;
                lexer.expect("within")?;
                let b = parse_index(lexer)?;
                lexer.expect("at")?;
                program.facts.assume(b.clone() - a.clone());
                program.limits.push((a, b, lexer.name()?.into()));
            } else if lexer.eat("assert") {
                let a = parse_index(lexer)?;
                lexer.expect("=")?;
                lexer.expect("=")?;
                let b = parse_index(lexer)?;
                lexer.expect("at")?;
                let node = lexer.name()?.into();
                program.asserts.push((a, b, node));
            } else {
                break;
            }
        }
        program.body = Parser { lexer, buffers: &program.buffers, stages: vec![] }.steps()?;
        match lexer.next()? {
            Token::End => Ok(program),
            other => Err(lexer.error(format!("expected the end of the text, found {other}"))),
        }
    }
}

fn symbol(lexer: &mut Lexer, program: &mut Program) -> Result<()> {
    let name = lexer.name()?;
    lexer.expect(":")?;
    let low = lexer.int()?;
    lexer.expect("..")?;
    let high = if matches!(lexer.peek()?, Token::Int(_)) { Some(lexer.int()?) } else { None };
    program.facts.symbol(name, low, high);
    Ok(())
}

fn buffer(lexer: &mut Lexer, number: usize, constants: &dyn Fn(u64) -> Option<Tensor>) -> Result<Buffer> {
    if lexer.buffer()? as usize != number {
        return Err(lexer.error("buffers are numbered from 0, in order"));
    }
    let name: Name = lexer.name()?.into();
    lexer.expect(":")?;
    let dtype = dtype(lexer)?;
    lexer.expect("[")?;
    let shape = lexer.list("]", parse_index)?;
    let mut buffer = Buffer { name, dtype, shape, constant: None };
    if lexer.eat("=") {
        buffer.constant = Some(constant(lexer, &buffer, constants)?);
    }
    Ok(buffer)
}

fn constant(lexer: &mut Lexer, buffer: &Buffer, constants: &dyn Fn(u64) -> Option<Tensor>) -> Result<Tensor> {
    let extents = buffer.shape.iter().map(|dim| usize::try_from(dim.as_const()?).ok()).collect::<Option<Vec<_>>>();
    let extents = extents.ok_or_else(|| lexer.error("a constant has a symbolic shape"))?;
    let made = if lexer.eat("constant") {
        let Token::Float(bits) = lexer.next()? else { return Err(lexer.error("expected the hash of a constant")) };
        let size = extents.iter().try_fold(buffer.dtype.bytes(), |n, extent| n.checked_mul(*extent));
        let size = size.filter(|size| *size < 1 << 32).ok_or_else(|| lexer.error("a constant is too large"))?;
        match constants(bits.to_bits()) {
            Some(tensor) => Ok(tensor),
            None => Tensor::new(buffer.dtype, extents, vec![0; size]),
        }
    } else {
        lexer.expect("[")?;
        let scalars = lexer.list("]", scalar)?;
        Tensor::from_scalars(buffer.dtype, extents, &scalars)
    };
    made.map_err(|e| lexer.error(e.message))
}

fn numbers(lexer: &mut Lexer, program: &Program) -> Result<Vec<u32>> {
    let mut list = Vec::new();
    if !matches!(lexer.peek()?, Token::Global(_)) {
        return Ok(list);
    }
    loop {
        list.push(known(lexer, &program.buffers)?);
        if !lexer.eat(",") {
            return Ok(list);
        }
    }
}

/// The number of a buffer that exists.
fn known(lexer: &mut Lexer, buffers: &[Buffer]) -> Result<u32> {
    let number = lexer.buffer()?;
    if (number as usize) < buffers.len() {
        return Ok(number);
    }
    Err(lexer.error(format!("there is no buffer @{number}")))
}

fn dtype(lexer: &mut Lexer) -> Result<DType> {
    let word = lexer.word()?;
    DType::from_name(&word).ok_or_else(|| lexer.error(format!("`{word}` is no element type")))
}

fn scalar(lexer: &mut Lexer) -> Result<Scalar> {
    let negative = lexer.eat("-");
    match lexer.next()? {
        Token::Int(n) => Ok(Scalar::Int(if negative { -n } else { n })),
        Token::Float(x) => Ok(Scalar::Float(if negative { -x } else { x })),
        other => Err(lexer.error(format!("expected a number, found {other}"))),
    }
}

struct Parser<'a, 'b> {
    lexer: &'a mut Lexer<'b>,
    buffers: &'a [Buffer],
    /// Types of the stages so far.
    stages: Vec<DType>,
}

impl Parser<'_, '_> {
    /// Steps up to the closing brace, which is taken.
    fn steps(&mut self) -> Result<Vec<Step>> {
        let mut steps = Vec::new();
        loop {
            let lexer = &mut *self.lexer;
            if lexer.eat("}") {
                return Ok(steps);
            } else if lexer.eat("kernel") {
                steps.push(Step::Kernel(self.kernel()?));
            } else if lexer.eat("if") {
                let condition = known(lexer, self.buffers)?;
                let then = self.block()?;
                self.lexer.expect("else")?;
                steps.push(Step::If { condition, then, otherwise: self.block()? });
            } else if lexer.eat("loop") {
                steps.push(self.repeat()?);
            } else if lexer.eat("bind") {
                let name = lexer.name()?.into();
                lexer.expect("=")?;
                steps.push(Step::Bind(name, parse_index(lexer)?));
            } else {
                let found = lexer.peek()?.to_string();
                return Err(lexer.error(format!("expected a step, found {found}")));
            }
        }
    }

    fn block(&mut self) -> Result<Vec<Step>> {
        self.lexer.expect("{")?;
        let (lexer, buffers) = (&mut *self.lexer, self.buffers);
        lexer.nested(|lexer| Parser { lexer, buffers, stages: vec![] }.steps())
    }

    fn repeat(&mut self) -> Result<Step> {
        let counter = self.lexer.name()?.into();
        self.lexer.expect("in")?;
        let trips = parse_index(self.lexer)?;
        let condition = if self.lexer.eat("while") { Some(known(self.lexer, self.buffers)?) } else { None };
        let ran = if self.lexer.eat("ran") { Some(self.lexer.name()?.into()) } else { None };
        Ok(Step::Loop { counter, trips, condition, ran, body: self.block()? })
    }

    fn kernel(&mut self) -> Result<Kernel> {
        let name = self.lexer.name()?.into();
        self.lexer.expect("[")?;
        let axis = |lexer: &mut Lexer| {
            let name = lexer.local()?.into();
            lexer.expect(":")?;
            Ok(Axis { name, extent: parse_index(lexer)? })
        };
        let axes = self.lexer.list("]", axis)?;
        self.lexer.expect("{")?;
        self.stages.clear();
        let mut stages = Vec::new();
        while !self.lexer.eat("}") {
            if self.lexer.local()? != stages.len().to_string() {
                return Err(self.lexer.error("stages are numbered from 0, in order"));
            }
            let stage = self.stage()?;
            self.stages.push(stage.value.dtype());
            stages.push(stage);
        }
        Ok(Kernel { name, axes, stages })
    }

    fn names(&mut self) -> Result<Vec<Name>> {
        self.lexer.expect("[")?;
        self.lexer.list("]", |lexer| Ok(lexer.local()?.into()))
    }

    fn stage(&mut self) -> Result<Stage> {
        let axes = self.names()?;
        self.lexer.expect("=")?;
        let (mut reduce, mut first) = (None, None);
        if let Token::Word(word) = self.lexer.peek()?.clone() {
            self.lexer.next()?;
            match Monoid::from_name(&word).filter(|_| matches!(self.lexer.peek(), Ok(Token::Mark(m)) if m == "[")) {
                Some(monoid) => reduce = Some(Reduce { monoid, axes: self.names()? }),
                None => first = Some(self.word(word)?),
            }
        }
        let value = self.infix(1, first)?;
        let store = if self.lexer.eat("->") { Some(self.store()?) } else { None };
        Ok(Stage { axes, reduce, value, store })
    }

    fn store(&mut self) -> Result<Store> {
        let mode = if self.lexer.eat("scatter") {
            StoreMode::Scatter
        } else if self.lexer.eat("combine") {
            let word = self.lexer.word()?;
            let monoid = Monoid::from_name(&word);
            StoreMode::Combine(monoid.ok_or_else(|| self.lexer.error(format!("`{word}` folds nothing")))?)
        } else {
            StoreMode::Set
        };
        let buffer = known(self.lexer, self.buffers)?;
        let index = self.index()?;
        let only = if self.lexer.eat("only") { self.tests()? } else { vec![] };
        Ok(Store { buffer, index, mode, only })
    }

    fn index(&mut self) -> Result<Vec<Index>> {
        self.lexer.expect("[")?;
        self.lexer.list("]", parse_index)
    }

    fn tests(&mut self) -> Result<Vec<InRange>> {
        let mut tests = Vec::new();
        loop {
            let index = parse_index(self.lexer)?;
            self.lexer.expect("in")?;
            let low = parse_index(self.lexer)?;
            self.lexer.expect("..")?;
            tests.push(InRange { index, low, high: parse_index(self.lexer)? });
            if !self.lexer.eat(",") {
                return Ok(tests);
            }
        }
    }

    /// An expression whose operators bind at least as tightly as `strength`; `first` is what it begins with, if that has
    /// been read.
    fn infix(&mut self, strength: u32, first: Option<Expr>) -> Result<Expr> {
        let mut left = match first {
            Some(expr) => expr,
            None => self.operand()?,
        };
        loop {
            let Ok(Token::Mark(mark)) = self.lexer.peek() else { return Ok(left) };
            let binds = match mark.as_str() {
                "=" | "!" | "<" => 1,
                "+" | "-" => 2,
                "*" | "/" => 3,
                _ => return Ok(left),
            };
            if binds < strength {
                return Ok(left);
            }
            let mark = mark.clone();
            self.lexer.next()?;
            let how = match mark.as_str() {
                "=" => Some(Compare::Eq),
                "!" => Some(Compare::Ne),
                "<" if self.lexer.eat("=") => Some(Compare::Le),
                "<" => Some(Compare::Lt),
                _ => None,
            };
            if matches!(how, Some(Compare::Eq | Compare::Ne)) {
                self.lexer.expect("=")?;
            }
            let right = self.infix(binds + 1, None)?;
            self.same(&left, &right)?;
            left = match (how, mark.as_str()) {
                (Some(how), _) => left.compare(how, &right),
                (None, "+") => left + right,
                (None, "-") => left - right,
                (None, "*") => left * right,
                _ => left / right,
            };
        }
    }

    fn same(&self, a: &Expr, b: &Expr) -> Result<()> {
        if a.dtype() == b.dtype() {
            return Ok(());
        }
        Err(self.lexer.error(format!("operands have types {} and {}", a.dtype(), b.dtype())))
    }

    fn operand(&mut self) -> Result<Expr> {
        if self.lexer.eat("(") {
            let (buffers, stages) = (self.buffers, self.stages.clone());
            let inner = self.lexer.nested(|lexer| Parser { lexer, buffers, stages }.infix(1, None))?;
            self.lexer.expect(")")?;
            return Ok(inner);
        }
        match self.lexer.peek()?.clone() {
            Token::Word(word) => {
                self.lexer.next()?;
                self.word(word)
            }
            Token::Global(_) => {
                let buffer = known(self.lexer, self.buffers)?;
                let index = self.index()?;
                Ok(Expr::load(self.buffers[buffer as usize].dtype, buffer, index))
            }
            Token::Local(name) => {
                self.lexer.next()?;
                let number = name.parse::<usize>().ok().filter(|n| *n < self.stages.len());
                let number = number.ok_or_else(|| self.lexer.error(format!("there is no stage `%{name}` before")))?;
                Ok(Expr::new(self.stages[number], ExprKind::Stage(number)))
            }
            _ => self.number(),
        }
    }

    fn number(&mut self) -> Result<Expr> {
        let value = scalar(self.lexer)?;
        let default = if matches!(value, Scalar::Float(_)) { DType::F32 } else { DType::I64 };
        let dtype = if self.lexer.eat(":") { dtype(self.lexer)? } else { default };
        Ok(Expr::constant(dtype, value))
    }

    /// What begins with a word: a truth value or a call.
    fn word(&mut self, word: String) -> Result<Expr> {
        match word.as_str() {
            "true" => return Ok(Expr::int(DType::Bool, 1)),
            "false" => return Ok(Expr::int(DType::Bool, 0)),
            _ => self.lexer.expect("(")?,
        }
        if word == "index" {
            let index = parse_index(self.lexer)?;
            self.lexer.expect(")")?;
            return Ok(Expr::index(index));
        }
        let (buffers, stages) = (self.buffers, self.stages.clone());
        self.lexer.nested(|lexer| {
            let mut inner = Parser { lexer, buffers, stages };
            if word == "guard" { inner.guard() } else { inner.call(&word) }
        })
    }

    fn guard(&mut self) -> Result<Expr> {
        let then = self.infix(1, None)?;
        self.lexer.expect("else")?;
        let otherwise = scalar(self.lexer)?;
        self.lexer.expect("|")?;
        let all = self.tests()?;
        self.lexer.expect(")")?;
        Ok(then.guard(all, otherwise))
    }

    fn call(&mut self, word: &str) -> Result<Expr> {
        let mut operands = vec![self.infix(1, None)?];
        while self.lexer.eat(",") {
            operands.push(self.infix(1, None)?);
        }
        self.lexer.expect(")")?;
        let binary = Binary::from_name(word);
        match operands.as_slice() {
            [a] if Unary::from_name(word).is_some() => Ok(a.unary(Unary::from_name(word).expect("just seen"))),
            [a] if DType::from_name(word).is_some() => Ok(a.cast(DType::from_name(word).expect("just seen"))),
            [a] if word.starts_with("bits.") => match DType::from_name(&word[5..]) {
                Some(dtype) if dtype.bytes() == a.dtype().bytes() => Ok(a.bitcast(dtype)),
                _ => Err(self.lexer.error(format!("`{word}` has another size than {}", a.dtype()))),
            },
            [a, b] if binary.is_some() => {
                self.same(a, b)?;
                Ok(a.binary(binary.expect("just seen"), b))
            }
            [c, a, b] if word == "select" && c.dtype() == DType::Bool => {
                self.same(a, b)?;
                Ok(c.select(a, b))
            }
            all => match Math::from_name(word).filter(|function| function.arity() == all.len()) {
                Some(function) => Ok(Expr::new(all[0].dtype(), ExprKind::Math(function, all.to_vec()))),
                None => Err(self.lexer.error(format!("there is no function `{word}` of {} operands", all.len()))),
            },
        }
    }
}
