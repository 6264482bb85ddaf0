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
mod arg_max;
mod arithmetic;
mod attend;
mod attention;
mod batch_normalization;
mod bias_gelu;
mod bit_cast;
mod body;
mod cast;
mod causal_conv;
mod center_crop_pad;
mod clip;
mod col2im;
mod compact;
mod concat;
mod constant;
mod constant_of_shape;
mod contrib_attention;
mod conv;
mod conv_transpose;
mod cumulative;
mod deform_conv;
mod depth_to_space;
mod det;
mod dft;
mod dropout;
mod einsum;
mod elementwise;
mod expand;
mod eye_like;
mod features;
mod flatten;
mod flex_attention;
mod forest;
mod fused;
mod fused_matmul;
mod gather;
mod gather_elements;
mod gather_nd;
mod gemm;
mod grid_sample;
mod group_query_attention;
mod identity;
mod if_op;
mod instance_normalization;
mod layer_normalization;
mod linear_attention;
mod linear_model;
mod logic;
mod loop_op;
mod loss;
mod lp_normalization;
mod lrn;
mod matmul;
mod max_unpool;
mod mel_weight_matrix;
mod ml;
mod ml_feature;
mod multi_head_attention;
mod named_activation;
mod non_max_suppression;
mod normalize;
mod one_hot;
mod optimizer;
mod optional;
mod packed_attention;
mod pad;
mod pool;
mod qlinear;
mod qlinear_contrib;
mod quantize;
mod quantized_matmul;
mod random;
mod range;
mod recurrent;
mod recurrent_cell;
mod recurrent_quantized;
mod reduce;
mod resample;
mod reshape;
mod resize;
mod reverse_sequence;
mod roi_align;
mod rotary;
mod scan;
mod scatter_elements;
mod scatter_nd;
mod shape;
mod size;
mod skip_normalization;
mod slice;
mod softmax;
mod sort;
mod split;
mod squeeze;
mod svm;
mod tensor_scatter;
mod tf_idf;
mod tile;
mod top_k;
mod transpose;
mod tree_ensemble;
mod trilu;
mod unique;
mod window;
mod window_function;

ops! {
    "": {
        "AffineGrid" => grid_sample::AffineGrid,
        "ArgMax" => arg_max::ArgMax,
        "ArgMin" => arg_max::ArgMax,
        "Attention" => attention::Attention,
        "AveragePool" => pool::AveragePool,
        "BatchNormalization" => batch_normalization::BatchNormalization,
        "Bernoulli" => random::Bernoulli,
        "BitCast" => bit_cast::BitCast,
        "BlackmanWindow" => window_function::WindowFunction,
        "Cast" => cast::Cast,
        "CastLike" => cast::Cast,
        "CausalConvWithState" => causal_conv::CausalConvWithState,
        "CenterCropPad" => center_crop_pad::CenterCropPad,
        "Clip" => clip::Clip,
        "Col2Im" => col2im::Col2Im,
        "Compress" => compact::Compress,
        "Concat" => concat::Concat,
        "Constant" => constant::Constant,
        "ConstantOfShape" => constant_of_shape::ConstantOfShape,
        "Conv" => conv::Conv,
        "ConvInteger" => qlinear::ConvInteger,
        "ConvTranspose" => conv_transpose::ConvTranspose,
        "CumProd" => cumulative::Cumulative,
        "CumSum" => cumulative::Cumulative,
        "DFT" => dft::Dft,
        "DeformConv" => deform_conv::DeformConv,
        "DepthToSpace" => depth_to_space::DepthToSpace,
        "DequantizeLinear" => quantize::DequantizeLinear,
        "Det" => det::Det,
        "Dropout" => dropout::Dropout,
        "DynamicQuantizeLinear" => quantize::DynamicQuantizeLinear,
        "Einsum" => einsum::Einsum,
        "Expand" => expand::Expand,
        "EyeLike" => eye_like::EyeLike,
        "Flatten" => flatten::Flatten,
        "GRU" => recurrent::Recurrent,
        "Gather" => gather::Gather,
        "GatherElements" => gather_elements::GatherElements,
        "GatherND" => gather_nd::GatherNd,
        "Gemm" => gemm::Gemm,
        "GlobalAveragePool" => pool::GlobalPool,
        "GlobalLpPool" => pool::GlobalPool,
        "GlobalMaxPool" => pool::GlobalPool,
        "GridSample" => grid_sample::GridSample,
        "GroupNormalization" => instance_normalization::GroupNormalization,
        "HammingWindow" => window_function::WindowFunction,
        "HannWindow" => window_function::WindowFunction,
        "Hardmax" => softmax::Softmax,
        "Identity" => identity::Identity,
        "If" => if_op::If,
        "InstanceNormalization" => instance_normalization::InstanceNormalization,
        "LRN" => lrn::Lrn,
        "LSTM" => recurrent::Recurrent,
        "LayerNormalization" => layer_normalization::LayerNormalization,
        "LinearAttention" => linear_attention::LinearAttention,
        "LogSoftmax" => softmax::Softmax,
        "Loop" => loop_op::Loop,
        "LpNormalization" => lp_normalization::LpNormalization,
        "LpPool" => pool::LpPool,
        "MatMul" => matmul::MatMul,
        "MatMulInteger" => qlinear::MatMulInteger,
        "MaxPool" => pool::MaxPool,
        "MaxRoiPool" => roi_align::MaxRoiPool,
        "MaxUnpool" => max_unpool::MaxUnpool,
        "MeanVarianceNormalization" => lp_normalization::MeanVarianceNormalization,
        "MelWeightMatrix" => mel_weight_matrix::MelWeightMatrix,
        "Multinomial" => random::Multinomial,
        "NegativeLogLikelihoodLoss" => loss::Loss,
        "NonMaxSuppression" => non_max_suppression::NonMaxSuppression,
        "NonZero" => compact::NonZero,
        "OneHot" => one_hot::OneHot,
        "OptionalGetElement" => optional::OptionalGetElement,
        "OptionalHasElement" => optional::OptionalHasElement,
        "Pad" => pad::Pad,
        "QLinearConv" => qlinear::QLinearConv,
        "QLinearMatMul" => qlinear::QLinearMatMul,
        "QuantizeLinear" => quantize::QuantizeLinear,
        "RMSNormalization" => layer_normalization::RmsNormalization,
        "RNN" => recurrent::Recurrent,
        "RandomNormal" => random::Random,
        "RandomNormalLike" => random::Random,
        "RandomUniform" => random::Random,
        "RandomUniformLike" => random::Random,
        "Range" => range::Range,
        "ReduceL1" => reduce::Reduce,
        "ReduceL2" => reduce::Reduce,
        "ReduceLogSum" => reduce::Reduce,
        "ReduceLogSumExp" => reduce::Reduce,
        "ReduceMax" => reduce::Reduce,
        "ReduceMean" => reduce::Reduce,
        "ReduceMin" => reduce::Reduce,
        "ReduceProd" => reduce::Reduce,
        "ReduceSum" => reduce::Reduce,
        "ReduceSumSquare" => reduce::Reduce,
        "Reshape" => reshape::Reshape,
        "Resize" => resize::Resize,
        "ReverseSequence" => reverse_sequence::ReverseSequence,
        "RoiAlign" => roi_align::RoiAlign,
        "RotaryEmbedding" => rotary::RotaryEmbedding,
        "STFT" => dft::Stft,
        "Scan" => scan::Scan,
        "Scatter" => scatter_elements::ScatterElements,
        "ScatterElements" => scatter_elements::ScatterElements,
        "ScatterND" => scatter_nd::ScatterNd,
        "Shape" => shape::Shape,
        "SimplifiedLayerNormalization" => layer_normalization::RmsNormalization,
        "Size" => size::Size,
        "Slice" => slice::Slice,
        "Softmax" => softmax::Softmax,
        "SoftmaxCrossEntropyLoss" => loss::Loss,
        "SpaceToDepth" => depth_to_space::DepthToSpace,
        "Split" => split::Split,
        "Squeeze" => squeeze::Squeeze,
        "TensorScatter" => tensor_scatter::TensorScatter,
        "TfIdfVectorizer" => tf_idf::TfIdfVectorizer,
        "Tile" => tile::Tile,
        "TopK" => top_k::TopK,
        "Transpose" => transpose::Transpose,
        "Trilu" => trilu::Trilu,
        "Unique" => unique::Unique,
        "Unsqueeze" => squeeze::Unsqueeze,
        "Upsample" => resize::Resize,
    }
    "com.microsoft": {
        "Attention" => packed_attention::PackedAttention,
        "BiasAdd" => skip_normalization::BiasAdd,
        "BiasGelu" => bias_gelu::BiasGelu,
        "BiasSplitGelu" => bias_gelu::BiasGelu,
        "DequantizeLinear" => quantize::DequantizeLinear,
        "DynamicQuantizeMatMul" => quantized_matmul::QuantizedMatMul,
        "DynamicQuantizeLSTM" => recurrent::Recurrent,
        "EmbedLayerNormalization" => skip_normalization::EmbedLayerNormalization,
        "FastGelu" => bias_gelu::BiasGelu,
        "FusedConv" => fused::Fused,
        "FusedGemm" => fused::Fused,
        "FusedMatMul" => fused_matmul::FusedMatMul,
        "GatherBlockQuantized" => quantized_matmul::GatherBlockQuantized,
        "Gelu" => bias_gelu::BiasGelu,
        "GroupNorm" => skip_normalization::GroupNorm,
        "GroupQueryAttention" => group_query_attention::GroupQueryAttention,
        "MatMulBnb4" => quantized_matmul::MatMulBnb4,
        "MatMulIntegerToFloat" => quantized_matmul::QuantizedMatMul,
        "MatMulNBits" => quantized_matmul::MatMulNBits,
        "MultiHeadAttention" => multi_head_attention::MultiHeadAttention,
        "NhwcConv" => fused::Fused,
        "NhwcFusedConv" => fused::Fused,
        "NhwcMaxPool" => fused::Fused,
        "QAttention" => packed_attention::PackedAttention,
        "QEmbedLayerNormalization" => skip_normalization::QuantizedEmbedLayerNormalization,
        "QGemm" => quantized_matmul::QGemm,
        "QLinearAdd" => qlinear_contrib::QLinear,
        "QLinearAveragePool" => qlinear_contrib::QLinear,
        "QLinearConcat" => qlinear_contrib::QLinear,
        "QLinearConv" => qlinear::QLinearConv,
        "QLinearGlobalAveragePool" => qlinear_contrib::QLinear,
        "QLinearLeakyRelu" => qlinear_contrib::QLinear,
        "QLinearMul" => qlinear_contrib::QLinear,
        "QLinearReduceMean" => qlinear_contrib::QLinear,
        "QLinearSigmoid" => qlinear_contrib::QLinear,
        "QLinearSoftmax" => qlinear_contrib::QLinear,
        "QLinearWhere" => qlinear_contrib::QLinear,
        "QuantizeLinear" => quantize::QuantizeLinear,
        "QuickGelu" => bias_gelu::BiasGelu,
        "RotaryEmbedding" => rotary::RotaryEmbedding,
        "SkipGroupNorm" => skip_normalization::GroupNorm,
        "SkipLayerNormalization" => skip_normalization::SkipNormalization,
        "SkipSimplifiedLayerNormalization" => skip_normalization::SkipNormalization,
        "TransposeMatMul" => fused_matmul::FusedMatMul,
    }
    "ai.onnx.preview": {
        "FlexAttention" => flex_attention::FlexAttention,
    }
    "ai.onnx.ml": {
        "ArrayFeatureExtractor" => ml_feature::ArrayFeatureExtractor,
        "Binarizer" => ml_feature::Binarizer,
        "FeatureVectorizer" => ml_feature::FeatureVectorizer,
        "Imputer" => ml_feature::Imputer,
        "LabelEncoder" => features::LabelEncoder,
        "LinearClassifier" => linear_model::LinearModel,
        "LinearRegressor" => linear_model::LinearModel,
        "Normalizer" => ml_feature::Normalizer,
        "OneHotEncoder" => features::OneHotEncoder,
        "SVMClassifier" => svm::Svm,
        "SVMRegressor" => svm::Svm,
        "Scaler" => ml_feature::Scaler,
        "TreeEnsemble" => tree_ensemble::TreeEnsemble,
        "TreeEnsembleClassifier" => tree_ensemble::TreeEnsemble,
        "TreeEnsembleRegressor" => tree_ensemble::TreeEnsemble,
    }
    "ai.onnx.preview.training": {
        "Adagrad" => optimizer::Optimizer,
        "Adam" => optimizer::Optimizer,
        "Momentum" => optimizer::Optimizer,
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

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_of_elements;
