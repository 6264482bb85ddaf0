//! Fewer multiplications: convolutions with 3 by 3 taps by the method of Winograd.
//!
//! ```text
//! y[oc, h, w] = sum[ic, kh, kw] x[ic, h + kh, w + kw] * g[oc, ic, kh, kw]         9 products for each place and ic
//!
//! v[s, tile, ic]  = B^T x B        of 6 by 6 places of x, s = 0..36               a map
//! m[s, tile, oc]  = sum[ic] v[s, tile, ic] * u[s, ic, oc]                         36 contractions, 36 products for 16 places
//! y[oc, h, w]     = A^T m A        and what was fused behind the convolution      a map
//! ```
//!
//! `u = G g G^T` is a constant, computed here. A picture that is no whole number of tiles is read from a border that is
//! made wider, and what would be written outside of it is left out.
//!
//! In: kernels after fusion, so that a convolution reads a border and has its epilogue.  Out: three kernels instead of
//! each convolution that gains by it.
//! Invariants: F32 only, strides and dilations 1, no groups. Results differ from the direct sum's by rounding, of sums over
//! 100 channels by some 1e-6 of the largest; what is not finite spreads over a tile.

mod cost;
mod form;
mod stages;
#[cfg(test)]
mod tests;
mod toom;

use super::report::{Report, Rule};
use super::rewrite::{Substitution, rewrite};
use super::simplify::{simplify, substitute_stage};
use super::work::{Item, Work};
use form::Convolution;
use mlc_ir::program::{Axis, Buffer, Expr, ExprKind, Kernel, Reduce, Stage, Store, StoreMode};
use mlc_ir::tile::{InRange, Monoid};
use mlc_ir::{DType, Facts, Index, Name, Tensor};
use stages::Stages;
use toom::{TAPS, Toom};

/// Which transform a convolution of a height and width, with channels in and out, gets, if any.
type Choice<'a> = &'a dyn Fn([i64; 2], i64, i64) -> Option<&'static Toom>;

/// Rewrites convolutions that gain by it.
pub fn shorten(work: &mut Work, report: &mut Report) {
    shorten_by(work, report, &cost::best);
}

fn shorten_by(work: &mut Work, report: &mut Report, choice: Choice) {
    let mut places = work.places();
    places.reverse();
    for place in places {
        let Some(kernel) = work.kernel(place).cloned() else { continue };
        let Some(found) = Convolution::find(work, &kernel) else { continue };
        let input = work.buffers[found.input as usize].name.clone();
        match Tiles::new(work, &kernel, found, choice).and_then(|tiles| tiles.widen(work).map(|()| tiles)) {
            Err(why) => report.refused(&kernel.name, &input, why),
            Ok(tiles) => {
                let [input, products, output] = tiles.kernels(work, &kernel);
                report.fused(Rule::Winograd, &kernel.name, &input.name);
                report.fused(Rule::Winograd, &kernel.name, &products.name);
                work.set(place, Item::Kernel(output));
                work.insert(place, products);
                work.insert(place, input);
            }
        }
    }
}

/// How a convolution's result is cut into tiles.
struct Tiles {
    convolution: Convolution,
    toom: &'static Toom,
    facts: Facts,
    /// Extents of the batch axes, and of the channels.
    batch: Vec<Axis>,
    inputs: Index,
    outputs: Index,
    /// Height and width of the result, and how many tiles each of them holds.
    size: [Index; 2],
    count: [Index; 2],
}

/// Axes of tiles.
const ROW: &str = "ty";
const COLUMN: &str = "tx";
const TILE: &str = "tile";
const POINT: &str = "s";

impl Tiles {
    /// The tiles of a convolution that gains by them, or why it does not.
    fn new(work: &Work, kernel: &Kernel, convolution: Convolution, choice: Choice) -> Result<Tiles, &'static str> {
        let first = &kernel.stages[0];
        let maps = kernel.stages[1..].iter().all(|stage| {
            stage.reduce.is_none()
                && stage.axes.len() == first.axes.len()
                && stage.axes.iter().all(|axis| first.axes.contains(axis))
        });
        let stores = kernel.stages.iter().flat_map(|stage| &stage.store);
        if !maps || stores.into_iter().any(|store| store.mode != StoreMode::Set || !store.only.is_empty()) {
            return Err("what follows the convolution folds, or stores in an order");
        }
        let extent = |axis: &Name| kernel.extent(axis).cloned().ok_or("an axis is missing");
        let (inputs, outputs) = (extent(&convolution.ic)?, extent(&convolution.oc)?);
        let size = [extent(&convolution.space[0].axis)?, extent(&convolution.space[1].axis)?];
        let [Some(ic), Some(oc)] = [&inputs, &outputs].map(Index::as_const) else {
            return Err("the number of channels is a symbol");
        };
        let likely = size.clone().map(|size| size.as_const().unwrap_or(cost::SYMBOLIC));
        let toom = choice(likely, ic, oc).ok_or("Winograd's method would save too little")?;
        let count = size.clone().map(|size| work.facts.simplify(&size.ceil_div(&(toom.outputs as i64).into())));
        let batch = kernel.axes.iter().filter(|axis| convolution.batch.contains(&axis.name)).cloned().collect();
        Ok(Tiles { toom, facts: work.facts.clone(), convolution, batch, inputs, outputs, size, count })
    }

    /// Gives the input a border wide enough for whole tiles.
    fn widen(&self, work: &mut Work) -> Result<(), &'static str> {
        let buffer = self.convolution.input;
        let needed: Vec<(usize, Index)> = (0..2)
            .map(|d| (d, &self.convolution.space[d]))
            .map(|(d, direction)| {
                let end = self.count[d].clone() * self.toom.outputs as i64 + (TAPS as i64 - 1 + direction.start);
                (direction.dim, self.facts.simplify(&end))
            })
            .filter(|(dim, end)| !self.facts.le(end, &work.buffers[buffer as usize].shape[*dim]))
            .collect();
        if needed.is_empty() {
            return Ok(());
        }
        const FIXED: &str = "the picture is no whole number of tiles, and no copy with a border can be made larger";
        let place = work.whole_writer(buffer).filter(|_| !work.outputs.contains(&buffer)).ok_or(FIXED)?;
        let mut copy = work.kernel(place).cloned().ok_or(FIXED)?;
        let [Stage { reduce: None, value, store: Some(store), .. }] = copy.stages.as_slice() else { return Err(FIXED) };
        let ExprKind::Guard { all, .. } = value.kind() else { return Err(FIXED) };
        let mut axes = Vec::new();
        for (dim, end) in &needed {
            let axis = store.index[*dim].as_var().filter(|axis| all.iter().any(|test| test.index.mentions(axis)));
            axes.push((axis.cloned().ok_or(FIXED)?, end.clone()));
        }
        for (axis, end) in axes {
            copy.axes.iter_mut().filter(|own| own.name == axis).for_each(|own| own.extent = end.clone());
        }
        needed.into_iter().for_each(|(dim, end)| work.buffers[buffer as usize].shape[dim] = end);
        work.set(place, Item::Kernel(copy));
        Ok(())
    }

    /// The transform of the input, the products, and the transform of the output with what follows.
    fn kernels(&self, work: &mut Work, kernel: &Kernel) -> [Kernel; 3] {
        let input: Name = format!("{}.input", kernel.name).into();
        let products: Name = format!("{}.products", kernel.name).into();
        let points = (self.toom.inputs() * self.toom.inputs()) as i64;
        let mut buffer = |name: &Name, channels: &Index| {
            let batch = self.batch.iter().map(|axis| axis.extent.clone());
            let tiles = self.tiles().into_iter().map(|(_, extent)| extent).collect();
            let shape = self.order(Index::from(points), batch.collect(), tiles, channels.clone());
            work.add_buffer(Buffer { name: name.clone(), dtype: DType::F32, shape, constant: None })
        };
        let (v, m) = (buffer(&input, &self.inputs), buffer(&products, &self.outputs));
        let u = work.add_buffer(self.filter(kernel));
        let kernels =
            [self.input_kernel(input, v), self.product_kernel(products, v, u, m), self.output_kernel(work, kernel, m)];
        kernels.map(|kernel| simplify(&kernel, &work.facts, &work.buffers))
    }

    /// `u[s, ic, oc] = G g G^T`
    fn filter(&self, kernel: &Kernel) -> Buffer {
        let weight = &self.convolution.weight;
        let numbers: Vec<f64> = weight.scalars().map(|x| x.float()).collect();
        let stride = |dim: usize| weight.shape()[dim + 1..].iter().product::<usize>();
        let [oc, ic, kh, kw] = self.convolution.dims.map(|dim| (weight.shape()[dim], stride(dim)));
        let (g, n) = (self.toom.filter(), self.toom.inputs());
        let mut u = vec![0f32; n * n * ic.0 * oc.0];
        for (i, o) in (0..ic.0).flat_map(|i| (0..oc.0).map(move |o| (i, o))) {
            let tap = |y: usize, x: usize| numbers[o * oc.1 + i * ic.1 + y * kh.1 + x * kw.1];
            for (row, left) in g.iter().enumerate() {
                let along: [f64; TAPS] = std::array::from_fn(|x| (0..TAPS).map(|y| left[y] * tap(y, x)).sum());
                for (column, right) in g.iter().enumerate() {
                    let value: f64 = along.iter().zip(right).map(|(a, b)| a * b).sum();
                    u[((row * n + column) * ic.0 + i) * oc.0 + o] = value as f32;
                }
            }
        }
        let shape = vec![n * n, ic.0, oc.0];
        let constant = Tensor::from_f32s(shape.clone(), &u).ok();
        let shape = shape.into_iter().map(|n| Index::from(n as i64)).collect();
        Buffer { name: format!("{}.filter", kernel.name).into(), dtype: DType::F32, shape, constant }
    }

    /// The batch axes, and others.
    fn axes(&self, others: impl IntoIterator<Item = (&'static str, Index)>, channels: (&Name, &Index)) -> Vec<Axis> {
        let other = |(name, extent): (&str, Index)| Axis { name: name.into(), extent };
        let channels = Axis { name: channels.0.clone(), extent: channels.1.clone() };
        self.batch.iter().cloned().chain(others.into_iter().map(other)).chain([channels]).collect()
    }

    fn by_tile(&self) -> [(&'static str, Index); 2] {
        [(ROW, self.count[0].clone()), (COLUMN, self.count[1].clone())]
    }

    /// The axes of tiles in what the kernels hand on: one over all, so that many rows are multiplied at once, unless the
    /// places in it would be no sums of axes.
    fn tiles(&self) -> Vec<(&'static str, Index)> {
        match self.count[1].as_const() {
            Some(_) => vec![(TILE, self.facts.simplify(&Index::product(&self.count)))],
            None => self.by_tile().to_vec(),
        }
    }

    /// Where a tile lies in these, by its row and column.
    fn tile(&self) -> Vec<Index> {
        let (row, column) = (Index::var(ROW), Index::var(COLUMN));
        match self.count[1].as_const() {
            Some(count) => vec![row * count + column],
            None => vec![row, column],
        }
    }

    /// A place in what the kernels hand on.
    fn place(&self, point: Index, tile: Vec<Index>, channel: &Name) -> Vec<Index> {
        let batch = self.batch.iter().map(|axis| Index::var(axis.name.clone())).collect();
        self.order(point, batch, tile, Index::var(channel.clone()))
    }

    /// The dims of what the kernels hand on. All tiles of a point follow each other, as they are multiplied, unless their
    /// number is unknown: the points of a tile are then beside each other, so that the distance between them is a number.
    fn order(&self, point: Index, batch: Vec<Index>, tile: Vec<Index>, channel: Index) -> Vec<Index> {
        match self.count[1].as_const() {
            Some(_) => [vec![point], batch, tile, vec![channel]].concat(),
            None => [batch, tile, vec![point, channel]].concat(),
        }
    }

    fn input_kernel(&self, name: Name, v: u32) -> Kernel {
        let Convolution { input, index, ic, space, .. } = &self.convolution;
        let axes = self.axes(self.by_tile(), (ic, &self.inputs));
        let mut stages = Stages::new(axes.iter().map(|axis| axis.name.clone()).collect());
        let n = self.toom.inputs();
        let load = |row: usize, column: usize| {
            let mut index = index.clone();
            for (direction, (tile, offset)) in space.iter().zip([(ROW, row), (COLUMN, column)]) {
                let first = Index::var(tile) * self.toom.outputs as i64 + direction.start;
                index[direction.dim] = first + offset as i64;
            }
            Expr::load(DType::F32, *input, index)
        };
        let columns: Vec<Vec<Expr>> = (0..n)
            .map(|column| {
                let d: Vec<Expr> = (0..n).map(|row| load(row, column)).collect();
                let values = self.toom.input(&d, &mut stages);
                values.into_iter().map(|value| stages.keep(value)).collect()
            })
            .collect();
        for row in 0..n {
            let d: Vec<Expr> = columns.iter().map(|column| column[row].clone()).collect();
            for (column, value) in self.toom.input(&d, &mut stages).into_iter().enumerate() {
                let index = self.place(Index::from((row * n + column) as i64), self.tile(), ic);
                stages.push(value, Some(Store { buffer: v, index, mode: StoreMode::Set, only: vec![] }));
            }
        }
        Kernel { name, axes, stages: stages.all }
    }

    fn product_kernel(&self, name: Name, v: u32, u: u32, m: u32) -> Kernel {
        let Convolution { ic, oc, .. } = &self.convolution;
        let points = Index::from((self.toom.inputs() * self.toom.inputs()) as i64);
        let mut axes = vec![Axis { name: POINT.into(), extent: points }];
        axes.extend(self.axes(self.tiles(), (oc, &self.outputs)));
        let own = axes.iter().map(|axis| axis.name.clone()).collect();
        axes.push(Axis { name: ic.clone(), extent: self.inputs.clone() });
        let tile = || self.tiles().into_iter().map(|(axis, _)| Index::var(axis)).collect();
        let place = |channel: &Name| self.place(Index::var(POINT), tile(), channel);
        let filter = [&Name::from(POINT), ic, oc].map(|axis| Index::var(axis.clone())).to_vec();
        let value = Expr::load(DType::F32, v, place(ic)) * Expr::load(DType::F32, u, filter);
        let reduce = Some(Reduce { monoid: Monoid::Sum, axes: vec![ic.clone()] });
        let store = Some(Store { buffer: m, index: place(oc), mode: StoreMode::Set, only: vec![] });
        Kernel { name, axes, stages: vec![Stage { axes: own, reduce, value, store }] }
    }

    fn output_kernel(&self, work: &Work, kernel: &Kernel, m: u32) -> Kernel {
        let oc = &self.convolution.oc;
        let axes = self.axes(self.by_tile(), (oc, &self.outputs));
        let mut stages = Stages::new(axes.iter().map(|axis| axis.name.clone()).collect());
        let n = self.toom.inputs();
        let load = |row: usize, column: usize| {
            let point = Index::from((row * n + column) as i64);
            Expr::load(DType::F32, m, self.place(point, self.tile(), oc))
        };
        let columns: Vec<Vec<Expr>> = (0..n)
            .map(|column| {
                let d: Vec<Expr> = (0..n).map(|row| load(row, column)).collect();
                let values = self.toom.output(&d, &mut stages);
                values.into_iter().map(|value| stages.keep(value)).collect()
            })
            .collect();
        let mut result = Kernel { name: kernel.name.clone(), axes, stages: vec![] };
        let facts = result.facts(&work.facts);
        for row in 0..self.toom.outputs {
            let d: Vec<Expr> = columns.iter().map(|column| column[row].clone()).collect();
            for (column, value) in self.toom.output(&d, &mut stages).into_iter().enumerate() {
                self.epilogue(kernel, &facts, [row, column], value, &mut stages);
            }
        }
        result.stages = stages.all;
        result
    }

    /// The convolution's stages at one place of each tile.
    fn epilogue(&self, kernel: &Kernel, facts: &Facts, at: [usize; 2], value: Expr, stages: &mut Stages) {
        let place = |tile: &str, offset: usize| Index::var(tile) * self.toom.outputs as i64 + offset as i64;
        let places = [place(ROW, at[0]), place(COLUMN, at[1])];
        let space = &self.convolution.space;
        let axes: Substitution =
            space.iter().zip(&places).map(|(direction, place)| (direction.axis.clone(), place.clone())).collect();
        let inside = places.iter().zip(&self.size).map(|(place, size)| InRange::extent(place.clone(), size.clone()));
        let inside: Vec<InRange> = inside.filter(|test| !test.proven(facts)).collect();
        let moves = |index: &Index| index.mentions(ROW) || index.mentions(COLUMN);
        let base = stages.all.len();
        for (number, stage) in kernel.stages.iter().enumerate() {
            let mut stage = stage.clone();
            substitute_stage(&mut stage, facts, &axes);
            let value = if number == 0 { value.clone() } else { stage.value };
            let value = rewrite(&value, &mut |node| match node.kind() {
                ExprKind::Stage(read) if number > 0 => Expr::new(node.dtype(), ExprKind::Stage(base + read)),
                ExprKind::Load { index, .. } if number > 0 && index.iter().any(moves) => {
                    node.guard(inside.clone(), mlc_ir::Scalar::Int(0))
                }
                _ => node,
            });
            let store = stage.store.map(|store| Store { only: inside.clone(), ..store });
            stages.push(value, store);
        }
    }
}
