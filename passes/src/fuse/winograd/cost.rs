//! Which transform saves time, if one does.
//!
//! Times are counted in multiply-adds that a core does meanwhile. A filter's values at the points are more than the filter
//! has: they come from memory, and where a picture has few tiles nothing hides that. What the kernels hand on to each other
//! is written and read again, from a cache as a rule.

use super::toom::{F2, F4, TAPS, Toom};

/// Multiply-adds in the time an element of a filter takes to come.
const FILTER: i64 = 32;
/// Multiply-adds in the time an element takes that is handed on: transformed, written and read.
const HANDED: i64 = 20;

/// The height or width that a picture is taken to have if it may have any.
pub const SYMBOLIC: i64 = 48;
/// Fewer channels do not fill the registers of a contraction.
const CHANNELS: i64 = 16;

/// The transform with which a convolution takes least time, unless the direct sum does.
pub fn best(size: [i64; 2], inputs: i64, outputs: i64) -> Option<&'static Toom> {
    let direct = (size[0] * size[1] + FILTER) * (TAPS * TAPS) as i64 * inputs * outputs;
    let time = |toom: &Toom| {
        let points = (toom.inputs() * toom.inputs()) as i64;
        let tiles: i64 = size.iter().map(|n| (n + toom.outputs as i64 - 1) / toom.outputs as i64).product();
        points * ((tiles + FILTER) * inputs * outputs + HANDED * tiles * (inputs + outputs))
    };
    if inputs.min(outputs) < CHANNELS {
        return None;
    }
    let best = [&F2, &F4].into_iter().min_by_key(|toom| time(toom))?;
    (time(best) * 10 < direct * 9).then_some(best)
}
