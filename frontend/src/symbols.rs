//! Types of values as the model states them, and the names of its symbolic dims.
//!
//! In: `ValueInfoProto`.  Out: element types and shapes over symbols, whose ranges go into the graph's facts.
//! Invariants: dims of one name are one symbol; a dim without a name gets one nobody else has; a name that first occurs
//! in a body is the body's own.

use crate::options::{DimRange, Options};
use crate::store::{self, MAX_RANK};
use mlc_ir::{DType, Error, Facts, Index, Result};
use onnx_protobuf::tensor_shape_proto::Dimension;
use onnx_protobuf::tensor_shape_proto::dimension::Value as Dim;
use onnx_protobuf::type_proto::Value as Type;
use onnx_protobuf::{GraphProto, ValueInfoProto};
use std::collections::{BTreeSet, HashMap, HashSet};

/// What the model says of a value.
pub struct Declared<'a> {
    pub dtype: DType,
    /// `None` if even their number is open.
    pub dims: Option<&'a [Dimension]>,
}

/// Reads the type of a value, if it has one.
///
/// # Errors
/// If it is no tensor, or of an element type or rank that is not supported.
pub fn declared(info: &ValueInfoProto) -> Result<Option<Declared<'_>>> {
    let name = &info.name;
    let tensor = match info.type_.as_ref().and_then(|t| t.value.as_ref()) {
        None => return Ok(None),
        Some(Type::TensorType(tensor)) => tensor,
        Some(Type::SequenceType(_)) => return Err(no_tensor(name, "a sequence")),
        Some(Type::MapType(_)) => return Err(no_tensor(name, "a map")),
        Some(Type::OptionalType(_)) => return Err(no_tensor(name, "an optional")),
        Some(Type::SparseTensorType(_)) => return Err(no_tensor(name, "a sparse tensor")),
        Some(_) => return Err(no_tensor(name, "of an unknown kind")),
    };
    if tensor.elem_type == 0 {
        return Ok(None);
    }
    let dtype = store::dtype(tensor.elem_type, &format!("value `{name}`"))?;
    let dims = tensor.shape.as_ref().map(|shape| shape.dim.as_slice());
    if dims.is_some_and(|dims| dims.len() > MAX_RANK) {
        return Err(Error::unsupported(format!("value `{name}` has more than {MAX_RANK} dims")));
    }
    Ok(Some(Declared { dtype, dims }))
}

fn no_tensor(name: &str, what: &str) -> Error {
    Error::unsupported(format!("value `{name}` is {what}; only dense tensors are supported"))
}

/// The name of a symbolic dim, if it has one.
fn param(dim: &Dimension) -> Option<&str> {
    match &dim.value {
        Some(Dim::DimParam(name)) if !name.is_empty() => Some(name),
        _ => None,
    }
}

/// The extent of a dim that is a number; exporters write negative ones for "unknown".
fn number(dim: &Dimension) -> Option<i64> {
    match dim.value {
        Some(Dim::DimValue(n)) if n >= 0 => Some(n),
        _ => None,
    }
}

/// Names of symbols, and what is known of them.
pub struct Symbols {
    ranges: HashMap<String, DimRange>,
    /// Those that inputs of the main graph name.
    main: HashSet<String>,
    /// Names in the bodies around the current place, and the symbols they are.
    local: HashMap<String, String>,
    used: BTreeSet<String>,
}

impl Symbols {
    /// For a graph; options fix and bound.
    ///
    /// # Errors
    /// If a range is empty, or constants given for inputs contradict it or one another.
    pub fn new(graph: &GraphProto, options: &Options) -> Result<Symbols> {
        let mut symbols =
            Symbols { ranges: HashMap::new(), main: HashSet::new(), local: HashMap::new(), used: BTreeSet::new() };
        for (name, range) in &options.dims {
            if !range.is_sensible() {
                return Err(Error::invalid(format!("the range given for dim `{name}` holds no extent")));
            }
            symbols.ranges.insert(name.clone(), *range);
        }
        let mut pinned = HashMap::new();
        for input in &graph.input {
            let Ok(Some(Declared { dims: Some(dims), .. })) = declared(input) else { continue };
            symbols.main.extend(dims.iter().filter_map(param).map(str::to_string));
            let shape = options.values.get(&input.name).map(|tensor| tensor.shape());
            for (dim, extent) in dims.iter().zip(shape.unwrap_or_default()) {
                let Some(name) = param(dim) else { continue };
                let extent = *extent as i64;
                let before = pinned.insert(name.to_string(), extent);
                let range = symbols.ranges.get(name).copied().unwrap_or(DimRange::ANY);
                if before.is_some_and(|before| before != extent) || !range.contains(extent) {
                    let message =
                        format!("dim `{name}` is {extent} in the value given for `{}`, but not elsewhere", input.name);
                    return Err(Error::invalid(message));
                }
            }
        }
        symbols.ranges.extend(pinned.into_iter().map(|(name, n)| (name, DimRange::fixed(n))));
        Ok(symbols)
    }

    /// The shape of a value; adds its symbols to `facts`.
    pub fn shape(&mut self, facts: &mut Facts, value: &str, dims: &[Dimension]) -> Result<Vec<Index>> {
        let dims = dims.iter().enumerate();
        let shape: Vec<Index> = dims.map(|(place, dim)| self.dim(facts, value, place, Some(dim))).collect();
        let size = shape.iter().filter_map(Index::as_const).filter(|n| *n > 0);
        if size.into_iter().try_fold(8i64, |size, n| size.checked_mul(n)).is_none_or(|size| size >= 1 << 50) {
            let shape = mlc_ir::compute::shape_text(&shape);
            return Err(Error::invalid(format!("value `{value}` has the shape {shape}, larger than any memory")));
        }
        Ok(shape)
    }

    /// One dim of a value; `None` is one of which nothing is said.
    pub fn dim(&mut self, facts: &mut Facts, value: &str, place: usize, dim: Option<&Dimension>) -> Index {
        if let Some(n) = dim.and_then(number) {
            return Index::from(n);
        }
        let name = match dim.and_then(param) {
            Some(name) if self.main.contains(name) => name.to_string(),
            Some(name) => {
                let symbol = self.local.get(name).cloned().unwrap_or_else(|| self.fresh(name));
                self.local.insert(name.to_string(), symbol.clone());
                symbol
            }
            None => self.fresh(&format!("{value}.{place}")),
        };
        self.used.insert(name.clone());
        let range = self.ranges.get(&name).copied().unwrap_or(DimRange::ANY);
        if let Some(n) = range.as_fixed() {
            return Index::from(n);
        }
        facts.symbol(name.as_str(), range.low, range.high);
        Index::sym(name)
    }

    fn fresh(&self, stem: &str) -> String {
        let taken = |name: &String| self.main.contains(name) || self.used.contains(name);
        let mut names = std::iter::once(stem.to_string()).chain((2..).map(|n| format!("{stem}_{n}")));
        names.find(|name| !taken(name)).expect("there are more names than values")
    }

    /// Enters a body: names it introduces end with it. Returns what [`Symbols::leave`] needs.
    pub fn enter(&mut self) -> HashMap<String, String> {
        self.local.clone()
    }

    /// Leaves a body.
    pub fn leave(&mut self, outer: HashMap<String, String>) {
        self.local = outer;
    }

    /// Complains of ranges given for dims the model does not have.
    pub fn check_all_used(&self) -> Result<()> {
        let mut strange: Vec<_> = self.ranges.keys().filter(|name| !self.used.contains(*name)).collect();
        strange.sort();
        let Some(name) = strange.first() else { return Ok(()) };
        if self.main.contains(*name) {
            return Ok(());
        }
        let known: Vec<&str> = self.used.iter().map(String::as_str).collect();
        let known = if known.is_empty() { "it has none".into() } else { format!("it has {}", known.join(", ")) };
        Err(Error::invalid(format!("the model has no symbolic dim `{name}`; {known}")))
    }
}
