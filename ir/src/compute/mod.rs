//! What an op file says: its computation, in terms of tensors, one kernel a step.
//!
//! [`Compute`] is handed to [`OpDef::build`](crate::ops::OpDef::build) with the node's inputs. Each step adds a kernel of
//! one stage to a program and returns a [`T`], a handle on the new buffer. Shapes follow from what is built, so shape
//! inference is building into a program that is thrown away. Nothing here is ever materialised as written: fusion
//! merges the kernels afterwards, and views vanish into index maps.

mod dims;
mod forms;
mod know;
mod tensor;

pub use know::known_of;
pub use tensor::{T, compute_type, inside, normalize_axis, shape_text};

use crate::program::{Axis, Buffer, Expr, Kernel, Known, Program, Reduce, Stage, Step, Store, StoreMode};
use crate::tensor::Scalar;
use crate::tile::{InRange, Monoid};
use crate::{DType, Error, Facts, Index, Name, Result, Tensor};

/// Builds kernels into a program.
pub struct Compute<'a> {
    program: &'a mut Program,
    steps: Vec<Step>,
    node: Name,
    inputs: Vec<Option<T>>,
    outputs: Vec<Option<T>>,
    known: std::collections::HashMap<u32, (Vec<Index>, Vec<Known>)>,
    fresh: usize,
}

impl<'a> Compute<'a> {
    /// Builds the computation of a node with these inputs.
    pub fn new(program: &'a mut Program, node: impl Into<Name>, inputs: Vec<Option<T>>) -> Compute<'a> {
        let known = inputs.iter().flatten().filter_map(|t| Some((t.buffer, (t.shape.clone(), t.known.clone()?))));
        let known = known.collect();
        Compute { program, steps: vec![], node: node.into(), inputs, outputs: vec![], known, fresh: 0 }
    }

    /// The steps built, and the outputs (absent ones not built).
    pub fn finish(self) -> (Vec<Step>, Vec<Option<T>>) {
        (self.steps, self.outputs)
    }

    /// What is known of symbols.
    pub fn facts(&self) -> &Facts {
        &self.program.facts
    }

    /// What is known of symbols, and of the index that [`Compute::map`] gives for a shape.
    pub fn facts_at(&self, shape: &[Index]) -> Facts {
        let mut facts = self.facts().clone();
        axes("i", shape).into_iter().for_each(|axis| facts.axis(axis.name, &axis.extent));
        facts
    }

    /// Number of inputs, absent ones in between counted.
    pub fn input_count(&self) -> usize {
        self.inputs.len()
    }

    /// An input that must be there.
    pub fn input(&self, place: usize) -> Result<T> {
        self.optional(place).ok_or_else(|| Error::invalid(format!("input {place} is missing")))
    }

    /// An input that may be absent.
    pub fn optional(&self, place: usize) -> Option<T> {
        self.inputs.get(place).cloned().flatten()
    }

    /// Sets an output of the node.
    pub fn output(&mut self, place: usize, t: T) {
        if self.outputs.len() <= place {
            self.outputs.resize(place + 1, None);
        }
        self.outputs[place] = Some(t);
    }

    /// A name no other axis or symbol of this node has.
    pub fn fresh(&mut self, stem: &str) -> Name {
        self.fresh += 1;
        format!("{}.{stem}{}", self.node, self.fresh).into()
    }

    /// A constant tensor.
    pub fn constant(&mut self, tensor: Tensor) -> T {
        let shape: Vec<Index> = tensor.shape().iter().map(|&n| Index::from(n as i64)).collect();
        let known = known_of(&tensor);
        let dtype = tensor.dtype();
        let name = self.node.clone();
        let buffer = self.program.add_buffer(Buffer { name, dtype, shape: shape.clone(), constant: Some(tensor) });
        if let Some(known) = &known {
            self.known.insert(buffer, (shape.clone(), known.clone()));
        }
        T { buffer, dtype, shape, known }
    }

    /// A rank-0 constant.
    pub fn scalar(&mut self, dtype: DType, value: f64) -> T {
        let tensor = Tensor::from_scalars(dtype, vec![], &[Scalar::Float(value)]).expect("one element");
        self.constant(tensor)
    }

    /// An unwritten buffer, to be filled with [`Compute::store`].
    pub fn buffer(&mut self, dtype: DType, shape: &[Index]) -> T {
        let name = self.node.clone();
        let buffer = self.program.add_buffer(Buffer { name, dtype, shape: shape.to_vec(), constant: None });
        T { buffer, dtype, shape: shape.to_vec(), known: None }
    }

    /// `y[i] = f(i)`, converted to `dtype`.
    pub fn map(&mut self, dtype: DType, shape: &[Index], f: impl FnOnce(&[Index]) -> Expr) -> T {
        let mut t = self.buffer(dtype, shape);
        let axes = axes("i", shape);
        let index: Vec<Index> = axes.iter().map(|axis| Index::var(axis.name.clone())).collect();
        let value = f(&index).cast(dtype);
        t.known = self.know(shape, &axes, None, &value, &[]);
        if let Some(known) = &t.known {
            self.known.insert(t.buffer, (shape.to_vec(), known.clone()));
        }
        self.stage(axes, None, value, t.buffer, index, StoreMode::Set);
        t
    }

    /// `y[i] = fold over r of f(i, r)`, folded in the type of `f` and converted to `dtype`.
    pub fn reduce(
        &mut self,
        monoid: Monoid,
        dtype: DType,
        shape: &[Index],
        over: &[Index],
        f: impl FnOnce(&[Index], &[Index]) -> Expr,
    ) -> T {
        if over.is_empty() {
            return self.map(dtype, shape, |i| f(i, &[]));
        }
        let mut t = self.buffer(dtype, shape);
        let (mut axes, reduced) = (axes("i", shape), axes("r", over));
        let index: Vec<Index> = axes.iter().map(|axis| Index::var(axis.name.clone())).collect();
        let folded: Vec<Index> = reduced.iter().map(|axis| Index::var(axis.name.clone())).collect();
        let value = f(&index, &folded);
        let known = self.know(shape, &axes, Some(monoid), &value, &reduced);
        let stored = |element: Known| element.cast(value.dtype(), value.dtype())?.cast(value.dtype(), dtype);
        t.known = known.and_then(|known| known.into_iter().map(stored).collect());
        if let Some(known) = &t.known {
            self.known.insert(t.buffer, (shape.to_vec(), known.clone()));
        }
        let over = Reduce { monoid, axes: reduced.iter().map(|axis| axis.name.clone()).collect() };
        axes.extend(reduced);
        self.stage(axes, Some(over), value, t.buffer, index, StoreMode::Set);
        t
    }

    /// `t[index(i)] = value(i)` for every `i` of a domain, in the given mode.
    pub fn store(&mut self, t: &T, domain: &[Index], mode: StoreMode, f: impl FnOnce(&[Index]) -> (Vec<Index>, Expr)) {
        let axes = axes("i", domain);
        let index: Vec<Index> = axes.iter().map(|axis| Index::var(axis.name.clone())).collect();
        let (target, value) = f(&index);
        self.known.remove(&t.buffer);
        self.stage(axes, None, value.cast(t.dtype), t.buffer, target, mode);
    }

    /// [`Compute::store`] where all tests hold.
    pub fn store_where(
        &mut self,
        t: &T,
        domain: &[Index],
        mode: StoreMode,
        f: impl FnOnce(&[Index]) -> (Vec<InRange>, Vec<Index>, Expr),
    ) {
        let mut only = vec![];
        self.store(t, domain, mode, |i| {
            let (tests, target, value) = f(i);
            only = tests;
            (target, value)
        });
        if let Some(Step::Kernel(kernel)) = self.steps.last_mut()
            && let Some(store) = kernel.stages.last_mut().and_then(|stage| stage.store.as_mut())
        {
            store.only = only;
        }
    }

    fn stage(
        &mut self,
        axes: Vec<Axis>,
        reduce: Option<Reduce>,
        value: Expr,
        buffer: u32,
        index: Vec<Index>,
        mode: StoreMode,
    ) {
        let folded = |name: &Name| reduce.as_ref().is_some_and(|r| r.axes.contains(name));
        let own = axes.iter().map(|axis| axis.name.clone()).filter(|name| !folded(name)).collect();
        let store = Some(Store { buffer, index, mode, only: vec![] });
        let kernel = Kernel { name: self.node.clone(), stages: vec![Stage { axes: own, reduce, value, store }], axes };
        self.steps.push(Step::Kernel(kernel));
    }

    /// Steps other than kernels.
    pub fn step(&mut self, step: Step) {
        self.steps.push(step);
    }

    /// Runs `build` and returns the steps it makes instead of adding them: for the bodies of control flow.
    pub fn nested<R>(&mut self, build: impl FnOnce(&mut Self) -> Result<R>) -> Result<(Vec<Step>, R)> {
        let outer = std::mem::take(&mut self.steps);
        let result = build(self);
        let steps = std::mem::replace(&mut self.steps, outer);
        Ok((steps, result?))
    }

    /// The program built into, for control flow that inlines whole graphs.
    pub fn program(&mut self) -> &mut Program {
        self.program
    }

    /// [`T::lookup`]
    pub fn lookup(&self, indices: &T, at: Vec<Index>, extent: &Index) -> Index {
        indices.lookup(at, extent)
    }
}

fn axes(stem: &str, extents: &[Index]) -> Vec<Axis> {
    let axis =
        |(place, extent): (usize, &Index)| Axis { name: format!("{stem}{place}").into(), extent: extent.clone() };
    extents.iter().enumerate().map(axis).collect()
}
