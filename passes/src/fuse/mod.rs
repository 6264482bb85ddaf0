//! Fusion: merges the kernels of a program until merging no longer pays.
//!
//! In: a program as the operators state it, one stage a kernel.  Out: the same computation in fewer kernels of several
//! stages, named uniquely, over the buffers that are left.
//! Invariants: kernels are merged within one list of steps, never across control flow; a merged kernel runs where its
//! last part ran; no floating-point operation changes but divisions by powers of two, small whole powers, and the sums of
//! convolutions that are computed by Winograd's method.
//!
//! ```text
//! matmul ─ add bias ─ reshape ─ transpose ─┐        one kernel, which writes where the transpose would
//! max ─ sum ─ divide                       ├─>      one kernel of three stages a row
//! cast ─ scale ─ reduce                    ┘        one kernel, the cast and the scale in its read
//! ```

mod border;
mod columns;
mod cost;
mod dead;
mod epilogue;
mod factor;
mod finish;
mod halo;
mod inline;
mod invert;
mod output;
mod report;
mod rewrite;
mod rows;
mod same;
mod share;
mod siblings;
mod simplify;
mod transpose;
mod unfold;
mod winograd;
mod work;

pub(crate) use finish::{each_kernel, rename_buffers};
pub(crate) use output::carried;
pub use report::{Fused, Report, Rule};
pub(crate) use rewrite::map_stage_indices;

use mlc_ir::Program;
use mlc_ir::program::Step;
use work::{Item, Place, Work};

/// How often the rules are tried over the whole program.
const ROUNDS: usize = 4;

/// A pass over a program.
pub type Pass = (&'static str, fn(&mut Program, &mut Report));

/// All passes, in order.
pub const PIPELINE: &[Pass] = &[
    ("outputs", output::alias),
    ("simplify", |program, report| within(program, report, simplify_all)),
    ("inline", |program, report| within(program, report, inline_only)),
    ("unfold", |program, report| within(program, report, unfold::compute)),
    ("halo", |program, report| within(program, report, halo::pad)),
    ("fuse", |program, report| within(program, report, fuse_all)),
    ("factor", |program, report| within(program, report, |work, _| factor::shorten(work))),
    ("transpose", |program, report| within(program, report, transpose::turn)),
    ("winograd", |program, report| within(program, report, winograd::shorten)),
    ("border", |program, report| within(program, report, border::in_place)),
    ("columns", |program, report| within(program, report, columns::merge)),
    ("finish", finish::finish),
];

/// Runs all passes.
pub fn fuse(program: &mut Program) -> Report {
    let mut report = Report { before: count(program), ..Report::default() };
    PIPELINE.iter().for_each(|(_, pass)| pass(program, &mut report));
    report.after = count(program);
    report
}

/// Makes copied buffers one, as the first pass does.
pub(crate) fn merge_copies(program: &mut Program) {
    output::alias(program, &mut Report::default());
}

fn within(program: &mut Program, report: &mut Report, pass: impl FnOnce(&mut Work, &mut Report)) {
    let mut work = Work::new(program);
    pass(&mut work, report);
    work.finish(program);
}

/// Number of kernels of a program.
pub fn count(program: &Program) -> usize {
    let mut count = 0;
    Step::visit_kernels(&program.body, &mut |_| count += 1);
    count
}

fn simplify_all(work: &mut Work, report: &mut Report) {
    for place in work.places() {
        if let Some(kernel) = work.kernel(place) {
            let kernel = simplify::simplify(kernel, &work.facts, &work.buffers);
            work.set(place, Item::Kernel(kernel));
        }
    }
    dead::remove(work);
    same::merge(work, report);
}

/// R1 to R4 until nothing changes.
fn fuse_all(work: &mut Work, report: &mut Report) {
    for _ in 0..ROUNDS {
        let inlined = inline_all(work, report);
        let merged = merge_all(work, report);
        if !inlined && !merged {
            break;
        }
    }
    same::merge(work, report);
    dead::remove(work);
}

/// R1 over all producers, in order, so that chains collapse.
fn inline_all(work: &mut Work, report: &mut Report) -> bool {
    let mut changed = false;
    for place in work.places() {
        changed |= inline::inline(work, place, report);
    }
    changed
}

fn inline_only(work: &mut Work, report: &mut Report) {
    inline_all(work, report);
}

/// R2, R3 and R4 over all consumers, in order, nearest producers first.
fn merge_all(work: &mut Work, report: &mut Report) -> bool {
    let mut changed = false;
    for place in work.places() {
        while merge(work, place, report) {
            changed = true;
        }
    }
    changed
}

fn merge(work: &mut Work, to: Place, report: &mut Report) -> bool {
    let Some(consumer) = work.kernel(to) else { return false };
    let name = consumer.name.clone();
    let mut producers: Vec<(Place, u32)> =
        work::reads(consumer).into_iter().filter_map(|buffer| Some((work.whole_writer(buffer)?, buffer))).collect();
    producers.sort_unstable_by(|a, b| b.cmp(a));
    for (from, buffer) in producers {
        let Some(producer) = work.kernel(from).map(|kernel| kernel.name.clone()) else { continue };
        let merged = match epilogue::epilogue(work, from, to, buffer) {
            Ok(kernel) => Ok((Rule::Epilogue, kernel)),
            Err(why) => match siblings::siblings(work, from, to) {
                Some(joined) => joined.map(|kernel| (Rule::Siblings, kernel)),
                None => rows::rows(work, from, to).map(|kernel| (Rule::Rows, kernel)),
            }
            .map_err(|other| (why, other)),
        };
        match merged {
            Ok((rule, kernel)) => {
                report.fused(rule, &name, &producer);
                work.set(from, Item::Empty);
                work.set(to, Item::Kernel(kernel));
                return true;
            }
            Err((why, other)) => {
                report.refused(&name, &producer, why);
                report.refused(&name, &producer, other);
            }
        }
    }
    false
}
