//! Lowering: a scheduled kernel becomes a tile, the same way for every operator.
//!
//! A kernel is a nest of its outer axes around its stages. A blocked axis is cut into *segments*: full blocks, then what
//! is left. Within a block every point is written out, and equal loads of different points are one instruction; so a
//! contraction blocked by rows and columns becomes the usual register kernel without being recognised as one.
//!
//! In: a kernel, its [`Plan`], the layouts of its buffers.  Out: an indexed [`Tile`].
//! Invariants: an expression is evaluated where all axes it mentions are known, and outside the loops it does not
//! depend on; folds run in the order the plan gives.

mod access;
mod by_panels;
mod crew;
mod eval;
mod kept;
mod made;
mod matrices;
mod nest;
mod panels;
mod points;
mod segment;
mod tasks;
mod team;

pub(crate) use nest::product;
pub(crate) use panels::factors;

use crate::layout::Layout;
use crate::schedule::Plan;
use crew::Member;
use mlc_ir::program::{Kernel, Program};
use mlc_ir::tile::{InRange, Inst, LoopKind, Op, Operand, Param, Phase, Ref, Space, Tile, Type, visit_indices};
use mlc_ir::{DType, Facts, Index, Name, Result};
use panels::Panel;
use segment::Segment;
use std::collections::{BTreeMap, HashMap};
use tasks::{Share, TASK};

/// A tile and the buffers of the program that are its parameters.
#[derive(Clone, Debug)]
pub struct Lowered {
    /// What runs.
    pub tile: Tile,
    /// Number in the program of each parameter.
    pub buffers: Vec<u32>,
}

/// Lowers one kernel.
///
/// # Errors
/// If the kernel has a form that cannot be expressed.
pub fn lower(kernel: &Kernel, program: &Program, layouts: &[Layout], plan: &Plan) -> Result<Lowered> {
    let mut lowering = Lowering::new(kernel, program, layouts, plan);
    let (shares, tasks) = lowering.deal();
    lowering.outer_loops(0, Point::default(), &shares)?;
    lowering.finish(tasks)
}

/// Where an expression is evaluated: the value of each axis, in lane 0.
#[derive(Clone, Debug, Default)]
struct Point {
    axes: BTreeMap<Name, Index>,
    /// The axis the lanes run along, and how many there are.
    vector: Option<(Name, u16)>,
    /// The end of that axis, if the lanes may go beyond it.
    end: Option<Index>,
}

impl Point {
    fn with(&self, axis: &Name, value: Index) -> Point {
        let mut point = self.clone();
        point.axes.insert(axis.clone(), value);
        point
    }

    /// The `n`-th point, or vector, of an axis's block.
    fn in_block(&self, axis: &Name, n: Index) -> Point {
        let step = self.vector.as_ref().filter(|v| v.0 == *axis).map_or(1, |v| i64::from(v.1));
        let offset = n * step;
        let mut point = self.with(axis, self.axes[axis].clone() + offset.clone());
        point.axes.remove(&block_key(axis));
        point.axes.insert(offset_key(axis), offset);
        point
    }

    fn lanes(&self) -> u16 {
        self.vector.as_ref().map_or(1, |v| v.1)
    }

    /// The point of one lane.
    fn lane(&self, lane: u16) -> Point {
        let Some((axis, _)) = &self.vector else { return self.clone() };
        let mut point = self.with(axis, self.axes[axis].clone() + i64::from(lane));
        if let Some(offset) = point.axes.get_mut(&offset_key(axis)) {
            *offset = offset.clone() + i64::from(lane);
        }
        point.vector = None;
        point.end = None;
        point
    }

    /// How many lanes, the first ones, are points of the axis; `None` if all are.
    fn first(&self) -> Option<Index> {
        let (axis, lanes) = self.vector.as_ref()?;
        let first = self.end.clone()? - self.axes.get(axis)?.clone();
        first.as_const().is_none_or(|n| n < i64::from(*lanes)).then_some(first)
    }

    /// The same as a number, if it is known here; the other lanes hold anything.
    fn live(&self) -> Option<u16> {
        match self.first() {
            None => Some(self.lanes()),
            Some(first) => first.as_const().map(|n| n.clamp(0, i64::from(self.lanes())) as u16),
        }
    }
}

/// A value at a point.
#[derive(Clone, Debug)]
struct Value {
    operand: Operand,
    ty: Type,
}

/// What makes two evaluations the same.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    /// A node of an expression at some axes' values.
    Expr(usize, Vec<Index>, u16),
    /// A load: parameter, memory index, lanes, whether they are consecutive, and how many of them are read.
    Load(u32, Vec<Index>, u16, bool, Option<Index>),
    /// A stage at some axes' values.
    Stage(usize, Vec<Index>, u16),
    /// A stage's value read from scratch memory, in so many lanes.
    Kept(usize, Vec<Index>, u16),
    /// A scalar in all lanes.
    Splat(Name, u16),
    /// Which lanes are the first so many.
    First(Index, u16),
}

/// A body being written, with the values that are known in it.
#[derive(Default)]
struct Scope {
    body: Vec<Inst>,
    known: HashMap<Key, Value>,
}

struct Lowering<'a> {
    kernel: &'a Kernel,
    program: &'a Program,
    layouts: &'a [Layout],
    plan: &'a Plan,
    facts: Facts,
    /// Buffers of the program, in the order of the parameters.
    buffers: Vec<u32>,
    writes: Vec<u32>,
    scopes: Vec<Scope>,
    names: usize,
    /// The first stage of the nest that is being written.
    nest: usize,
    /// Inside a loop abreast, the member of the crew that runs it.
    member: Option<Member>,
    /// Scratch buffers besides those of kept stages, which they follow.
    made: Vec<Param>,
    /// What can be read from panels.
    near: Vec<Panel>,
}

impl<'a> Lowering<'a> {
    fn new(kernel: &'a Kernel, program: &'a Program, layouts: &'a [Layout], plan: &'a Plan) -> Lowering<'a> {
        let writes = kernel.writes();
        let mut buffers = kernel.reads();
        buffers.retain(|buffer| !writes.contains(buffer));
        buffers.extend(&writes);
        let facts = program.facts.clone();
        let scopes = vec![Scope::default()];
        Lowering {
            kernel,
            program,
            layouts,
            plan,
            facts,
            buffers,
            writes,
            scopes,
            names: 0,
            nest: 0,
            member: None,
            made: vec![],
            near: vec![],
        }
    }

    fn outer_loops(&mut self, depth: usize, point: Point, shares: &[Share]) -> Result<()> {
        let Some(axis) = self.plan.outer.get(depth).cloned() else { return self.block(&point) };
        if let Some(share) = shares.iter().find(|share| share.axis == axis) {
            return self.share_loops(depth, share, &point, shares);
        }
        for segment in self.segments(&axis) {
            if segment.count.is(1) {
                self.outer_block(depth + 1, &axis, &segment, segment.at(&Index::zero()), &point, shares)?;
                continue;
            }
            let variable = self.open_loop(&axis, &segment.count);
            let low = segment.at(&Index::var(variable));
            self.outer_block(depth + 1, &axis, &segment, low, &point, shares)?;
            self.close_loop();
        }
        Ok(())
    }

    /// Adds a segment's block of an axis to the points, goes on with the next axis, and writes the stages at the end.
    fn outer_block(
        &mut self,
        depth: usize,
        axis: &Name,
        segment: &Segment,
        low: Index,
        point: &Point,
        shares: &[Share],
    ) -> Result<()> {
        let mut point = point.with(axis, low);
        if segment.lanes > 1 {
            point.vector = Some((axis.clone(), segment.lanes));
            point.end = segment.end.clone();
        }
        point.axes.insert(block_key(axis), Index::from(i64::from(segment.block)));
        if depth < self.plan.outer.len() {
            return self.outer_loops(depth, point, shares);
        }
        self.block(&point)
    }

    /// The outer axes with the number of points, or vectors, in a point's block of each; the vector axis comes last.
    fn blocks(&self, point: &Point) -> Vec<(Name, i64)> {
        let block = |axis: &Name| Some((axis.clone(), point.axes.get(&block_key(axis))?.as_const()?));
        let mut blocks: Vec<(Name, i64)> = self.plan.outer.iter().filter_map(block).collect();
        blocks.sort_by_key(|(axis, _)| point.vector.as_ref().is_some_and(|v| v.0 == *axis));
        blocks
    }

    /// All points of the blocks of a point, the vector axis running fastest.
    fn block_points(&self, point: &Point) -> Vec<Point> {
        let mut points = vec![point.clone()];
        for (axis, block) in self.blocks(point) {
            let spread = |p: &Point| (0..block).map(|n| p.in_block(&axis, Index::from(n))).collect::<Vec<_>>();
            points = points.iter().flat_map(spread).collect();
        }
        points
    }

    fn finish(mut self, tasks: Index) -> Result<Lowered> {
        let mut symbols: std::collections::BTreeSet<Name> = tasks.syms();
        let mut params = Vec::new();
        for &number in &self.buffers {
            let buffer = self.program.buffer(number);
            let dims = self.layouts[number as usize].dims(&buffer.shape);
            dims.iter().for_each(|dim| symbols.extend(dim.syms()));
            let space = if self.writes.contains(&number) { Space::Output } else { Space::Input };
            let stream = self.layouts[number as usize].tile.is_some();
            params.push(Param { name: buffer.name.clone(), dtype: buffer.dtype, dims, space, slack: 0, stream });
        }
        for param in self.scratch().into_iter().chain(std::mem::take(&mut self.made)) {
            param.dims.iter().for_each(|dim| symbols.extend(dim.syms()));
            params.push(param);
        }
        let body = self.scopes.pop().expect("the outermost scope").body;
        visit_indices(&body, &mut |index| symbols.extend(index.syms()));
        let tile = Tile {
            name: self.kernel.name.clone(),
            params,
            symbols: symbols.into_iter().collect(),
            tasks: (TASK.into(), tasks),
            body,
            phase: Phase::Indexed,
        };
        Ok(Lowered { tile, buffers: self.buffers })
    }

    fn fresh(&mut self) -> Name {
        self.names += 1;
        format!("v{}", self.names).into()
    }

    fn push(&mut self, inst: Inst) {
        self.scopes.last_mut().expect("a scope is open").body.push(inst);
    }

    fn define(&mut self, ty: Type, op: Op) -> Value {
        let name = self.fresh();
        let dst = Ref { name: name.clone(), at: vec![] };
        self.push(Inst::Let { dst: dst.clone(), ty, op });
        Value { operand: Operand::Ref(dst), ty }
    }

    fn cell(&mut self, ty: Type, init: Operand) -> Ref {
        let name = self.fresh();
        self.push(Inst::Cell { name: name.clone(), ty, dims: vec![], init });
        Ref { name, at: vec![] }
    }

    /// Opens a loop `0..count` and returns its variable.
    fn open_loop(&mut self, axis: &Name, count: &Index) -> Name {
        self.open_range(axis, Index::zero(), count.clone(), count)
    }

    /// Opens a loop over a part of `0..count`.
    fn open_range(&mut self, axis: &Name, low: Index, high: Index, count: &Index) -> Name {
        self.open(LoopKind::Serial, axis, (low, high, 1), count)
    }

    /// Opens a loop of a kind over some of `0..count`: from, up to, by.
    fn open(&mut self, kind: LoopKind, axis: &Name, range: (Index, Index, i64), count: &Index) -> Name {
        self.names += 1;
        let variable: Name = format!("{axis}.{}", self.names).into();
        self.facts.axis(variable.clone(), count);
        let (low, high, step) = range;
        self.push(Inst::Loop { kind, var: variable.clone(), low, high, step, body: vec![] });
        self.scopes.push(Scope::default());
        variable
    }

    fn close_loop(&mut self) {
        let scope = self.scopes.pop().expect("a loop is open");
        if let Some(Inst::Loop { body, .. }) = self.scopes.last_mut().and_then(|outer| outer.body.last_mut()) {
            *body = scope.body;
        }
    }

    /// Writes instructions that run only where all tests hold.
    fn only_if<R>(&mut self, all: Vec<InRange>, write: impl FnOnce(&mut Self) -> Result<R>) -> Result<R> {
        if all.is_empty() {
            return write(self);
        }
        self.scopes.push(Scope::default());
        let result = write(self);
        let scope = self.scopes.pop().expect("just pushed");
        self.push(Inst::If { all, then: scope.body, otherwise: vec![] });
        result
    }

    fn known(&self, key: &Key) -> Option<Value> {
        self.scopes.iter().rev().find_map(|scope| scope.known.get(key)).cloned()
    }

    fn remember(&mut self, key: Key, value: &Value) {
        self.scopes.last_mut().expect("a scope is open").known.insert(key, value.clone());
    }
}

/// Under this name the size of an axis's block travels with the point.
fn block_key(axis: &Name) -> Name {
    format!("{axis}\u{0}block").into()
}

/// Under this name the distance of a point from the first one of an axis's block travels with it.
fn offset_key(axis: &Name) -> Name {
    format!("{axis}\u{0}offset").into()
}

/// A type of some lanes.
fn typed(dtype: DType, lanes: u16) -> Type {
    Type { dtype, lanes }
}
