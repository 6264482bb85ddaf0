//! What an op file says: its computation, in terms of tensors, one kernel a step.
//!
//! [`Compute`] is handed to [`OpDef::build`](crate::ops::OpDef::build) with the node's inputs. Each step adds a kernel of
//! one stage to a program and returns a [`T`], a handle on the new buffer. Shapes follow from what is built, so shape
//! inference is building into a program that is thrown away. Nothing here is ever materialised as written: fusion
//! merges the kernels afterwards, and views vanish into index maps.

use crate::program::{Axis, Buffer, Expr, Kernel, Known, Program, Reduce, Stage, Step, Store, StoreMode, evaluate};
use crate::tensor::Scalar;
use crate::tile::{InRange, Monoid};
use crate::{DType, Error, Facts, Index, Name, Result, Tensor};

/// A tensor while an op is built: a buffer of the program.
#[derive(Clone, Debug)]
pub struct T {
    /// Its number.
    pub buffer: u32,
    /// Element type.
    pub dtype: DType,
    /// Extents, outermost first.
    pub shape: Vec<Index>,
    /// Its elements in row-major order, if they are known while building (small integers, mostly shapes).
    pub known: Option<Vec<Known>>,
}

/// How many elements are at most evaluated while building.
const KNOWN_LIMIT: i64 = 512;

/// How many elements a [`Compute::table`] has at most that is a constant.
const TABLE_LIMIT: i64 = 1 << 16;

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

impl T {
    /// Number of dims.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// The element at an index, one expression a dim; 16-bit floats are widened to F32, in which they are computed.
    pub fn at(&self, index: Vec<Index>) -> Expr {
        let load = Expr::load(self.dtype, self.buffer, index);
        load.cast(compute_type(self.dtype))
    }

    /// The element in the memory type, for ops that only move data.
    pub fn raw(&self, index: Vec<Index>) -> Expr {
        Expr::load(self.dtype, self.buffer, index)
    }

    /// The element in the memory type where the index is inside, else a number; `facts` leave out what they prove.
    pub fn raw_or(&self, facts: &Facts, index: Vec<Index>, otherwise: Scalar) -> Expr {
        let tests = inside(facts, index.iter().cloned().zip(self.shape.iter().cloned()));
        self.raw(index).guard(tests, otherwise)
    }

    /// The element that ONNX's multidirectional broadcasting pairs with index `i` of the result.
    pub fn broadcast(&self, i: &[Index]) -> Expr {
        self.at(self.broadcast_index(i))
    }

    /// The index that broadcasting pairs with index `i` of the result: dims align at the end, extent 1 repeats.
    pub fn broadcast_index(&self, i: &[Index]) -> Vec<Index> {
        let skip = i.len() - self.rank();
        let pairs = self.shape.iter().zip(&i[skip..]);
        pairs.map(|(extent, i)| if extent.is(1) { Index::zero() } else { i.clone() }).collect()
    }

    /// The element as an index in `0..extent`: negative ones count from the end.
    pub fn lookup(&self, at: Vec<Index>, extent: &Index) -> Index {
        match self.known_at(&at) {
            Some(n) if n < 0 => extent.clone() + n,
            Some(n) => n.into(),
            None => Index::at(self.buffer, at).rem(extent),
        }
    }

    /// The integer at an index, if both are known.
    fn known_at(&self, at: &[Index]) -> Option<i64> {
        let at: Option<Vec<i64>> = at.iter().map(Index::as_const).collect();
        let place = self.shape.iter().zip(at?).try_fold(0i64, |place, (dim, i)| Some(place * dim.as_const()? + i))?;
        match self.known.as_ref()?.get(usize::try_from(place).ok()?)? {
            Known::Index(index) => index.as_const(),
            Known::Float(_) => None,
        }
    }

    /// Number of elements.
    pub fn size(&self) -> Index {
        Index::product(&self.shape)
    }

    /// A dim counted from the end if negative.
    pub fn axis(&self, axis: i64) -> Result<usize> {
        normalize_axis(axis, self.rank())
    }
}

/// The type in which elements of a memory type are computed.
pub fn compute_type(dtype: DType) -> DType {
    match dtype {
        DType::F16 | DType::BF16 => DType::F32,
        other => other,
    }
}

/// An axis in `0..rank` from one in `-rank..rank`.
pub fn normalize_axis(axis: i64, rank: usize) -> Result<usize> {
    let wrapped = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
    if (0..rank as i64).contains(&wrapped) {
        return Ok(wrapped as usize);
    }
    Err(Error::invalid(format!("axis {axis} is out of range for a rank-{rank} tensor")))
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
        let mut t = self.buffer(dtype, shape);
        let (mut axes, reduced) = (axes("i", shape), axes("r", over));
        let index: Vec<Index> = axes.iter().map(|axis| Index::var(axis.name.clone())).collect();
        let folded: Vec<Index> = reduced.iter().map(|axis| Index::var(axis.name.clone())).collect();
        let value = f(&index, &folded);
        t.known = self.know(shape, &axes, Some(monoid), &value, &reduced);
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

    /// A new symbol with the value of `index`, known from here on when the program runs.
    pub fn bind(&mut self, stem: &str, index: Index, high: Option<i64>) -> Index {
        let name = self.fresh(stem);
        self.program.facts.symbol(name.clone(), 0, high);
        self.steps.push(Step::Bind(name.clone(), index));
        Index::sym(name)
    }

    /// The element of an integer tensor that must have one only, where an index may use it: known, or looked up.
    pub fn scalar_index(&self, t: &T, what: &str) -> Result<Index> {
        if !t.dtype.is_int() || t.size().as_const().is_some_and(|n| n != 1) {
            return Err(Error::invalid(format!("{what} must be one integer")));
        }
        match t.known.as_deref() {
            Some([Known::Index(index)]) => Ok(index.clone()),
            _ => Ok(Index::at(t.buffer, vec![Index::zero(); t.rank()])),
        }
    }

    /// The extents in a rank-1 tensor of known length; those not known while building become symbols.
    pub fn extents(&mut self, t: &T, what: &str) -> Result<Vec<Index>> {
        let count = t.size().as_const().filter(|_| t.rank() == 1 && t.dtype.is_int());
        let count = count.ok_or_else(|| Error::unsupported(format!("{what} must be a vector of known length")))?;
        let extents: Vec<Index> =
            (0..count).map(|k| self.value("extent", &t.raw(vec![k.into()]).cast(DType::I64), None)).collect();
        match extents.iter().find(|extent| extent.as_const().is_some_and(|n| n < 0)) {
            Some(negative) => Err(Error::invalid(format!("{what} has a negative extent {negative}"))),
            None => Ok(extents),
        }
    }

    /// An integer scalar that decides an extent or a place: evaluated now if it is known, else computed by a kernel and
    /// bound to a symbol, at most `high`.
    pub fn value(&mut self, stem: &str, expr: &Expr, high: Option<i64>) -> Index {
        if let Some(Known::Index(index)) =
            self.know(&[], &[], None, expr, &[]).and_then(|known| known.into_iter().next())
        {
            return index;
        }
        let t = self.map(DType::I64, &[], |_| expr.clone());
        self.bind(stem, Index::at(t.buffer, vec![]), high)
    }

    /// Demands that two dims are equal; returns the one that says more.
    pub fn same_dim(&mut self, a: &Index, b: &Index) -> Result<Index> {
        if a == b {
            return Ok(a.clone());
        }
        if let (Some(a), Some(b)) = (a.as_const(), b.as_const()) {
            return Err(Error::invalid(format!("dims {a} and {b} differ")));
        }
        self.program.asserts.push((a.clone(), b.clone(), self.node.clone()));
        Ok(if b.as_const().is_some() { b.clone() } else { a.clone() })
    }

    /// The shape that several broadcast to.
    pub fn broadcast_shape(&mut self, shapes: &[&[Index]]) -> Result<Vec<Index>> {
        let rank = shapes.iter().map(|s| s.len()).max().unwrap_or(0);
        let mut result = vec![Index::from(1); rank];
        for shape in shapes {
            for (place, dim) in shape.iter().enumerate() {
                let there = &mut result[rank - shape.len() + place];
                if there.is(1) {
                    *there = dim.clone();
                } else if !dim.is(1) {
                    *there = self.same_dim(there, dim).map_err(|_| {
                        let shapes: Vec<String> = shapes.iter().map(|s| shape_text(s)).collect();
                        Error::invalid(format!("shapes {} do not broadcast", shapes.join(" and ")))
                    })?;
                }
            }
        }
        Ok(result)
    }

    /// The integer elements of a rank-0 or rank-1 tensor that decides a shape or an axis.
    ///
    /// # Errors
    /// If they are not known while building.
    pub fn dims(&self, t: &T, what: &str) -> Result<Vec<Index>> {
        let indices = t.known.as_ref().map(|known| {
            let index = |known: &Known| if let Known::Index(index) = known { Some(index.clone()) } else { None };
            known.iter().map(index).collect::<Option<Vec<_>>>()
        });
        indices.flatten().ok_or_else(|| {
            Error::unsupported(format!(
                "{what} must be known when the model is built (`--value INPUT=..` fixes an input)"
            ))
        })
    }

    /// The numbers of a rank-0 or rank-1 tensor that must be known while building.
    pub fn ints(&self, t: &T, what: &str) -> Result<Vec<i64>> {
        let numbers: Option<Vec<i64>> = self.dims(t, what)?.iter().map(Index::as_const).collect();
        numbers.ok_or_else(|| {
            Error::unsupported(format!("{what} must be numbers; they depend on a symbolic dim (`--dim` fixes one)"))
        })
    }

    /// The floats (or integers) of a small tensor that must be known while building.
    pub fn floats(&self, t: &T, what: &str) -> Result<Vec<f64>> {
        let number = |known: &Known| match known {
            Known::Float(x) => Some(*x),
            Known::Index(index) => index.as_const().map(|n| n as f64),
        };
        let numbers = t.known.as_ref().and_then(|known| known.iter().map(number).collect::<Option<Vec<_>>>());
        numbers.ok_or_else(|| {
            Error::unsupported(format!(
                "{what} must be known when the model is built (`--value INPUT=..` fixes an input)"
            ))
        })
    }

    /// Evaluates a stage at every point, if there are few and all is known.
    fn know(
        &self,
        shape: &[Index],
        axes: &[Axis],
        monoid: Option<Monoid>,
        value: &Expr,
        reduced: &[Axis],
    ) -> Option<Vec<Known>> {
        let count = |extents: &[Axis]| extents.iter().try_fold(1i64, |n, axis| n.checked_mul(axis.extent.as_const()?));
        let (points, folds) = (count(axes)?, count(reduced)?);
        if points.checked_mul(folds)? > KNOWN_LIMIT || shape.len() > 2 {
            return None;
        }
        let element = |point: i64| {
            let at = |fold: i64| {
                self.know_at(value, &|name| coordinate(axes, point, name).or_else(|| coordinate(reduced, fold, name)))
            };
            match monoid {
                None => at(0),
                Some(monoid) => self.fold_known(monoid, (0..folds).map(at)),
            }
        };
        (0..points).map(element).collect()
    }

    /// The value of an expression where the axes have these values, if it is known while building.
    fn know_at(&self, value: &Expr, axes: &dyn Fn(&str) -> Option<i64>) -> Option<Known> {
        let load = |buffer: u32, index: &[i64]| {
            let (shape, known) = self.known.get(&buffer)?;
            let place = shape.iter().zip(index).try_fold(0i64, |at, (dim, i)| Some(at * dim.as_const()? + i))?;
            known.get(usize::try_from(place).ok()?).cloned()
        };
        evaluate(value, &self.program.facts, axes, &load)
    }

    fn fold_known(&self, monoid: Monoid, values: impl Iterator<Item = Option<Known>>) -> Option<Known> {
        let mut result: Option<Index> = None;
        for value in values {
            let Known::Index(value) = value? else { return None };
            result = Some(match result {
                None => value,
                Some(so_far) => match monoid {
                    Monoid::Sum => so_far + value,
                    Monoid::Prod => so_far * value,
                    Monoid::Max => self.program.facts.max(&so_far, &value),
                    Monoid::Min => self.program.facts.min(&so_far, &value),
                    Monoid::And | Monoid::Or => return None,
                },
            });
        }
        match (result, monoid) {
            (None, Monoid::Sum) => Some(Known::Index(Index::zero())),
            (None, Monoid::Prod) => Some(Known::Index(Index::from(1))),
            (result, _) => result.map(Known::Index),
        }
    }

    /// [`T::lookup`]
    pub fn lookup(&self, indices: &T, at: Vec<Index>, extent: &Index) -> Index {
        indices.lookup(at, extent)
    }
}

/// Row-major coordinate `name` of the `point`-th point of a domain whose extents are numbers.
fn coordinate(axes: &[Axis], mut point: i64, name: &str) -> Option<i64> {
    for axis in axes.iter().rev() {
        let extent = axis.extent.as_const()?;
        if &*axis.name == name {
            return Some(point % extent);
        }
        point /= extent;
    }
    None
}

fn axes(stem: &str, extents: &[Index]) -> Vec<Axis> {
    let axis =
        |(place, extent): (usize, &Index)| Axis { name: format!("{stem}{place}").into(), extent: extent.clone() };
    extents.iter().enumerate().map(axis).collect()
}

/// The elements of a small constant.
pub fn known_of(tensor: &Tensor) -> Option<Vec<Known>> {
    if tensor.len() as i64 > KNOWN_LIMIT || tensor.shape().len() > 2 {
        return None;
    }
    let known = |scalar| match scalar {
        Scalar::Int(n) => Known::Index(Index::from(n)),
        Scalar::Float(x) => Known::Float(x),
    };
    Some(tensor.scalars().map(known).collect())
}

/// `[batch, 3, 224]`
pub fn shape_text(shape: &[Index]) -> String {
    let dims: Vec<String> = shape.iter().map(Index::to_string).collect();
    format!("[{}]", dims.join(", "))
}

/// A test `0 <= index < extent`, left out if `facts` prove it.
pub fn inside(facts: &Facts, tests: impl IntoIterator<Item = (Index, Index)>) -> Vec<InRange> {
    let tests = tests.into_iter().map(|(index, extent)| InRange::extent(index, extent));
    let proven = |test: &InRange| {
        let (low, high) = (test.index.clone() - test.low.clone(), test.high.clone() - test.index.clone() - 1);
        test.proven(facts) || facts.proves(&low) && facts.proves(&high)
    };
    tests.filter(|test| !proven(test)).collect()
}

impl Compute<'_> {
    /// Folds `f(x)` over some axes of a tensor, which stay with extent 1.
    pub fn fold(&mut self, monoid: Monoid, dtype: DType, x: &T, axes: &[usize], f: impl FnOnce(Expr) -> Expr) -> T {
        self.fold_at(monoid, dtype, &x.shape, axes, |i| f(x.at(i.to_vec())))
    }

    /// Folds `f(i)` over some axes of a domain, which stay with extent 1.
    pub fn fold_at(
        &mut self,
        monoid: Monoid,
        dtype: DType,
        domain: &[Index],
        axes: &[usize],
        f: impl FnOnce(&[Index]) -> Expr,
    ) -> T {
        let one = Index::from(1);
        let kept = domain.iter().enumerate().map(|(a, dim)| if axes.contains(&a) { &one } else { dim });
        let shape: Vec<Index> = kept.cloned().collect();
        let over: Vec<Index> = axes.iter().map(|&a| domain[a].clone()).collect();
        self.reduce(monoid, dtype, &shape, &over, |i, r| {
            let place = |a: usize| axes.iter().position(|&x| x == a).map_or(&i[a], |at| &r[at]);
            let full: Vec<Index> = (0..domain.len()).map(|a| place(a).clone()).collect();
            f(&full)
        })
    }

    /// The same elements in row-major order with another shape; the sizes must be equal.
    pub fn reshape(&mut self, x: &T, shape: &[Index]) -> T {
        let facts = self.facts().clone();
        self.map(x.dtype, shape, |i| x.raw(crate::reshape::reshape_index(&facts, &x.shape, shape, i)))
    }

    /// `y[i] = x[perm i]`
    pub fn transpose(&mut self, x: &T, perm: &[usize]) -> T {
        let shape: Vec<Index> = perm.iter().map(|&p| x.shape[p].clone()).collect();
        self.map(x.dtype, &shape, |i| {
            let mut index = vec![Index::zero(); perm.len()];
            perm.iter().zip(i).for_each(|(&p, i)| index[p] = i.clone());
            x.raw(index)
        })
    }
}

impl Compute<'_> {
    /// The same tensor, with elements the op knows by itself.
    pub fn with_known(&mut self, mut t: T, known: Option<Vec<Known>>) -> T {
        if let Some(known) = &known {
            self.known.insert(t.buffer, (t.shape.clone(), known.clone()));
        }
        t.known = known;
        t
    }
}

impl Compute<'_> {
    /// `y[i] = x[index(i)]`, without conversion. `index` may look elements up.
    pub fn gather(&mut self, x: &T, shape: &[Index], index: impl FnOnce(&Compute, &[Index]) -> Vec<Index>) -> T {
        let i: Vec<Index> = (0..shape.len()).map(|place| Index::var(format!("i{place}"))).collect();
        let index = index(self, &i);
        self.map(x.dtype, shape, |_| x.raw(index))
    }
}

impl Compute<'_> {
    /// As [`Compute::map`], but a constant if its elements can be computed while building: a table of weights or indices.
    pub fn table(&mut self, dtype: DType, shape: &[Index], f: impl FnOnce(&[Index]) -> Expr) -> T {
        let axes = axes("i", shape);
        let index: Vec<Index> = axes.iter().map(|axis| Index::var(axis.name.clone())).collect();
        let value = f(&index).cast(dtype);
        let extents: Option<Vec<i64>> = shape.iter().map(Index::as_const).collect();
        let tensor = extents.and_then(|extents| {
            let points = extents.iter().try_fold(1i64, |n, extent| n.checked_mul(*extent))?;
            if points > TABLE_LIMIT {
                return None;
            }
            let element = |point: i64| match self.know_at(&value, &|name| coordinate(&axes, point, name))? {
                Known::Index(index) => index.as_const().map(Scalar::Int),
                Known::Float(x) => Some(Scalar::Float(x)),
            };
            let scalars: Vec<Scalar> = (0..points).map(element).collect::<Option<_>>()?;
            Tensor::from_scalars(dtype, extents.iter().map(|&n| n as usize).collect(), &scalars).ok()
        });
        match tensor {
            Some(tensor) => self.constant(tensor),
            None => self.map(dtype, shape, |_| value),
        }
    }

    /// What is known inside a kernel over a domain and reduced axes: the ranges of the indices its closure is given.
    pub fn scope(&self, domain: &[Index], over: &[Index]) -> Facts {
        let mut facts = self.facts().clone();
        for axis in axes("i", domain).iter().chain(&axes("r", over)) {
            facts.axis(axis.name.clone(), &axis.extent);
        }
        facts
    }
}

impl Compute<'_> {
    /// Runs what `body` builds `trips` times, one after the other; it is given the number of the run.
    pub fn repeat(&mut self, trips: &Index, body: impl FnOnce(&mut Self, &Index) -> Result<()>) -> Result<()> {
        if trips.is(1) {
            return body(self, &Index::zero());
        }
        let counter = self.fresh("trip");
        self.program.facts.symbol(counter.clone(), 0, trips.as_const().map(|n| (n - 1).max(0)));
        let (body, ()) = self.nested(|c| {
            let trip = c.facts().rem(&Index::sym(counter.clone()), trips);
            body(c, &trip)
        })?;
        self.step(Step::Loop { counter, trips: trips.clone(), condition: None, ran: None, body });
        Ok(())
    }

    /// Demands that a tensor has a shape.
    pub fn demand(&mut self, t: &T, what: &str, shape: &[Index]) -> Result<()> {
        let fits = t.rank() == shape.len() && t.shape.iter().zip(shape).all(|(a, b)| self.same_dim(a, b).is_ok());
        if fits {
            return Ok(());
        }
        Err(Error::invalid(format!("{what} has shape {}, not {}", shape_text(&t.shape), shape_text(shape))))
    }
}

impl Compute<'_> {
    /// What another operator makes of these inputs, built at this place.
    pub fn delegate(&mut self, op: &dyn crate::ops::OpDef, inputs: Vec<Option<T>>) -> Result<Vec<Option<T>>> {
        let own = (std::mem::replace(&mut self.inputs, inputs), std::mem::take(&mut self.outputs));
        let result = op.build(self);
        self.inputs = own.0;
        let outputs = std::mem::replace(&mut self.outputs, own.1);
        result.map(|()| outputs)
    }
}
