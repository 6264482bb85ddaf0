//! Program: what a model computes, as kernels over buffers, with no target in it.
//!
//! A kernel has *axes* and a list of *stages*. A stage computes one value for every point of its own axes: a scalar
//! expression, or a monoid's fold of one over its reduced axes; it may store it, and later stages may read it. Softmax
//! along the last axis, fused, is
//!
//! ```text
//! kernel softmax [%r: rows, %c: cols] {
//!   %0 [%r]     = max[%c] @0[%r, %c]
//!   %1 [%r]     = sum[%c] exp(@0[%r, %c] - %0)
//!   %2 [%r, %c] = exp(@0[%r, %c] - %0) / %1 -> @1[%r, %c]
//! }
//! ```
//!
//! In: what the op files state, one kernel of one stage at a time.  Out: fused kernels, for scheduling.
//! Invariants: see [`verify`].

mod expr;
pub mod interp;
mod known;
mod numbers;
mod text;
pub mod verify;

pub use expr::{Expr, ExprKind};
pub use known::{Known, evaluate};
pub use text::fingerprint;

use crate::tile::{InRange, Monoid};
use crate::{DType, Facts, Index, Name, Tensor};

/// Kernels, control flow and the buffers they work on.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// Of the model.
    pub name: String,
    /// Numbered `@0`, `@1`, ...
    pub buffers: Vec<Buffer>,
    /// Buffers the caller fills, in order.
    pub inputs: Vec<u32>,
    /// Buffers the caller gets, in order.
    pub outputs: Vec<u32>,
    /// What runs.
    pub body: Vec<Step>,
    /// Ranges of the symbols.
    pub facts: Facts,
    /// Pairs of expressions over input symbols that must be equal, and the node that needs it.
    pub asserts: Vec<(Index, Index, Name)>,
    /// Pairs of expressions over input symbols of which the first must not exceed the second, and the output that else has
    /// no room.
    pub limits: Vec<(Index, Index, Name)>,
    /// Inputs and the outputs that are the same memory, of one shape: steps mention the output, which has the input's
    /// elements from the start.
    pub states: Vec<(u32, u32)>,
}

/// A tensor in memory.
#[derive(Clone, Debug)]
pub struct Buffer {
    /// Of the value in the model, for people and the caller.
    pub name: Name,
    /// Element type.
    pub dtype: DType,
    /// Extents, outermost first.
    pub shape: Vec<Index>,
    /// Its elements, if it is a constant.
    pub constant: Option<Tensor>,
}

/// One step of a program.
#[derive(Clone, Debug)]
pub enum Step {
    /// Runs a kernel.
    Kernel(Kernel),
    /// Runs `then` if the one element of a `Bool` buffer is true, else `otherwise`.
    If {
        /// The buffer with the condition.
        condition: u32,
        /// When it is true.
        then: Vec<Step>,
        /// When it is false.
        otherwise: Vec<Step>,
    },
    /// Runs `body` with the symbol `counter` = 0, 1, ... below `trips`, as long as `condition` (a `Bool` buffer with one
    /// element) is true before an iteration. Binds the symbol `ran` to the number of iterations.
    Loop {
        /// The symbol that counts.
        counter: Name,
        /// How often at most.
        trips: Index,
        /// Checked before every iteration.
        condition: Option<u32>,
        /// Bound afterwards.
        ran: Option<Name>,
        /// What is repeated.
        body: Vec<Step>,
    },
    /// Gives a symbol the value of an expression, which may look into buffers.
    Bind(Name, Index),
}

/// A nest of loops: axes and stages.
#[derive(Clone, Debug, PartialEq)]
pub struct Kernel {
    /// The node it comes from; unique once fused.
    pub name: Name,
    /// All axes of all stages.
    pub axes: Vec<Axis>,
    /// In order; a stage may read those before it.
    pub stages: Vec<Stage>,
}

/// A dimension of a kernel's domain: `0..extent`.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// Unique in the kernel.
    pub name: Name,
    /// A number or an expression over symbols.
    pub extent: Index,
}

/// One value per point of its axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// The axes its value has, in the order of its loops. A stage that reads it has all of them.
    pub axes: Vec<Name>,
    /// How the value is folded over further axes, if it is.
    pub reduce: Option<Reduce>,
    /// The value, or what is folded.
    pub value: Expr,
    /// Where it goes, if it leaves the kernel.
    pub store: Option<Store>,
}

/// A fold.
#[derive(Clone, Debug, PartialEq)]
pub struct Reduce {
    /// In the type of the folded expression.
    pub monoid: Monoid,
    /// Over these axes, in this order.
    pub axes: Vec<Name>,
}

/// A write of a stage's value, converted to the buffer's type.
#[derive(Clone, Debug, PartialEq)]
pub struct Store {
    /// Where to.
    pub buffer: u32,
    /// One expression for each of its dims.
    pub index: Vec<Index>,
    /// Whether and how it may hit the same element more than once.
    pub mode: StoreMode,
    /// Only where all hold, if any.
    pub only: Vec<InRange>,
}

/// How a store treats its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreMode {
    /// Every element at most once, in any order.
    Set,
    /// In the order of the loops, the last one wins.
    Scatter,
    /// In the order of the loops, folded into what is there.
    Combine(Monoid),
}

impl Program {
    /// A new buffer; its number.
    pub fn add_buffer(&mut self, buffer: Buffer) -> u32 {
        self.buffers.push(buffer);
        (self.buffers.len() - 1) as u32
    }

    /// The buffer with a number.
    ///
    /// # Panics
    /// If there is none.
    pub fn buffer(&self, number: u32) -> &Buffer {
        &self.buffers[number as usize]
    }
}

impl Step {
    /// Calls `visit` on every kernel within, in order.
    pub fn visit_kernels<'a>(steps: &'a [Step], visit: &mut dyn FnMut(&'a Kernel)) {
        for step in steps {
            match step {
                Step::Kernel(kernel) => visit(kernel),
                Step::If { then, otherwise, .. } => {
                    Step::visit_kernels(then, visit);
                    Step::visit_kernels(otherwise, visit);
                }
                Step::Loop { body, .. } => Step::visit_kernels(body, visit),
                Step::Bind(..) => {}
            }
        }
    }
}

impl Kernel {
    /// The extent of an axis.
    pub fn extent(&self, axis: &str) -> Option<&Index> {
        self.axes.iter().find(|a| &*a.name == axis).map(|a| &a.extent)
    }

    /// `facts` with the ranges of all axes.
    pub fn facts(&self, facts: &Facts) -> Facts {
        let mut facts = facts.clone();
        self.axes.iter().for_each(|axis| facts.axis(axis.name.clone(), &axis.extent));
        facts
    }

    /// The axes that every stage's value has, in the order of the first stage: the loops around all stages.
    pub fn outer_axes(&self) -> Vec<Name> {
        let common = |name: &&Name| self.stages.iter().all(|stage| stage.axes.contains(name));
        self.stages.first().map(|stage| stage.axes.iter().filter(common).cloned().collect()).unwrap_or_default()
    }

    /// Every buffer it reads, lookups in indices included; sorted, each once.
    pub fn reads(&self) -> Vec<u32> {
        let mut buffers = Vec::new();
        for stage in &self.stages {
            stage.value.visit(&mut |expr| {
                if let ExprKind::Load { buffer, .. } = expr.kind() {
                    buffers.push(*buffer);
                }
                expr.visit_indices(&mut |index| lookups(index, &mut buffers));
            });
            if let Some(store) = &stage.store {
                store.index.iter().for_each(|index| lookups(index, &mut buffers));
                for test in &store.only {
                    [&test.index, &test.low, &test.high].into_iter().for_each(|index| lookups(index, &mut buffers));
                }
                if let StoreMode::Combine(_) = store.mode {
                    buffers.push(store.buffer);
                }
            }
        }
        buffers.sort_unstable();
        buffers.dedup();
        buffers
    }

    /// Every buffer it writes; sorted, each once.
    pub fn writes(&self) -> Vec<u32> {
        let mut buffers: Vec<u32> = self.stages.iter().flat_map(|s| &s.store).map(|s| s.buffer).collect();
        buffers.sort_unstable();
        buffers.dedup();
        buffers
    }
}

/// Adds the buffers that an index looks into.
pub fn lookups(index: &Index, buffers: &mut Vec<u32>) {
    index.visit(&mut |atom| {
        if let crate::index::Atom::At(buffer, _) = atom {
            buffers.push(*buffer);
        }
    });
}
