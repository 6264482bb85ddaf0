use mlc_ir::graph::Graph;
use mlc_ir::onnx::OnnxNode;
use mlc_ir::{DType, Index, Program};
use mlc_passes::{Options, Snapshot, bisect, fuse, optimize, runner};

fn graph() -> Graph {
    let mut graph = Graph::new("g");
    let x = graph.add_input("x", DType::F32, vec![Index::sym("n"), Index::from(6)]);
    let y = graph.add("softmax", OnnxNode::new("Softmax"), &[Some(x)]).unwrap()[0];
    let y = graph.add("relu", OnnxNode::new("Relu"), &[Some(y)]).unwrap()[0];
    graph.add_output("y", y);
    graph
}

#[test]
fn every_pass_is_dumped_verified_and_timed() {
    let mut seen = Vec::new();
    let mut dump = |name: &str, state: Snapshot| {
        let kernels = match state {
            Snapshot::Graph(_) => 0,
            Snapshot::Program(program) => fuse::count(program),
        };
        seen.push((name.to_string(), kernels));
    };
    let options = Options { verify: true, dump: Some(&mut dump), ..Options::default() };
    let (program, report) = optimize(graph(), options).unwrap();
    assert_eq!(fuse::count(&program), 1);
    assert_eq!(report.warnings, Vec::<String>::new());
    assert_eq!(report.passes.len(), runner::names().len());
    assert_eq!(seen.iter().map(|s| s.0.as_str()).collect::<Vec<_>>(), runner::names());
    assert_eq!((report.fusion.before, report.fusion.after, seen.last().unwrap().1), (5, 1, 1));
}

#[test]
fn it_stops_where_it_is_told() {
    for stop in ["dce", "build"] {
        let options = Options { stop_after: Some(stop.into()), ..Options::default() };
        assert_eq!(fuse::count(&optimize(graph(), options).unwrap().0), 5);
    }
    let count = runner::names().len().to_string();
    let options = Options { stop_after: Some(count), ..Options::default() };
    assert_eq!(fuse::count(&optimize(graph(), options).unwrap().0), 1);
    for wrong in ["0", "99", "fusee"] {
        let options = Options { stop_after: Some(wrong.into()), ..Options::default() };
        assert!(optimize(graph(), options).is_err());
    }
    let options = Options { skip: vec!["fuse".into(), "inline".into()], ..Options::default() };
    assert!(fuse::count(&optimize(graph(), options).unwrap().0) > 1);
}

#[test]
fn the_first_pass_that_breaks_a_check_is_found() {
    let several = |program: &Program| fuse::count(program) > 1;
    assert_eq!(bisect(&graph(), several).unwrap(), Some("fuse"));
    assert_eq!(bisect(&graph(), |_| true).unwrap(), None);
}

#[test]
fn fused_programs_read_back() {
    let (program, _) = optimize(graph(), Options::default()).unwrap();
    let text = program.to_string();
    assert_eq!(Program::parse(&text, &|_| None).unwrap().to_string(), text);
}
