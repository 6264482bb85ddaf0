//! Builds the graph of a model: inputs, constants, nodes, results.
//!
//! In: a [`Model`].  Out: a [`Graph`]; or, collecting, every gap.
//! Invariants: names of nodes are unique over the graph and all its bodies; nothing that no result needs is built.

use crate::gaps::{Gap, Gaps};
use crate::model::{FunctionKey, Model};
use crate::options::Options;
use crate::scope::{Scope, Slot};
use crate::symbols::{self, Symbols};
use mlc_ir::graph::Value;
use mlc_ir::{Error, Graph, Result, Tensor};
use onnx_protobuf::{FunctionProto, GraphProto, ValueInfoProto};
use std::collections::{HashMap, HashSet};

/// How many nodes a model may have once its functions are inlined, so that a small file cannot become a huge graph.
const MAX_NODES: usize = 1 << 18;

/// See the module's documentation.
pub struct Importer<'a> {
    pub model: &'a Model,
    pub options: &'a Options,
    pub functions: HashMap<FunctionKey<'a>, &'a FunctionProto>,
    /// The operators there are: domain and name.
    pub known: HashSet<(&'static str, &'static str)>,
    /// Filled before anything is built, or the run fails before.
    pub symbols: Option<Symbols>,
    /// Gaps, if they are collected.
    pub gaps: Option<Gaps>,
    names: HashMap<String, usize>,
    nodes: usize,
}

impl<'a> Importer<'a> {
    /// For a model.
    pub fn new(model: &'a Model, options: &'a Options) -> Importer<'a> {
        let (functions, known) = (model.functions(), mlc_ir::ops::names().into_iter().collect());
        Importer { model, options, functions, known, symbols: None, gaps: None, names: HashMap::new(), nodes: 0 }
    }

    /// Builds the graph.
    pub fn run(mut self) -> Result<Graph> {
        self.graph()
    }

    /// Collects gaps.
    pub fn check(mut self) -> Vec<Gap> {
        self.gaps = Some(Gaps::default());
        let result = self.graph();
        let mut gaps = self.gaps.take().unwrap_or_default();
        if let Err(error) = result {
            gaps.add(Gap::new(error, "", "", 0));
        }
        gaps.list
    }

    fn graph(&mut self) -> Result<Graph> {
        let (model, proto) = (self.model, self.model.graph());
        self.symbols = Some(Symbols::new(proto, self.options)?);
        let mut graph = Graph::new(if proto.name.is_empty() { "main" } else { &proto.name });
        let mut scope = Scope::main(&model.opsets);
        self.declare(&mut scope, proto.value_info.iter().chain(&proto.output));
        let options = self.options;
        self.initializers(&mut graph, &mut scope, proto, &options.values)?;
        self.inputs(&mut graph, &mut scope)?;
        let wanted: Vec<&str> = proto.output.iter().map(|output| output.name.as_str()).collect();
        if wanted.is_empty() {
            return Err(Error::invalid("the model has no outputs"));
        }
        self.import_nodes(&mut graph, &mut scope, &proto.node, &wanted)?;
        self.outputs(&mut graph, &scope, &proto.output)?;
        self.symbols().check_all_used()?;
        Ok(graph)
    }

    /// Names and ranges of dims.
    pub fn symbols(&mut self) -> &mut Symbols {
        self.symbols.as_mut().expect("filled before anything is built")
    }

    /// Keeps what the model says of values, for those that cannot be computed.
    pub fn declare(&self, scope: &mut Scope<'a>, infos: impl Iterator<Item = &'a ValueInfoProto>) {
        scope.declared.extend(infos.map(|info| (info.name.as_str(), info)));
    }

    /// Adds the constants of a graph; `given` replaces some.
    pub fn initializers(
        &mut self,
        graph: &mut Graph,
        scope: &mut Scope<'a>,
        proto: &'a GraphProto,
        given: &HashMap<String, Tensor>,
    ) -> Result<()> {
        let dense = proto.initializer.iter().map(|tensor| (&tensor.name, Ok(tensor)));
        let sparse = proto.sparse_initializer.iter().map(|tensor| (&tensor.values.name, Err(tensor)));
        for (name, tensor) in dense.chain(sparse) {
            let what = format!("tensor `{name}`");
            let source = &self.model.source;
            let slot = match given.get(name) {
                Some(tensor) => Ok(tensor.clone()),
                None => tensor.map_or_else(|t| source.sparse(t, &what), |t| source.tensor(t, &what)),
            };
            let slot = match slot {
                Ok(tensor) => Slot::Value(graph.add_constant(name.as_str(), tensor)),
                Err(error) => self.gap(error)?,
            };
            if name.is_empty() || scope.values.insert(name, slot).is_some() {
                return Err(Error::invalid(format!("{what} is given more than once or has no name")));
            }
        }
        Ok(())
    }

    fn inputs(&mut self, graph: &mut Graph, scope: &mut Scope<'a>) -> Result<()> {
        let proto = self.model.graph();
        let names: Vec<&str> = proto.input.iter().map(|input| input.name.as_str()).collect();
        if let Some(strange) = self.options.values.keys().find(|name| !names.contains(&name.as_str())) {
            let message = format!("the model has no input `{strange}` to give a value; it has {}", names.join(", "));
            return Err(Error::invalid(message));
        }
        let constants: HashSet<&str> = scope.values.keys().copied().collect();
        for input in &proto.input {
            let name = input.name.as_str();
            // Up to IR version 3 every initializer is listed as an input too; later it is a default value.
            if constants.contains(name) {
                continue;
            }
            let slot = match self.input(graph, input) {
                Ok(value) => Slot::Value(value),
                Err(error) => self.gap(error)?,
            };
            if name.is_empty() || scope.values.insert(name, slot).is_some() {
                return Err(Error::invalid(format!("input `{name}` is there more than once or has no name")));
            }
        }
        Ok(())
    }

    fn input(&mut self, graph: &mut Graph, input: &ValueInfoProto) -> Result<Value> {
        let name = &input.name;
        let declared = symbols::declared(input)?;
        let declared = declared.ok_or_else(|| Error::invalid(format!("input `{name}` has no type")))?;
        let dims = declared.dims.ok_or_else(|| {
            Error::unsupported(format!("input `{name}` has no declared rank: export the model with shapes"))
        })?;
        let mut shape = self.symbols().shape(&mut graph.facts, name, dims)?;
        let Some(tensor) = self.options.values.get(name) else {
            return Ok(graph.add_input(name.as_str(), declared.dtype, shape));
        };
        let mut fits = tensor.dtype() == declared.dtype && tensor.shape().len() == shape.len();
        for (dim, extent) in shape.iter_mut().zip(tensor.shape()) {
            fits &= dim.as_const().is_none_or(|n| n == *extent as i64);
            *dim = (*extent as i64).into();
        }
        if !fits {
            let message = format!("the value given for input `{name}` is {tensor:?}, which does not fit its type");
            return Err(Error::invalid(message));
        }
        graph.add_input(name.as_str(), declared.dtype, shape);
        Ok(graph.add_constant(name.as_str(), tensor.clone()))
    }

    fn outputs(&mut self, graph: &mut Graph, scope: &Scope<'a>, outputs: &[ValueInfoProto]) -> Result<()> {
        let mut seen = HashSet::new();
        for output in outputs {
            let name = output.name.as_str();
            if !seen.insert(name) {
                return Err(Error::invalid(format!("output `{name}` is listed more than once")));
            }
            let Some(Slot::Value(value)) = scope.values.get(name).copied() else { continue };
            if let Ok(Some(declared)) = symbols::declared(output) {
                let dtype = graph.fact(value).dtype;
                if declared.dtype != dtype {
                    let message = format!("output `{name}` is declared {}, but is {dtype}", declared.dtype);
                    self.gap(Error::invalid(message))?;
                }
            }
            graph.add_output(name, value);
        }
        Ok(())
    }

    /// A name for a node that no other has.
    ///
    /// # Errors
    /// If there are too many nodes.
    pub fn unique(&mut self, name: String) -> Result<String> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(Error::unsupported(format!("the model has more than {MAX_NODES} nodes, functions inlined")));
        }
        let mut unique = name.clone();
        while self.names.contains_key(&unique) {
            let count = self.names.entry(name.clone()).or_insert(1);
            *count += 1;
            unique = format!("{name}_{count}");
        }
        self.names.insert(unique.clone(), 1);
        Ok(unique)
    }

    /// Collects an error, or fails with it.
    pub fn gap(&mut self, error: Error) -> Result<Slot> {
        self.gap_at(error, "", "", 0)
    }

    /// Collects an error of an operator, or fails with it.
    pub fn gap_at(&mut self, error: Error, op: &str, domain: &str, opset: i64) -> Result<Slot> {
        match &mut self.gaps {
            None => Err(error),
            Some(gaps) => {
                gaps.add(Gap::new(error, op, domain, opset));
                Ok(gaps.made_up(Slot::Unknown))
            }
        }
    }
}
