//! Removes nodes that no result needs.

use mlc_ir::{Graph, Result};

/// Removes; inputs stay.
pub(super) fn remove(graph: &mut Graph) -> Result<usize> {
    Ok(graph.remove_dead())
}
