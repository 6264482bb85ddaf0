//! From a graph to a program: every node states its computation, in order.

use super::{Fact, Graph, NodeKind, Value};
use crate::compute::{Compute, T};
use crate::ops::OpDef;
use crate::program::{Buffer, Program, Step};
use crate::{Error, Facts, Result, Tensor};
use std::collections::HashMap;

/// The facts of a node's outputs, from those of its inputs: its computation is built and thrown away.
///
/// # Errors
/// If the operator does not accept the inputs.
pub fn infer(
    op: &dyn OpDef,
    name: &str,
    inputs: &[Option<Fact>],
    constants: &[Option<Tensor>],
    outputs: usize,
    facts: &Facts,
) -> Result<Vec<Fact>> {
    let mut program = Program { facts: facts.clone(), ..Program::default() };
    let inputs = inputs
        .iter()
        .zip(constants)
        .map(|(fact, constant)| fact.as_ref().map(|fact| add_value(&mut program, name, fact, constant.clone())));
    let inputs = inputs.collect();
    let mut compute = Compute::new(&mut program, name, inputs);
    op.build(&mut compute)?;
    let (_, mut built) = compute.finish();
    built.truncate(outputs.max(1));
    if built.len() < outputs {
        return Err(Error::invalid(format!("it has {outputs} outputs, but its operator gives {}", built.len())));
    }
    let fact = |t: Option<T>| {
        let t = t.ok_or_else(|| Error::unsupported("one of its outputs is not computed in this form"))?;
        Ok(Fact { dtype: t.dtype, shape: t.shape, known: t.known })
    };
    built.into_iter().map(fact).collect()
}

fn add_value(program: &mut Program, name: &str, fact: &Fact, constant: Option<Tensor>) -> T {
    let Fact { dtype, shape, known } = fact.clone();
    let buffer = program.add_buffer(Buffer { name: name.into(), dtype, shape: shape.clone(), constant });
    T { buffer, dtype, shape, known }
}

impl Graph {
    /// The program that computes this graph, one kernel or more for each node.
    ///
    /// # Errors
    /// None that building the graph would not have found.
    pub fn to_program(&self) -> Result<Program> {
        let mut program = Program { name: self.name.clone(), facts: self.facts.clone(), ..Program::default() };
        let mut values = HashMap::new();
        for &node in self.inputs() {
            let (value, fact) = (Value { node, port: 0 }, &self.node(node).outputs[0]);
            let t = add_value(&mut program, &self.node(node).name, fact, None);
            program.inputs.push(t.buffer);
            values.insert(value, t);
        }
        program.body = self.build_into(&mut program, &mut values)?;
        for (name, value) in self.outputs() {
            let t = values[value].clone();
            let mut copy = Compute::new(&mut program, name.as_str(), vec![]);
            let y = copy.map(t.dtype, &t.shape, |i| t.raw(i.to_vec()));
            let (steps, _) = copy.finish();
            program.body.extend(steps);
            program.outputs.push(y.buffer);
        }
        Ok(program)
    }

    /// Builds all nodes into a program, given the values of the inputs; adds the others to `values`. For whole graphs
    /// and for bodies of control flow.
    ///
    /// # Errors
    /// If an operator does not accept its inputs; names the node.
    pub fn build_into(&self, program: &mut Program, values: &mut HashMap<Value, T>) -> Result<Vec<Step>> {
        let mut steps = Vec::new();
        for id in self.order() {
            let node = self.node(id);
            match &node.kind {
                NodeKind::Input => {}
                NodeKind::Constant(tensor) => {
                    let t = add_value(program, &node.name, &node.outputs[0], Some(tensor.clone()));
                    values.insert(Value { node: id, port: 0 }, t);
                }
                NodeKind::Op(_, op) => {
                    let inputs = self.inputs_of(id).into_iter().map(|v| v.map(|v| values[&v].clone())).collect();
                    let mut compute = Compute::new(program, node.name.as_str(), inputs);
                    op.build(&mut compute).map_err(|e| e.at(&node.name))?;
                    let (built, outputs) = compute.finish();
                    steps.extend(built);
                    for (port, t) in outputs.into_iter().enumerate() {
                        if let Some(t) = t {
                            values.insert(Value { node: id, port: port as u32 }, t);
                        }
                    }
                }
            }
        }
        Ok(steps)
    }
}
