use crate::common::{Model, int, ints};
use mlc_ir::graph::Value;
use mlc_ir::onnx::Attribute;
use mlc_ir::program::Step;
use mlc_ir::{DType, Tensor};
use mlc_passes::fuse::Rule;

#[test]
fn softmax_is_one_kernel() {
    let mut m = Model::new();
    let x = m.input(&[2, 3, 5]);
    let y = m.op("Softmax", &[x]);
    assert_eq!(m.check(&[y]).kernels, 1);
}

#[test]
fn softmax_of_a_scaled_and_masked_input_is_one_kernel() {
    let mut m = Model::new();
    let (x, mask) = (m.input(&[2, 4, 5, 5]), m.input(&[2, 1, 1, 5]));
    let eight = m.scalar(8.0);
    let scaled = m.op("Div", &[x, eight]);
    let masked = m.op("Add", &[scaled, mask]);
    let y = m.op("Softmax", &[masked]);
    assert_eq!(m.check(&[y]).kernels, 1);
}

#[test]
fn softmax_spelled_out_is_one_kernel() {
    let mut m = Model::new();
    let x = m.input(&[0, 7]);
    let axes = m.dims(&[-1]);
    let max = m.op("ReduceMax", &[x, axes]);
    let shifted = m.op("Sub", &[x, max]);
    let e = m.op("Exp", &[shifted]);
    let sum = m.op("ReduceSum", &[e, axes]);
    let y = m.op("Div", &[e, sum]);
    assert_eq!(m.check(&[y]).kernels, 1);
}

#[test]
fn layer_normalization_is_one_kernel() {
    let mut m = Model::new();
    let x = m.input(&[0, 4, 6]);
    let (scale, bias) = (m.weight(&[6]), m.weight(&[6]));
    let y = m.op("LayerNormalization", &[x, scale, bias]);
    assert_eq!(m.check(&[y]).kernels, 1);
}

#[test]
fn layer_normalization_spelled_out_is_one_kernel() {
    let mut m = Model::new();
    let x = m.input(&[0, 4, 6]);
    let (scale, bias) = (m.weight(&[6]), m.weight(&[6]));
    let (axes, two, epsilon) = (m.dims(&[-1]), m.scalar(2.0), m.scalar(1e-5));
    let mean = m.op("ReduceMean", &[x, axes]);
    let d = m.op("Sub", &[x, mean]);
    let square = m.op("Pow", &[d, two]);
    let variance = m.op("ReduceMean", &[square, axes]);
    let shifted = m.op("Add", &[variance, epsilon]);
    let deviation = m.op("Sqrt", &[shifted]);
    let normal = m.op("Div", &[d, deviation]);
    let scaled = m.op("Mul", &[normal, scale]);
    let y = m.op("Add", &[scaled, bias]);
    assert_eq!(m.check(&[y]).kernels, 1);
}

#[test]
fn rms_normalization_is_one_kernel() {
    let mut m = Model::new();
    let (x, scale) = (m.input(&[0, 4, 6]), m.weight(&[6]));
    let y = m.op("RMSNormalization", &[x, scale]);
    assert_eq!(m.check(&[y]).kernels, 1);
}

fn gelu(m: &mut Model, x: mlc_ir::graph::Value) -> mlc_ir::graph::Value {
    let (root, one, half) = (m.scalar(std::f32::consts::SQRT_2), m.scalar(1.0), m.scalar(0.5));
    let scaled = m.op("Div", &[x, root]);
    let erf = m.op("Erf", &[scaled]);
    let shifted = m.op("Add", &[erf, one]);
    let product = m.op("Mul", &[x, shifted]);
    m.op("Mul", &[product, half])
}

#[test]
fn matmul_bias_gelu_is_one_kernel() {
    let mut m = Model::new();
    let (x, w, b) = (m.input(&[0, 4, 6]), m.weight(&[6, 8]), m.weight(&[8]));
    let y = m.op("MatMul", &[x, w]);
    let y = m.op("Add", &[b, y]);
    let y = gelu(&mut m, y);
    assert_eq!(m.check(&[y]).kernels, 1);
}

#[test]
fn a_chain_of_pointwise_operators_is_one_kernel() {
    let mut m = Model::new();
    let x = m.input(&[0, 4, 6]);
    let mut y = x;
    for _ in 0..8 {
        let s = m.op("Sigmoid", &[y]);
        y = m.op("Mul", &[y, s]);
    }
    let result = m.check(&[y]);
    assert_eq!(result.kernels, 1);
}

#[test]
fn conv_batch_norm_relu_and_the_residual_are_one_kernel() {
    let mut m = Model::new();
    let (x, w) = (m.input(&[1, 3, 6, 6]), m.weight(&[4, 3, 1, 1]));
    let residual = m.input(&[1, 4, 6, 6]);
    let y = m.op("Conv", &[x, w]);
    let (s, b, mean) = (m.weight(&[4]), m.weight(&[4]), m.weight(&[4]));
    let var = m.constant(Tensor::from_f32s(vec![4], &[0.5, 1.0, 2.0, 0.1]).unwrap());
    let y = m.op("BatchNormalization", &[y, s, b, mean, var]);
    let y = m.op("Relu", &[y]);
    let y = m.op("Add", &[y, residual]);
    // The factor of each channel is computed while building.
    assert_eq!(m.check(&[y]).kernels, 1);
}

/// Weights of a size in `I8`, with a scale for each column, as an exporter writes them out.
fn quantized(m: &mut Model, rows: usize, columns: usize) -> Value {
    let bytes: Vec<u8> = (0..rows * columns).map(|i| (i * 37 % 251) as u8).collect();
    let q = m.constant(Tensor::new(DType::I8, vec![rows, columns], bytes).unwrap());
    let scale = m.weight(&[1, columns]);
    let w = m.op_with("Cast", &[("to", int(1))], &[q]);
    m.op("Mul", &[w, scale])
}

#[test]
fn quantized_weights_are_converted_where_they_are_read() {
    let mut m = Model::new();
    let (x, b) = (m.input(&[2, 0, 8]), m.weight(&[24]));
    let w = quantized(&mut m, 8, 24);
    let y = m.op("MatMul", &[x, w]);
    let y = m.op("Add", &[y, b]);
    let fused = m.check(&[y]);
    let Some(Step::Kernel(kernel)) = fused.program.body.first().filter(|_| fused.kernels == 1) else {
        panic!("{}", fused.text)
    };
    // The scale, which all products of a column share, stands behind their sum.
    let text = kernel.stages[0].value.to_string();
    assert!(text.contains("f32(@") && text.matches('*').count() == 1, "{text}");
    assert!(kernel.stages[1].value.to_string().contains("%0 *"), "{}", kernel.stages[1].value);
}

#[test]
fn quantized_weights_that_are_read_for_many_rows_are_converted_once() {
    let mut m = Model::new();
    let x = m.input(&[300, 8]);
    let w = quantized(&mut m, 8, 24);
    let y = m.op("MatMul", &[x, w]);
    let fused = m.check(&[y]);
    assert_eq!(fused.kernels, 1);
    assert!(!fused.text.contains("Cast"), "{}", fused.text);
    assert!(fused.report.fused.iter().any(|it| it.rule == Rule::Constant), "{:?}", fused.report.fused);
}

#[test]
fn padded_convolutions_read_a_buffer_with_a_border() {
    let mut m = Model::new();
    let (x, w) = (m.input(&[1, 3, 6, 5]), m.weight(&[4, 3, 3, 3]));
    let y = m.op_with("Conv", &[("pads", ints(&[1, 1, 1, 1])), ("strides", ints(&[2, 1]))], &[x, w]);
    let y = m.op("Relu", &[y]);
    let result = m.check(&[y]);
    assert_eq!(result.kernels, 2);
    assert!(result.program.buffers.iter().any(|b| b.name.ends_with(".padded")), "{:?}", result.text);
}

#[test]
fn padded_pools_read_a_buffer_with_a_border() {
    let mut m = Model::new();
    let x = m.input(&[0, 3, 7, 5]);
    let pads = [("kernel_shape", ints(&[3, 3])), ("pads", ints(&[1, 1, 1, 1])), ("strides", ints(&[2, 2]))];
    let a = m.op_with("MaxPool", &pads, &[x]);
    let b = m.op_with("AveragePool", &pads, &[x]);
    let y = m.op("Add", &[a, b]);
    // The two pools share a nest, after a copy with a border each.
    assert_eq!(m.check(&[y]).kernels, 3);
}

#[test]
fn pads_are_inlined_into_maps_and_kept_before_windows() {
    let mut m = Model::new();
    let (x, w, z) = (m.input(&[1, 2, 5, 5]), m.weight(&[2, 2, 3, 3]), m.input(&[1, 2, 7, 7]));
    let pads = m.dims(&[0, 0, 1, 1, 0, 0, 1, 1]);
    let p = m.op("Pad", &[x, pads]);
    let a = m.op("Conv", &[p, w]);
    let b = m.op("Add", &[p, z]);
    m.check(&[a, b]);
}

/// Heads: reshape to `[B, S, H, D]`, then transpose.
fn heads(m: &mut Model, x: mlc_ir::graph::Value, perm: &[i64]) -> mlc_ir::graph::Value {
    let shape = m.dims(&[0, 0, 2, 4]);
    let x = m.op("Reshape", &[x, shape]);
    m.op_with("Transpose", &[("perm", ints(perm))], &[x])
}

/// Three projections in one, the keys turned, an attention, and a projection.
#[test]
fn attention_is_one_kernel_between_its_projections() {
    for batch in [0, 1, 2] {
        let mut m = Model::new();
        let (x, mask) = (m.input(&[batch, 5, 8]), m.input(&[batch, 1, 1, 5]));
        let project = |m: &mut Model, x| {
            let (w, b) = (m.weight(&[8, 8]), m.weight(&[8]));
            let y = m.op("MatMul", &[x, w]);
            m.op("Add", &[y, b])
        };
        let (q, k, v) = (project(&mut m, x), project(&mut m, x), project(&mut m, x));
        let (q, k, v) =
            (heads(&mut m, q, &[0, 2, 1, 3]), heads(&mut m, k, &[0, 2, 3, 1]), heads(&mut m, v, &[0, 2, 1, 3]));
        let scores = m.op("MatMul", &[q, k]);
        let scale = m.scalar(2.0);
        let scores = m.op("Div", &[scores, scale]);
        let scores = m.op("Add", &[scores, mask]);
        let weights = m.op("Softmax", &[scores]);
        let context = m.op("MatMul", &[weights, v]);
        let context = m.op_with("Transpose", &[("perm", ints(&[0, 2, 1, 3]))], &[context]);
        let shape = m.dims(&[0, 0, 8]);
        let context = m.op("Reshape", &[context, shape]);
        let y = project(&mut m, context);
        let result = m.check(&[y]);
        assert_eq!(result.kernels, 4, "{:#?}", result.report);
    }
}

/// Logits of a layer, and their softmax.
#[test]
fn a_contraction_with_weights_stays_apart_from_what_folds_its_rows() {
    let mut m = Model::new();
    let (x, w) = (m.input(&[0, 8]), m.weight(&[8, 40]));
    let logits = m.op("MatMul", &[x, w]);
    let y = m.op("Softmax", &[logits]);
    assert_eq!(m.check(&[y]).kernels, 2);
}

/// Rows of products that are read in another order than they come.
#[test]
fn columns_of_a_contraction_are_no_rows() {
    let mut m = Model::new();
    let (a, b) = (m.input(&[0, 8]), m.input(&[8, 0]));
    let product = m.op("MatMul", &[a, b]);
    let y = m.op_with("Softmax", &[("axis", int(0))], &[product]);
    m.check(&[y]);
}

#[test]
fn operands_that_do_not_stay_near_are_read_a_panel_at_a_time() {
    for (depth, kernels) in [(8, 1), (300, 2)] {
        let mut m = Model::new();
        let (a, b) = (m.input(&[20, depth]), m.input(&[depth, 400]));
        let product = m.op("MatMul", &[a, b]);
        let y = m.op("Softmax", &[product]);
        assert_eq!(m.check(&[y]).kernels, kernels);
    }
}

/// An error function between a sum and a normalization is computed once for each element.
#[test]
fn dear_parts_of_several_stages_are_one_stage() {
    let mut m = Model::new();
    let x = m.input(&[0, 24]);
    let y = m.op("Softmax", &[x]);
    let fused = m.check(&[y]);
    assert_eq!(fused.program.to_string().matches("exp(").count(), 1);
}

#[test]
fn concatenated_producers_write_into_the_result() {
    let mut m = Model::new();
    let (x, z) = (m.input(&[2, 3, 4]), m.input(&[2, 2, 4]));
    let w = m.weight(&[4, 4]);
    let a = m.op("MatMul", &[x, w]);
    let b = m.op("Exp", &[z]);
    let y = m.op_with("Concat", &[("axis", int(1))], &[a, b]);
    assert_eq!(m.check(&[y]).kernels, 2);
}

#[test]
fn a_nearest_resize_vanishes_into_a_sum() {
    let mut m = Model::new();
    let (x, z) = (m.input(&[1, 2, 3, 3]), m.input(&[1, 2, 6, 6]));
    let scales = m.constant(Tensor::from_f32s(vec![4], &[1.0, 1.0, 2.0, 2.0]).unwrap());
    let empty = m.constant(Tensor::from_f32s(vec![0], &[]).unwrap());
    let modes = [
        ("mode", Attribute::String("nearest".into())),
        ("coordinate_transformation_mode", Attribute::String("asymmetric".into())),
        ("nearest_mode", Attribute::String("floor".into())),
    ];
    let y = m.op_with("Resize", &modes, &[x, empty, scales]);
    let y = m.op("Add", &[y, z]);
    assert_eq!(m.check(&[y]).kernels, 1);
}

#[test]
fn converted_ids_are_looked_up_directly() {
    let mut m = Model::new();
    let ids = Tensor::from_scalars(DType::I32, vec![2, 3], &[0, 4, 2, 1, 1, 3].map(mlc_ir::Scalar::Int)).unwrap();
    let ids = m.given(ids);
    let table = m.weight(&[5, 4]);
    let wide = m.op_with("Cast", &[("to", int(7))], &[ids]);
    let y = m.op("Gather", &[table, wide]);
    assert_eq!(m.check(&[y]).kernels, 1);
}

#[test]
fn results_that_are_inputs_or_used_inside_stay_right() {
    let mut m = Model::new();
    let x = m.input(&[2, 3]);
    let a = m.op("Relu", &[x]);
    let b = m.op("Exp", &[a]);
    let result = m.check(&[x, a, b, a]);
    assert_eq!(result.program.outputs.len(), 4);
}

#[test]
fn a_kernel_knows_its_nodes() {
    let mut m = Model::new();
    let (x, w, b) = (m.input(&[0, 6]), m.weight(&[6, 8]), m.weight(&[8]));
    let product = m.op("MatMul", &[x, w]);
    let sum = m.op("Add", &[product, b]);
    let y = m.op("Relu", &[sum]);
    let fused = m.check(&[y]);
    assert_eq!(fused.kernels, 1);
    let mut names = Vec::new();
    mlc_ir::program::Step::visit_kernels(&fused.program.body, &mut |kernel| names.push(kernel.name.to_string()));
    let nodes = fused.report.nodes(&names).remove(0);
    let has = |op: &str| nodes.iter().any(|node| node.starts_with(op));
    assert!(["matmul", "add", "relu"].into_iter().all(has), "{nodes:?}");
    assert!(nodes[0].starts_with("matmul"), "{nodes:?}");
}
