//! What the operators of control flow share: bodies built in place, and values that outlive them.

use crate::compute::{Compute, T};
use crate::graph::{Graph, Value};
use crate::program::{Step, StoreMode};
use crate::{Error, Index, Name, Result};
use std::collections::{BTreeSet, HashMap};

/// Builds a body at this place; its results.
pub(super) fn inline(c: &mut Compute, body: &Graph, inputs: &[Option<T>]) -> Result<Vec<T>> {
    if body.inputs().len() != inputs.len() {
        let (has, gets) = (body.inputs().len(), inputs.len());
        return Err(Error::invalid(format!("body `{}` has {has} inputs, but gets {gets}", body.name)));
    }
    let pairs = body.inputs().iter().zip(inputs);
    let given = pairs.filter_map(|(&node, t)| Some((Value { node, port: 0 }, t.clone()?)));
    let mut values: HashMap<Value, T> = given.collect();
    let steps = body.build_into(c.program(), &mut values)?;
    steps.into_iter().for_each(|step| c.step(step));
    let missing = |name: &str| Error::invalid(format!("output `{name}` of body `{}` has no value", body.name));
    body.outputs().iter().map(|(name, value)| values.get(value).cloned().ok_or_else(|| missing(name))).collect()
}

/// The types of a body's results, without building it here.
pub(super) fn infer(c: &mut Compute, body: &Graph, inputs: &[Option<T>]) -> Result<Vec<T>> {
    let mut scratch = c.program().clone();
    let mut inner = Compute::new(&mut scratch, body.name.as_str(), vec![]);
    inline(&mut inner, body, inputs)
}

/// A copy in another buffer, whose elements are not taken to be known.
pub(super) fn copy(c: &mut Compute, t: &T) -> T {
    let y = c.map(t.dtype, &t.shape, |i| t.raw(i.to_vec()));
    c.with_known(y, None)
}

/// Writes all elements of one tensor to another of the same shape.
pub(super) fn overwrite(c: &mut Compute, target: &T, t: &T) {
    c.store(target, &t.shape, StoreMode::Set, |i| (i.to_vec(), t.raw(i.to_vec())));
}

/// The symbols that get their values in some steps.
pub(super) fn bound(steps: &[Step], names: &mut BTreeSet<Name>) {
    for step in steps {
        match step {
            Step::Kernel(_) => {}
            Step::Bind(name, _) => drop(names.insert(name.clone())),
            Step::If { then, otherwise, .. } => {
                bound(then, names);
                bound(otherwise, names);
            }
            Step::Loop { counter, ran, body, .. } => {
                names.insert(counter.clone());
                names.extend(ran.clone());
                bound(body, names);
            }
        }
    }
}

/// Checks that a shape is the same in every iteration.
pub(super) fn invariant(shape: &[Index], changing: &BTreeSet<Name>, what: &str) -> Result<()> {
    if shape.iter().any(|dim| dim.syms().iter().any(|sym| changing.contains(sym))) {
        return Err(Error::unsupported(format!("the shape of {what} changes from one iteration to the next")));
    }
    Ok(())
}
