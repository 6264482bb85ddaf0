//! Kernels that compute the same from the same: the second vanishes, its readers read the first's result.

use super::report::{Report, Rule};
use super::rewrite::{map_stage_indices, rewrite};
use super::work::{Item, Place, Work, reads, writes};
use mlc_ir::Index;
use mlc_ir::index::Atom;
use mlc_ir::program::{Expr, ExprKind, Kernel};
use std::collections::HashMap;

/// Merges equal kernels with one store each, within each list of steps.
pub fn merge(work: &mut Work, report: &mut Report) {
    let mut first: HashMap<String, Vec<(Place, u32)>> = HashMap::new();
    for place in work.places() {
        let Some((key, buffer)) = work.kernel(place).and_then(|kernel| key(work, kernel)) else { continue };
        if work.whole_writer(buffer) != Some(place) {
            continue;
        }
        let known = first.entry(key).or_default();
        let Some((earlier, other)) = known.iter().find(|entry| can_share(work, **entry, place, buffer)).copied() else {
            known.push((place, buffer));
            continue;
        };
        if let (Some(a), Some(b)) = (work.kernel(place), work.kernel(earlier)) {
            report.fused(Rule::Same, &a.name, &b.name);
        }
        for reader in work.readers(buffer).clone() {
            if let Some(kernel) = work.kernel(reader) {
                let kernel = read_other(kernel, buffer, other);
                work.set(reader, Item::Kernel(kernel));
            }
        }
        work.set(place, Item::Empty);
    }
}

/// A text that is equal for kernels that compute the same, and the buffer that is written.
fn key(work: &Work, kernel: &Kernel) -> Option<(String, u32)> {
    let mut stores = kernel.stages.iter().flat_map(|stage| &stage.store);
    let (store, None) = (stores.next()?, stores.next()) else { return None };
    if kernel.stages.len() > 1 || super::rewrite::tree_size(&kernel.stages[0].value) > 200 {
        return None;
    }
    let stage = &kernel.stages[0];
    let buffer = &work.buffers[store.buffer as usize];
    let parts = (&kernel.axes, &stage.axes, &stage.reduce, &stage.value, &store.index, buffer.dtype, &buffer.shape);
    Some((format!("{parts:?}"), store.buffer))
}

fn can_share(work: &Work, (earlier, other): (Place, u32), place: Place, buffer: u32) -> bool {
    let Some(kernel) = work.kernel(place) else { return false };
    let still = |b: &u32| work.writers(*b).len() <= 1;
    let kernels = work.readers(buffer).iter().all(|reader| work.kernel(*reader).is_some());
    earlier.block == place.block
        && kernels
        && !work.outputs.contains(&buffer)
        && work.whole_writer(other) == Some(earlier)
        && reads(kernel).iter().all(still)
        && !writes(kernel).is_empty()
}

fn read_other(kernel: &Kernel, buffer: u32, other: u32) -> Kernel {
    fn swap(index: &Index, buffer: u32, other: u32) -> Index {
        index.replace(&|atom| match atom {
            Atom::At(b, at) if *b == buffer => {
                Some(Index::at(other, at.iter().map(|i| swap(i, buffer, other)).collect()))
            }
            _ => None,
        })
    }
    let mut kernel = kernel.clone();
    for stage in &mut kernel.stages {
        *stage = map_stage_indices(stage, &|index| swap(index, buffer, other));
        stage.value = rewrite(&stage.value, &mut |node| match node.kind() {
            ExprKind::Load { buffer: b, index } if *b == buffer => Expr::load(node.dtype(), other, index.clone()),
            _ => node,
        });
    }
    kernel
}
