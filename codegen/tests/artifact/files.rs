//! What is written, and that it loads and runs here.

use std::fs;
use std::io::{self, Write};

use mlc_codegen::artifact::{Error, Kind, Parts, Placement, Weights, write};
use mlc_runtime::{Model, Options, Reason, TensorView};

use crate::{KINDS, build, emit, host, path, tiny, tool};

fn scaled(n: usize) -> (Vec<f32>, Vec<f32>) {
    let x: Vec<f32> = (0..n * 4).map(|place| place as f32 / 8.0).collect();
    let y = x.iter().enumerate().map(|(place, x)| x * [2.0, 3.0, 4.0, 5.0][place % 4]).collect();
    (x, y)
}

#[test]
fn a_shared_object_loads_and_runs() {
    let Some(triple) = host() else { return };
    for (bytes, placement) in [(16, Placement::Embedded), (100_000, Placement::Embedded), (70_000, Placement::Sidecar)]
    {
        let folder = tempfile::tempdir().expect("folder");
        let files = build(triple, "tiny", bytes, placement, folder.path());
        assert_eq!(files.iter().any(|it| it.kind == Kind::Weights), placement == Placement::Sidecar);
        let options = Options { verify: true, weights: None };
        let model = Model::open_with(path(&files, Kind::Shared), &options).expect("model");
        assert_eq!(model.inputs()[0].name, "x");
        for threads in [1, 2, 3] {
            let mut session = model.session(threads).expect("session");
            session.profile(true);
            for n in [1, 7, 1024] {
                let (x, y) = scaled(n);
                let shape = [n as i64, 4];
                let outputs = session.run(&[TensorView::of(&x, &shape).expect("view")]).expect("run");
                assert_eq!((outputs[0].shape(), outputs[0].as_slice::<f32>()), (&shape[..], Ok(&y[..])));
            }
            assert_eq!(session.arena_bytes(), 64 * threads as u64);
            let timings = session.timings();
            assert_eq!((timings[0].kernel.as_str(), timings[0].calls), ("scale", 3));
        }
    }
}

#[test]
fn wrong_inputs_are_named() {
    let Some(triple) = host() else { return };
    let folder = tempfile::tempdir().expect("folder");
    let files = build(triple, "tiny", 16, Placement::Embedded, folder.path());
    let model = Model::open(path(&files, Kind::Shared)).expect("model");
    let mut session = model.session(1).expect("session");
    let data = [0f32; 20];
    let mut message = |shape: &[i64]| {
        let view = TensorView::of(&data[..shape.iter().product::<i64>() as usize], shape).expect("view");
        session.run(&[view]).expect_err("wrong").reason.to_string()
    };
    assert_eq!(message(&[20]), "input `x`: expected rank 2, shape [n, 4] (code 101)");
    let dim = "input `x`: expected dim 0 to be n, in 1..=1024, the same wherever n stands (code 102)";
    assert_eq!(message(&[0, 4]), dim);
    assert_eq!(message(&[4, 5]), "input `x`: expected dim 1 to be 4 (code 103)");
    let view = TensorView::from_bytes(2, &[1, 4], &[0; 4]).expect("view");
    let error = session.run(&[view]).expect_err("wrong");
    assert!(matches!(error.reason, Reason::Model { code: 100, .. }));
    assert!(session.run(&[]).expect_err("wrong").reason.to_string().contains("1 inputs, 0 were given"));
}

#[test]
fn a_shared_object_needs_nothing() {
    for triple in ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"] {
        let folder = tempfile::tempdir().expect("folder");
        let files = build(triple, "tiny", 5000, Placement::Embedded, folder.path());
        let so = path(&files, Kind::Shared);
        let so = so.to_str().expect("path");
        let Some(undefined) = tool("nm", &["-D", "-u", so]) else { return };
        assert_eq!(undefined.trim(), "");
        let exports = tool("nm", &["-D", "--defined-only", so]).unwrap_or_default();
        let names: Vec<&str> = exports.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
        assert_eq!(names, ["tiny_descriptor", "tiny_message", "tiny_plan", "tiny_run", "tiny_weights"]);
        let all = tool("readelf", &["-aW", so]).unwrap_or_default();
        assert!(!all.contains("NEEDED") && !all.contains("TEXTREL"), "{all}");
        assert!(all.contains("SONAME") && all.contains("tiny.so") && all.contains("GNU_RELRO"), "{all}");
        assert!(all.contains("scale"), "kernels have their names for profilers: {all}");
        let warnings = tool("readelf", &["-aW", "--lint", so]).unwrap_or_default();
        assert!(!warnings.to_lowercase().contains("warning"), "{warnings}");
    }
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    for triple in ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"] {
        for placement in [Placement::Embedded, Placement::Sidecar] {
            let (a, b) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
            let one = build(triple, "tiny", 5000, placement, a.path());
            let two = build(triple, "tiny", 5000, placement, b.path());
            assert_eq!(one.len(), two.len());
            for (one, two) in one.iter().zip(&two) {
                assert_eq!(fs::read(&one.path).ok(), fs::read(&two.path).ok(), "{}", one.path.display());
                assert_eq!(fs::metadata(&one.path).map(|it| it.len()).ok(), Some(one.bytes));
            }
            assert_eq!(fs::read_dir(a.path()).map(Iterator::count).ok(), Some(one.len()));
        }
    }
}

#[test]
fn header_and_manifest() {
    let folder = tempfile::tempdir().expect("folder");
    let files = build("x86_64-unknown-linux-gnu", "tiny", 16, Placement::Sidecar, folder.path());
    let header = fs::read_to_string(path(&files, Kind::Header)).expect("header");
    assert!(header.contains("int32_t tiny_run(") && header.contains("tiny.weights"), "{header}");
    assert!(header.contains("/ *out* /f32[n, 4]") || header.contains("y/ *out* / f32[n, 4]"), "{header}");
    assert!(header.contains("#define TINY_INPUT_X 0\n"), "{header}");
    let manifest = fs::read_to_string(path(&files, Kind::Manifest)).expect("manifest");
    let manifest: serde_json::Value = serde_json::from_str(&manifest).expect("json");
    assert_eq!(manifest["schema"], "mlc-manifest/1");
    assert_eq!(manifest["inputs"][0]["dims"][1], 4);
    assert_eq!(manifest["inputs"][0]["dims"][0]["symbol"], "n");
    assert_eq!(manifest["weights"]["file"], "tiny.weights");
    assert_eq!(fs::metadata(path(&files, Kind::Weights)).map(|it| it.len()).ok(), Some(16 + 64));
}

#[test]
fn what_cannot_be_written_is_an_error_and_leaves_nothing() {
    use cranelift_module::{Linkage, Module};
    let triple = "x86_64-unknown-linux-gnu";
    let folder = tempfile::tempdir().expect("folder");
    let good = tiny::description("tiny", 16, Placement::Sidecar);
    let weights = tiny::weights(16);
    let fail = |object: Vec<u8>, description: &_| {
        let error = emit(triple, object, description, &weights, folder.path()).expect_err("error");
        assert_eq!(fs::read_dir(folder.path()).map(Iterator::count).ok(), Some(0), "{error}");
        error
    };
    let object = tiny::object(triple, &good, |module| {
        let id = module.declare_data("stray", Linkage::Export, true, false).expect("declare");
        let mut data = cranelift_module::DataDescription::new();
        data.define_zeroinit(8);
        module.define_data(id, &data).expect("define");
    });
    assert!(fail(object, &good).to_string().contains("exports `stray`"));
    let embedded = tiny::description("tiny", 16, Placement::Embedded);
    let object = tiny::object(triple, &embedded, |_| {});
    let error = fail(object, &good);
    assert!(error.to_string().contains("was not built from this description"), "{error}");
    let object = tiny::object(triple, &good, |module| {
        let id = module.declare_data("outside", Linkage::Import, true, false).expect("declare");
        let mut data = cranelift_module::DataDescription::new();
        data.define(vec![0; 8].into_boxed_slice());
        let value = module.declare_data_in_data(id, &mut data);
        data.write_data_addr(0, value, 0);
        let id = module.declare_data("user", Linkage::Local, true, false).expect("declare");
        module.define_data(id, &data).expect("define");
    });
    assert!(matches!(fail(object, &good), Error::Undefined(names) if names == ["outside"]));
    let good_object = tiny::object(triple, &good, |_| {});
    for length in (0..good_object.len()).step_by(97) {
        fail(good_object[..length].to_vec(), &good);
    }
    let mut named = good.clone();
    named.name = "a-b".into();
    assert!(matches!(fail(good_object.clone(), &named), Error::Name(_)));
    let missing = folder.path().join("missing");
    let error = emit(triple, good_object, &good, &weights, &missing).expect_err("error");
    assert!(matches!(error, Error::File(..)), "{error}");
}

/// Weights that end before their time, with an error or without.
struct Short(bool);

impl Weights for Short {
    fn len(&self) -> u64 {
        1 << 20
    }

    fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&[7; 1000])?;
        if self.0 { Err(io::Error::from(io::ErrorKind::StorageFull)) } else { Ok(()) }
    }
}

#[test]
fn weights_that_fail_leave_nothing() {
    for placement in [Placement::Embedded, Placement::Sidecar] {
        for fails in [true, false] {
            let folder = tempfile::tempdir().expect("folder");
            let triple = "x86_64-unknown-linux-gnu";
            let description = tiny::description("tiny", 1 << 20, placement);
            let object = tiny::object(triple, &description, |_| {});
            let target = triple.parse().expect("triple");
            let parts = Parts { target, object, description: &description, weights: &Short(fails) };
            let error = write(parts, KINDS, folder.path()).expect_err("short");
            assert_eq!(fs::read_dir(folder.path()).map(Iterator::count).ok(), Some(0), "{error}");
        }
    }
}

#[test]
fn variables_and_constants_with_addresses_have_their_own_memory() {
    use cranelift_module::{DataDescription, Linkage, Module};
    let Some(triple) = host() else { return };
    let folder = tempfile::tempdir().expect("folder");
    let description = tiny::description("tiny", 16, Placement::Embedded);
    let object = tiny::object(triple, &description, |module| {
        for (name, zero) in [("variable", false), ("zeros", true)] {
            let id = module.declare_data(name, Linkage::Local, true, false).expect("declare");
            let mut data = DataDescription::new();
            if zero {
                data.define_zeroinit(100_000)
            } else {
                data.define(vec![1; 10_000].into_boxed_slice())
            }
            module.define_data(id, &data).expect("define");
        }
    });
    let files = emit(triple, object, &description, &tiny::weights(16), folder.path()).expect("artifact");
    let so = path(&files, Kind::Shared);
    if let Some(all) = tool("readelf", &["-SWl", so.to_str().expect("path")]) {
        assert!(all.contains(".bss") && all.contains(".data ") && all.contains(".data.rel.ro"), "{all}");
    }
    let model = Model::open(so).expect("model");
    let (x, y) = scaled(3);
    let outputs = model.session(2).and_then(|mut it| it.run(&[TensorView::of(&x, &[3, 4])?])).expect("run");
    assert_eq!(outputs[0].as_slice::<f32>(), Ok(&y[..]));
}
