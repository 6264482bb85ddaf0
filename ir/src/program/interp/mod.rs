//! The reference interpreter: runs a program element by element, as it says.
//!
//! It is what constant folding uses and what compiled code is compared with, so it favours being right over being fast.
//! Floats are computed in F64 and rounded to their type after every operation; a fold is rounded once at its end.
//!
//! In: a program and the tensors of its inputs.  Out: the tensors of its outputs.
//! Invariants: a load or store out of bounds is an error, never undefined.

mod compile;
mod eval;
mod table;

pub use table::tabulate;

use super::{Kernel, Program, Stage, Step};
use crate::tensor::Scalar;
use crate::tile::Monoid;
use crate::{DType, Error, Index, Name, Result, Tensor};
use compile::Compiler;
use eval::Env;
use std::collections::HashMap;

/// Elements of a buffer, each as wide as they come.
#[derive(Clone, Debug)]
pub(crate) enum Elements {
    Float(Vec<f64>),
    Int(Vec<i64>),
}

/// A buffer that has been written.
#[derive(Clone, Debug)]
pub(crate) struct Data {
    dtype: DType,
    shape: Vec<usize>,
    elements: Elements,
}

/// Runs a program on its inputs.
///
/// # Errors
/// If an input has the wrong type or a shape that contradicts the symbols, an assertion fails, or the program breaks a
/// rule.
pub fn run(program: &Program, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
    let mut machine = Machine::new(program, inputs)?;
    machine.steps(&program.body)?;
    program.outputs.iter().map(|&buffer| machine.take(buffer)).collect()
}

/// Values of the input symbols that make the declared shapes those of the given tensors.
///
/// # Errors
/// Names the input that does not fit.
pub fn bind_symbols(program: &Program, inputs: &[Tensor]) -> Result<HashMap<Name, i64>> {
    let (mut symbols, mut pending) = (HashMap::new(), Vec::new());
    if inputs.len() != program.inputs.len() {
        return Err(Error::invalid(format!(
            "{} inputs are given, the model has {}",
            inputs.len(),
            program.inputs.len()
        )));
    }
    for (&number, tensor) in program.inputs.iter().zip(inputs) {
        let buffer = program.buffer(number);
        let wrong = |what: String| Error::invalid(format!("input `{}` {what}", buffer.name));
        if tensor.dtype() != buffer.dtype {
            return Err(wrong(format!("has type {}, the model wants {}", tensor.dtype(), buffer.dtype)));
        }
        if tensor.shape().len() != buffer.shape.len() {
            return Err(wrong(format!("has rank {}, the model wants {}", tensor.shape().len(), buffer.shape.len())));
        }
        let dims = buffer.shape.iter().zip(tensor.shape()).enumerate();
        pending.extend(dims.map(|(place, (dim, &have))| (&buffer.name, place, dim, have as i64)));
    }
    // A dim may need the symbols of a later one.
    while !pending.is_empty() {
        let before = pending.len();
        let mut result = Ok(());
        pending.retain(|&(name, place, dim, have)| match bind_dim(program, dim, have, &mut symbols) {
            Ok(done) => !done,
            Err(why) => {
                if result.is_ok() {
                    result = Err(Error::invalid(format!("input `{name}` has {have} at dim {place}, {why}")));
                }
                false
            }
        });
        result?;
        if let Some((name, place, dim, _)) = pending.first().filter(|_| pending.len() == before) {
            return Err(Error::internal(format!("dim {place} of input `{name}`, {dim}, has several unknowns")));
        }
    }
    Ok(symbols)
}

/// Binds the symbol that a dim decides, or checks the dim; whether it could, or what the model wants instead.
fn bind_dim(
    program: &Program,
    dim: &Index,
    have: i64,
    symbols: &mut HashMap<Name, i64>,
) -> std::result::Result<bool, String> {
    let Some((symbol, rest)) = dim.solve(&|name| symbols.contains_key(name)) else {
        return match eval_index(dim, symbols) {
            Some(want) if want == have => Ok(true),
            Some(_) => Err(format!("the model wants {dim}")),
            None => Ok(false),
        };
    };
    let value = eval_index(&rest, symbols).map_or(have, |rest| have - rest);
    let (low, high) = program.facts.symbol_range(&symbol);
    if value < low || high.is_some_and(|high| value > high) {
        return Err(format!("outside the range of `{symbol}`"));
    }
    symbols.insert(symbol, value);
    Ok(true)
}

fn eval_index(index: &Index, symbols: &HashMap<Name, i64>) -> Option<i64> {
    index.eval(&mut |leaf| match leaf {
        crate::index::Leaf::Sym(name) => symbols.get(*name).copied(),
        _ => None,
    })
}

struct Machine<'a> {
    program: &'a Program,
    symbols: HashMap<Name, i64>,
    buffers: Vec<Option<Data>>,
}

impl<'a> Machine<'a> {
    fn new(program: &'a Program, inputs: &[Tensor]) -> Result<Machine<'a>> {
        let symbols = bind_symbols(program, inputs)?;
        for (a, b, node) in &program.asserts {
            if let (Some(x), Some(y)) = (eval_index(a, &symbols), eval_index(b, &symbols))
                && x != y
            {
                return Err(Error::invalid(format!("dims {a} and {b} must be equal, but are {x} and {y}")).at(node));
            }
        }
        for (a, b, name) in &program.limits {
            if let (Some(x), Some(y)) = (eval_index(a, &symbols), eval_index(b, &symbols))
                && x > y
            {
                return Err(Error::invalid(format!("output `{name}` has no room: {a} is {x}, {b} is {y}")));
            }
        }
        let constants = program.buffers.iter().map(|buffer| buffer.constant.as_ref().map(Data::from_tensor));
        let mut buffers: Vec<_> = constants.collect();
        for (&number, tensor) in program.inputs.iter().zip(inputs) {
            let state = program.states.iter().find(|state| state.0 == number).map_or(number, |state| state.1);
            buffers[state as usize] = Some(Data::from_tensor(tensor));
        }
        Ok(Machine { program, symbols, buffers })
    }

    fn take(&self, buffer: u32) -> Result<Tensor> {
        let name = &self.program.buffer(buffer).name;
        let data = self.buffers[buffer as usize].as_ref();
        data.ok_or_else(|| Error::internal(format!("output `{name}` was never written")))?.to_tensor()
    }

    fn steps(&mut self, steps: &[Step]) -> Result<()> {
        for step in steps {
            match step {
                Step::Kernel(kernel) => self.kernel(kernel).map_err(|e| e.at(&kernel.name))?,
                Step::If { condition, then, otherwise } => {
                    let branch = if self.truth(*condition)? { then } else { otherwise };
                    self.steps(branch)?;
                }
                Step::Loop { counter, trips, condition, ran, body } => {
                    let trips = self.number(trips)?;
                    let mut count = 0;
                    while count < trips && condition.map_or(Ok(true), |buffer| self.truth(buffer))? {
                        self.symbols.insert(counter.clone(), count);
                        self.steps(body)?;
                        count += 1;
                    }
                    if let Some(ran) = ran {
                        self.symbols.insert(ran.clone(), count);
                    }
                }
                Step::Bind(name, index) => {
                    let value = self.number(index)?;
                    self.symbols.insert(name.clone(), value);
                }
            }
        }
        Ok(())
    }

    fn truth(&self, buffer: u32) -> Result<bool> {
        match &self.buffers[buffer as usize] {
            Some(Data { elements: Elements::Int(values), .. }) if values.len() == 1 => Ok(values[0] != 0),
            _ => Err(Error::internal(format!("buffer @{buffer} is no condition"))),
        }
    }

    fn number(&self, index: &Index) -> Result<i64> {
        let value = index.eval(&mut |leaf| match leaf {
            crate::index::Leaf::Sym(name) => self.symbols.get(*name).copied(),
            crate::index::Leaf::At(buffer, at) => match self.buffers[*buffer as usize].as_ref()? {
                data @ Data { elements: Elements::Int(values), .. } => values.get(data.place(at)?).copied(),
                _ => None,
            },
            crate::index::Leaf::Var(_) => None,
        });
        value.ok_or_else(|| Error::internal(format!("`{index}` has no value")))
    }

    fn extent(&self, dim: &Index) -> Result<usize> {
        let extent = self.number(dim)?;
        let negative = |_| Error::invalid(format!("the inputs are too small: a dim, {dim}, would be {extent}"));
        usize::try_from(extent).map_err(negative)
    }

    fn allocate(&mut self, kernel: &Kernel) -> Result<()> {
        for number in kernel.writes() {
            let buffer = self.program.buffer(number);
            let shape: Vec<usize> = buffer.shape.iter().map(|dim| self.extent(dim)).collect::<Result<_>>()?;
            let fits = self.buffers[number as usize].as_ref().is_some_and(|data| data.shape == shape);
            if !fits {
                self.buffers[number as usize] = Some(Data::zeros(buffer.dtype, shape));
            }
        }
        Ok(())
    }

    fn kernel(&mut self, kernel: &Kernel) -> Result<()> {
        self.allocate(kernel)?;
        let mut compiler = Compiler::new(kernel, &self.symbols, &self.buffers, |index| self.number(index))?;
        let stages: Vec<_> = kernel.stages.iter().map(|stage| compiler.stage(stage)).collect::<Result<_>>()?;
        let extents = compiler.extents.clone();
        let mut env = Env { vars: vec![0; extents.len()], buffers: &mut self.buffers, stages: Vec::new() };
        for (number, (stage, compiled)) in kernel.stages.iter().zip(&stages).enumerate() {
            let read_later = kernel.stages[number + 1..].iter().any(|later| reads_stage(later, number));
            let points: i64 = compiled.axes.iter().map(|&axis| extents[axis]).product();
            let mut values = Vec::with_capacity(if read_later { points as usize } else { 0 });
            for point in 0..points {
                env.set_point(&compiled.axes, &extents, point);
                let value = env.value(compiled, &extents)?;
                if read_later {
                    values.push(value);
                }
                env.store(compiled, value)?;
            }
            env.stages.push((compiled.axes.clone(), extents.clone(), values));
            let _ = stage;
        }
        Ok(())
    }
}

fn reads_stage(stage: &Stage, number: usize) -> bool {
    let mut found = false;
    stage.value.visit(&mut |e| found |= matches!(e.kind(), super::ExprKind::Stage(n) if *n == number));
    found
}

/// The value a fold begins with.
pub fn identity(monoid: Monoid, dtype: DType) -> Scalar {
    let (low, high) = integer_range(dtype);
    match (monoid, dtype.is_float()) {
        (Monoid::Sum | Monoid::Or, false) => Scalar::Int(0),
        (Monoid::Prod | Monoid::And, false) => Scalar::Int(1),
        (Monoid::Max, false) => Scalar::Int(low),
        (Monoid::Min, false) => Scalar::Int(high),
        (Monoid::Sum | Monoid::Or, true) => Scalar::Float(0.0),
        (Monoid::Prod | Monoid::And, true) => Scalar::Float(1.0),
        (Monoid::Max, true) => Scalar::Float(f64::NEG_INFINITY),
        (Monoid::Min, true) => Scalar::Float(f64::INFINITY),
    }
}

fn integer_range(dtype: DType) -> (i64, i64) {
    match dtype {
        DType::I32 => (i32::MIN.into(), i32::MAX.into()),
        DType::I16 => (i16::MIN.into(), i16::MAX.into()),
        DType::I8 => (i8::MIN.into(), i8::MAX.into()),
        DType::U64 => (0, -1),
        DType::U32 => (0, u32::MAX.into()),
        DType::U16 => (0, u16::MAX.into()),
        DType::U8 => (0, u8::MAX.into()),
        DType::Bool => (0, 1),
        _ => (i64::MIN, i64::MAX),
    }
}

impl Data {
    fn from_tensor(tensor: &Tensor) -> Data {
        let elements = if tensor.dtype().is_float() {
            Elements::Float(tensor.scalars().map(Scalar::float).collect())
        } else {
            Elements::Int(tensor.scalars().map(Scalar::int).collect())
        };
        Data { dtype: tensor.dtype(), shape: tensor.shape().to_vec(), elements }
    }

    fn zeros(dtype: DType, shape: Vec<usize>) -> Data {
        let size = shape.iter().product();
        let elements = if dtype.is_float() { Elements::Float(vec![0.0; size]) } else { Elements::Int(vec![0; size]) };
        Data { dtype, shape, elements }
    }

    fn to_tensor(&self) -> Result<Tensor> {
        let scalars: Vec<Scalar> = match &self.elements {
            Elements::Float(values) => values.iter().copied().map(Scalar::Float).collect(),
            Elements::Int(values) => values.iter().copied().map(Scalar::Int).collect(),
        };
        Tensor::from_scalars(self.dtype, self.shape.clone(), &scalars)
    }

    fn place(&self, index: &[i64]) -> Option<usize> {
        let mut place = 0usize;
        for (&i, &dim) in index.iter().zip(&self.shape) {
            if i < 0 || i as usize >= dim {
                return None;
            }
            place = place * dim + i as usize;
        }
        Some(place)
    }
}
