//! Removes what nobody reads: stores, and kernels left without one.

use super::simplify::simplify;
use super::work::{Item, Work};

/// Removes until nothing is left to remove.
pub fn remove(work: &mut Work) {
    loop {
        let mut changed = false;
        for place in work.places().into_iter().rev() {
            let Some(kernel) = work.kernel(place) else { continue };
            let unread = |buffer: u32| {
                !work.outputs.contains(&buffer) && work.readers(buffer).iter().all(|reader| *reader == place)
            };
            if !kernel.stages.iter().flat_map(|s| &s.store).any(|store| unread(store.buffer)) {
                continue;
            }
            let mut kernel = kernel.clone();
            for stage in &mut kernel.stages {
                if stage.store.as_ref().is_some_and(|store| unread(store.buffer)) {
                    stage.store = None;
                }
            }
            changed = true;
            let kernel = simplify(&kernel, &work.facts, &work.buffers);
            work.set(place, if kernel.stages.is_empty() { Item::Empty } else { Item::Kernel(kernel) });
        }
        if !changed {
            return;
        }
    }
}
