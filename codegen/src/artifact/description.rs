//! What is known about a compiled model apart from its code: the facts for descriptor, header and manifest.

use mlc_abi::{code, descriptor::is_identifier};
use mlc_ir::DType;

use super::Error;
use crate::work::Work;

/// A symbolic dimension and its inclusive range.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Symbol {
    /// The name in the model.
    pub name: String,
    /// Smallest value.
    pub low: i64,
    /// Largest value.
    pub high: i64,
}

/// One dimension at the interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Dim {
    /// Always this.
    Fixed(i64),
    /// The symbol with this number in [`Description::symbols`].
    Symbol(u32),
    /// A formula over symbols.
    Expression(String),
    /// Depends on data; the formula is an upper bound.
    AtMost(String),
}

/// An input or output.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tensor {
    /// The name in the model; any text.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Dimensions.
    pub dims: Vec<Dim>,
    /// For an output that carries state to the next call: the input whose memory it is.
    pub state: Option<u32>,
}

/// Where the weights are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Placement {
    /// In the artifact, as `NAME_weights`, which the object refers to as an import.
    Embedded,
    /// In the file `NAME.weights`.
    Sidecar,
}

impl Placement {
    /// Weights larger than this go to the sidecar unless something else is asked for.
    pub const THRESHOLD: u64 = 16 << 20;

    /// The usual place for weights of this size.
    pub fn usual(bytes: u64) -> Placement {
        if bytes > Placement::THRESHOLD { Placement::Sidecar } else { Placement::Embedded }
    }
}

/// The memory a run needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Arena {
    /// Its size for one worker, if it does not depend on the inputs.
    pub bytes: Option<u64>,
    /// Its size as a formula of symbols and `workers`, for people.
    pub text: String,
    /// The part of it that each worker has for itself, if that does not depend on the inputs.
    pub scratch: Option<u64>,
    /// The same as a formula of symbols, for people.
    pub scratch_text: String,
    /// Upper bound of the stack one run uses.
    pub stack: u64,
}

/// The facts about a compiled model.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Description {
    /// The prefix of all symbols and the stem of all files: a C identifier.
    pub name: String,
    /// Target and processor, for people.
    pub target: String,
    /// Required processor features; see [`mlc_abi::feature`].
    pub features: u64,
    /// Symbolic dimensions.
    pub symbols: Vec<Symbol>,
    /// Inputs in the order of the call.
    pub inputs: Vec<Tensor>,
    /// Outputs in the order of the call.
    pub outputs: Vec<Tensor>,
    /// Kernel names, by the index that profiling reports.
    pub kernels: Vec<String>,
    /// What each kernel does, in the same order; for the manifest alone.
    pub work: Vec<Work>,
    /// Memory.
    pub arena: Arena,
    /// Size of the packed weights, without slack.
    pub weights_bytes: u64,
    /// Where they are.
    pub placement: Placement,
}

/// What one check of an input looks at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Subject {
    /// The element type.
    Dtype,
    /// The number of dimensions.
    Rank,
    /// The dimension with this number.
    Dim(usize),
    /// The capacity of `data`.
    Bytes,
}

/// One check of one input, with the code that `NAME_plan` and `NAME_run` return when it fails.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Check {
    /// The code.
    pub code: i32,
    /// The input's number.
    pub input: usize,
    /// What is looked at.
    pub subject: Subject,
    /// The message, which names the input and says what was expected.
    pub text: String,
}

impl Description {
    /// Every check of every input: the one numbering that code generator, header and `NAME_message` share.
    pub fn checks(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        for (input, tensor) in self.inputs.iter().enumerate() {
            let mut add = |subject, expected: String| {
                let code = code::FIRST_CHECK + checks.len() as i32;
                let text = format!("input `{}`: {expected}", tensor.name);
                checks.push(Check { code, input, subject, text });
            };
            add(Subject::Dtype, format!("expected dtype {}", tensor.dtype));
            add(Subject::Rank, format!("expected rank {}, shape {}", tensor.dims.len(), self.shape(tensor)));
            for (place, dim) in tensor.dims.iter().enumerate() {
                add(Subject::Dim(place), format!("expected dim {place} to be {}", self.dim_text(dim)));
            }
            add(Subject::Bytes, "data is null or has fewer bytes than its shape needs".to_string());
        }
        checks
    }

    /// Every code with its text: the general ones, then those of the checks.
    pub fn messages(&self) -> Vec<(i32, String)> {
        let general = code::CODES.iter().map(|code| (code.number, code.text.to_string()));
        general.chain(self.checks().into_iter().map(|check| (check.code, check.text))).collect()
    }

    /// A shape as people read it: `[batch, 3, 224, 224]`.
    pub(super) fn shape(&self, tensor: &Tensor) -> String {
        let dims: Vec<String> = tensor.dims.iter().map(|dim| self.dim_short(dim)).collect();
        format!("[{}]", dims.join(", "))
    }

    fn dim_short(&self, dim: &Dim) -> String {
        match dim {
            Dim::Fixed(n) => n.to_string(),
            Dim::Symbol(number) => self.symbols.get(*number as usize).map_or("?".into(), |it| it.name.clone()),
            Dim::Expression(text) => text.clone(),
            Dim::AtMost(text) => format!("<= {text}"),
        }
    }

    fn dim_text(&self, dim: &Dim) -> String {
        match dim {
            Dim::Symbol(number) => match self.symbols.get(*number as usize) {
                Some(Symbol { name, low, high: i64::MAX }) => {
                    format!("{name}, at least {low}, the same wherever {name} stands")
                }
                Some(Symbol { name, low, high }) => {
                    format!("{name}, in {low}..={high}, the same wherever {name} stands")
                }
                None => "?".into(),
            },
            other => self.dim_short(other),
        }
    }

    /// Rejects what cannot be written.
    pub(super) fn check(&self, weights: u64) -> Result<(), Error> {
        let wrong = |reason: String| Err(Error::Description(reason));
        if !is_identifier(&self.name) {
            return Err(Error::Name(self.name.clone()));
        }
        if self.weights_bytes != weights {
            return wrong(format!("it says {} bytes of weights, the packer says {weights}", self.weights_bytes));
        }
        for tensor in self.inputs.iter().chain(&self.outputs) {
            let known = |number: u32| (number as usize) < self.symbols.len();
            if tensor.dims.iter().any(|dim| matches!(dim, Dim::Symbol(number) if !known(*number))) {
                return wrong(format!("tensor `{}` has a dim with an unknown symbol", tensor.name));
            }
            if tensor.state.is_some_and(|input| input as usize >= self.inputs.len()) {
                return wrong(format!("tensor `{}` carries the state of an unknown input", tensor.name));
            }
        }
        Ok(())
    }
}
