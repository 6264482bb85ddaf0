//! Memory planning: gives every buffer between kernels an offset in one arena.
//!
//! In: a program, its layouts and tiles.  Out: a [`Place`] for each such buffer, the size of all, and behind them scratch
//! memory for each worker, as much as the kernel takes that takes most; as expressions of the symbols.
//! Invariant: buffers that are live at the same time never overlap.
//!
//! ```text
//!   time ▶  a ███
//!           b   ████      c reuses a's bytes
//!           c      ███
//! ```

use crate::layout::Layout;
use mlc_ir::index::Atom;
use mlc_ir::program::{Program, Step};
use mlc_ir::tile::Tile;
use mlc_ir::{Facts, Index, Name};
use std::collections::BTreeMap;

/// Alignment of every buffer.
const ALIGN: i64 = 64;

/// Where buffers lie, and when.
#[derive(Clone, Debug, Default)]
pub struct Arena {
    /// By buffer.
    pub places: BTreeMap<u32, Place>,
    /// Size in bytes of the buffers.
    pub size: Index,
    /// Bytes behind the buffers that each worker has for itself.
    pub scratch: Index,
    /// What happens at each moment: a kernel runs, a branch is chosen, a loop begins or ends, a symbol is bound.
    pub moments: Vec<String>,
}

impl Arena {
    /// Bytes for so many workers.
    pub fn total(&self, workers: &Index) -> Index {
        self.size.clone() + &self.scratch * workers
    }
}

/// Where a buffer lies, and when.
#[derive(Clone, Debug)]
pub struct Place {
    /// The buffer's name.
    pub name: Name,
    /// In bytes.
    pub offset: Index,
    /// In bytes.
    pub size: Index,
    /// The first and the last moment at which it is used.
    pub life: (usize, usize),
}

/// First and last moment at which each buffer is used.
type Lives = BTreeMap<u32, (usize, usize)>;

/// Plans the arena. A symbol that depends on data counts with its upper bound.
pub fn plan<'a>(program: &Program, layouts: &[Layout], tiles: impl IntoIterator<Item = &'a Tile>) -> Arena {
    let mut lives = Lives::new();
    let mut moments = Vec::new();
    walk(&program.body, &mut moments, &mut lives);
    let private =
        |b: &u32| program.buffer(*b).constant.is_none() && !program.inputs.contains(b) && !program.outputs.contains(b);
    let wanted: Vec<Wanted> = lives
        .into_iter()
        .filter(|(buffer, _)| private(buffer))
        .map(|(buffer, life)| (buffer, life, size(program, layouts, buffer)))
        .collect();
    let numbers: Option<Vec<i64>> = wanted.iter().map(|w| w.2.as_const()).collect();
    let (offsets, size) = match numbers {
        Some(numbers) => pack(&wanted, &numbers),
        None => slots(&wanted, &program.facts),
    };
    let place = |((buffer, life, size), offset): (Wanted, Index)| {
        (buffer, Place { name: program.buffer(buffer).name.clone(), offset, size, life })
    };
    let places = wanted.into_iter().zip(offsets).map(place).collect();
    let scratch = tiles.into_iter().map(|tile| bounded(&tile.scratch().1, &program.facts, program));
    let scratch = scratch.fold(Index::zero(), |most, own| program.facts.max(&most, &own));
    Arena { places, size, scratch, moments }
}

/// A buffer, its life, its size.
type Wanted = (u32, (usize, usize), Index);

/// The size of a buffer in bytes, rounded up. Not negative even where a dim is, which only a branch may have that is not
/// taken.
pub fn size(program: &Program, layouts: &[Layout], buffer: u32) -> Index {
    let definition = program.buffer(buffer);
    let dims = layouts[buffer as usize].dims(&definition.shape);
    let bytes = Index::product(&dims) * definition.dtype.bytes() as i64;
    let size = bounded(&(bytes.ceil_div(&Index::from(ALIGN)) * ALIGN), &program.facts, program);
    let negative = definition.shape.iter().any(|dim| !program.facts.nonneg(dim));
    if negative && size.as_const().is_none() { program.facts.max(&size, &Index::zero()) } else { size }
}

/// The expression with every symbol that is bound while running replaced by its upper bound.
pub fn bounded(index: &Index, facts: &Facts, program: &Program) -> Index {
    let inputs: std::collections::BTreeSet<_> =
        program.inputs.iter().flat_map(|&b| &program.buffer(b).shape).flat_map(Index::syms).collect();
    index.rebuild(facts, &|atom| match atom {
        Atom::Sym(name) if !inputs.contains(name) => facts.symbol_range(name).1.map(Index::from),
        _ => None,
    })
}

fn walk(steps: &[Step], moments: &mut Vec<String>, lives: &mut Lives) {
    fn touch(lives: &mut Lives, buffer: u32, now: usize) {
        let life = lives.entry(buffer).or_insert((now, now));
        life.1 = now;
    }
    for step in steps {
        let now = moments.len();
        moments.push(match step {
            Step::Kernel(kernel) => kernel.name.to_string(),
            Step::If { .. } => "if".into(),
            Step::Loop { .. } => "loop".into(),
            Step::Bind(symbol, _) => format!("bind {symbol}"),
        });
        match step {
            Step::Kernel(kernel) => {
                kernel.reads().into_iter().chain(kernel.writes()).for_each(|b| touch(lives, b, now));
            }
            Step::If { condition, then, otherwise } => {
                touch(lives, *condition, now);
                walk(then, moments, lives);
                walk(otherwise, moments, lives);
            }
            Step::Loop { condition, body, trips, .. } => {
                let mut inside = Lives::new();
                let mut looked = Vec::new();
                mlc_ir::program::lookups(trips, &mut looked);
                looked.into_iter().chain(*condition).for_each(|b| touch(&mut inside, b, now));
                walk(body, moments, &mut inside);
                let end = moments.len();
                moments.push("end of loop".into());
                // What a loop touches may carry a value around it.
                for buffer in inside.into_keys() {
                    touch(lives, buffer, now);
                    touch(lives, buffer, end);
                }
            }
            Step::Bind(_, index) => {
                let mut looked = Vec::new();
                mlc_ir::program::lookups(index, &mut looked);
                looked.into_iter().for_each(|b| touch(lives, b, now));
            }
        }
    }
}

fn overlap(a: (usize, usize), b: (usize, usize)) -> bool {
    a.0 <= b.1 && b.0 <= a.1
}

/// Sizes are numbers: the largest first, each at the lowest place that is free during its life.
fn pack(wanted: &[Wanted], sizes: &[i64]) -> (Vec<Index>, Index) {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(sizes[i]), wanted[i].0));
    let mut placed: Vec<(usize, i64)> = Vec::new();
    let mut top = 0;
    for i in order {
        let mut busy: Vec<(i64, i64)> = placed
            .iter()
            .filter(|(j, _)| overlap(wanted[i].1, wanted[*j].1))
            .map(|(j, at)| (*at, at + sizes[*j]))
            .collect();
        busy.sort_unstable();
        let mut at = 0;
        for (begin, end) in busy {
            if begin - at >= sizes[i] {
                break;
            }
            at = at.max(end);
        }
        top = top.max(at + sizes[i]);
        placed.push((i, at));
    }
    placed.sort_unstable();
    (placed.into_iter().map(|(_, at)| Index::from(at)).collect(), Index::from(top))
}

/// Sizes are expressions: a buffer takes over a slot that is free, if one is known to be the larger.
fn slots(wanted: &[Wanted], facts: &Facts) -> (Vec<Index>, Index) {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by_key(|&i| (wanted[i].1.0, wanted[i].0));
    let mut slots: Vec<(Index, Vec<usize>)> = Vec::new();
    for i in order {
        let free = |users: &Vec<usize>| users.iter().all(|&j| !overlap(wanted[i].1, wanted[j].1));
        let (size, mut best) = (&wanted[i].2, None);
        for (number, (have, users)) in slots.iter().enumerate() {
            let comparable = facts.le(size, have) || facts.le(have, size);
            if comparable && free(users) && best.is_none_or(|b: usize| facts.le(have, &slots[b].0)) {
                best = Some(number);
            }
        }
        match best {
            Some(number) => {
                slots[number].0 = facts.max(&slots[number].0, size);
                slots[number].1.push(i);
            }
            None => slots.push((size.clone(), vec![i])),
        }
    }
    let (mut offsets, mut total) = (vec![Index::zero(); wanted.len()], Index::zero());
    for (size, users) in slots {
        users.into_iter().for_each(|i| offsets[i] = total.clone());
        total = total + size;
    }
    (offsets, total)
}

/// The buffers that control flow and bound symbols look into.
pub fn driver_reads(program: &Program) -> Vec<u32> {
    fn collect(steps: &[Step], buffers: &mut Vec<u32>) {
        for step in steps {
            match step {
                Step::Kernel(_) => {}
                Step::If { condition, then, otherwise } => {
                    buffers.push(*condition);
                    collect(then, buffers);
                    collect(otherwise, buffers);
                }
                Step::Loop { condition, trips, body, .. } => {
                    buffers.extend(condition);
                    mlc_ir::program::lookups(trips, buffers);
                    collect(body, buffers);
                }
                Step::Bind(_, index) => mlc_ir::program::lookups(index, buffers),
            }
        }
    }
    let mut buffers = Vec::new();
    collect(&program.body, &mut buffers);
    buffers
}
