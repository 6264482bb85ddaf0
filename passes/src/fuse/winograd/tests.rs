//! The rewritten program against the same one without this pass, interpreted.

use super::{Toom, shorten_by, toom};
use crate::fuse::{PIPELINE, Report, Rule, within};
use mlc_ir::graph::{Graph, Value};
use mlc_ir::onnx::{Attribute, OnnxNode};
use mlc_ir::program::{Program, interp, verify};
use mlc_ir::{DType, Index, Tensor};

/// Numbers that look normal: a sum of four from a generator.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f32 {
        let mut uniform = || {
            self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (self.0 >> 40) as f32 / (1u64 << 24) as f32 - 0.5
        };
        (0..4).map(|_| uniform()).sum::<f32>() * 1.7
    }

    fn tensor(&mut self, shape: &[usize], scale: f32) -> Tensor {
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| self.next() * scale).collect();
        Tensor::from_f32s(shape.to_vec(), &values).unwrap()
    }
}

/// Fuses a program, with a transform wherever one can be.
fn fuse(program: &mut Program, toom: &'static Toom) -> Report {
    let mut report = Report::default();
    for (name, pass) in PIPELINE {
        match *name {
            "winograd" => within(program, &mut report, |work, report| {
                shorten_by(work, report, &|_, _, _| Some(toom));
            }),
            _ => pass(program, &mut report),
        }
    }
    report
}

#[derive(Clone, Copy, Debug)]
struct Case {
    batch: usize,
    channels: [usize; 2],
    size: [usize; 2],
    /// Of height and width, which are numbers if there is none.
    symbols: [&'static str; 2],
    /// Before and after height and width, as ONNX has them.
    pads: [i64; 4],
    /// A second convolution reads the first, and the sum of both is activated.
    residual: bool,
}

const PLAIN: Case = Case { batch: 1, channels: [3, 5], size: [8, 8], symbols: [""; 2], pads: [1; 4], residual: false };

impl Case {
    fn graph(&self, numbers: &mut Numbers) -> Graph {
        let mut graph = Graph::new("test");
        let [ic, oc] = self.channels;
        let extent = |d: usize| match self.symbols[d] {
            "" => Index::from(self.size[d] as i64),
            symbol => Index::sym(symbol),
        };
        let dims = [Index::sym("n"), (ic as i64).into(), extent(0), extent(1)];
        let x = graph.add_input("x", DType::F32, dims.to_vec());
        let first = self.conv(&mut graph, numbers, "first", x, [ic, oc], self.pads);
        let mut y = graph.add("active", OnnxNode::new("Relu"), &[Some(first)]).unwrap()[0];
        if self.residual {
            let second = self.conv(&mut graph, numbers, "second", y, [oc, oc], [1; 4]);
            y = graph.add("sum", OnnxNode::new("Add"), &[Some(second), Some(y)]).unwrap()[0];
            y = graph.add("last", OnnxNode::new("Sigmoid"), &[Some(y)]).unwrap()[0];
        }
        graph.add_output("y", y);
        graph
    }

    fn conv(
        &self,
        graph: &mut Graph,
        numbers: &mut Numbers,
        name: &str,
        x: Value,
        [ic, oc]: [usize; 2],
        pads: [i64; 4],
    ) -> Value {
        let scale = (2.0 / (9.0 * ic as f32)).sqrt();
        let weight = graph.add_constant(format!("{name}.w"), numbers.tensor(&[oc, ic, 3, 3], scale));
        let bias = graph.add_constant(format!("{name}.b"), numbers.tensor(&[oc], 0.1));
        let node = OnnxNode::new("Conv").with("pads", Attribute::Ints(pads.to_vec()));
        graph.add(name, node, &[Some(x), Some(weight), Some(bias)]).unwrap()[0]
    }

    /// The largest error of the rewritten program, beside the largest result; its report.
    fn error(&self, toom: &'static Toom) -> (f64, Report) {
        let mut numbers = Numbers(7);
        let program = self.graph(&mut numbers).to_program().unwrap();
        let x = numbers.tensor(&[self.batch, self.channels[0], self.size[0], self.size[1]], 1.0);
        let run = |program: &Program| interp::run(program, std::slice::from_ref(&x)).unwrap().remove(0);
        let (mut direct, mut short) = (program.clone(), program);
        for (_, pass) in PIPELINE.iter().filter(|(name, _)| *name != "winograd") {
            pass(&mut direct, &mut Report::default());
        }
        let report = fuse(&mut short, toom);
        verify::verify(&short).unwrap();
        let (expected, got) = (run(&direct), run(&short));
        assert_eq!(expected.shape(), got.shape());
        let scale = expected.scalars().map(|x| x.float().abs()).fold(0.0, f64::max);
        let errors = expected.scalars().zip(got.scalars()).map(|(a, b)| (a.float() - b.float()).abs());
        (errors.fold(0.0, f64::max) / scale.max(f64::MIN_POSITIVE), report)
    }

    fn check(&self) {
        for toom in [&toom::F2, &toom::F4] {
            let (error, report) = self.error(toom);
            assert!(error < 5e-6, "{self:?} by {} at once: {error}", toom.outputs);
            let rewritten = report.fused.iter().filter(|fused| fused.rule == Rule::Winograd).count();
            assert_eq!(rewritten, if self.residual { 4 } else { 2 }, "{self:?}: {:?}", report.refused);
        }
    }
}

#[test]
fn any_size_is_cut_into_tiles() {
    for height in 2..11 {
        Case { size: [height, 12 - height], ..PLAIN }.check();
    }
    Case { size: [13, 6], channels: [17, 16], ..PLAIN }.check();
}

#[test]
fn batches_are_apart() {
    Case { batch: 3, size: [5, 6], ..PLAIN }.check();
}

#[test]
fn padding_may_be_of_any_width() {
    for pads in [[1, 0, 0, 1], [0, 2, 1, 0], [2, 2, 2, 2]] {
        Case { size: [7, 6], pads, ..PLAIN }.check();
    }
    Case { size: [6, 7], pads: [0, 1, 0, 1], ..PLAIN }.check();
    // Nothing to widen: no padding, and a whole number of tiles.
    Case { size: [10, 6], pads: [0; 4], ..PLAIN }.check();
}

#[test]
fn what_nothing_pads_stays_if_it_is_no_whole_number_of_tiles() {
    let (error, report) = Case { size: [9, 9], pads: [0; 4], ..PLAIN }.error(&toom::F4);
    assert_eq!(error, 0.0);
    assert!(report.refused.iter().any(|(.., why)| why.contains("no whole number of tiles")), "{:?}", report.refused);
}

#[test]
fn epilogues_and_borders_of_the_next_one_follow() {
    Case { size: [6, 7], channels: [4, 6], residual: true, ..PLAIN }.check();
    Case { size: [8, 12], channels: [4, 6], residual: true, batch: 2, ..PLAIN }.check();
}

/// With as many channels as models have, errors of both stay far below what is allowed of a model.
#[test]
fn errors_stay_small() {
    let case = Case { size: [12, 12], channels: [96, 32], ..PLAIN };
    let (two, four) = (case.error(&toom::F2).0, case.error(&toom::F4).0);
    assert!(two < 1e-6 && four < 2e-6, "{two} {four}");
}

/// Strided, dilated, grouped ones, and those of other sizes, are none of its business.
#[test]
fn others_stay() {
    let with: [(&str, Vec<i64>, [usize; 4]); 4] = [
        ("strides", vec![2, 2], [4, 4, 3, 3]),
        ("dilations", vec![2, 2], [4, 4, 3, 3]),
        ("strides", vec![1, 1], [4, 4, 3, 1]),
        ("strides", vec![1, 1], [4, 4, 5, 5]),
    ];
    for (name, values, filter) in with {
        let mut graph = Graph::new("test");
        let x = graph.add_input("x", DType::F32, [1, 4, 12, 12].map(Index::from).to_vec());
        let weight = graph.add_constant("w", Numbers(1).tensor(&filter, 1.0));
        let node = OnnxNode::new("Conv").with(name, Attribute::Ints(values));
        let y = graph.add("conv", node, &[Some(x), Some(weight)]).unwrap()[0];
        graph.add_output("y", y);
        let report = fuse(&mut graph.to_program().unwrap(), &toom::F4);
        assert!(report.fused.iter().all(|fused| fused.rule != Rule::Winograd), "{name}");
    }
}

#[test]
fn it_is_used_where_it_pays() {
    use super::cost::best;
    let outputs = |size: i64, channels: i64| best([size, size], channels, channels).map(|toom| toom.outputs);
    assert_eq!(outputs(52, 96), Some(4));
    assert_eq!(outputs(14, 128), Some(2));
    // So few tiles do not outweigh that the filter is larger; so few channels not that tiles are written and read.
    assert_eq!(outputs(7, 256), None);
    assert_eq!(outputs(104, 8), None);
}

#[test]
fn height_and_width_may_be_symbols() {
    for (size, symbols) in [([5, 9], ["h", "w"]), ([8, 6], ["", "w"]), ([1, 4], ["h", ""]), ([0, 7], ["h", "w"])] {
        Case { size, symbols, channels: [4, 4], residual: true, ..PLAIN }.check();
    }
}
