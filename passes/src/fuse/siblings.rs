//! R4: products of one activation with two weights become one kernel where the second reads what the first gives: the gate
//! and what passes it.
//!
//! In: two kernels of a contraction and the maps behind it, of which one reads the other's result at its own points.  Out:
//! one kernel of both, fold after fold over the same block of rows and columns, whose first result is never a buffer.
//! Invariant: rows are read from where they are near, for both panels of weights stay there from block to block
//! ([`NEAR`]).

use super::rewrite::{Substitution, loads, replace_stages};
use super::rows;
use super::simplify::substitute_stage;
use super::work::{Place, Work};
use mlc_ir::program::{Expr, ExprKind, Kernel, Stage, StoreMode};
use mlc_ir::{Index, Name};
use std::collections::BTreeMap;

/// Bytes of the two panels of weights that a task finds near when it reads them for the next rows.
const NEAR: i64 = 512 << 10;
/// Columns of a panel, about.
const COLUMNS: i64 = 64;

/// Both kernels as one, or why that cannot be; `None` if they are no such products.
pub fn siblings(work: &Work, from: Place, to: Place) -> Option<Result<Kernel, &'static str>> {
    let (producer, consumer) = (work.kernel(from)?, work.kernel(to)?);
    let (own, other) = (activation(work, producer)?, activation(work, consumer)?);
    let buffers = |of: &Expr| loads(of).into_iter().map(|load| load.0).collect::<Vec<_>>();
    let alike = buffers(&own) == buffers(&other) && from.block == to.block;
    alike.then(|| join(work, (from, producer, &own), (to, consumer, &other)))
}

/// What a kernel multiplies with weights, if it is one such contraction along one axis, and maps at its points.
fn activation(work: &Work, kernel: &Kernel) -> Option<Expr> {
    let outer = kernel.outer_axes().len();
    let (fold, maps) = kernel.stages.split_first()?;
    let plain = kernel.stages.iter().all(|stage| stage.axes.len() == outer) && maps.iter().all(|s| s.reduce.is_none());
    let one = fold.reduce.as_ref().is_some_and(|reduce| reduce.axes.len() == 1);
    work.with_weights(fold).filter(|_| plain && one).map(|(activation, _)| activation)
}

type Product<'a> = (Place, &'a Kernel, &'a Expr);

fn join(work: &Work, (from, producer, own): Product, (to, consumer, other): Product) -> Result<Kernel, &'static str> {
    let mut stores = [producer, consumer].into_iter().flat_map(|kernel| &kernel.stages).flat_map(|s| &s.store);
    if stores.any(|store| store.mode != StoreMode::Set) {
        return Err("a store is ordered");
    }
    if let Some(reason) = work.cannot_move(from, to).or_else(|| work.cannot_move_stores(from, to)) {
        return Err(reason);
    }
    let names = rows::unify(work, producer, consumer)?;
    if names.len() < consumer.axes.len() || producer.axes.len() != consumer.axes.len() {
        return Err("the products have other shapes");
    }
    if renamed(work, producer, &consumer.stages[0], other, &names) != *own {
        return Err("the products read other elements of what they share");
    }
    let depth = producer.stages[0].reduce.iter().flat_map(|reduce| &reduce.axes);
    let depth =
        depth.map(|axis| producer.extent(axis).and_then(Index::as_const).unwrap_or(i64::MAX)).max().unwrap_or(1);
    let bytes = depth.saturating_mul(2 * COLUMNS * producer.stages[0].value.dtype().bytes() as i64);
    if bytes > NEAR {
        return Err("the products' panels of weights do not stay near together");
    }
    let kernel = folds_first(rows::merge(work, producer, consumer, &names, from, to)?);
    let alone = kernel.stages.iter().filter(|stage| stage.store.is_some()).count() == 1;
    if alone && kernel.stages[1].store.is_none() { Ok(kernel) } else { Err("others read what the first product gives") }
}

/// The kernel with its folds, which read no stage, before its maps.
fn folds_first(mut kernel: Kernel) -> Kernel {
    let is_map = |n: &usize| kernel.stages[*n].reduce.is_none();
    let mut order: Vec<usize> = (0..kernel.stages.len()).collect();
    order.sort_by_key(is_map);
    let place = |old: usize| order.iter().position(|n| *n == old).unwrap_or(old);
    let moved = |n: usize, node: &Expr| Expr::new(node.dtype(), ExprKind::Stage(place(n)));
    kernel.stages.iter_mut().for_each(|stage| stage.value = replace_stages(&stage.value, &moved));
    kernel.stages = order.iter().map(|n| kernel.stages[*n].clone()).collect();
    kernel
}

/// A part of a stage of the consumer over the producer's axes.
fn renamed(work: &Work, producer: &Kernel, stage: &Stage, part: &Expr, names: &BTreeMap<Name, Name>) -> Expr {
    let axes: Substitution = names.iter().map(|(own, of)| (own.clone(), Index::var(of.clone()))).collect();
    let mut stage = Stage { value: part.clone(), store: None, ..stage.clone() };
    substitute_stage(&mut stage, &producer.facts(&work.facts), &axes);
    stage.value
}
