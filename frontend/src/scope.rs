//! What names mean at one place of the model: in the main graph, a body, or a function that is being inlined.

use crate::model::{FunctionKey, Opsets};
use mlc_ir::graph::Value;
use mlc_ir::{Error, Result};
use onnx_protobuf::{AttributeProto, ValueInfoProto};
use std::collections::HashMap;
use std::rc::Rc;

/// How deep bodies and calls of functions may nest.
const MAX_DEPTH: usize = 64;

/// What a name stands for.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Slot {
    /// A value of the graph.
    Value(Value),
    /// An input of a function that the call leaves out.
    Absent,
    /// A value that could not be computed; only while gaps are collected.
    Unknown,
}

/// See the module's documentation.
#[derive(Clone, Default)]
pub struct Scope<'a> {
    /// Values by name.
    pub values: HashMap<&'a str, Slot>,
    /// Types the model states for values, by name.
    pub declared: HashMap<&'a str, &'a ValueInfoProto>,
    /// Attributes of the function being inlined.
    pub attributes: HashMap<&'a str, &'a AttributeProto>,
    /// Versions of operator sets.
    pub opsets: Rc<Opsets>,
    /// What names of nodes begin with.
    pub prefix: String,
    /// The functions being inlined, outermost first.
    pub calls: Vec<FunctionKey<'a>>,
    depth: usize,
}

impl<'a> Scope<'a> {
    /// Of a main graph.
    pub fn main(opsets: &Opsets) -> Scope<'a> {
        Scope { opsets: Rc::new(opsets.clone()), ..Scope::default() }
    }

    /// Of a body in this one; captured values are added by the caller.
    pub fn body(&self) -> Result<Scope<'a>> {
        let inner = Scope {
            attributes: self.attributes.clone(),
            opsets: self.opsets.clone(),
            prefix: self.prefix.clone(),
            calls: self.calls.clone(),
            depth: self.depth,
            ..Scope::default()
        };
        inner.deeper()
    }

    /// The scope of a function called from this one.
    ///
    /// # Errors
    /// If the function is being inlined already.
    pub fn call(&self, key: FunctionKey<'a>, name: &str, opsets: Opsets) -> Result<Scope<'a>> {
        if self.calls.contains(&key) {
            return Err(Error::invalid(format!("function `{}` calls itself", key.1)));
        }
        let mut calls = self.calls.clone();
        calls.push(key);
        let prefix = format!("{name}/");
        Scope { opsets: Rc::new(opsets), prefix, calls, depth: self.depth, ..Scope::default() }.deeper()
    }

    fn deeper(mut self) -> Result<Scope<'a>> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Error::unsupported(format!("bodies and functions nest deeper than {MAX_DEPTH}")));
        }
        Ok(self)
    }
}
