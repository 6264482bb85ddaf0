//! How a kernel is dealt out to tasks.
//!
//! The list depends on the kernel and the target alone, so results do not depend on the number of threads. Axes are
//! taken from the outermost inwards, so that tasks follow each other as the loops of one thread would: a panel of
//! weights stays near. An unknown extent may turn out to be 1, so it is never enough by itself.

use super::Step;
use super::cost::Judge;
use mlc_ir::target::Target;
use mlc_ir::{Index, Name};

/// Steps that deal a kernel of a cost out. `width` is the number of points in an axis's block.
pub(super) fn parallel(
    judge: &Judge,
    order: &[Name],
    width: &dyn Fn(&Name) -> f64,
    cost: f64,
    target: &Target,
) -> Vec<Step> {
    let (least, enough) = (f64::from(target.task_cost), f64::from(target.tasks));
    let mut steps = Vec::new();
    let (mut task, mut certain) = (cost, 1.0);
    for axis in order {
        let blocks = (judge.points(axis) / width(axis)).ceil();
        let known = judge.kernel.extent(axis).and_then(Index::as_const).is_some();
        if known && blocks <= 1.0 {
            continue;
        }
        // Of an unknown extent there may be enough even of what is cheap.
        if certain >= enough || known && task < 2.0 * least {
            break;
        }
        let worth = (least * blocks / task).ceil();
        let mut grain = worth.max(1.0);
        if known {
            let chunks = (blocks / grain.max((blocks * certain / enough).floor())).ceil();
            grain = (blocks / chunks).ceil();
            certain *= chunks;
        }
        task *= grain / blocks;
        steps.push(Step::Parallel(axis.clone(), grain as u32));
        if worth > 1.0 {
            break;
        }
    }
    steps
}
