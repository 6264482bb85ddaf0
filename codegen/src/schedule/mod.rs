//! Schedules: how a kernel's loops run on a target, as a list of steps.
//!
//! In: a kernel and a target description.  Out: steps, which [`Plan::new`] checks one by one and puts together for
//! lowering.
//! Invariant: no step changes what is computed; the order of every fold follows from the steps and the shapes alone.

mod candidates;
mod check;
mod choose;
mod cost;
mod crew;
mod estimate;
mod nests;
mod panels;
mod rows;
mod step;
mod tasks;

pub use candidates::candidates;
pub use check::check;
pub use choose::choose;
pub(crate) use choose::loads;
pub use nests::Run;
pub use step::Step;

use mlc_ir::program::{Kernel, Stage, StoreMode};
use mlc_ir::tile::Row;
use mlc_ir::{Error, Name, Result};
use std::ops::Range;

/// Steps that fit a kernel.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The axes all stages have, in loop order.
    pub outer: Vec<Name>,
    /// Outer axes that are dealt out to tasks, and the blocks of each that a task computes.
    pub tasks: Vec<(Name, u32)>,
    /// Stages whose values lie in scratch memory.
    pub kept: Vec<usize>,
    /// An axis that the kernel's fold walks in panels of so many points, and how many of these there are at once.
    pub panel: Option<(Name, u32, u32)>,
    /// The row of the matrix table that the fold multiplies by, and the warps that share rows and columns of a task.
    pub matrix: Option<(Name, u32, u32)>,
    /// The stages of each nest.
    nests: Vec<Range<usize>>,
    /// The first stages of nests whose points come one by one.
    single: Vec<usize>,
    /// For a nest, by its first stage, or for all.
    vectors: Vec<(Option<usize>, Name, u16)>,
    blocks: Vec<(Option<usize>, Name, u32)>,
    masked: Vec<(Option<usize>, Name, bool)>,
    crews: Vec<(Option<usize>, Name, u32)>,
}

/// Lanes of 32 bits in the narrowest vector, which every target has.
pub const NARROWEST: u16 = 4;

/// Whether the kernel's stores must happen one by one in the order of its loops.
pub fn is_serial(kernel: &Kernel) -> bool {
    kernel.stages.iter().flat_map(|stage| &stage.store).any(|store| store.mode != StoreMode::Set)
}

/// The axes of a stage that are not outer: its own, then those it folds.
pub fn inner_axes<'a>(stage: &'a Stage, outer: &'a [Name]) -> impl Iterator<Item = &'a Name> {
    let folded = stage.reduce.iter().flat_map(|reduce| &reduce.axes);
    stage.axes.iter().filter(|name| !outer.contains(name)).chain(folded)
}

impl Plan {
    /// Applies steps to a kernel.
    ///
    /// # Errors
    /// Names the first step that is not legal.
    pub fn new(kernel: &Kernel, steps: &[Step]) -> Result<Plan> {
        let mut plan = Plan {
            outer: kernel.outer_axes(),
            tasks: vec![],
            kept: vec![],
            panel: None,
            matrix: None,
            nests: nests::nests(kernel),
            single: vec![],
            vectors: vec![],
            blocks: vec![],
            masked: vec![],
            crews: vec![],
        };
        for step in steps {
            plan.apply(kernel, None, step).map_err(|why| {
                Error::internal(format!("step {step:?} of kernel `{}` is not legal: {why}", kernel.name))
            })?;
        }
        Ok(plan)
    }

    fn apply(&mut self, kernel: &Kernel, nest: Option<usize>, step: &Step) -> std::result::Result<(), &'static str> {
        match step {
            Step::Order(order) => {
                let (mut a, mut b) = (order.clone(), self.outer.clone());
                a.sort();
                b.sort();
                if a != b {
                    return Err("it does not name the outer axes");
                }
                if is_serial(kernel) && *order != self.outer {
                    return Err("the kernel's stores are ordered");
                }
                self.outer = order.clone();
            }
            Step::Vector(axis, lanes) => {
                if is_serial(kernel) {
                    return Err("the kernel's stores are ordered");
                }
                if kernel.extent(axis).is_none() || *lanes < 2 {
                    return Err("there is no such axis, or it has less than two lanes");
                }
                self.vectors.push((nest, axis.clone(), *lanes));
            }
            Step::Block(axis, n) => {
                if is_serial(kernel) || *n == 0 {
                    return Err("the kernel's stores are ordered, or the block is empty");
                }
                self.blocks.push((nest, axis.clone(), *n));
            }
            Step::Mask(axis) => {
                if !self.vectors.iter().any(|vector| (vector.0, &vector.1) == (nest, axis)) {
                    return Err("it has no lanes");
                }
                self.masked.push((nest, axis.clone(), true));
            }
            Step::Crew(axis, n) => {
                if is_serial(kernel) || !n.is_power_of_two() {
                    return Err("the kernel's stores are ordered, or the crew is no power of two");
                }
                if kernel.extent(axis).is_none() {
                    return Err("there is no such axis");
                }
                self.crews.push((nest, axis.clone(), *n));
            }
            Step::Panel(axis, n, slots) => {
                let flat = kernel.stages.iter().all(|stage| stage.axes.len() == self.outer.len());
                let product = kernel.stages.first().filter(|_| flat);
                let folded = product.and_then(|stage| stage.reduce.as_ref()?.axes.last());
                if folded != Some(axis) || kernel.stages[1..].iter().any(|stage| stage.reduce.is_some()) {
                    return Err("it is not the innermost axis of the kernel's only fold");
                }
                if *n == 0 || !slots.is_power_of_two() || self.panel.is_some() {
                    return Err("a panel is empty, or of another axis");
                }
                self.panel = Some((axis.clone(), *n, *slots));
            }
            Step::Matrix(row, down, across) => {
                let row = Row::from_name(row).filter(|row| row.shape().is_some()).map(|_| row);
                if row.is_none() || self.panel.is_none() || self.matrix.is_some() || *down == 0 || *across == 0 {
                    return Err("there is no such row of matrices, or no panel that it is read from");
                }
                self.matrix = row.map(|row| (row.clone(), *down, *across));
            }
            Step::Parallel(axis, n) => {
                if is_serial(kernel) || *n == 0 {
                    return Err("the kernel's stores are ordered, or a task does nothing");
                }
                if !self.outer.contains(axis) || self.tasks.iter().any(|task| task.0 == *axis) {
                    return Err("it is no outer axis, or dealt out already");
                }
                self.tasks.push((axis.clone(), *n));
            }
            Step::Within(stage, step) => {
                let (Step::Vector(axis, _) | Step::Block(axis, _) | Step::Mask(axis) | Step::Crew(axis, _)) = &**step
                else {
                    return Err("it holds for the whole kernel");
                };
                if self.outer.contains(axis) || !self.nests.iter().any(|nest| nest.start == *stage) {
                    return Err("the axis is an outer one, or no nest begins with that stage");
                }
                self.apply(kernel, Some(*stage), step)?;
            }
            Step::Single(stage) => {
                self.begin_nest(*stage);
                self.single.push(*stage);
            }
            Step::Keep(stage) => {
                if *stage >= kernel.stages.len() || self.kept.contains(stage) {
                    return Err("there is no such stage, or it is kept already");
                }
                self.kept.push(*stage);
            }
        }
        Ok(())
    }

    /// Cuts the nest that has a stage where that stage begins.
    fn begin_nest(&mut self, stage: usize) {
        if let Some(place) = self.nests.iter().position(|nest| nest.start < stage && nest.contains(&stage)) {
            let end = std::mem::replace(&mut self.nests[place].end, stage);
            self.nests.insert(place + 1, stage..end);
        }
    }

    /// Number of lanes along an axis in the nest that begins with a stage, 1 if it has none.
    pub fn lanes(&self, nest: usize, axis: &str) -> u16 {
        in_nest(&self.vectors, nest, axis).unwrap_or(1)
    }

    /// Whether the last vector of an axis may have lanes that are no points of it, in the nest that begins with a stage.
    pub fn masked(&self, nest: usize, axis: &str) -> bool {
        in_nest(&self.masked, nest, axis).unwrap_or(false)
    }

    /// Points (or vectors) of an axis computed at once in the nest that begins with a stage.
    pub fn block(&self, nest: usize, axis: &str) -> u32 {
        in_nest(&self.blocks, nest, axis).unwrap_or(1)
    }

    /// How many share the blocks of an axis in the nest that begins with a stage.
    pub fn crew(&self, nest: usize, axis: &str) -> u32 {
        in_nest(&self.crews, nest, axis).unwrap_or(1)
    }

    /// The nest of a stage.
    pub fn nest_of(&self, stage: usize) -> Range<usize> {
        self.nests.iter().find(|nest| nest.contains(&stage)).cloned().unwrap_or(stage..stage + 1)
    }

    /// Whether the points of a block come one by one in the nest that begins with a stage.
    pub fn is_single(&self, nest: usize) -> bool {
        self.single.contains(&nest)
    }

    /// The nest that computes and keeps a stage while it reads it, if not its own.
    pub fn filled_by(&self, kernel: &Kernel, stage: usize) -> Option<usize> {
        let nest = nests::filled_by(kernel, &self.nests, stage)?;
        let together = self.is_single(nest) == self.is_single(stage);
        (together && self.kept.contains(&stage)).then_some(nest)
    }

    /// The nests, in order.
    pub fn runs(&self) -> Vec<Run> {
        nests::runs(self.nests.clone(), &|nest| self.is_single(nest))
    }
}

/// What is said of an axis: for a nest, else for all.
fn in_nest<T: Copy>(of: &[(Option<usize>, Name, T)], nest: usize, axis: &str) -> Option<T> {
    let said = |who: Option<usize>| of.iter().find(|v| v.0 == who && &*v.1 == axis).map(|v| v.2);
    said(Some(nest)).or_else(|| said(None))
}
