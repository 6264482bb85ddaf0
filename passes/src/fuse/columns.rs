//! R7: products of one activation with several weights become one that has the columns of all: queries, keys and values,
//! or convolutions of single places that branch from one picture.
//!
//! In: kernels after all other rules.  Out: one kernel for each group of such products, with their weights and biases side
//! by side, and readers that find their part at an offset.
//! Invariants: the products differ in weights and in the number of columns alone; nothing is computed otherwise, and no
//! weights are there twice. The kernel runs where the first of the group ran.

use super::cost::load_vars;
use super::report::{Report, Rule};
use super::rewrite::{loads, looks_up, rewrite, tree_size};
use super::work::{Item, Place, Work, reads};
use mlc_ir::program::{Buffer, Expr, ExprKind, Kernel, Stage, Store};
use mlc_ir::{Index, Name, Tensor};

/// Products whose expressions are larger are not compared.
const SIZE: usize = 200;
/// Stands for the buffer that is written where products are compared.
const WRITTEN: u32 = u32::MAX;

/// A buffer, and the dim of it that the columns are.
type Side = (u32, usize);

/// A product with weights that can be a part of a wider one.
struct Product {
    place: Place,
    column: Name,
    width: i64,
    /// Weights, biases and scales, in the order in which they are read.
    weights: Vec<Side>,
    output: Side,
    /// All that parts of one kernel have in common.
    text: String,
}

/// Products of one activation in one list of steps.
struct Group {
    block: usize,
    activation: String,
    members: Vec<(Name, Result<Product, &'static str>)>,
}

/// Joins products of the same activation.
pub fn merge(work: &mut Work, report: &mut Report) {
    for group in groups(work) {
        let mut alike: Vec<(Name, Vec<Product>)> = Vec::new();
        let (first, several) = (group.members[0].0.clone(), group.members.len() > 1);
        for (name, product) in group.members {
            let known = product.map(|product| (alike.iter().position(|it| it.1[0].text == product.text), product));
            match known {
                Ok((Some(place), product)) => {
                    report.fused(Rule::Columns, &name, &alike[place].0);
                    alike[place].1.push(product);
                }
                Ok((None, product)) => {
                    if !alike.is_empty() {
                        report.refused(&name, &first, "the products differ in more than weights and columns");
                    }
                    alike.push((name, vec![product]));
                }
                Err(why) if several => report.refused(&name, &first, why),
                Err(_) => {}
            }
        }
        alike.iter().filter(|it| it.1.len() > 1).for_each(|(_, products)| join(work, products));
    }
}

fn groups(work: &Work) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for place in work.places() {
        let Some(kernel) = work.kernel(place) else { continue };
        let Some((activation, column)) = with_weights(work, kernel) else { continue };
        let member = (kernel.name.clone(), product(work, place, kernel, column));
        match groups.iter_mut().find(|it| it.block == place.block && it.activation == activation) {
            Some(group) => group.members.push(member),
            None => groups.push(Group { block: place.block, activation, members: vec![member] }),
        }
    }
    groups
}

/// What a kernel that is a contraction with weights reads besides them, and the axis of its columns.
fn with_weights(work: &Work, kernel: &Kernel) -> Option<(String, Name)> {
    let mut folds = kernel.stages.iter().filter(|stage| stage.reduce.is_some());
    let (fold, None) = (folds.next()?, folds.next()) else { return None };
    let (activation, weights) = work.with_weights(fold)?;
    let rows = load_vars(&activation);
    let own = load_vars(&weights);
    let mut columns = fold.axes.iter().filter(|axis| own.contains(*axis) && !rows.contains(*axis));
    let (column, None) = (columns.next()?, columns.next()) else { return None };
    Some((format!("{activation:?}"), column.clone()))
}

/// A kernel as a part of a wider one, or why it cannot be one.
fn product(work: &Work, place: Place, kernel: &Kernel, column: Name) -> Result<Product, &'static str> {
    let width = kernel.extent(&column).and_then(Index::as_const).ok_or("the number of columns is a symbol")?;
    if !kernel.outer_axes().contains(&column) || kernel.stages.iter().map(|s| tree_size(&s.value)).sum::<usize>() > SIZE
    {
        return Err("what is computed behind the product is too much to compare");
    }
    let mut stores = kernel.stages.iter().flat_map(|stage| &stage.store);
    let (Some(store), None) = (stores.next(), stores.next()) else { return Err("several results are stored") };
    let written = &work.buffers[store.buffer as usize];
    let dim = side(&store.index, &column).filter(|dim| written.shape[*dim].is(width));
    let dim = dim.ok_or("the columns are no dim of the result")?;
    private(work, place, kernel, store)?;
    let weights = weights(work, kernel, &column)?;
    let text = text(work, kernel, &column, &weights, dim);
    Ok(Product { place, column, width, weights, output: (store.buffer, dim), text })
}

/// The dim in which an index is the column, if no other depends on it.
fn side(index: &[Index], column: &Name) -> Option<usize> {
    let mut dims = (0..index.len()).filter(|dim| index[*dim].mentions(column));
    let (dim, None) = (dims.next()?, dims.next()) else { return None };
    (index[dim].as_var() == Some(column)).then_some(dim)
}

/// Whether a result can become a part of a buffer, and be computed sooner.
fn private(work: &Work, place: Place, kernel: &Kernel, store: &Store) -> Result<(), &'static str> {
    if work.whole_writer(store.buffer) != Some(place) {
        return Err("others write to the result too");
    }
    if work.outputs.contains(&store.buffer) {
        return Err("the result is one of the model");
    }
    let readers = || work.readers(store.buffer).iter().map(|reader| work.kernel(*reader));
    if readers().any(|reader| reader.is_none_or(|reader| looks_up(reader, store.buffer))) {
        return Err("an index or control flow depends on the result");
    }
    match reads(kernel).iter().all(|read| work.writers(*read).len() <= 1) {
        true => Ok(()),
        false => Err("what it reads is written more than once"),
    }
}

/// The constants that differ from column to column.
fn weights(work: &Work, kernel: &Kernel, column: &Name) -> Result<Vec<Side>, &'static str> {
    let mut weights = Vec::new();
    for stage in &kernel.stages {
        let mut counts = false;
        stage.value.visit(&mut |node| match node.kind() {
            ExprKind::Load { .. } => {}
            _ => node.visit_indices(&mut |index| counts |= index.mentions(column)),
        });
        if counts {
            return Err("it computes with the numbers of columns");
        }
        for (buffer, index) in loads(&stage.value) {
            if !index.iter().any(|i| i.mentions(column)) {
                continue;
            }
            let read = &work.buffers[buffer as usize];
            if read.constant.is_none() {
                return Err("what is computed behind the product reads another tensor's columns");
            }
            let whole = |dim: &usize| Some(&read.shape[*dim]) == kernel.extent(column);
            let dim = side(&index, column).filter(whole).ok_or("the columns are no dim of the weights")?;
            if read.shape.len() > 1 && work.readers(buffer).len() > 1 {
                return Err("others read its weights too");
            }
            weights.push((buffer, dim));
        }
    }
    let mut all = kernel.stages.iter().flat_map(|stage| loads(&stage.value));
    let alike = |(buffer, index): (u32, Vec<Index>)| {
        weights.iter().all(|weight| weight.0 != buffer || side(&index, column) == Some(weight.1))
    };
    if all.all(alike) { Ok(weights) } else { Err("the columns are no dim of the weights") }
}

/// What two products that become one have in common, as a text: all but their weights, results and numbers of columns.
fn text(work: &Work, kernel: &Kernel, column: &Name, weights: &[Side], dim: usize) -> String {
    let named = |buffer: u32| match weights.iter().position(|side| side.0 == buffer) {
        Some(place) => WRITTEN - 1 - place as u32,
        None => buffer,
    };
    let stages: Vec<Stage> = kernel.stages.iter().map(|stage| renamed(stage, &named, &|index| index)).collect();
    let axes: Vec<_> = kernel.axes.iter().filter(|axis| axis.name != *column).collect();
    let shape = |buffer: u32, dim: usize| {
        let buffer = &work.buffers[buffer as usize];
        let others = buffer.shape.iter().enumerate().filter(|it| it.0 != dim).map(|it| it.1.clone());
        (buffer.dtype, dim, others.collect::<Vec<_>>())
    };
    let stores: Vec<_> =
        kernel.stages.iter().map(|s| s.store.as_ref().map(|store| (&store.index, shape(store.buffer, dim)))).collect();
    let shapes: Vec<_> = weights.iter().map(|(buffer, dim)| shape(*buffer, *dim)).collect();
    let stages: Vec<_> = stages.iter().map(|stage| (&stage.axes, &stage.reduce, &stage.value)).collect();
    format!("{column} {axes:?} {stages:?} {stores:?} {shapes:?}")
}

/// A stage that reads other buffers, perhaps at other places.
fn renamed(stage: &Stage, named: &dyn Fn(u32) -> u32, moved: &dyn Fn(Vec<Index>) -> Vec<Index>) -> Stage {
    let mut stage = stage.clone();
    stage.value = rewrite(&stage.value, &mut |node| match node.kind() {
        ExprKind::Load { buffer, index } if named(*buffer) != *buffer => {
            Expr::load(node.dtype(), named(*buffer), moved(index.clone()))
        }
        _ => node,
    });
    stage
}

/// The first product gets the columns of all, and runs for all.
fn join(work: &mut Work, products: &[Product]) {
    let first = &products[0];
    let Some(mut kernel) = work.kernel(first.place).cloned() else { return };
    let wide: Option<Vec<u32>> = (0..first.weights.len()).map(|n| joined_weights(work, products, n)).collect();
    let Some(wide) = wide else { return };
    let width = Index::from(products.iter().map(|product| product.width).sum::<i64>());
    let output = widened(work, first.output, &width, None);
    let named = |buffer: u32| match first.weights.iter().position(|side| side.0 == buffer) {
        Some(place) => wide[place],
        None => buffer,
    };
    for stage in &mut kernel.stages {
        *stage = renamed(stage, &named, &|index| index);
        stage.store.iter_mut().for_each(|store| store.buffer = output);
    }
    kernel.axes.iter_mut().filter(|axis| axis.name == first.column).for_each(|axis| axis.extent = width.clone());
    let mut offset = 0;
    for product in products {
        read_part(work, product.output, output, offset);
        work.set(product.place, Item::Empty);
        offset += product.width;
    }
    work.set(first.place, Item::Kernel(kernel));
}

/// A buffer like one of a product, but with the columns of all.
fn widened(work: &mut Work, (buffer, dim): Side, width: &Index, constant: Option<Tensor>) -> u32 {
    let Buffer { name, dtype, mut shape, .. } = work.buffers[buffer as usize].clone();
    shape[dim] = width.clone();
    work.add_buffer(Buffer { name, dtype, shape, constant })
}

/// The `n`-th weights of all products, side by side.
fn joined_weights(work: &mut Work, products: &[Product], n: usize) -> Option<u32> {
    let parts = products.iter().map(|product| work.buffers[product.weights[n].0 as usize].constant.as_ref());
    let dim = products[0].weights[n].1;
    let tensor = side_by_side(&parts.collect::<Option<Vec<_>>>()?, dim)?;
    let width = Index::from(tensor.shape()[dim] as i64);
    Some(widened(work, products[0].weights[n], &width, Some(tensor)))
}

/// Tensors that differ in one dim, one after the other along it.
fn side_by_side(parts: &[&Tensor], dim: usize) -> Option<Tensor> {
    let first = parts.first()?;
    let mut shape = first.shape().to_vec();
    let rows: usize = shape[..dim].iter().product();
    shape[dim] = parts.iter().map(|part| part.shape()[dim]).sum();
    let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.bytes().len()).sum());
    for row in 0..rows {
        for part in parts {
            let size = part.bytes().len() / rows;
            bytes.extend_from_slice(&part.bytes()[row * size..][..size]);
        }
    }
    Tensor::new(first.dtype(), shape, bytes).ok()
}

/// Everyone who reads a part reads it from the whole.
fn read_part(work: &mut Work, (part, dim): Side, whole: u32, offset: i64) {
    let named = |buffer: u32| if buffer == part { whole } else { buffer };
    let moved = |mut index: Vec<Index>| {
        index[dim] = index[dim].clone() + offset;
        index
    };
    for reader in work.readers(part).clone() {
        let Some(mut kernel) = work.kernel(reader).cloned() else { continue };
        kernel.stages.iter_mut().for_each(|stage| *stage = renamed(stage, &named, &moved));
        work.set(reader, Item::Kernel(kernel));
    }
}
