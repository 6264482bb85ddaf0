//! The operators: one file each (or one row of a family's table), and the one table that registers them.

use crate::compute::Compute;
use crate::onnx::OnnxNode;
use crate::{Error, Result};
use std::fmt;
use std::sync::Arc;

/// An operator with its attributes.
pub trait OpDef: fmt::Debug + Send + Sync {
    /// States the computation: reads inputs, adds kernels, sets outputs. Their shapes follow from it.
    fn build(&self, c: &mut Compute) -> Result<()>;
}

/// Reads the attributes of a node.
pub type Parse = fn(&OnnxNode) -> Result<Arc<dyn OpDef>>;

/// Registers operators: `domain: { "Name" => parse function of its file, ... }`.
macro_rules! ops {
    ($($domain:literal: { $($name:literal => $module:ident::$op:ident,)* })*) => {
        const TABLE: &[(&str, &str, Parse)] = &[
            $($(($domain, $name, |node| Ok(Arc::new($module::$op::parse(node)?))),)*)*
        ];
    };
}

mod activation;
mod arithmetic;
mod batch_normalization;
mod concat;
mod conv;
mod conv_transpose;
mod elementwise;
mod gather;
mod instance_normalization;
mod layer_normalization;
mod logic;
mod matmul;
mod normalize;
mod pool;
mod resample;
mod reshape;
mod resize;
mod softmax;
mod transpose;
mod window;

ops! {
    "": {
        "AveragePool" => pool::AveragePool,
        "BatchNormalization" => batch_normalization::BatchNormalization,
        "Concat" => concat::Concat,
        "Conv" => conv::Conv,
        "ConvTranspose" => conv_transpose::ConvTranspose,
        "Gather" => gather::Gather,
        "GlobalAveragePool" => pool::GlobalPool,
        "GlobalLpPool" => pool::GlobalPool,
        "GlobalMaxPool" => pool::GlobalPool,
        "GroupNormalization" => instance_normalization::GroupNormalization,
        "InstanceNormalization" => instance_normalization::InstanceNormalization,
        "LayerNormalization" => layer_normalization::LayerNormalization,
        "LpPool" => pool::LpPool,
        "MatMul" => matmul::MatMul,
        "MaxPool" => pool::MaxPool,
        "RMSNormalization" => layer_normalization::RmsNormalization,
        "Reshape" => reshape::Reshape,
        "Resize" => resize::Resize,
        "SimplifiedLayerNormalization" => layer_normalization::RmsNormalization,
        "Softmax" => softmax::Softmax,
        "Transpose" => transpose::Transpose,
        "Upsample" => resize::Resize,
    }
}

/// Reads the attributes of a node with the parser of its operator.
///
/// # Errors
/// If there is no such operator, or its attributes are wrong.
pub fn parse(node: &OnnxNode) -> Result<Arc<dyn OpDef>> {
    let domain = if node.domain == "ai.onnx" { "" } else { &node.domain };
    if let Some(row) = TABLE.iter().find(|row| row.0 == domain && row.1 == node.op_type) {
        return row.2(node);
    }
    if let Some(op) = elementwise::parse(domain, node)? {
        return Ok(op);
    }
    let domain = if domain.is_empty() { String::new() } else { format!("{domain}.") };
    Err(Error::unsupported(format!("operator {domain}{} is not supported", node.op_type)))
}

/// Every operator's domain and name, sorted.
pub fn names() -> Vec<(&'static str, &'static str)> {
    let mut names: Vec<_> = TABLE.iter().map(|row| (row.0, row.1)).chain(elementwise::names()).collect();
    names.sort_unstable();
    names
}
