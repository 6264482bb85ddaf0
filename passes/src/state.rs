//! State in place: an output that is an input with more behind it, as the keys an attention keeps, becomes that input's
//! memory.
//!
//! In: a program as the operators state it, and which output continues which input.  Out: each pair has one shape, with
//! room for `capacity` entries where the input had some; the copy of those is gone, and who read the input reads the
//! output.
//! Invariants: what is added lies behind the old entries, so that nothing that was there changes; how many those are
//! follows from the dims of other inputs.
//!
//! ```text
//! past:    f32[1, 3, past, 64]            past:    f32[1, 3, past.capacity, 64]   one memory
//! present: f32[1, 3, past + seq, 64]      present: f32[1, 3, past.capacity, 64]
//! present[.., i, ..] = past[.., i, ..]    mask: i64[1, past + seq]                tells `past`
//! ```

mod length;

use crate::fuse::{carried, merge_copies, rename_buffers};
use mlc_ir::program::{Kernel, Program, Step};
use mlc_ir::{Error, Index, Name, Result};

/// An output that continues an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The input's name; one `*` stands for any text.
    pub past: String,
    /// The output's name; a `*` stands for what it stood for in the input's.
    pub present: String,
}

/// Gives the pairs one memory.
///
/// # Errors
/// If a name is unknown, an output is not its input with more behind it, or no other input tells how much is there.
pub fn bind(program: &mut Program, states: &[State]) -> Result<()> {
    if states.is_empty() {
        return Ok(());
    }
    merge_copies(program);
    let mut lengths = Vec::new();
    for (input, output) in pairs(program, states)? {
        let growth = growth(program, input, output)?;
        let capacity = share(program, input, output, &growth);
        if !lengths.contains(&(growth.old.clone(), capacity.clone())) {
            lengths.push((growth.old, capacity));
        }
    }
    length::settle(program, &lengths)
}

/// The buffers that the names mean, each once.
fn pairs(program: &Program, states: &[State]) -> Result<Vec<(u32, u32)>> {
    let mut pairs: Vec<(u32, u32)> = Vec::new();
    for state in states {
        let before = pairs.len();
        for &input in &program.inputs {
            let Some(text) = matched(&state.past, &program.buffer(input).name) else { continue };
            let name = state.present.replacen('*', text, 1);
            let output = program.outputs.iter().find(|output| *program.buffer(**output).name == *name);
            let output = *output.ok_or_else(|| {
                Error::invalid(format!("the model has no output `{name}` for input `{}`", program.buffer(input).name))
            })?;
            if pairs.iter().any(|pair| pair.0 == input || pair.1 == output) {
                return Err(Error::invalid(format!("`{name}` or its input is in two states")));
            }
            pairs.push((input, output));
        }
        if pairs.len() == before {
            return Err(Error::invalid(format!("the model has no input `{}`", state.past)));
        }
    }
    Ok(pairs)
}

/// What the `*` of a pattern stands for in a name; nothing, if there is none.
fn matched<'a>(pattern: &str, name: &'a str) -> Option<&'a str> {
    match pattern.split_once('*') {
        None => (pattern == name).then_some(""),
        Some((head, tail)) => name.strip_prefix(head)?.strip_suffix(tail),
    }
}

/// How an output continues an input.
struct Growth {
    /// Along which dim.
    axis: usize,
    /// How many entries there were.
    old: Name,
    /// How many there are.
    new: Index,
    /// The kernel that copies the old ones, by its place in the body.
    copy: usize,
}

fn growth(program: &Program, input: u32, output: u32) -> Result<Growth> {
    let (from, to) = (program.buffer(input), program.buffer(output));
    let fail = |why: String| Error::invalid(format!("`{}` and `{}` cannot be one memory: {why}", from.name, to.name));
    let shapes = || format!("{}{} and {}{}", from.dtype, text(&from.shape), to.dtype, text(&to.shape));
    let dims = from.shape.iter().zip(&to.shape);
    let differ: Vec<usize> = dims.enumerate().filter(|(_, (a, b))| a != b).map(|(axis, _)| axis).collect();
    let (true, true, &[axis]) = (from.dtype == to.dtype, from.shape.len() == to.shape.len(), differ.as_slice()) else {
        return Err(fail(format!(
            "an output that continues an input differs from it in one dim, these are {}",
            shapes()
        )));
    };
    let Some(mlc_ir::index::Atom::Sym(old)) = from.shape[axis].as_atom() else {
        return Err(fail(format!("dim {axis} of {} is no size of its own: leave it open", shapes())));
    };
    let behind = |kernel: &Kernel| {
        let facts = kernel.facts(&program.facts);
        let mut stores = kernel.stages.iter().flat_map(|stage| &stage.store).filter(|store| store.buffer == output);
        stores.all(|store| facts.le(&from.shape[axis], &store.index[axis]))
    };
    let (mut copy, mut all) = (None, 0);
    for (place, step) in program.body.iter().enumerate() {
        match step {
            Step::Kernel(kernel) if kernel.writes().contains(&output) => {
                if carried(program, kernel) == Some((input, output)) {
                    copy = Some(place);
                } else if !behind(kernel) {
                    return Err(fail(format!("`{}` writes where the old entries are", kernel.name)));
                }
                all += 1;
            }
            _ => {}
        }
    }
    let mut total = 0;
    Step::visit_kernels(&program.body, &mut |kernel| total += usize::from(kernel.writes().contains(&output)));
    match copy.filter(|_| all == total) {
        Some(copy) => Ok(Growth { axis, old: old.clone(), new: to.shape[axis].clone(), copy }),
        None => Err(fail("the output is no concatenation that begins with the input".into())),
    }
}

fn text(shape: &[Index]) -> String {
    mlc_ir::compute::shape_text(shape)
}

/// Makes the two one memory; gives the symbol of its room.
fn share(program: &mut Program, input: u32, output: u32, growth: &Growth) -> Name {
    let capacity: Name = format!("{}.capacity", growth.old).into();
    program.body.remove(growth.copy);
    rename_buffers(&mut program.body, &|buffer| if buffer == input { output } else { buffer });
    let room = Index::sym(capacity.clone());
    for buffer in [input, output] {
        program.buffers[buffer as usize].shape[growth.axis] = room.clone();
    }
    program.facts.symbol(capacity.clone(), program.facts.symbol_range(&growth.old).0, None);
    if !program.limits.iter().any(|limit| limit.0 == growth.new && limit.1 == room) {
        let name = program.buffer(output).name.clone();
        program.limits.push((growth.new.clone(), room, name));
    }
    program.states.push((input, output));
    capacity
}
