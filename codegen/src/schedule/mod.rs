//! Schedules: how a kernel's loops run on a target, as a list of steps.
//!
//! In: a kernel and a target description.  Out: steps, which [`Plan::new`] checks one by one and puts together for
//! lowering.
//! Invariant: no step changes what is computed; the order of every fold follows from the steps and the shapes alone.

mod choose;
mod cost;
mod tasks;

pub use choose::choose;
pub(crate) use choose::loads;

use mlc_ir::program::{Kernel, Stage, StoreMode};
use mlc_ir::{Error, Name, Result};

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The order of the kernel's outer axes, outermost first.
    Order(Vec<Name>),
    /// Lanes run along an axis: an outer one, or an inner one of a stage.
    Vector(Name, u16),
    /// So many points (on a vector axis: vectors) of an axis are computed at once, in registers.
    Block(Name, u32),
    /// A task computes so many blocks of an outer axis (and all of those that no such step names).
    Parallel(Name, u32),
}

/// As profiles show it: `order(o1, o0)`, `vector(o1, 16)`.
impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Step::Order(axes) => write!(f, "order({})", axes.join(", ")),
            Step::Vector(axis, n) => write!(f, "vector({axis}, {n})"),
            Step::Block(axis, n) => write!(f, "block({axis}, {n})"),
            Step::Parallel(axis, n) => write!(f, "parallel({axis}, {n})"),
        }
    }
}

/// Steps that fit a kernel.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The axes all stages have, in loop order.
    pub outer: Vec<Name>,
    /// Outer axes that are dealt out to tasks, and the blocks of each that a task computes.
    pub tasks: Vec<(Name, u32)>,
    vectors: Vec<(Name, u16)>,
    blocks: Vec<(Name, u32)>,
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
        let mut plan = Plan { outer: kernel.outer_axes(), tasks: vec![], vectors: vec![], blocks: vec![] };
        for step in steps {
            plan.apply(kernel, step).map_err(|why| {
                Error::internal(format!("step {step:?} of kernel `{}` is not legal: {why}", kernel.name))
            })?;
        }
        Ok(plan)
    }

    fn apply(&mut self, kernel: &Kernel, step: &Step) -> std::result::Result<(), &'static str> {
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
                self.vectors.push((axis.clone(), *lanes));
            }
            Step::Block(axis, n) => {
                if is_serial(kernel) || *n == 0 {
                    return Err("the kernel's stores are ordered, or the block is empty");
                }
                self.blocks.push((axis.clone(), *n));
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
        }
        Ok(())
    }

    /// Number of lanes along an axis, 1 if it has none.
    pub fn lanes(&self, axis: &str) -> u16 {
        self.vectors.iter().find(|v| &*v.0 == axis).map_or(1, |v| v.1)
    }

    /// Points (or vectors) of an axis computed at once.
    pub fn block(&self, axis: &str) -> u32 {
        self.blocks.iter().find(|b| &*b.0 == axis).map_or(1, |b| b.1)
    }
}
