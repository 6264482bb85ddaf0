//! Kernels whose tasks are run by a crew, as tiles: sound, and what the program interpreter says, by the tile interpreter, which
//! runs loops abreast backwards; and as PTX, with as many barriers as they need.

use mlc::engine::Engine;
use mlc::targets::{GPU, find};
use mlc_codegen::kernels::lower_program;
use mlc_codegen::linear::linearize;
use mlc_codegen::ptx::{self, Capability};
use mlc_ir::program::{Program, interp};
use mlc_ir::tile::interp::{Buffer, run};
use mlc_ir::tile::{self, Tile};
use mlc_ir::{DType, Graph, Index, Scalar, Tensor};
use mlc_passes::{Options, optimize};
use mlc_tensorio::relative_to_scale;
use std::collections::HashMap;

/// Rows, columns and sums for crews: whole ones, with something left, shorter than a crew, of a length known at run time only.
const GRAPHS: [(&str, &str); 19] = [
    ("softmax", "graph @a(%x: f32[3, 400]) opset 17 { %y = Softmax(%x) : f32[3, 400] return %y }"),
    ("odd softmax", "graph @a(%x: f32[n, 131]) opset 17 { %y = Softmax(%x) : f32[n, 131] return %y }"),
    ("softmax of any length", "graph @a(%x: f32[2, n]) opset 17 { %y = Softmax(%x) : f32[2, n] return %y }"),
    (
        "layer norm",
        "graph @a(%x: f32[n, 384], %s: f32[384], %b: f32[384]) opset 17 {
           %y = LayerNormalization(%x, %s, %b) : f32[n, 384] return %y }",
    ),
    (
        "instance norm",
        "graph @a(%x: f32[1, 5, 37, 41], %s: f32[5], %b: f32[5]) opset 17 {
           %y = InstanceNormalization(%x, %s, %b) : f32[1, 5, 37, 41] return %y }",
    ),
    ("pool", "graph @a(%x: f32[1, 24, 65, 40]) opset 17 { %y = GlobalAveragePool(%x) : f32[1, 24, 1, 1] return %y }"),
    ("extremes", "graph @a(%x: f32[7, 90]) opset 17 { %y = ReduceMax(%x) {axes = [1]} : f32[7, 1] return %y }"),
    (
        "row times matrix",
        "graph @a(%x: f32[1, 600], %w: f32[600, 24]) opset 17 { %y = MatMul(%x, %w) : f32[1, 24] return %y }",
    ),
    (
        "product",
        "graph @a(%x: f32[64, 64], %w: f32[64, 128]) opset 17 { %y = MatMul(%x, %w) : f32[64, 128] return %y }",
    ),
    (
        "odd product",
        "graph @a(%x: f32[n, 37], %w: f32[37, 50], %b: f32[50]) opset 17 {
           %p = MatMul(%x, %w) : f32[n, 50]
           %s = Add(%p, %b) : f32[n, 50]
           %y = Relu(%s) : f32[n, 50] return %y }",
    ),
    (
        "columns of a length known at run time only",
        "graph @a(%x: f32[19, 40], %w: f32[40, n]) opset 17 { %y = MatMul(%x, %w) : f32[19, n] return %y }",
    ),
    (
        "products of a batch",
        "graph @a(%x: f32[3, 20, 48], %w: f32[3, 24, 48]) opset 17 {
           %t = Transpose(%w) {perm = [0, 2, 1]} : f32[3, 48, 24]
           %y = MatMul(%x, %t) : f32[3, 20, 24] return %y }",
    ),
    (
        "convolution",
        "graph @a(%x: f32[2, 16, 13, 11], %w: f32[24, 16, 3, 3], %b: f32[24]) opset 17 {
           %c = Conv(%x, %w, %b) {pads = [1, 1, 1, 1], strides = [2, 2]} : f32[2, 24, 7, 6]
           %y = Sigmoid(%c) : f32[2, 24, 7, 6] return %y }",
    ),
    (
        "convolution of single points",
        "graph @a(%x: f32[1, 32, 9, 9], %w: f32[40, 32, 1, 1]) opset 17 {
           %y = Conv(%x, %w) : f32[1, 40, 9, 9] return %y }",
    ),
    (
        "product of half floats",
        "graph @a(%x: f16[70, 64], %w: f16[64, 72], %b: f16[72]) opset 17 {
           %p = MatMul(%x, %w) : f16[70, 72]
           %y = Add(%p, %b) : f16[70, 72] return %y }",
    ),
    (
        "product of half floats, the second factor turned",
        "graph @a(%x: f16[n, 48], %w: f16[40, 48]) opset 17 {
           %t = Transpose(%w) {perm = [1, 0]} : f16[48, 40]
           %y = MatMul(%x, %t) : f16[n, 40] return %y }",
    ),
    (
        "convolution of half floats",
        "graph @a(%x: f16[1, 32, 14, 14], %w: f16[32, 32, 3, 3]) opset 17 {
           %c = Conv(%x, %w) {strides = [2, 2]} : f16[1, 32, 6, 6]
           %y = Relu(%c) : f16[1, 32, 6, 6] return %y }",
    ),
    (
        "product of bytes",
        "graph @a(%x: i8[33, 64], %w: i8[64, 40]) opset 17 { %y = MatMulInteger(%x, %w) : i32[33, 40] return %y }",
    ),
    (
        "attention",
        "graph @a(%q: f32[1, 2, 10, 20], %k: f32[1, 2, 70, 20], %v: f32[1, 2, 70, 36]) opset 23 {
           %y = Attention(%q, %k, %v) : f32[1, 2, 10, 36] return %y }",
    ),
];

/// What a symbol is.
const SYMBOL: i64 = 77;

fn numbers(dtype: DType, shape: &[usize], step: usize) -> Tensor {
    let scalar = |n: usize| match dtype.is_float() {
        true => Scalar::Float(((n * step) % 23) as f64 / 7.0 - 1.5),
        false => Scalar::Int(((n * step) % 23) as i64 - 11),
    };
    let scalars: Vec<Scalar> = (0..shape.iter().product()).map(scalar).collect();
    Tensor::from_scalars(dtype, shape.to_vec(), &scalars).expect("as many as the shape says")
}

/// Largest difference that is accepted, relative to the largest value: sums are in other orders, and then rounded.
fn tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => 1.0 / 1024.0,
        _ => 1e-5,
    }
}

fn number(index: &Index) -> usize {
    let value = index.eval(&mut |leaf| matches!(leaf, mlc_ir::index::Leaf::Sym(_)).then_some(SYMBOL));
    value.and_then(|n| usize::try_from(n).ok()).expect("dims are of symbols")
}

fn inputs(program: &Program) -> Vec<Tensor> {
    let shape = |buffer: &u32| program.buffer(*buffer).shape.iter().map(number).collect::<Vec<usize>>();
    let numbers =
        |(place, buffer): (usize, &u32)| numbers(program.buffer(*buffer).dtype, &shape(buffer), 2 * place + 5);
    program.inputs.iter().enumerate().map(numbers).collect()
}

/// A graph's kernels for a GPU, its outputs by the tile interpreter, and what they should be.
fn outputs(text: &str) -> (Vec<(Tile, Tile)>, Vec<Tensor>, Vec<Tensor>) {
    let graph = Graph::parse(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let reference = graph.clone().to_program().unwrap();
    let (mut program, _) = optimize(graph, Options::default()).unwrap();
    let inputs = inputs(&program);
    let expected = interp::run(&reference, &inputs).unwrap();
    let target = Capability::from_name("sm_80").expect("it is listed").target();
    let (lowered, layouts) = lower_program(&mut program, &target).unwrap();
    let mut memory: HashMap<u32, Buffer> = HashMap::new();
    for (buffer, tensor) in program.inputs.iter().zip(&inputs) {
        memory.insert(*buffer, Buffer::filled(tensor.bytes().to_vec()));
    }
    let mut tiles = Vec::new();
    for kernel in lowered {
        let linear = linearize(&kernel.tile, &program.facts).unwrap();
        for tile in [&kernel.tile, &linear] {
            let warnings = tile::verify(tile, &program.facts).unwrap_or_else(|e| panic!("{e}\n{tile}"));
            assert!(warnings.is_empty(), "{warnings:?}\n{tile}");
            assert_eq!(tile::parse(&tile.to_string()).as_ref(), Ok(tile));
        }
        let symbols = vec![SYMBOL; kernel.tile.symbols.len()];
        let take = |number_of: &u32| {
            let buffer = program.buffer(*number_of);
            let count: usize = layouts[*number_of as usize].dims(&buffer.shape).iter().map(number).product();
            memory.get(number_of).cloned().unwrap_or_else(|| Buffer::empty(count * buffer.dtype.bytes()))
        };
        let buffers: Vec<Buffer> = kernel.buffers.iter().map(take).collect();
        let tasks = number(&kernel.tile.tasks.1) as i64;
        let after = |tile: &Tile| {
            let mut buffers = buffers.clone();
            run(tile, &mut buffers, &symbols, 0..tasks).unwrap_or_else(|e| panic!("{e}\n{tile}"));
            buffers
        };
        let (indexed, by_cursors) = (after(&kernel.tile), after(&linear));
        for ((a, b), number) in indexed.iter().zip(&by_cursors).zip(&kernel.buffers) {
            let dtype = program.buffer(*number).dtype;
            let scalars = |it: &Buffer| -> Vec<f64> {
                it.bytes().chunks_exact(dtype.bytes()).map(|bytes| Scalar::load(dtype, bytes).float()).collect()
            };
            let near = |(a, b): (f64, f64)| (a - b).abs() <= tolerance(dtype) * (1.0 + a.abs());
            let (a, b) = (scalars(a), scalars(b));
            assert!(a.len() == b.len() && a.into_iter().zip(b).all(near), "other numbers by cursors\n{linear}");
        }
        memory.extend(kernel.buffers.iter().copied().zip(by_cursors));
        tiles.push((kernel.tile, linear));
    }
    let output = |buffer: &u32| {
        let shape: Vec<usize> = program.buffer(*buffer).shape.iter().map(number).collect();
        assert!(memory[buffer].is_complete(), "all is written");
        Tensor::new(program.buffer(*buffer).dtype, shape, memory[buffer].bytes().to_vec()).expect("as the shape says")
    };
    let found = program.outputs.iter().map(output).collect();
    (tiles, found, expected)
}

#[test]
fn crews_compute_what_programs_say() {
    for (name, text) in GRAPHS {
        let (tiles, found, expected) = outputs(text);
        let crews: Vec<Option<u32>> = tiles.iter().map(|(tile, _)| ptx::crew(tile)).collect();
        assert!(crews.iter().any(Option::is_some), "{name}: no crew\n{}", tiles[0].0);
        println!("{name}: {crews:?}");
        for (found, expected) in found.iter().zip(&expected) {
            let error = relative_to_scale(found, expected).unwrap();
            assert!(error <= tolerance(found.dtype()), "{name} differs by {error:.1e}\n{}", tiles[0].0);
        }
    }
}

#[test]
fn blocks_of_threads_compute_what_programs_say() {
    mlc_fake_cuda::install().unwrap_or_else(|why| panic!("{why}"));
    for (name, text) in GRAPHS {
        let graph = Graph::parse(text).unwrap();
        let reference = graph.clone().to_program().unwrap();
        for generation in ["sm_75", "sm_80"] {
            let (program, _) = optimize(graph.clone(), Options::default()).unwrap();
            let inputs = inputs(&program);
            let mut engine = Engine::compiled_for(program, find(GPU, Some(generation)).unwrap(), 1).unwrap();
            let found = engine.run(&inputs).unwrap_or_else(|why| panic!("{name}, {generation}: {why}"));
            for (found, expected) in found.iter().zip(&interp::run(&reference, &inputs).unwrap()) {
                let error = relative_to_scale(found, expected).unwrap();
                assert!(error <= tolerance(found.dtype()), "{name}, {generation} differs by {error:.1e}");
            }
        }
    }
}
